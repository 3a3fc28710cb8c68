//! Where instances are ordered: they are born on the control thread, and sent ready to their worker.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::plugin::definition::{Definition, Newborn};
use crate::plugin::error::{Failure, Refusal};

/// A handle to the control thread. Cloning shares it.
#[derive(Clone)]
pub struct Nursery(mpsc::Sender<Order>);

/// An instance to be made.
pub struct Order {
    /// Of what.
    pub definition: Arc<Definition>,
    /// Where it is sent.
    pub reply: oneshot::Sender<Result<Newborn, Refusal>>,
}

impl Nursery {
    /// A handle, and the orders given through it: at most as many wait as `bound`.
    #[must_use]
    pub fn new(bound: usize) -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(bound);
        (Self(sender), receiver)
    }

    /// Has an instance made.
    pub(super) async fn order(&self, definition: &Arc<Definition>) -> Result<Newborn, Failure> {
        let (reply, answer) = oneshot::channel();
        let order = Order { definition: Arc::clone(definition), reply };
        if self.0.try_send(order).is_err() {
            return Err(Failure::Busy);
        }
        match answer.await {
            Ok(born) => born.map_err(|refusal| Failure::Birth(Box::new(refusal))),
            Err(_dropped) => Err(Failure::Busy),
        }
    }
}
