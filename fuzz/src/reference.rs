//! HTTP/1.1 read the slow and simple way: all bytes at once, line by line, as RFC 9112 and the notes of
//! `linkspan::wire` have it. Shares no code with the gates.

mod chunks;
mod head;

use super::cut::LIMITS;

pub(crate) use head::{Field, has, lists};
use head::{Found, Head};

/// What is to become of some bytes.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) messages: Vec<Message>,
    /// Where they end in what follows.
    pub(crate) ends: Vec<usize>,
    /// What has to go on.
    pub(crate) certain: Vec<u8>,
    /// What may go on besides, as far as that: the beginning of what is incomplete or wrong.
    pub(crate) doubtful: Vec<u8>,
    /// What are informational responses.
    pub(crate) interim: Vec<u8>,
    pub(crate) end: End,
}

/// How bytes end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is wrong with them.
    #[default]
    Right,
    /// In something that is not complete, and may be wrong already.
    Unfinished,
    /// In something wrong.
    Wrong,
}

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Method and target, or version and status.
    pub(crate) first: (String, String),
    /// Of HTTP/1.0.
    pub(crate) old: bool,
    /// Names in small letters.
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
    /// Whether its end is there.
    pub(crate) complete: bool,
}

/// What a response answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) head: bool,
    pub(crate) upgrade: bool,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Nothing,
    Length(usize),
    Chunks,
    /// Whatever follows belongs to it.
    All,
}

/// Reads what a client sends. Where it has asked for another protocol, what follows are more requests,
/// unless it is one of `others`.
pub(crate) fn requests(bytes: &[u8], others: bool) -> Reading {
    let mut reading = Reading::default();
    let mut rest = bytes;
    loop {
        // One empty line may stand before a request.
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
            if rest.starts_with(b"\r\n") {
                return reading.ended(End::Wrong, b"");
            }
        }
        if rest.is_empty() {
            return reading;
        }
        let (head, after) = match head::request(rest) {
            Found::Head(head, length) => (head, reading.pass(rest, length)),
            Found::Part => return reading.ended(End::Unfinished, b""),
            Found::Wrong => return reading.ended(End::Wrong, b""),
        };
        let Some(framing) = framing(&head) else { unreachable!("it is part of what is right") };
        let upgrade = !head.message.old && head.upgrades();
        match reading.body(head.message, framing, after) {
            Some(after) => rest = after,
            None => return reading,
        }
        if upgrade && others {
            return reading;
        }
    }
}

/// The most informational responses before one that is not.
const INTERIMS: usize = 100;

/// Reads what an upstream sends, which was asked so much.
pub(crate) fn responses(bytes: &[u8], questions: &[Question]) -> Reading {
    let mut reading = Reading::default();
    let mut rest = bytes;
    let mut questions = questions.iter();
    'answers: while !rest.is_empty() {
        let Some(question) = questions.next() else { return reading.ended(End::Wrong, b"") };
        for interims in 0.. {
            if rest.is_empty() {
                break 'answers;
            }
            let (head, length) = match head::response(rest) {
                Found::Head(head, length) => (head, length),
                Found::Part => return reading.ended(End::Unfinished, b""),
                Found::Wrong => return reading.ended(End::Wrong, b""),
            };
            let (bytes, after) = rest.split_at(length);
            if head.status() < 200 && head.status() != 101 {
                if interims == INTERIMS {
                    return reading.ended(End::Wrong, b"");
                }
                reading.interim.extend_from_slice(bytes);
                rest = after;
                continue;
            }
            let framing = match head.status() {
                101 if question.upgrade && head.upgrades() => Framing::All,
                101 => return reading.ended(End::Wrong, b""),
                204 | 304 => Framing::Nothing,
                _ if question.head => Framing::Nothing,
                _ => match framing(&head) {
                    Some(Framing::Nothing) if !has(&head.message.fields, "content-length") => {
                        Framing::All
                    }
                    framing => framing.unwrap_or(Framing::Nothing),
                },
            };
            reading.certain.extend_from_slice(bytes);
            match reading.body(head.message, framing, after) {
                Some(after) => rest = after,
                None => return reading,
            }
            break;
        }
    }
    reading
}

/// What a head says of the end of its message; none if it says several things.
fn framing(head: &Head) -> Option<Framing> {
    let all = |name: &str| {
        let fields = head.message.fields.iter().filter(|field| field.0 == name);
        fields.map(|field| &*field.1).collect::<Vec<_>>()
    };
    match (&*all("content-length"), &*all("transfer-encoding")) {
        ([], []) => Some(Framing::Nothing),
        ([length], []) => {
            let digits = length.iter().all(u8::is_ascii_digit);
            let number: i64 = str::from_utf8(length).ok()?.parse().ok()?;
            let number = usize::try_from(number).ok().filter(|_| digits)?;
            Some(if number == 0 { Framing::Nothing } else { Framing::Length(number) })
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !head.message.old => {
            Some(Framing::Chunks)
        }
        _ => None,
    }
}

impl Reading {
    fn ended(mut self, end: End, doubtful: &[u8]) -> Self {
        self.end = end;
        self.doubtful = doubtful.to_vec();
        self
    }

    /// Notes that so many bytes go on, and gives the others.
    fn pass<'b>(&mut self, bytes: &'b [u8], count: usize) -> &'b [u8] {
        let (passed, rest) = bytes.split_at(count);
        self.certain.extend_from_slice(passed);
        rest
    }

    /// Reads the body of a message; none if its end is not there, or is none.
    fn body<'b>(
        &mut self,
        mut message: Message,
        framing: Framing,
        bytes: &'b [u8],
    ) -> Option<&'b [u8]> {
        let rest = match framing {
            Framing::Nothing => Some(bytes),
            Framing::All => {
                message.body = bytes.to_vec();
                self.pass(bytes, bytes.len());
                None
            }
            Framing::Length(length) => {
                let there = length.min(bytes.len());
                message.body = bytes[..there].to_vec();
                let rest = self.pass(bytes, there);
                (there == length).then_some(rest)
            }
            Framing::Chunks => {
                let chunks = chunks::read(bytes, LIMITS.fields);
                (message.body, message.trailers) = (chunks.data, chunks.trailers);
                let rest = self.pass(bytes, chunks.certain);
                self.doubtful = rest[..chunks.doubtful].to_vec();
                self.end = chunks.end;
                chunks.complete.then_some(rest)
            }
        };
        message.complete = rest.is_some();
        self.ends.push(self.certain.len());
        self.messages.push(message);
        rest
    }
}
