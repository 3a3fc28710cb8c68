//! The tasks that resolve names while the proxy runs. They belong on the control thread: it has time
//! for them, and a resolver's sockets stay on one runtime.

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::Registry;
use super::names::{AT_ONCE, LookedUp};
use crate::dns::{Inquiry, Question};

impl Registry {
    /// Asks for each name again when its answer is no longer to be believed, and lets the clusters
    /// that are served follow. Never ends.
    pub async fn keep_fresh(self) {
        let mut lookups = JoinSet::new();
        loop {
            let due = self.begin(&mut lookups);
            let pause = async {
                match due {
                    Some(due) => time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(joined) = lookups.join_next() => {
                    if let Ok(looked_up) = joined {
                        self.lock().note(looked_up);
                    }
                }
                () = self.changed.notified() => {}
                () = pause => {}
            }
        }
    }

    /// Begins the lookups that are due. Answers when the next one is, unless it has to wait for one
    /// of these.
    fn begin(&self, lookups: &mut JoinSet<LookedUp>) -> Option<Instant> {
        let mut state = self.lock();
        let now = Instant::now();
        while lookups.len() < AT_ONCE {
            let Some(lookup) = state.names.next_due(now) else { return state.names.due() };
            lookups.spawn(lookup);
        }
        None
    }

    /// Answers what workers ask, each question in a task of its own: who waits for an answer holds a
    /// permit, and what nobody waits for is given up. Ends when nobody can ask any more.
    pub async fn answer(self, mut inquiries: mpsc::Receiver<Inquiry>) {
        while let Some(Inquiry { host, mut reply }) = inquiries.recv().await {
            let resolver = self.resolver();
            tokio::spawn(async move {
                let question = Question::Host(host);
                let answer = tokio::select! {
                    answer = resolver.ask(&question, &[]) => answer,
                    () = reply.closed() => return,
                };
                // The worker may have given up just now.
                let _ = reply.send(answer);
            });
        }
    }
}
