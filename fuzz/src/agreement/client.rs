//! What hyper's client makes of what a gate lets pass of an upstream's answers.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::Builder;
use hyper::rt::ReadBufCursor;

use super::super::cut::LIMITS;
use super::super::reference::{Message, Question, Reading, has, lists};
use super::{BUFFER_BYTES, Woken, by_name, fields};

/// Has hyper's client ask the questions and read what answers them, and compares.
pub(crate) fn responses(questions: &[Question], expected: &Reading) {
    let stream = Rc::new(RefCell::new(Staged::default()));
    let client = Builder::new()
        .max_buf_size(BUFFER_BYTES)
        .max_headers(LIMITS.fields)
        .handshake(Shared(Rc::clone(&stream)));
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok((mut sender, connection))) = pin!(client).poll(&mut context) else {
        unreachable!("nothing is sent yet")
    };
    let mut line = Line(Some(Box::pin(connection)));
    let mut start = 0;
    for ((message, end), question) in expected.messages.iter().zip(&expected.ends).zip(questions) {
        // One that is to be closed is not asked again.
        let Some(Ok(())) = line.run(sender.ready()) else { return };
        let method = if question.head { Method::HEAD } else { Method::GET };
        let request = Request::builder().method(method).uri("/").body(Empty::<Bytes>::new());
        let mut answer = pin!(sender.send_request(request.unwrap()));
        assert!(line.run(answer.as_mut()).is_none(), "an answer out of nothing");
        stream.borrow_mut().bytes = expected.certain[start..*end].to_vec().into();
        stream.borrow_mut().ended = !message.complete;
        start = *end;
        match line.run(answer) {
            Some(Ok(response)) => line.compare(response, message),
            other => panic!("hyper has {other:?} for {message:#?}"),
        }
        assert!(stream.borrow().bytes.is_empty(), "hyper leaves some of {message:#?}");
    }
}

/// A connection, until hyper closes it.
struct Line<C>(Option<Pin<Box<C>>>);

impl<C: Future> Line<C> {
    /// What comes of something, if it comes without any more bytes.
    fn run<T>(&mut self, task: impl Future<Output = T>) -> Option<T> {
        let mut task = pin!(task);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        while woken.0.swap(false, Ordering::Relaxed) {
            if let Some(connection) = &mut self.0
                && connection.as_mut().poll(&mut context).is_ready()
            {
                self.0 = None;
            }
            if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
                return Some(result);
            }
        }
        None
    }

    fn compare(&mut self, response: Response<Incoming>, expected: &Message) {
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status.as_str(), expected.first.1);
        assert_eq!(by_name(fields(&parts.headers)), by_name(expected.fields.clone()));
        if parts.status == 101 {
            return;
        }
        match self.run(body.collect()) {
            Some(Ok(body)) => {
                let trailers = body.trailers().map(fields).unwrap_or_default();
                assert_eq!(by_name(trailers), by_name(expected.trailers.clone()));
                assert_eq!(body.to_bytes(), expected.body);
                let until_closed = !has(&expected.fields, "content-length")
                    && !lists(&expected.fields, "transfer-encoding", "chunked");
                assert!(expected.complete || until_closed, "hyper sees an end of {expected:#?}");
            }
            failed => assert!(!expected.complete, "hyper has {failed:?} for {expected:#?}"),
        }
    }
}

/// A stream whose bytes come message by message.
#[derive(Debug, Default)]
struct Staged {
    bytes: Bytes,
    ended: bool,
}

#[derive(Debug)]
struct Shared(Rc<RefCell<Staged>>);

impl hyper::rt::Read for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut staged = self.0.borrow_mut();
        let fits = staged.bytes.len().min(buffer.remaining());
        if fits == 0 && !staged.ended {
            return Poll::Pending;
        }
        buffer.put_slice(&staged.bytes.split_to(fits));
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Shared {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
