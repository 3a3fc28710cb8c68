//! Questions of workers: asked on the control thread, and answered to the worker.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Answer, Failure};

/// A handle to whoever resolves names. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Inquiries(mpsc::Sender<Inquiry>);

/// A host whose addresses are wanted.
#[derive(Debug)]
pub struct Inquiry {
    /// Its name.
    pub host: Arc<str>,
    /// Where the answer is sent.
    pub reply: oneshot::Sender<Result<Answer, Failure>>,
}

impl Inquiries {
    /// A handle, and what is asked through it: at most as many wait as `bound`.
    #[must_use]
    pub fn new(bound: usize) -> (Self, mpsc::Receiver<Inquiry>) {
        let (sender, receiver) = mpsc::channel(bound);
        (Self(sender), receiver)
    }

    /// The addresses of a host.
    ///
    /// # Errors
    ///
    /// If they cannot be found, or too many ask.
    pub async fn ask(&self, host: &Arc<str>) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        let inquiry = Inquiry { host: Arc::clone(host), reply };
        self.0.try_send(inquiry).map_err(|_full| Failure::Busy)?;
        answer.await.unwrap_or(Err(Failure::Busy))
    }
}
