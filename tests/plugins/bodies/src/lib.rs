//! Test guest: a rewriter that transforms the body of every response, well or badly.
//!
//! How is said by `do`, or without it by the request's field `x-do`, as `identity` or `repeat=3`;
//! without either it asks for no body. What becomes of its bodies is counted in its own metrics:
//! `begun`, `finished`, `abandoned`, and `stray` for calls about a body that it does not know.

use crate::bindings::exports::linkspan::plugin::{
    body, lifecycle, request_rewriter, response_rewriter,
};
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::types::{Field, Phase};
use crate::bindings::linkspan::plugin::{giving_up, metrics, request, response};
use linkspan_plugin_common::config;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::{mem, process, str};

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "body-rewriter-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

/// The most that a call may give.
const OUTPUT: usize = 256 << 10;

struct Plugin;

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    r#do: Option<String>,
    /// The phase whose bodies are asked for.
    #[serde(default)]
    request: bool,
}

/// A body, and what is done to it.
struct Body {
    task: String,
    number: usize,
    taken: usize,
    ready: VecDeque<u8>,
}

thread_local! {
    static CONFIG: RefCell<Config> = RefCell::default();
    static BODIES: RefCell<BTreeMap<u64, Body>> = const { RefCell::new(BTreeMap::new()) };
}

/// What is asked for, and its number.
fn asked() -> Option<(String, usize)> {
    let configured = CONFIG.with_borrow(|config| config.r#do.clone());
    let asked = configured.or_else(|| String::from_utf8(request::header("x-do")?).ok())?;
    let (task, number) = asked.split_once('=').unwrap_or((&asked, "0"));
    Some((task.to_owned(), number.parse().unwrap_or(0)))
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        CONFIG.set(config::parse(&config)?);
        Ok(())
    }
}

impl request_rewriter::Guest for Plugin {
    fn on_request() -> Vec<Edit> {
        let wanted = CONFIG.with_borrow(|config| config.request) && asked().is_some();
        if wanted { vec![Edit::TransformBody] } else { Vec::new() }
    }
}

impl response_rewriter::Guest for Plugin {
    fn on_response() -> Vec<Edit> {
        let wanted = !CONFIG.with_borrow(|config| config.request) && asked().is_some();
        if !wanted {
            return Vec::new();
        }
        let mark = Field { name: "x-bodies".to_owned(), value: b"yes".to_vec() };
        vec![Edit::TransformBody, Edit::Set(mark)]
    }
}

impl body::Guest for Plugin {
    fn begin(id: u64, phase: Phase) {
        metrics::count("begun", 1);
        let (task, number) = asked().unwrap_or_default();
        match task.as_str() {
            "trap-at-once" => process::abort(),
            "give-up-at-once" => giving_up::body("no use"),
            _ => {}
        }
        let mut ready = VecDeque::new();
        if task == "tell" {
            ready.extend(format!("{} {}", request::method(), request::path()).bytes());
            if phase == Phase::Response {
                let marked = response::header("x-bodies").is_some();
                ready.extend(format!(" {} marked={marked}", response::status()).bytes());
            }
        }
        let body = Body { task, number, taken: 0, ready };
        BODIES.with_borrow_mut(|bodies| bodies.insert(id, body));
    }

    fn transform(id: u64, chunk: Vec<u8>) -> body::Output {
        with(id, |body| body.transform(&chunk))
    }

    fn finish(id: u64) -> body::Output {
        let output = with(id, Body::finish);
        if !output.more {
            metrics::count("finished", 1);
            BODIES.with_borrow_mut(|bodies| bodies.remove(&id));
        }
        output
    }

    fn abandon(id: u64) {
        let known = BODIES.with_borrow_mut(|bodies| bodies.remove(&id)).is_some();
        metrics::count(if known { "abandoned" } else { "stray" }, 1);
    }
}

fn with(id: u64, call: impl Fn(&mut Body) -> body::Output) -> body::Output {
    BODIES.with_borrow_mut(|bodies| match bodies.get_mut(&id) {
        Some(body) => call(body),
        None => {
            metrics::count("stray", 1);
            body::Output { bytes: Vec::new(), more: false }
        }
    })
}

impl Body {
    fn transform(&mut self, chunk: &[u8]) -> body::Output {
        self.taken += chunk.len();
        let reached = self.taken >= self.number;
        match self.task.as_str() {
            "upper" => return given(chunk.to_ascii_uppercase()),
            "repeat" => (0..self.number).for_each(|_| self.ready.extend(chunk)),
            "hold" => self.ready.extend(chunk),
            "nothing" => return given(Vec::new()),
            "sizes" => self.ready.extend(format!("{} ", chunk.len()).bytes()),
            "trap" if reached => process::abort(),
            "loop" if reached => loop {
                black_box(reached);
            },
            "eat" if reached => loop {
                mem::forget(black_box(vec![1_u8; 1 << 20]));
            },
            "promise" if reached => return body::Output { bytes: Vec::new(), more: true },
            "give-up" if reached => giving_up::body("it is\nspoilt"),
            "flood" if reached => return given(vec![b'x'; OUTPUT + 1]),
            _ => return given(chunk.to_vec()),
        }
        if self.task == "repeat" || self.task == "sizes" { self.give() } else { given(Vec::new()) }
    }

    fn finish(&mut self) -> body::Output {
        match self.task.as_str() {
            "trap-at-end" => process::abort(),
            "footer" => given(b"<footer>".to_vec()),
            _ => self.give(),
        }
    }

    fn give(&mut self) -> body::Output {
        let bytes = self.ready.drain(..self.ready.len().min(OUTPUT)).collect();
        body::Output { bytes, more: !self.ready.is_empty() }
    }
}

fn given(bytes: Vec<u8>) -> body::Output {
    body::Output { bytes, more: false }
}
