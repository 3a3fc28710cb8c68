//! Certificates by ACME (RFC 8555): obtained for the names that listeners want them for, and renewed in time.
//!
//! One task per name, on the runtime of whoever owns the [`Keeper`]: the control thread. What is obtained is
//! kept in a folder, and in [`Issued`], where handshakes look; open connections stay as they are. A task
//! that stays over a reload goes on with what it is doing. Of several processes one at a time asks for
//! certificates, and the others read what it has kept.
//!
//! Left out: wildcards, which take dns-01, and the times for renewals that an authority proposes (RFC 9773).

mod account;
mod client;
mod files;
mod order;
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use instant_acme::Account;
use rustls::RootCertStore;
use tokio::sync::{Mutex as Turn, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::config::{Acme, Config, Dns, Name, ShownDuration};
use crate::tls::issued::{Issued, Validity};
use crate::tls::pem::{self, Unfit};
use crate::tls::server::names_of;

use client::Client;
use files::{Folder, Lock};
use order::Failure;

/// Orders at a time.
const AT_ONCE: usize = 4;

/// How often it is looked whether another process still keeps the certificates.
const LOOK: Duration = Duration::from_secs(1);

/// The longest that nobody looks at the clock: it may be set, and machines sleep.
const NAP: Duration = Duration::from_mins(10);

/// Keeps the certificates of a configuration. Dropped, it leaves them as they are.
#[derive(Default)]
pub struct Keeper(Option<Kept>);

struct Kept {
    office: Arc<Office>,
    shown: watch::Sender<Arc<Acme>>,
    names: BTreeMap<Name, Task>,
}

/// A task that ends with its handle.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Keeper {
    /// Keeps certificates as a configuration wants it from now on. What has been kept of them before can be
    /// used when this returns. To be called within a runtime.
    pub fn show(&mut self, config: &Config) {
        let names = config.managed_names();
        if let Some(acme) = &config.acme {
            acme.issued.retain(&names);
        }
        let Some(acme) = config.acme.as_ref().filter(|_| !names.is_empty()) else {
            self.0 = None;
            return;
        };
        let identity = Identity::of(acme, config);
        if self.0.as_ref().is_some_and(|kept| kept.office.identity != identity) {
            // The lock goes with it.
            self.0 = None;
        }
        let kept = self.0.get_or_insert_with(|| Kept {
            office: Arc::new(Office::new(identity, acme)),
            shown: watch::Sender::new(Arc::new(acme.clone())),
            names: BTreeMap::new(),
        });
        kept.keep(acme, &names);
    }
}

impl Kept {
    fn keep(&mut self, acme: &Acme, names: &BTreeSet<Name>) {
        self.shown.send_if_modified(|shown| {
            let differs = shown.challenges != acme.challenges
                || (shown.renew_before, shown.retry) != (acme.renew_before, acme.retry);
            *shown = Arc::new(acme.clone());
            differs
        });
        self.names.retain(|name, _| names.contains(name));
        for name in names {
            if self.names.contains_key(name) {
                continue;
            }
            if let Err(unfit) = self.office.read(name) {
                let what = self.office.path(name).display().to_string();
                tracing::warn!("{what} {unfit}; another certificate is asked for");
            }
            let keeping = keep(Arc::clone(name), Arc::clone(&self.office), self.shown.subscribe());
            self.names.insert(Arc::clone(name), Task(tokio::spawn(keeping)));
        }
    }
}

/// What an office cannot change: with any of it goes another one.
#[derive(PartialEq)]
struct Identity {
    directory: Arc<str>,
    dir: PathBuf,
    contact: Vec<String>,
    authorities: Option<Vec<u8>>,
    dns: Dns,
}

impl Identity {
    fn of(acme: &Acme, config: &Config) -> Self {
        let parts = |roots: &RootCertStore| {
            let parts =
                roots.roots.iter().flat_map(|root| [&root.subject, &root.subject_public_key_info]);
            parts.flat_map(|part| part.iter().copied()).collect()
        };
        Self {
            directory: Arc::clone(&acme.directory),
            dir: acme.dir.clone(),
            contact: acme.contact.clone(),
            authorities: acme.authorities.as_ref().map(|(_, roots)| parts(roots)),
            dns: config.dns.clone(),
        }
    }
}

/// Where certificates are asked for: what the tasks of all names share.
struct Office {
    identity: Identity,
    issued: Arc<Issued>,
    client: Client,
    account: Turn<Option<Account>>,
    turns: Semaphore,
    lock: Mutex<Option<Lock>>,
}

impl Office {
    fn new(identity: Identity, acme: &Acme) -> Self {
        let roots = acme.authorities.as_ref().map(|(_, roots)| Arc::clone(roots));
        let client = Client::new(roots, &identity.dns);
        Self {
            identity,
            issued: Arc::clone(&acme.issued),
            client,
            account: Turn::default(),
            turns: Semaphore::new(AT_ONCE),
            lock: Mutex::default(),
        }
    }

    fn folder(&self) -> io::Result<Folder> {
        Folder::open(&self.identity.dir, &Acme::label(&self.identity.directory))
    }

    /// The file of a name's certificate and its key.
    fn path(&self, name: &str) -> PathBuf {
        Acme::folder(&self.identity.dir, &self.identity.directory).join(file_of(name))
    }

