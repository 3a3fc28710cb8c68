//! An upstream that does everything wrong: whose response is whose, all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::support::{Client, Message, Origin, Peer, Proxy, one_cluster};

/// Requests, each with a token of its own.
const REQUESTS: usize = 100_000;
const CLIENTS: usize = 8;
/// One request in so many meets an upstream that does not just answer.
const WRONG: usize = 40;

/// What the upstream does about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Answers,
    AnswersInChunks,
    /// Answers, and with it to a request that nobody has made.
    AnswersTwice,
    AnswersAndMore,
    AnswersAndCloses,
    AnswersAndResets,
    /// Says how long its answer is, and sends less.
    Truncates,
    TruncatesChunks,
    Resets,
    ResetsWithinHead,
    Closes,
    Babbles,
}

use Deed::*;

/// What a token makes the upstream do.
fn deed(token: usize) -> Deed {
    const WRONGS: [Deed; 10] = [
        AnswersTwice,
        AnswersAndMore,
        AnswersAndCloses,
        AnswersAndResets,
        Truncates,
        TruncatesChunks,
        Resets,
        ResetsWithinHead,
        Closes,
        Babbles,
    ];
    match token % WRONG {
        0 => WRONGS.get(token / WRONG % WRONGS.len()).copied().unwrap(),
        1..10 => AnswersInChunks,
        _ => Answers,
    }
}

fn is_post(token: usize) -> bool {
    (token / WRONG / 10 + token).is_multiple_of(3)
}

/// The only body that may come with a token.
fn body(token: usize) -> String {
    format!("<{token}>").repeat(1 + token % 300)
}

fn answer(token: usize) -> String {
    let body = body(token);
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn chunks(token: usize) -> String {
    let body = body(token);
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len())
}

const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

/// Does what a token says; false if the connection is over.
fn act(peer: &mut Peer, token: usize) -> bool {
    let whole = answer(token);
    let bytes = match deed(token) {
        Answers | AnswersAndCloses | AnswersAndResets => whole,
        AnswersInChunks => chunks(token) + "0\r\n\r\n",
        AnswersTwice => whole + EVIL,
        AnswersAndMore => chunks(token) + "0\r\n\r\nevil",
        Truncates => whole[..whole.len() - 2].to_owned(),
        TruncatesChunks => chunks(token),
        ResetsWithinHead => whole[..20].to_owned(),
        Babbles => format!("evil {EVIL}"),
        Resets | Closes => String::new(),
    };
    if peer.write(bytes).is_err() {
        return false;
    }
    match deed(token) {
        AnswersAndResets => {
            // Lost if it overtook the answer.
            let _ = peer.skip(1);
            peer.reset_on_close();
            false
        }
        Resets | ResetsWithinHead => {
            peer.reset_on_close();
            false
        }
        Answers | AnswersInChunks => true,
        // Whatever is read after this is not for this connection.
        AnswersTwice | AnswersAndMore => peer.skip(1).is_ok(),
        _ => false,
    }
}

/// What a client may see of a deed.
fn expect(token: usize, response: &Message) {
    let (deed, text) = (deed(token), response.text());
    let whole = response.status() == 200 && response.complete && text == body(token);
    let right = match deed {
        Resets | ResetsWithinHead | Closes | Babbles => response.status() == 502,
        Truncates | TruncatesChunks => {
            response.status() == 200 && !response.complete && body(token).starts_with(&text)
        }
        _ => whole,
    };
    // What is posted over a connection that is just being closed is not repeated, whatever would have
    // come of it.
    let lost = is_post(token) && response.status() == 502;
    let method = if is_post(token) { "POST" } else { "GET" };
    assert!(right || lost, "{method} {token}, {deed:?}: {} {text:.80}", response.status());
}

/// Makes every so many requests, over as few connections as there can be.
fn ask(proxy: &Proxy, first: usize) {
    let mut client: Option<Client> = None;
    for token in (first..REQUESTS).step_by(CLIENTS) {
        let mut connected = client.take().unwrap_or_else(|| proxy.connect());
        let (method, sent) =
            if is_post(token) { ("POST", &b"body"[..]) } else { ("GET", &b""[..]) };
        let response = connected.ask(method, &format!("/{token}"), &[], sent);
        expect(token, &response);
        client = (response.complete && !response.closes()).then_some(connected);
    }
}

#[test]
fn nobody_gets_a_byte_of_anothers_response_and_nothing_is_posted_twice() {
    let posted = Arc::new(Mutex::new(HashMap::<usize, usize>::new()));
    let origin = {
        let posted = Arc::clone(&posted);
        Origin::scripted(move |peer| {
            while let Some(request) = peer.request() {
                let token = request.target()[1..].parse().unwrap();
                if request.method() == "POST" {
                    let mut posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
                    *posted.entry(token).or_default() += 1;
                }
                if !act(peer, token) {
                    break;
                }
            }
        })
    };
    let proxy = Proxy::start(&format!(
        "{}[server]\nworkers = 2\n",
        one_cluster(&[origin.address()], "", "")
    ));
    thread::scope(|scope| {
        for first in 0..CLIENTS {
            let proxy = &proxy;
            scope.spawn(move || ask(proxy, first));
        }
    });
    let posted = posted.lock().unwrap();
    let lost = (0..REQUESTS).filter(|token| is_post(*token)).count() - posted.len();
    assert!(lost < REQUESTS / WRONG / 2, "{lost} of them never arrived");
    let twice: Vec<_> = posted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
