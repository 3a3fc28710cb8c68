//! Clients that take their time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::support::eventually;

use super::super::rules::Setting;
use super::super::upstream::Script;
use super::*;

/// How many slow heads there are at a time.
const SLOW: usize = 1_000;

/// Bytes that trickle in do not put the end off, and a thousand such clients hold up nobody.
pub(super) fn head(case: &Case, complaints: &mut Complaints) {
    let upstream = Upstream::start(Script::Plainly);
    let proxy = proxy(&[&upstream], "head-timeout = '2s'");
    let mut slow: Vec<_> = (0..SLOW).map(|_| client(&proxy, complaints)).collect();
    for client in &slow {
        client.write(&case.wire());
    }
    run::innocent(&proxy, complaints);
    let begun = Instant::now();
    let mut trickling = client(&proxy, complaints);
    trickling.write(&case.wire());
    while trickling.end() == End::Open && begun.elapsed() < PATIENCE {
        trickling.write(b"v");
        trickling.listen_for_a_while(Duration::from_millis(100));
    }
    let (early, late) = (Duration::from_secs(1), Duration::from_mins(1));
    let took = begun.elapsed();
    if took < early || took > late {
        complaints.add(format!("it ended after {took:?}, where head-timeout is 2 s"));
    }
    for client in &mut slow {
        client.listen_to_end();
    }
    slow.push(trickling);
    let all = slow.len();
    let ended = slow.iter().filter(|client| client.end() == End::Closed).count();
    complaints.same("connections that were closed", &ended, &all);
    let statuses = slow.iter().filter(|client| {
        let answers = client.answers(&["GET"]);
        answers.is_ok_and(|answers| answers.whole.len() == 1 && answers.whole[0].status() == 408)
    });
    complaints.same("those that were told why", &statuses.count(), &all);
    complaints.records(&proxy, all + 1, &vec![408; all], Some("head_too_slow"));
    drop(proxy);
    were_asked(complaints, &[&upstream], &["GET /other"]);
}

/// What is sent faster than the client reads stays with the kernel, and in the end the client is let
/// go.
pub(super) fn reader(case: &Case, complaints: &mut Complaints) {
    let sent = Arc::new(AtomicUsize::new(0));
    let upstream = large(&sent);
    // So long that all stands still for a while, on a busy machine as well.
    let proxy = proxy(&[&upstream], "body-timeout = '8s'");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1 << 10).unwrap();
    socket.connect(&proxy.address("web").into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(&case.wire()).unwrap();
    let ports = [upstream.address().port(), stream.local_addr().unwrap().port()];
    let (mut sample, mut before, mut kept, mut last) = (Instant::now(), 0, 0, 0);
    let (mut few, mut got, mut stood_still) = ([0; 5], 0, false);
    stream.set_nonblocking(true).unwrap();
    eventually("it to be let go", || {
        if sample.elapsed() > Duration::from_millis(500) {
            got += stream.read(&mut few).unwrap_or(0);
            let now = sent.load(Ordering::SeqCst);
            if now == before {
                // All stands still. What was sent and is nowhere else is with the proxy, but for a head's
                // length: that is on its way as well.
                stood_still |= now > 0;
                let elsewhere = now.saturating_sub(queued(&ports) + got);
                // In two samples: what has just been let go stands in no queue, and is not kept either.
                kept = kept.max(elsewhere.min(last));
                last = elsewhere;
            }
            before = now;
            sample = Instant::now();
        }
        let open = proxy.counter("linkspan_connections_open", &[("listener", "web")]);
        (open == 0 && sent.load(Ordering::SeqCst) > 0).then_some(())
    });
    run::innocent(&proxy, complaints);
    let log = proxy.access(2);
    let slow = log.iter().find(|line| line["target"] == "/10MB").unwrap();
    complaints.same("its status", &slow["status"], &200.into());
    if !slow["error"].as_str().unwrap_or_default().contains("took nothing for body-timeout") {
        complaints.add(format!("the log does not say why: {slow}"));
    }
    let sent = sent.load(Ordering::SeqCst);
    if kept > MOST_KEPT || !stood_still || sent >= LARGE {
        complaints.add(format!("of {sent} bytes that were sent, the proxy kept {kept}"));
    }
    drop(proxy);
    were_asked(complaints, &[&upstream], &["GET /10MB", "GET /other"]);
}

/// The length of what the slow reader asks for.
const LARGE: usize = 10_000_000;

/// The most bytes that a proxy may keep for it.
const MOST_KEPT: usize = 256 << 10;

/// An upstream that counts what it has sent of something large.
fn large(sent: &Arc<AtomicUsize>) -> Upstream {
    let sent = Arc::clone(sent);
    Upstream::scripted(move |peer, recorder| {
        while let Some(request) = recorder.request(peer) {
            if !request.line.contains("/10MB") {
                peer.send(plain(&request));
                continue;
            }
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"));
            while sent.load(Ordering::SeqCst) < LARGE && peer.write([b'x'; 1_000]).is_ok() {
                sent.fetch_add(1_000, Ordering::SeqCst);
            }
        }
    })
}

/// The bytes that wait in the kernel, in either direction, on connections with one of these ports.
fn queued(ports: &[u16]) -> usize {
    let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_line = |line: &str| -> Option<usize> {
        let words: Vec<_> = line.split_whitespace().collect();
        let port = |word: usize| words.get(word)?.split_once(':').map(|(_, port)| number(port));
        let known = |port: usize| ports.iter().any(|known| usize::from(*known) == port);
        let (sending, waiting) = words.get(4)?.split_once(':')?;
        let own = known(port(1)?) || known(port(2)?);
        own.then(|| number(sending) + number(waiting))
    };
    table.lines().skip(1).filter_map(of_line).sum()
}

/// A connection without requests ends by itself, which is no error.
pub(super) fn idle(case: &Case, complaints: &mut Complaints) {
    let upstream = Upstream::start(Script::Plainly);
    let proxy = run::start(
        &upstream,
        &Setting { listener: "idle-timeout = '300ms'", ..Setting::default() },
    );
    let mut client = client(&proxy, complaints);
    client.send(case.wire(), false);
    client.listen_to_end();
    complaints.same("the connection", &client.end(), &End::Closed);
    let answer = status_and_text(only(&client, complaints));
    complaints.same("its answer", &answer, &Some((200, "GET /".to_owned())));
    run::innocent(&proxy, complaints);
    complaints.records(&proxy, 2, &[], None);
    let errors = proxy.access(2).iter().filter(|line| !line["error"].is_null()).count();
    complaints.same("errors that are logged", &errors, &0);
    drop(proxy);
    were_asked(complaints, &[&upstream], &["GET /", "GET /other"]);
}
