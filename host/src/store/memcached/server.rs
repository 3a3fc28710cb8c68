//! Where a server is, and what its name stands for.
//!
//! A name is asked for on the control thread, in a task that outlives the operation which first
//! wants it: one whose answer takes longer than an operation may would else never be known. What a name stood for is
//! used while it is asked for again, and goes on to be if it cannot be found.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::watch::Watch;
use crate::config::Address;
use crate::dns::Inquiries;

/// After which time a name that was not found is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// A server. What is known of its name is shared by all workers.
pub(super) struct Server {
    /// As it was configured.
    pub(super) address: Address,
    /// Who is told what becomes of it.
    pub(super) watch: Watch,
    names: Inquiries,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    state: Mutex<State>,
    answered: Notify,
}

#[derive(Default)]
struct State {
    addresses: Arc<[IpAddr]>,
    /// When it is to be asked for again; `None` if it never was asked for.
    due: Option<Instant>,
    asking: bool,
}

impl Server {
    /// A server whose name, if it has one, is asked for through `names`.
    pub(super) fn new(address: Address, names: Inquiries, watch: Watch) -> Self {
        Self { address, watch, names, known: Arc::default() }
    }

    /// The addresses of its name, as soon as there is one.
    ///
    /// # Errors
    ///
    /// If it does not resolve.
    pub(super) async fn resolve(&self, host: &Arc<str>, port: u16) -> io::Result<Vec<SocketAddr>> {
        loop {
            // Registered before looking, so that no answer in between is missed.
            let mut answered = pin!(self.known.answered.notified());
            answered.as_mut().enable();
            if self.is_due() {
                self.look_up(host);
            }
            let (addresses, asking) = {
                let state = self.known.lock();
                (Arc::clone(&state.addresses), state.asking)
            };
            if !addresses.is_empty() {
                let socket = |address: &IpAddr| SocketAddr::new(*address, port);
                return Ok(addresses.iter().map(socket).collect());
            }
            if !asking {
                return Err(io::Error::new(io::ErrorKind::NotFound, "its name does not resolve"));
            }
            answered.await;
        }
    }

    /// Whether its name is to be asked for now, by whoever is told so.
    fn is_due(&self) -> bool {
        let mut state = self.known.lock();
        let due = !state.asking && state.due.is_none_or(|due| due <= Instant::now());
        state.asking |= due;
        due
    }

    fn look_up(&self, host: &Arc<str>) {
        let (names, host, known) = (self.names.clone(), Arc::clone(host), Arc::clone(&self.known));
        tokio::spawn(async move {
            let answer = names.ask(&host).await;
            let mut state = known.lock();
            state.asking = false;
            match answer {
                Ok(answer) => {
                    state.addresses = answer.found.iter().map(|found| found.address).collect();
                    state.due = Some(Instant::now() + answer.believed);
                }
                Err(error) => {
                    let held = state.addresses.len();
                    let (host, error): (_, &(dyn std::error::Error + 'static)) = (&*host, &error);
                    tracing::warn!(host, error, held, "name of a store server does not resolve");
                    state.due = Some(Instant::now() + RETRY);
                }
            }
            drop(state);
            known.answered.notify_waiters();
        });
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}
