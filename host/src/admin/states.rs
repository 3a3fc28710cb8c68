//! States by hand: `/api/clusters/NAME/endpoints/ADDRESS`, whose parts may be percent-encoded.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;

use crate::cluster::health::now;
use crate::cluster::{Cluster, Hand, Member, Standing};
use crate::config::one_of;
use crate::snapshot::Snapshot;
use crate::status::decoded;

/// The largest body that is read, and how long it may take to come.
const BODY_BYTES: usize = 4 << 10;
/// See [`BODY_BYTES`].
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most names that an error tells.
const NAMES: usize = 20;

/// Why a request comes to nothing.
pub(super) type Wrong = (StatusCode, String);

/// What an endpoint can be set to.
const HANDS: [(&str, Hand); 3] =
    [("drain", Hand::Drain), ("maintenance", Hand::Maintenance), ("ready", Hand::Ready)];

/// What an answer says about how long the state lasts.
pub(super) const LASTS: &str =
    "set by hand: lasts until this process ends, over reloads but not over a restart";

/// The same where the state is what is configured.
pub(super) const NATURAL: &str = "as configured: nothing is set by hand";

/// The cluster and the endpoint of a path, as it is encoded.
pub(super) fn parts(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/api/clusters/")?.split_once("/endpoints/")
}

/// The cluster that a path names, and the members that are its endpoint: several if the address is
/// listed more than once.
pub(super) fn find<'s>(
    snapshot: &'s Snapshot,
    (cluster, address): (&str, &str),
) -> Result<(&'s Cluster, Vec<Member>), Wrong> {
    let name = decoded(cluster).unwrap_or_default();
    let Some(cluster) = snapshot.clusters.get(name.as_str()) else {
        let known = known(snapshot.clusters.keys().map(|name| &**name));
        return Err((
            StatusCode::NOT_FOUND,
            format!("there is no cluster `{name}`; there is {known}"),
        ));
    };
    let address = decoded(address).unwrap_or_default();
    let membership = cluster.membership();
    let all = || membership.members().iter();
    let members: Vec<_> =
        all().filter(|member| **member.endpoint.label() == *address).cloned().collect();
    if members.is_empty() {
        let known = known(all().map(|member| &**member.endpoint.label()));
        let text = format!("cluster `{name}` has no endpoint `{address}`; it has {known}");
        return Err((StatusCode::NOT_FOUND, text));
    }
    Ok((cluster, members))
}

/// Sets an endpoint to what a body says: JSON such as `{"state":"drain"}`.
pub(super) async fn set<B>(cluster: &Cluster, members: &[Member], body: B) -> Result<(), Wrong>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES).collect()).await;
    let body = body.map_err(|_elapsed| {
        (StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {BODY_TIMEOUT:?}"))
    })?;
    let body = body.map_err(|error| {
        let text =
            format!("the body cannot be read, or is larger than {BODY_BYTES} bytes: {error}");
        (StatusCode::PAYLOAD_TOO_LARGE, text)
    })?;
    let hand = hand(&body.to_bytes()).map_err(|text| (StatusCode::BAD_REQUEST, text))?;
    // All members of an address share what is set. One that is configured to be out of service says
    // whether `ready` is more than that.
    let strictest = members.iter().find(|member| member.standing != Standing::Ready);
    if let Some(member) = strictest.or_else(|| members.first()) {
        cluster.set_by_hand(member, hand, now());
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    state: String,
}

fn hand(body: &[u8]) -> Result<Hand, String> {
    let states = || one_of(&HANDS.map(|(word, _)| word));
    let wish: Wish = serde_json::from_slice(body).map_err(|error| {
        format!(
            "the body is to be JSON such as {{\"state\":\"drain\"}}, with a state of {}: {error}",
            states()
        )
    })?;
    let found = HANDS.into_iter().find(|(word, _)| *word == wish.state);
    let none = || format!("there is no state `{}` to be set; there is {}", wish.state, states());
    found.map(|(_, hand)| hand).ok_or_else(none)
}

/// Names as an error tells them.
fn known<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<_> = names.collect();
    all.dedup();
    let (shown, more) = all.split_at(all.len().min(NAMES));
    let shown: Vec<_> = shown.iter().map(|name| format!("`{name}`")).collect();
    match (shown.is_empty(), more.len()) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_small_objects() {
        assert_eq!(hand(br#"{"state":"drain"}"#), Ok(Hand::Drain));
        assert_eq!(hand(br#" { "state" : "ready" } "#), Ok(Hand::Ready));
        for (body, said) in [
            (r#"{"state":"up"}"#, "there is no state `up` to be set; there is `drain`, `maint"),
            (r#"{"state":"drain","for":"1h"}"#, "unknown field `for`"),
            ("state=drain", "the body is to be JSON such as {\"state\":\"drain\"}"),
            ("", "`drain`, `maintenance` or `ready`"),
        ] {
            let error = hand(body.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn errors_tell_so_many_names_at_most() {
        let names: Vec<_> = (0..25).map(|number| number.to_string()).collect();
        let told = known(names.iter().map(String::as_str));
        assert!(told.starts_with("`0`, `1`") && told.ends_with("`19` and 5 more"), "{told}");
        assert_eq!(known([].into_iter()), "none");
    }

    #[test]
    fn paths_have_two_names() {
        assert_eq!(parts("/api/clusters/a/endpoints/b:80"), Some(("a", "b:80")));
        let unix = "/api/clusters/a%2Fb/endpoints/unix:/run/a.sock";
        assert_eq!(parts(unix), Some(("a%2Fb", "unix:/run/a.sock")));
        assert_eq!(parts("/api/clusters/a"), None);
    }
}
