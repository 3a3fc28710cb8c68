//! Certificates that are issued while the process runs, by name, and what is shown to the authority that issues
//! them as a proof that the names are ours.
//!
//! Handshakes and requests look in here without a lock; what is put in here holds for the next of them. What
//! stands in one folder is one [`Issued`] in all of the process, also over reloads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::server::ServerConfig;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// What follows the path of a request for a proof is the token (RFC 8555, 8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// The protocol in which a proof is asked for in a handshake (RFC 8737).
pub const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first moment.
    pub begins: SystemTime,
    /// Its last one.
    pub ends: SystemTime,
}

impl Validity {
    /// That of a certificate, unless it cannot be read.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let time = |seconds: i64| {
            let since = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) }
        };
        let validity = parsed.validity();
        let (begins, ends) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Some(Self { begins: time(begins)?, ends: time(ends)? })
    }

    /// How long it is valid in all.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.ends.duration_since(self.begins).unwrap_or_default()
    }
}

/// How many orders for a name have ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that gave a certificate.
    pub obtained: u64,
    /// The others.
    pub failed: u64,
}

#[derive(Clone)]
struct Kept {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

/// What is shown as a proof, by what it is asked for with.
#[derive(Clone, Default)]
struct Proofs {
    /// By token.
    http: BTreeMap<Box<str>, Arc<str>>,
    /// By name.
    tls: BTreeMap<Box<str>, Arc<ServerConfig>>,
}

/// What has been issued, and what proves that it may be.
#[derive(Default)]
pub struct Issued {
    certificates: ArcSwap<BTreeMap<Box<str>, Kept>>,
    proofs: ArcSwap<Proofs>,
    tallies: Mutex<BTreeMap<Box<str>, Tally>>,
}

impl Issued {
    /// That of a folder.
    #[must_use]
    pub fn of(folder: &Path) -> Arc<Self> {
        static KNOWN: Mutex<Vec<(PathBuf, Weak<Issued>)>> = Mutex::new(Vec::new());
        let mut known = lock(&KNOWN);
        known.retain(|(_, issued)| issued.strong_count() > 0);
        let same = known.iter().find(|(path, _)| path == folder);
        if let Some(same) = same.and_then(|(_, issued)| issued.upgrade()) {
            return same;
        }
        let new = Arc::<Self>::default();
        known.push((folder.to_path_buf(), Arc::downgrade(&new)));
        new
    }

    /// The certificate for a name, in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.certificates.load().get(name).map(|kept| Arc::clone(&kept.certified))
    }

    /// How long the certificate for a name is valid, if there is one.
    #[must_use]
    pub fn validity(&self, name: &str) -> Option<Validity> {
        self.certificates.load().get(name).map(|kept| kept.validity)
    }

    /// All names that there are certificates for, with how long these are valid.
    #[must_use]
    pub fn validities(&self) -> Vec<(Box<str>, Validity)> {
        let certificates = self.certificates.load();
        certificates.iter().map(|(name, kept)| (name.clone(), kept.validity)).collect()
    }

    /// From now on handshakes for a name get this certificate.
    pub fn put(&self, name: &str, certified: &Arc<CertifiedKey>, validity: Validity) {
        self.certificates.rcu(|before| {
            let mut after = BTreeMap::clone(before);
            let kept = Kept { certified: Arc::clone(certified), validity };
            after.insert(name.into(), kept);
            after
        });
    }

    /// Forgets all names but these.
    pub fn retain(&self, names: &BTreeSet<Arc<str>>) {
        self.certificates.rcu(|before| {
            let mut after = BTreeMap::clone(before);
            after.retain(|name, _| names.contains(&**name));
            after
        });
        lock(&self.tallies).retain(|name, _| names.contains(&**name));
    }

    /// Counts an order for a name that has ended.
    pub fn count(&self, name: &str, obtained: bool) {
        let mut tallies = lock(&self.tallies);
        let tally = tallies.entry(name.into()).or_default();
        let cell = if obtained { &mut tally.obtained } else { &mut tally.failed };
        *cell = cell.saturating_add(1);
    }

