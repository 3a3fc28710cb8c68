//! What holds of what is taken apart: heads, bodies and trailers are those of the messages that there are.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Version, request, response};
use linkspan::wire::{Asked, Content, Gate, Part, Requests, Responses, Step};

use super::cut::{Cuts, LIMITS};
use super::reference::{self, End, Field, Message, Reading};

/// What begins like a response is read as one.
pub(crate) fn hold(cuts: Cuts, bytes: &[u8]) {
    if bytes.starts_with(b"HTTP/") { responses(cuts, bytes) } else { requests(cuts, bytes) }
}

fn requests(cuts: Cuts, bytes: &[u8]) {
    let mut gate = Requests::new(LIMITS);
    let heads = |bytes: &mut BytesMut| loop {
        return match gate.step(bytes) {
            Step::Pass(count) => {
                let head = bytes.split_to(count).freeze();
                let parts = gate.parts(&head).unwrap_or_else(|fault| panic!("{fault}"));
                gate.resume();
                Some((message(of_request(&parts), &parts.headers), gate.content()))
            }
            Step::Skip(count) => {
                drop(bytes.split_to(count));
                if bytes.is_empty() {
                    return None;
                }
                continue;
            }
            Step::More | Step::Held | Step::Interim(_) | Step::Fault(_) => None,
        };
    };
    compare(&taken(cuts, bytes, heads), &reference::requests(bytes, false));
}

/// To one question, with all the informational responses before it.
fn responses(cuts: Cuts, bytes: &[u8]) {
    let upgrade = cuts.flag();
    let mut gate = Responses::new(LIMITS);
    gate.ask(Asked { head: false, upgrade });
    let heads = |bytes: &mut BytesMut| loop {
        if gate.has_switched() {
            return None;
        }
        let (count, last) = match gate.step(bytes) {
            Step::Pass(count) => (count, true),
            Step::Interim(count) => (count, false),
            Step::More | Step::Held | Step::Skip(_) | Step::Fault(_) => return None,
        };
        let head = bytes.split_to(count).freeze();
        let parts = gate.parts(&head).unwrap_or_else(|fault| panic!("{fault}"));
        if last {
            return Some((message(of_response(&parts), &parts.headers), gate.content()));
        }
        if bytes.is_empty() {
            return None;
        }
    };
    let taken = taken(cuts, bytes, heads);
    let question = reference::Question { head: false, upgrade };
    let mut expected = reference::responses(bytes, &[question]);
    if let Some(first) = expected.messages.first_mut()
        && first.first.1 == "101"
    {
        // What follows is no body.
        first.body.clear();
    }
    compare(&taken, &expected);
}

/// A message without its body, as long as it is not whole.
fn message((first, version): ((String, String), Version), headers: &HeaderMap) -> Message {
    let fields = fields(headers);
    Message { first, old: version == Version::HTTP_10, fields, ..Message::default() }
}

fn of_request(parts: &request::Parts) -> ((String, String), Version) {
    ((parts.method.to_string(), parts.uri.to_string()), parts.version)
}

fn of_response(parts: &response::Parts) -> ((String, String), Version) {
    ((String::new(), parts.status.as_str().to_owned()), parts.version)
}

fn fields(headers: &HeaderMap) -> Vec<Field> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// All messages, of bytes that come in pieces: what is not whole as well.
fn taken(
    mut cuts: Cuts,
    bytes: &[u8],
    mut head: impl FnMut(&mut BytesMut) -> Option<(Message, Content)>,
) -> Vec<Message> {
    let (mut there, mut rest) = (BytesMut::new(), Bytes::copy_from_slice(bytes));
    let mut messages: Vec<Message> = Vec::new();
    let mut content: Option<Content> = None;
    loop {
        if content.is_none()
            && !there.is_empty()
            && let Some((message, body)) = head(&mut there)
        {
            messages.push(message);
            content = Some(body);
        }
        if let (Some(body), Some(message)) = (&mut content, messages.last_mut()) {
            match body.take(&mut there) {
                Ok(Part::Data(data)) => {
                    assert!(!data.is_empty());
                    message.body.extend_from_slice(&data);
                    continue;
                }
                Ok(Part::Trailers(trailers)) => message.trailers = fields(&trailers),
                Ok(Part::End) => {}
                Ok(Part::More) if rest.is_empty() => {
                    message.complete = body.closed();
                    return messages;
                }
                Ok(Part::More) => {
                    there.extend_from_slice(&rest.split_to(size(&mut cuts, &rest)));
                    continue;
                }
                Err(_) => return messages,
            }
            assert!(body.is_over() && body.left_bytes() == Some(0));
            message.complete = true;
            content = None;
            if !there.is_empty() {
                continue;
            }
        }
        if rest.is_empty() {
            return messages;
        }
        there.extend_from_slice(&rest.split_to(size(&mut cuts, &rest)));
    }
}

fn size(cuts: &mut Cuts, rest: &Bytes) -> usize {
    cuts.next().unwrap_or(1).min(rest.len())
}

fn compare(taken: &[Message], expected: &Reading) {
    assert_eq!(taken.len(), expected.messages.len(), "{taken:#?} of {expected:#?}");
    let last = expected.messages.len().saturating_sub(1);
    for (place, (taken, expected_message)) in taken.iter().zip(&expected.messages).enumerate() {
        // The version of a response is part of its first line there.
        let first = &expected_message.first;
        if taken.first.0.is_empty() {
            assert_eq!(taken.first.1, first.1);
        } else {
            assert_eq!(taken.first.0, first.0);
            if first.1.starts_with('/') || first.1 == "*" {
                assert_eq!(taken.first.1, first.1);
            } else {
                let same = absolute(&taken.first.1).eq_ignore_ascii_case(&absolute(&first.1));
                assert!(same || !first.1.starts_with("http://"), "{taken:?} of {first:?}");
            }
        }
        assert_eq!(taken.old, expected_message.old);
        assert_eq!(by_name(&taken.fields), by_name(&expected_message.fields));
        if expected.end == End::Right || place < last || expected_message.complete {
            assert_eq!(taken.body, expected_message.body);
            // Trailers are told when all have come.
            let told: &[Field] =
                if expected_message.complete { &expected_message.trailers } else { &[] };
            assert_eq!(by_name(&taken.trailers), by_name(told));
        } else {
            // What is right of the beginning of something wrong is told.
            let (one, other) = (&taken.body, &expected_message.body);
            assert!(one.starts_with(other) || other.starts_with(one), "{one:?} and {other:?}");
        }
    }
}

/// A target with a host, which has a path although none was written.
fn absolute(target: &str) -> String {
    let rest = target.strip_prefix("http://").unwrap_or(target);
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{authority}{slash}{path}")
}

/// Fields of one name stand together, in the order in which they came.
fn by_name(fields: &[Field]) -> Vec<Field> {
    let mut sorted = fields.to_vec();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    sorted
}
