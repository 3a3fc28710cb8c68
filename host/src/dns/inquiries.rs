//! Questions of workers and stores: asked on the control thread, and answered to the worker.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::{Answer, Failure};

/// The most questions that wait to be taken up.
const MOST: usize = 1024;

/// A handle to whoever resolves names. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Inquiries {
    sender: mpsc::Sender<Inquiry>,
    asked: Arc<Mutex<Option<mpsc::Receiver<Inquiry>>>>,
}

/// A host whose addresses are wanted.
#[derive(Debug)]
pub struct Inquiry {
    /// Its name.
    pub host: Arc<str>,
    /// Where the answer is sent.
    pub reply: oneshot::Sender<Result<Answer, Failure>>,
}

impl Default for Inquiries {
    /// A handle that nobody answers yet.
    fn default() -> Self {
        let (sender, asked) = mpsc::channel(MOST);
        Self { sender, asked: Arc::new(Mutex::new(Some(asked))) }
    }
}

impl Inquiries {
    /// What is asked, for whoever answers: the first to want it.
    #[must_use]
    pub fn take(&self) -> Option<mpsc::Receiver<Inquiry>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The addresses of a host.
    ///
    /// # Errors
    ///
    /// If they cannot be found, or too many ask.
    pub async fn ask(&self, host: &Arc<str>) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        let inquiry = Inquiry { host: Arc::clone(host), reply };
        self.sender.try_send(inquiry).map_err(|_full| Failure::Busy)?;
        answer.await.unwrap_or(Err(Failure::Busy))
    }
}
