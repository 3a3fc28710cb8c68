//! What becomes of a connection when client and upstream have agreed on another protocol: a tunnel.
//!
//! The request lasts as long as the tunnel does. It counts as in flight, keeps the process from leaving
//! within the grace, and is written down when both sides have ended.

use std::cell::RefCell;
use std::time::Duration;

use crate::relay::error::Limit;
use crate::relay::record::Record;
use crate::tunnel::{self, End, Ended, Side};

/// The upstream's side of an agreement.
#[derive(Debug)]
pub(crate) struct Switch {
    /// Its connection.
    pub(crate) upstream: End,
    /// The longest that neither side says anything.
    pub(crate) silence: Duration,
    /// The same, as it is configured.
    pub(crate) limit: Limit,
}

/// An agreement, once the client is being told.
pub(crate) struct Agreement {
    /// With whom.
    pub(crate) switch: Switch,
    /// The request.
    pub(crate) record: Box<Record>,
}

/// Where an agreement waits for the client's connection to be free of HTTP.
#[derive(Default)]
pub(crate) struct Agreed(RefCell<Option<Agreement>>);

impl Agreed {
    /// Puts one there.
    pub(crate) fn put(&self, agreement: Agreement) {
        *self.0.borrow_mut() = Some(agreement);
    }

    /// Takes it away.
    pub(crate) fn take(&self) -> Option<Agreement> {
        self.0.borrow_mut().take()
    }
}

impl Agreement {
    /// Joins both sides until they have ended.
    pub(crate) async fn keep(self, downstream: End) {
        let Self { switch, mut record } = self;
        let Switch { upstream, silence, limit } = switch;
        let _open = record.tunnel();
        let ended =
            tunnel::join(downstream, upstream, silence, |side, bytes| record.passed(side, bytes));
        let ended = ended.await;
        let endpoint = record.endpoint.as_ref().map(|endpoint| &**endpoint.label());
        let cut = cut(ended, endpoint.unwrap_or("the upstream"), &limit);
        record.tunnel_ended(cut);
    }
}

/// Why a tunnel has ended, unless both sides had.
pub(super) fn cut(ended: Ended, endpoint: &str, limit: &Limit) -> Option<String> {
    match ended {
        // An upstream that has agreed need not say more.
        Ended::Complete | Ended::Empty | Ended::Late { .. } => None,
        Ended::Silent => Some(format!("nothing went through the tunnel for {limit}")),
        Ended::Broken(Side::Downstream, how) => {
            Some(format!("the client's end of the tunnel broke: {how}"))
        }
        Ended::Broken(Side::Upstream, how) => {
            Some(format!("{endpoint}: its end of the tunnel broke: {how}"))
        }
    }
}
