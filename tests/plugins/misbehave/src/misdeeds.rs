//! What can be asked for, and what is the same in every call.

use crate::bindings::linkspan::plugin::log;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use std::hint::black_box;
use std::{mem, process, str};

/// Spelled in kebab case: `deep-recursion`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Misdeed {
    /// Any call: executes `unreachable`.
    Trap,
    /// Any call: a Rust panic, whose message goes to standard error.
    Panic,
    /// Any call: never returns.
    Loop,
    /// Any call: takes memory until there is none.
    Eat,
    /// Any call: calls itself until the stack ends.
    DeepRecursion,
    /// Any call: writes 1,000 log lines, then behaves.
    LogFlood,
    /// `route`: forwards to a cluster that does not exist.
    UnknownCluster,
    /// `route`: forwards to an address that nobody granted.
    UngrantedAddress,
    /// `route`: forwards to the cluster that `x-cluster` names, with a path that breaks the request
    /// line. `on-request`, `on-response`: such a path as an edit.
    BadPath,
    /// `route`: responds with 99. `on-request`: sets a status. `on-response`: sets it to 99.
    BadStatus,
    /// `route`: redirects with status 200 and a broken location.
    BadRedirect,
    /// `route`, edits: a framing field.
    FramingHeader,
    /// `route`, edits: a value with a line break.
    CrlfHeader,
    /// `route`, edits: 40,000 fields.
    ManyHeaders,
    /// `route`, edits: what the request gives, byte by byte; see `given`.
    Given,
    /// Edits: to transform the body, without an interface for that.
    TransformBody,
    /// `route`: responds with 2 MiB.
    BigBody,
    /// `pick`: an endpoint that does not exist.
    BadIndex,
    /// `pick`: none.
    Nobody,
    /// `pick`: leaves it to the next balancer.
    Next,
}

impl Misdeed {
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let name = str::from_utf8(name).ok()?;
        Self::deserialize(IntoDeserializer::<Error>::into_deserializer(name)).ok()
    }

    #[expect(clippy::panic, reason = "that is what is asked for")]
    pub(crate) fn commit(self) {
        match self {
            Self::Trap => process::abort(),
            Self::Panic => panic!("asked to panic"),
            Self::Loop => loop {
                black_box(self);
            },
            Self::Eat => loop {
                mem::forget(black_box(vec![1_u8; 1 << 20]));
            },
            Self::DeepRecursion => {
                black_box(deeper(0));
            }
            Self::LogFlood => {
                for line in 0..1_000 {
                    log::write(log::Level::Warn, &format!("line {line} of a flood"));
                }
            }
            _ => {}
        }
    }
}

#[expect(unconditional_recursion, reason = "that is what is asked for")]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth + 1))) + 1
}
