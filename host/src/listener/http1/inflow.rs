//! The body of a request, read off the connection by whoever wants it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::line::Line;
use crate::wire::Part;

/// A body that is on its way. Who expects consent to send it gets that when it is first asked for.
pub(super) struct Inflow {
    line: Rc<Line>,
    over: bool,
}

impl Inflow {
    pub(super) fn new(line: &Rc<Line>) -> Self {
        Self { line: Rc::clone(line), over: false }
    }
}

impl Body for Inflow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let part = ready!(self.line.poll_body(context));
        self.over = !matches!(part, Ok(Part::Data(_)));
        Poll::Ready(match part {
            Ok(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Part::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Part::End | Part::More) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.line.body_left().1
    }

    fn size_hint(&self) -> SizeHint {
        match self.line.body_left() {
            (Some(left), _) => SizeHint::with_exact(left),
            (None, _) => SizeHint::default(),
        }
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        self.line.abandon();
    }
}
