//! What drives an upstream connection while somebody waits for something that comes through it.

use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;

use super::gated::{Gated, Meter};
use super::wakeups::Wakeups;
use crate::body::RequestBody;

/// A connection and its waker.
pub(super) struct Driver {
    pub(super) connection: Option<Connection<TokioIo<Gated>, RequestBody>>,
    /// The same once it is over, if another protocol goes on from there.
    pub(super) switched: Option<Connection<TokioIo<Gated>, RequestBody>>,
    pub(super) meter: Rc<Meter>,
    pub(super) wakeups: Arc<Wakeups>,
    pub(super) waker: Waker,
}

/// Which of two is polled first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The connection.
    Connection,
    /// Whoever waits for something that comes through it.
    Step,
}

impl Driver {
    /// Polls the connection and `step`, which waits for something that comes through it, in turn
    /// as long as one of them wakes the other.
    pub(super) fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        first: Turn,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        /// More rounds than any exchange needs; beyond it other tasks get their turn.
        const ROUNDS: usize = 8;
        self.wakeups.begin(context.waker());
        let mut turn = first;
        for _ in 0..ROUNDS {
            if turn == Turn::Connection {
                self.wakeups.clear();
                self.poll_connection();
            }
            let polled = step(&mut Context::from_waker(&self.waker));
            if polled.is_ready() {
                self.wakeups.end();
                return polled;
            }
            if turn == Turn::Connection && !self.wakeups.noted() {
                break;
            }
            turn = Turn::Connection;
        }
        if self.wakeups.end() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Polls an idle connection if something happened to it.
    pub(super) fn look(&mut self) {
        if self.wakeups.noted() {
            self.wakeups.clear();
            self.poll_connection();
        }
    }

    /// A connection that is over is dropped, upon which whoever waits for it hears of it.
    pub(super) fn poll_connection(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let polled = Pin::new(connection).poll(&mut Context::from_waker(&self.waker));
        if let Poll::Ready(ended) = polled {
            if let Err(error) = ended {
                tracing::debug!(error = &error as &dyn std::error::Error, "upstream connection");
            }
            self.switched = self.connection.take().filter(|_| self.meter.has_switched());
        }
    }
}
