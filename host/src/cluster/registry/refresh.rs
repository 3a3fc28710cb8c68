//! The tasks that resolve names while the proxy runs. They belong on the control thread: it has time
//! for them, and a resolver's sockets stay on one runtime.

use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::Registry;
use super::names::{AT_ONCE, LookedUp};
use crate::dns::{Inquiries, Inquiry, Question, Resolver};

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

    /// Where names can be asked for that are of no cluster. They are answered once
    /// [answering](Registry::answer) has begun.
    #[must_use]
    pub fn inquiries(&self) -> Inquiries {
        self.inquiries.clone()
    }

    /// Answers what workers and stores ask, each question in a task of its own: who waits for an
    /// answer holds a permit, and what nobody waits for is given up. Never ends, unless another of
    /// its kind is answering.
    pub async fn answer(self) {
        let Some(mut inquiries) = self.inquiries.take() else { return };
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

    /// Who resolves the names of what is served, or else of what has been loaded first.
    fn resolver(&self) -> Resolver {
        let state = self.lock();
        let candidate = state.candidate.as_ref();
        candidate.filter(|_| !state.names.can_resolve()).unwrap_or(&state.names).resolver()
    }
}
