//! The workers that a snapshot's instances are made for, and what those that run are asked for: the
//! state of a plugin's instances, which a successor is to take.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Staffed, Use};
use crate::config::Instances;
use crate::plugin::{Definition, Failure, Newborn, Refusal};

/// How long a worker is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker is asked for: the state of its instance of a plugin.
pub struct Wish {
    /// Which use of the plugin.
    pub used: Use,
    /// The number of its definition.
    pub definition: u64,
    /// Where the state goes; nothing if the worker has no such plugin.
    pub reply: oneshot::Sender<Option<Result<Vec<u8>, Failure>>>,
}

/// The workers.
#[derive(Debug)]
pub struct Crew {
    size: usize,
    wishes: Vec<mpsc::Sender<Wish>>,
}

impl Crew {
    /// So many workers that do not run yet.
    #[must_use]
    pub fn to_come(size: usize) -> Self {
        Self { size, wishes: Vec::new() }
    }

    /// So many workers, and where each hears what it is asked for.
    #[must_use]
    pub fn running(size: usize) -> (Self, Vec<mpsc::Receiver<Wish>>) {
        let (wishes, heard) = (0..size).map(|_| mpsc::channel(1)).unzip();
        (Self { size, wishes }, heard)
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }
}

/// What a new version inherits.
#[derive(Clone, Copy)]
pub(super) struct Inheritance<'c> {
    /// Whose instances are asked.
    pub(super) crew: &'c Crew,
    /// Whether it begins without the state before rather than not at all.
    pub(super) fresh: bool,
}

impl Inheritance<'_> {
    /// What the instances of `before` hand over to those of `after`: for each worker, or for the one
    /// that all share; nothing where either does not, or has other instances.
    pub(super) async fn states(
        self,
        used: &Use,
        before: Option<&Staffed>,
        after: &Definition,
    ) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
        let Some(before) = before.map(|before| &before.definition) else { return Ok(Vec::new()) };
        if !hands_over(before, after) {
            return Ok(Vec::new());
        }
        let wishes = &self.crew.wishes;
        let asked = match after.config.instances {
            Instances::PerWorker => wishes.len(),
            Instances::Shared => 1,
        };
        let mut states = Vec::new();
        for wishes in wishes.iter().take(asked) {
            match ask(wishes, used, before.id).await.transpose() {
                Ok(state) => states.push(state),
                Err(failure) if self.fresh => {
                    begins_anew(after, &failure.brief().0);
                    states.push(None);
                }
                Err(failure) => return Err(Refusal::Save(failure)),
            }
        }
        Ok(states)
    }

    /// An instance that is ready to be called, with the state before if there is one.
    ///
    /// # Errors
    ///
    /// What keeps it from beginning.
    pub(super) async fn heir(
        self,
        definition: &Arc<Definition>,
        state: Option<Vec<u8>>,
    ) -> Result<Newborn, Refusal> {
        let newborn = definition.birth_apart().await?;
        let Some(state) = state else { return Ok(newborn) };
        match definition.restore_apart(newborn, state).await {
            Err(refusal) if self.fresh => {
                begins_anew(definition, &refusal);
                definition.birth_apart().await
            }
            restored => restored,
        }
    }
}

/// Whether a version takes over the state of another: both can, and have instances of the same number.
pub(super) fn hands_over(before: &Definition, after: &Definition) -> bool {
    let alike = before.config.instances == after.config.instances;
    alike && before.component.hands_over() && after.component.hands_over()
}

fn begins_anew(definition: &Definition, cause: &dyn Display) {
    let (plugin, version) = (&*definition.config.name, definition.version());
    tracing::warn!(plugin, version, "begins without the state before: {cause}");
}

/// The state of a worker's instance; nothing if it has none, or ends.
async fn ask(
    wishes: &mpsc::Sender<Wish>,
    used: &Use,
    definition: u64,
) -> Option<Result<Vec<u8>, Failure>> {
    let (reply, answer) = oneshot::channel();
    let wish = Wish { used: used.clone(), definition, reply };
    let asked = async {
        wishes.send(wish).await.ok()?;
        answer.await.ok().flatten()
    };
    timeout(PATIENCE, asked).await.unwrap_or(Some(Err(Failure::Busy)))
}
