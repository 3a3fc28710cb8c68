//! One order: a name is proved to be ours, and a certificate for it comes back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    AuthorizationStatus, ChallengeType, Error, Identifier, KeyAuthorization, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::Office;
use super::client::Client;
use crate::config::{Acme, Challenge, Name};
use crate::tls::issued::{Issued, PROOF_PROTOCOL, Proof};
use crate::tls::pem::Unfit;
use crate::tls::provider;

/// How the authority is asked whether it has come to an end: for two minutes at most.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_mins(2));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What the authority says, or that it says nothing.
    #[error("{0}")]
    Protocol(#[from] Error),
    /// The authority does not believe that the name is ours.
    #[error("the authority does not believe that the name is ours ({}): {}", word(*.0), .1)]
    Disbelieved(Challenge, Problem),
    /// It knows no way of proving that which is configured.
    #[error("the authority takes none of the `challenges`")]
    NoWay,
    /// It does not say what is wrong.
    #[error("the authority has ended the order as {0:?}")]
    Ended(OrderStatus),
    /// What is shown as a proof cannot be made.
    #[error("no proof can be made: {0}")]
    Unproved(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it has issued is of no use.
    #[error("what the authority has issued {0}")]
    Unfit(#[source] Unfit),
    /// Nothing can be kept.
    #[error("nothing can be kept: {0}")]
    Unkept(#[source] io::Error),
}

impl Failure {
    /// Whether the authority does not know the account any more.
    pub(super) fn forgets_account(&self) -> bool {
        self.problem().and_then(|problem| problem.r#type.as_deref())
            == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }

    /// Until when the authority wants not to be asked.
    pub(super) fn until(&self, client: &Client) -> Option<SystemTime> {
        match self {
            Self::Protocol(Error::Api(problem)) if matches!(problem.status, Some(429 | 503)) => {
                client.until()
            }
            Self::Protocol(Error::Timeout(Some(_))) => client.until(),
            _ => None,
        }
    }

    fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Protocol(Error::Api(problem)) | Self::Disbelieved(_, problem) => Some(problem),
            _ => None,
        }
    }
}

/// Orders a certificate, and gives the text with its key and its chain. Which way of proving is tried goes by
/// the `failures` before.
pub(super) async fn order(
    office: &Office,
    name: &Name,
    acme: &Acme,
    failures: u32,
) -> Result<String, Failure> {
    let account = office.account().await?;
    let names = [Identifier::Dns(name.as_ref().to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let ways = ways(&acme.challenges, failures);
    let (proofs, tried) = prove(&mut order, name, &office.issued, &ways).await?;
    if order.state().status == OrderStatus::Pending {
        let ready = order.poll_ready(&POLLS).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            return Err(disbelieved(&mut order, tried, ready).await);
        }
    }
    drop(proofs);
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&POLLS).await?;
    Ok(format!("{}\n{}", key.trim_end(), chain.trim_start()))
}

/// The ways in the order in which they are tried: after each failure the next goes first.
fn ways(configured: &[Challenge], failures: u32) -> Vec<Challenge> {
    let mut ways = configured.to_vec();
    if !ways.is_empty() {
        let first = usize::try_from(failures).unwrap_or_default() % ways.len();
        ways.rotate_left(first);
    }
    ways
}

/// Has it proved that the name is ours, as long as what is given back is held.
async fn prove(
    order: &mut Order,
    name: &Name,
    issued: &Arc<Issued>,
    ways: &[Challenge],
) -> Result<(Vec<Proof>, Option<Challenge>), Failure> {
    let (mut proofs, mut tried) = (Vec::new(), None);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let offered = |way: &&Challenge| {
            authorization.challenges.iter().any(|challenge| challenge.r#type == kind(**way))
        };
        let way = *ways.iter().find(offered).ok_or(Failure::NoWay)?;
        let mut challenge = authorization.challenge(kind(way)).ok_or(Failure::NoWay)?;
        let authorization = challenge.key_authorization();
        proofs.push(match way {
            Challenge::Http01 => issued.prove_by_request(&challenge.token, authorization.as_str()),
            Challenge::TlsAlpn01 => {
                let config = handshake(name, &authorization).map_err(Failure::Unproved)?;
                issued.prove_by_handshake(name, &Arc::new(config))
            }
        });
        tried = Some(way);
        challenge.set_ready().await?;
    }
    Ok((proofs, tried))
}

/// Why an order has not become ready: the reason is with the challenge.
async fn disbelieved(
    order: &mut Order,
    tried: Option<Challenge>,
    ready: Result<OrderStatus, Error>,
) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            break;
        }
        let problem = authorization.challenges.iter().find_map(|each| each.error.clone());
        if let (Some(way), Some(problem)) = (tried, problem) {
            return Failure::Disbelieved(way, problem);
        }
    }
    ready.map_or_else(Failure::Protocol, Failure::Ended)
}

/// What is shown in a handshake as a proof (RFC 8737, 3).
fn handshake(
    name: &str,
    authorization: &KeyAuthorization,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    let digest = authorization.digest();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    // It is not looked into: what it has in an extension of its own nobody but the authority knows.
    let key = provider().key_provider.load_private_key(key.into())?;
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![PROOF_PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn kind(way: Challenge) -> ChallengeType {
    match way {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

fn word(way: Challenge) -> &'static str {
    match way {
        Challenge::Http01 => "http-01",
        Challenge::TlsAlpn01 => "tls-alpn-01",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_the_other_way_is_tried() {
        let both = [Challenge::TlsAlpn01, Challenge::Http01];
        assert_eq!(ways(&both, 0), both);
        assert_eq!(ways(&both, 1), [Challenge::Http01, Challenge::TlsAlpn01]);
        assert_eq!(ways(&both, 2), both);
        assert_eq!(ways(&both[1..], 5), both[1..]);
    }
}
