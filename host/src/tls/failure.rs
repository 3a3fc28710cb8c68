//! Why a peer and we did not come to terms about TLS, in words for who runs this.

use std::io;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error};
use x509_parser::time::ASN1Time;

/// Why TLS could not be agreed on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What is shown proves nothing.
    #[error("its certificate {0}")]
    Certificate(Box<str>),
    /// The peer says why it does not want to.
    #[error("it refuses TLS with the alert {0}")]
    Refused(Box<str>),
    /// What comes is something else.
    #[error("it does not speak TLS")]
    Foreign(#[source] Error),
    /// It has closed the connection.
    #[error("it closed the connection within the TLS handshake")]
    Closed,
    /// The connection broke.
    #[error("the connection broke within the TLS handshake")]
    Broken(#[source] io::Error),
    /// Anything else.
    #[error("the TLS handshake failed")]
    Failed(#[source] Error),
}

impl Failure {
    /// The same once more, for another whom it concerns.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Certificate(text) => Self::Certificate(text.clone()),
            Self::Refused(text) => Self::Refused(text.clone()),
            Self::Foreign(error) => Self::Foreign(error.clone()),
            Self::Closed => Self::Closed,
            Self::Broken(error) => Self::Broken(io::Error::new(error.kind(), error.to_string())),
            Self::Failed(error) => Self::Failed(error.clone()),
        }
    }

    /// What an error of a handshake with a peer of this name means.
    pub(super) fn new(error: io::Error, name: &ServerName<'_>) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match error.downcast::<Error>() {
            Ok(error) => Self::of_tls(error, name),
            Err(error) => Self::Broken(error),
        }
    }

    fn of_tls(error: Error, name: &ServerName<'_>) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::Certificate(of_certificate(&error, name)),
            Error::NoCertificatesPresented => Self::Certificate("is not shown".into()),
            Error::AlertReceived(alert) => Self::Refused(of_alert(alert)),
            Error::InvalidMessage(_) => Self::Foreign(error),
            error => Self::Failed(error),
        }
    }
}

fn of_certificate(error: &CertificateError, name: &ServerName<'_>) -> Box<str> {
    use CertificateError as E;
    match error {
        E::ExpiredContext { not_after, .. } => format!("has expired ({})", date(*not_after)).into(),
        E::NotValidYetContext { not_before, .. } => {
            format!("is not valid yet (from {})", date(*not_before)).into()
        }
        E::Expired => "has expired".into(),
        E::NotValidYet => "is not valid yet".into(),
        E::UnknownIssuer => "is not vouched for by any authority that is trusted".into(),
        E::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let most = presented.iter().take(8).map(|name| bare(name));
            let others = if presented.len() > 8 { ", …" } else { "" };
            let names = most.collect::<Vec<_>>().join(", ");
            format!("is not for {}, but for {names}{others}", name.to_str()).into()
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            format!("is not for {}", name.to_str()).into()
        }
        E::Revoked => "has been revoked".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "is not for servers".into(),
        error => format!("is of no use: {error}").into(),
    }
}

/// A name as rustls shows it, `DnsName("a.test")`, without what is around it.
fn bare(name: &str) -> &str {
    let quoted = name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")"));
    let plain = || name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    quoted.or_else(plain).unwrap_or(name)
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let time = seconds.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    time.map_or_else(|| "at a time that has no date".to_owned(), |time| time.to_string())
}

/// An alert by the name that RFC 8446, 6 has for it.
fn of_alert(alert: AlertDescription) -> Box<str> {
    let mut name = String::new();
    let mut after_lower = false;
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let name = ServerName::try_from("a.test").unwrap();
        let said = |error: Error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            Failure::new(error, &name).to_string()
        };
        let certificate = |error| said(Error::InvalidCertificate(error));
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext { time: at(9), not_after: at(0) };
        let said_of_expired = certificate(expired);
        assert!(
            said_of_expired.starts_with("its certificate has expired (Jan  1"),
            "{said_of_expired}"
        );
        let presented = ["DnsName(\"b.test\")", "IpAddress(127.0.0.1)"].map(str::to_owned).to_vec();
        let expected = name.to_owned();
        assert_eq!(
            certificate(CertificateError::NotValidForNameContext { expected, presented }),
            "its certificate is not for a.test, but for b.test, 127.0.0.1"
        );
        assert_eq!(
            said(Error::AlertReceived(AlertDescription::CertificateRequired)),
            "it refuses TLS with the alert certificate_required"
        );
        assert_eq!(&*of_alert(AlertDescription::UnknownCA), "unknown_ca");
        let early = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(matches!(Failure::new(early, &name), Failure::Closed));
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(matches!(Failure::new(reset, &name), Failure::Broken(_)));
    }
}
