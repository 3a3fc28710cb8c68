//! Large answers to the public, which are not made for each request anew.

use std::cell::RefCell;

use bytes::Bytes;
use http::{Method, Response, Uri};

use crate::status::answer::{Format, answer};
use crate::status::{Audience, Sources};

/// From what size on an answer is kept, in bytes.
const LARGE: usize = 256 << 10;

/// A worker's last large answers. Making one takes milliseconds in which the worker serves nobody else,
/// and anybody may ask: so it is given until [`Recent::forget`], which the worker calls about once a
/// second.
#[derive(Default)]
pub struct Recent {
    html: RefCell<Option<Response<Bytes>>>,
    json: RefCell<Option<Response<Bytes>>>,
}

impl Recent {
    /// The answer to a client of a listener.
    #[must_use]
    pub fn answer(&self, method: &Method, uri: &Uri, sources: &Sources) -> Response<Bytes> {
        let kept = match Format::of(uri) {
            Some(Format::Html) if is_read(method) => &self.html,
            Some(Format::Json) if is_read(method) => &self.json,
            _ => return made(method, uri, sources),
        };
        if let Some(response) = &*kept.borrow() {
            return response.clone();
        }
        let response = made(method, uri, sources);
        if response.body().len() >= LARGE {
            kept.replace(Some(response.clone()));
        }
        response
    }

    /// Answers anew from now on.
    pub fn forget(&self) {
        self.html.take();
        self.json.take();
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn made(method: &Method, uri: &Uri, sources: &Sources) -> Response<Bytes> {
    answer(method, uri, sources, &sources.stage.snapshot(), Audience::Public)
}
