//! What becomes of the choice that an attempt goes by, for the balancer that has made it.

use std::time::Duration;

use crate::plugin::{Broke, Witness};
use crate::relay::error::Error;

/// An attempt whose balancer is told how it goes. Each that begins ends once: it has failed, or,
/// when this is dropped, is finished.
pub(crate) struct Following {
    witness: Option<Witness>,
    status: u16,
    time: Duration,
}

impl Following {
    /// An attempt begins.
    pub(crate) fn begin(witness: Witness) -> Box<Self> {
        witness.chosen();
        Box::new(Self { witness: Some(witness), status: 0, time: Duration::ZERO })
    }

    /// It has a connection, after so long.
    pub(crate) fn connected(&self, time: Duration) {
        if let Some(witness) = &self.witness {
            witness.connected(time);
        }
    }

    /// There is a head, so long after the request was sent.
    pub(crate) fn answered(&mut self, status: u16, time: Duration) {
        (self.status, self.time) = (status, time);
    }

    /// It has failed. What the client did wrong is no failure of the endpoint.
    pub(crate) fn failed(mut self, error: &Error) {
        let how = match error {
            Error::Connect(_) | Error::Tls(_) => Broke::Connect,
            Error::Broken(_) => Broke::Broken,
            Error::Malformed(_) => Broke::Malformed,
            Error::Timeout(_) => Broke::Timeout,
            _ => return,
        };
        if let Some(witness) = self.witness.take() {
            witness.failed(how);
        }
    }

    /// Nobody need be told any more.
    pub(crate) fn forget(mut self) {
        self.witness = None;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(witness) = &self.witness {
            witness.finished(self.status, self.time);
        }
    }
}
