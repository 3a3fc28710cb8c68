//! Certificates and keys from PEM files (RFC 7468).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::provider;

/// The largest file that is read. All authorities that systems trust take a quarter of it.
const MAX_BYTES: u64 = 1 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unread(#[source] io::Error),
    /// It has what stands in no PEM file.
    #[error("is not PEM: {0}")]
    Malformed(Box<str>),
    /// There is nothing in it of what is wanted.
    #[error("has no {0}")]
    Without(&'static str),
    /// The key in it is encrypted, and there is nobody to ask for its password.
    #[error("has a key that is encrypted, which takes a password that cannot be given")]
    Encrypted,
    /// What is in it is of no use.
    #[error("{0}")]
    Useless(Box<str>),
    /// The key is another certificate's.
    #[error("has a key that does not belong to the certificate")]
    Mismatch,
    /// The certificate is not valid any more.
    #[error("has a certificate that has expired ({0})")]
    Expired(Box<str>),
    /// The certificate is not valid yet.
    #[error("has a certificate that is not valid yet (from {0})")]
    Early(Box<str>),
}

/// Which of the two files of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// That of the certificate, and of those that vouch for it.
    Certificate,
    /// That of its private key.
    Key,
}

/// A certificate with its chain and its key, valid by now.
///
/// # Errors
///
/// Which of the files is unfit, and why.
pub fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, (Half, Unfit)> {
    let of_certificate = |unfit| (Half::Certificate, unfit);
    let of_key = |unfit| (Half::Key, unfit);
    let chain = certificates(certificate).map_err(of_certificate)?;
    if let Some(own) = chain.first() {
        valid(own).map_err(of_certificate)?;
    }
    let key = text_of(key).and_then(|text| private_key_in(&text)).map_err(of_key)?;
    join(chain, key)
}

/// The same from a text that has all of it.
///
/// # Errors
///
/// Why it is unfit.
pub fn certified_in(text: &[u8]) -> Result<CertifiedKey, Unfit> {
    let chain = certificates_in(text)?;
    if let Some(own) = chain.first() {
        valid(own)?;
    }
    join(chain, private_key_in(text)?).map_err(|(_, unfit)| unfit)
}

fn join(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, (Half, Unfit)> {
    let of_certificate = |unfit| (Half::Certificate, unfit);
    let of_key = |unfit| (Half::Key, unfit);
    CertifiedKey::from_der(chain, key, provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => of_key(Unfit::Mismatch),
        rustls::Error::InvalidCertificate(error) => {
            of_certificate(Unfit::Useless(format!("has a certificate of no use: {error}").into()))
        }
        error => of_key(Unfit::Useless(format!("has a key of no use: {error}").into())),
    })
}

/// The certificates of a file, at least one, in its order.
///
/// # Errors
///
/// Why there are none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    certificates_in(&text_of(path)?)
}

fn certificates_in(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| malformed(&error))?;
    if certificates.is_empty() { Err(Unfit::Without("certificate")) } else { Ok(certificates) }
}

/// The authorities of a file, at least one.
///
/// # Errors
///
/// Why there are none, or one of them is of no use.
pub fn authorities(path: &Path) -> Result<RootCertStore, Unfit> {
    let mut roots = RootCertStore::empty();
    for (place, certificate) in certificates(path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let number = place + 1;
            Unfit::Useless(
                format!("has a certificate of no use, its number {number}: {error}").into(),
            )
        })?;
    }
    Ok(roots)
}

/// The first private key of a text.
fn private_key_in(text: &[u8]) -> Result<PrivateKeyDer<'static>, Unfit> {
    // Old ones say so within, new ones in their label.
    let says = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    if says(b"BEGIN ENCRYPTED PRIVATE KEY") || says(b"Proc-Type: 4,ENCRYPTED") {
        return Err(Unfit::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        Error::NoItemsFound => Unfit::Without("private key"),
        error => malformed(&error),
    })
}

/// A file's bytes, as many as are reasonable.
fn text_of(path: &Path) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Unfit::Unread)?;
    if !file.metadata().map_err(Unfit::Unread)?.is_file() {
        return Err(Unfit::Unread(io::Error::other("it is no file")));
    }
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(Unfit::Unread)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Unfit::Unread(io::Error::other("it has more than 1 MiB")));
    }
    Ok(bytes)
}

fn malformed(error: &Error) -> Unfit {
    Unfit::Malformed(error.to_string().into())
}

fn valid(certificate: &CertificateDer<'_>) -> Result<(), Unfit> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| Unfit::Useless(format!("has a certificate of no use: {error}").into()))?;
    let (validity, now) = (parsed.validity(), ASN1Time::now());
    if now > validity.not_after {
        return Err(Unfit::Expired(validity.not_after.to_string().into()));
    }
    if now < validity.not_before {
        return Err(Unfit::Early(validity.not_before.to_string().into()));
    }
    Ok(())
}