    /// What has been counted, by name.
    #[must_use]
    pub fn tallies(&self) -> Vec<(Box<str>, Tally)> {
        lock(&self.tallies).iter().map(|(name, tally)| (name.clone(), *tally)).collect()
    }

    /// What a request for this path is answered with, if it asks for a proof that is expected of us.
    #[must_use]
    pub fn answer(&self, path: &str) -> Option<Arc<str>> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        self.proofs.load().http.get(token).cloned()
    }

    /// What a handshake for a name goes by that asks for a proof, if one is expected of us.
    #[must_use]
    pub fn handshake(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.proofs.load().tls.get(name).cloned()
    }

    /// Answers requests with a token, until what is given back is dropped.
    pub fn prove_by_request(self: &Arc<Self>, token: &str, answer: &str) -> Proof {
        let answer: Arc<str> = answer.into();
        self.change(|proofs| {
            proofs.http.insert(token.into(), Arc::clone(&answer));
        });
        Proof { issued: Arc::clone(self), asked: Asked::Token(token.into()) }
    }

    /// Shakes hands so with whoever asks for a proof for a name, until what is given back is dropped.
    pub fn prove_by_handshake(self: &Arc<Self>, name: &str, config: &Arc<ServerConfig>) -> Proof {
        self.change(|proofs| {
            proofs.tls.insert(name.into(), Arc::clone(config));
        });
        Proof { issued: Arc::clone(self), asked: Asked::Name(name.into()) }
    }

    fn change(&self, change: impl Fn(&mut Proofs)) {
        self.proofs.rcu(|before| {
            let mut after = Proofs::clone(before);
            change(&mut after);
            after
        });
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Issued").field(&self.validities()).finish()
    }
}

/// A proof that can be asked for, until this is dropped.
#[must_use = "the proof cannot be asked for when this is dropped"]
pub struct Proof {
    issued: Arc<Issued>,
    asked: Asked,
}

enum Asked {
    Token(Box<str>),
    Name(Box<str>),
}

impl Drop for Proof {
    fn drop(&mut self) {
        self.issued.change(|proofs| match &self.asked {
            Asked::Token(token) => {
                proofs.http.remove(token);
            }
            Asked::Name(name) => {
                proofs.tls.remove(name);
            }
        });
    }
}

/// The names that a listener has certificates issued for.
#[derive(Debug, Clone)]
pub struct Managed {
    /// In lower case, in the order of the configuration, each once.
    pub names: Vec<Arc<str>>,
    /// Where their certificates are.
    pub issued: Arc<Issued>,
}

impl Managed {
    /// Whether a name is one of these.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| **own == *name)
    }

    /// Whether a name is one of these that has no certificate yet.
    pub(super) fn awaits(&self, name: &str) -> bool {
        self.has(name) && self.issued.validity(name).is_none()
    }

    /// The certificate for one of the names, if there is one by now.
    pub(super) fn get(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        if self.has(name) { self.issued.get(name) } else { None }
    }

    /// That of the first name that has one by now.
    pub(super) fn first(&self) -> Option<Arc<CertifiedKey>> {
        self.names.iter().find_map(|name| self.issued.get(name))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_can_be_asked_for_as_long_as_it_is_held() {
        let issued = Arc::<Issued>::default();
        let path = "/.well-known/acme-challenge/abc";
        assert_eq!(issued.answer(path), None);
        let proof = issued.prove_by_request("abc", "abc.thumb");
        assert_eq!(issued.answer(path).as_deref(), Some("abc.thumb"));
        for other in ["/abc", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/ab"] {
            assert_eq!(issued.answer(other), None, "{other}");
        }
        drop(proof);
        assert_eq!(issued.answer(path), None);
    }

    #[test]
    fn what_is_in_one_folder_is_one() {
        let first = Issued::of(Path::new("/one"));
        assert!(Arc::ptr_eq(&first, &Issued::of(Path::new("/one"))));
        assert!(!Arc::ptr_eq(&first, &Issued::of(Path::new("/other"))));
    }
}