    /// Takes what is kept for a name, if it is of use and lasts longer than what is in use.
    fn read(&self, name: &str) -> Result<(), Unfit> {
        let folder = self.folder().map_err(Unfit::Unread)?;
        let Some(text) = folder.read(&file_of(name)).map_err(Unfit::Unread)? else { return Ok(()) };
        self.take(name, &text, true)
    }

    /// Serves what a text has for a name from now on.
    fn take(&self, name: &str, text: &[u8], only_if_longer: bool) -> Result<(), Unfit> {
        let certified = pem::certified_in(text)?;
        let own = certified.cert.first().ok_or(Unfit::Without("certificate"))?;
        if !names_of(own).iter().any(|own| **own == *name) {
            return Err(Unfit::Useless("has a certificate for other names".into()));
        }
        let validity = Validity::of(own).ok_or(Unfit::Without("certificate"))?;
        let lasts = self.issued.validity(name).is_none_or(|before| before.ends < validity.ends);
        if lasts || !only_if_longer {
            self.issued.put(name, &Arc::new(certified), validity);
        }
        Ok(())
    }

    /// Whether this is the process that asks for certificates: from the first time on.
    fn is_alone(&self) -> io::Result<bool> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            *lock = self.folder()?.lock()?;
        }
        Ok(lock.is_some())
    }

    /// Gets a certificate for a name, and keeps it.
    async fn obtain(&self, name: &Name, acme: &Acme, failures: u32) -> Result<(), Failure> {
        let (text, account) = (order::order(self, name, acme, failures).await, &self.account);
        let text = match text {
            Ok(text) => text,
            Err(failure) => {
                if failure.forgets_account() {
                    // It is made anew next time.
                    *account.lock().await = None;
                    let removed = self.folder().and_then(|folder| folder.remove(account::FILE));
                    removed.map_err(Failure::Unkept)?;
                }
                return Err(failure);
            }
        };
        // It is served even if it cannot be kept.
        self.take(name, text.as_bytes(), false).map_err(Failure::Unfit)?;
        let folder = self.folder().map_err(Failure::Unkept)?;
        let file = file_of(name);
        let kept = tokio::task::spawn_blocking(move || folder.write(&file, text.as_bytes())).await;
        let kept = kept.map_err(io::Error::other).and_then(|kept| kept);
        if let Err(error) = kept {
            let path = self.path(name).display().to_string();
            tracing::error!(name = &**name, "the certificate cannot be kept in {path}: {error}");
        }
        Ok(())
    }
}

/// What the file of a name's certificate is called. Names have no slashes.
fn file_of(name: &str) -> String {
    format!("{name}.pem")
}

/// Sees to it that there is a certificate for a name at any time.
async fn keep(name: Name, office: Arc<Office>, mut shown: watch::Receiver<Arc<Acme>>) {
    let mut failures = 0;
    let mut waits = false;
    loop {
        let acme = Arc::clone(&shown.borrow_and_update());
        let validity = office.issued.validity(&name);
        let rest = pace::rest(validity, acme.renew_before, SystemTime::now());
        let pause = if rest.is_zero() {
            let Ok(_turn) = office.turns.acquire().await else { return };
            match office.is_alone() {
                Ok(false) => {
                    if !std::mem::replace(&mut waits, true) {
                        tracing::info!(name = &*name, "another process keeps the certificates");
                    }
                    // It may have kept a new one. What is unfit has been told of.
                    let _ = office.read(&name);
                    LOOK
                }
                Ok(true) => {
                    if std::mem::take(&mut waits) && office.read(&name).is_ok() {
                        continue;
                    }
                    let obtained = office.obtain(&name, &acme, failures).await;
                    office.issued.count(&name, obtained.is_ok());
                    told(&name, validity, &office, &acme, (obtained, &mut failures))
                }
                Err(error) => {
                    let failed = Err(Failure::Unkept(error));
                    told(&name, validity, &office, &acme, (failed, &mut failures))
                }
            }
        } else {
            rest.min(NAP)
        };
        tokio::select! {
            () = sleep(pause) => {}
            changed = shown.changed() => match changed {
                Ok(()) => failures = 0,
                Err(_) => return,
            }
        }
    }
}

/// Says what has become of an order, and how long to wait before there can be another.
fn told(
    name: &Name,
    before: Option<Validity>,
    office: &Office,
    acme: &Acme,
    (ended, failures): (Result<(), Failure>, &mut u32),
) -> Duration {
    let name = &**name;
    let Err(failure) = ended else {
        *failures = 0;
        let ends = office.issued.validity(name).map(|validity| validity.ends);
        let ends = ends.map(httpdate::fmt_http_date);
        let what = if before.is_some() { "renewed" } else { "obtained" };
        tracing::info!(name, ends, "certificate {what}");
        return acme.retry;
    };
    *failures = failures.saturating_add(1);
    let until = failure.until(&office.client);
    let later = until.and_then(|until| until.duration_since(SystemTime::now()).ok());
    let pause = pace::pause(acme.retry, *failures, pace::jitter()).max(later.unwrap_or_default());
    let shown = ShownDuration(Duration::from_secs(pause.as_secs().max(1)));
    tracing::error!(name, failures, "no certificate obtained: {failure}; tried again in {shown}");
    pause
}
