//! Answers that a request spells out: `x-as` says what is to be made of `x-name` and `x-value`, both
//! percent-encoded.

use crate::bindings::exports::linkspan::plugin::router;
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::request;
use crate::bindings::linkspan::plugin::types::Field;
use crate::{forward, respond};

/// A field of the request, percent-decoded.
fn bytes(name: &str) -> Vec<u8> {
    let value = request::header(name).unwrap_or_default();
    let mut rest = value.as_slice();
    let mut decoded = Vec::new();
    while let Some((byte, behind)) = rest.split_first() {
        let escaped =
            behind.split_at_checked(2).filter(|_| *byte == b'%').and_then(|(two, rest)| {
                Some((u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok()?, rest))
            });
        let (value, behind) = escaped.unwrap_or((*byte, behind));
        decoded.push(value);
        rest = behind;
    }
    decoded
}

fn text(name: &str) -> String {
    String::from_utf8_lossy(&bytes(name)).into_owned()
}

fn field() -> Field {
    Field { name: text("x-name"), value: bytes("x-value") }
}

fn number() -> u16 {
    text("x-value").parse().unwrap_or_default()
}

/// `path`, `host`, `location`, `redirect` and `status` take the value; anything else responds with
/// a field.
pub(crate) fn decision() -> router::Decision {
    let cluster = || router::Upstream::Cluster(text("x-cluster"));
    match text("x-as").as_str() {
        "path" => forward(cluster(), Some(text("x-value"))),
        "host" => {
            let host = Some(text("x-value"));
            router::Decision::Forward(router::Target { upstream: cluster(), host, path: None })
        }
        "location" => router::Decision::Redirect(router::Redirection {
            status: 302,
            location: text("x-value"),
        }),
        "redirect" => router::Decision::Redirect(router::Redirection {
            status: number(),
            location: "/".into(),
        }),
        "status" => respond(number(), Vec::new(), Vec::new()),
        _ => respond(200, vec![field()], Vec::new()),
    }
}

/// `path`, `host` and `status` take the value, `remove` the name, `append` and anything else both.
pub(crate) fn edit() -> Edit {
    match text("x-as").as_str() {
        "path" => Edit::Path(text("x-value")),
        "host" => Edit::Authority(text("x-value")),
        "status" => Edit::Status(number()),
        "remove" => Edit::Remove(text("x-name")),
        "append" => Edit::Append(field()),
        _ => Edit::Set(field()),
    }
}
