//! What of heads and decisions goes into a recording: values of listed fields as they are, of others a
//! digest.

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::plugin::convert::{Decision, Edit, Upstream};
use crate::plugin::recording::outcome::{Decided, Edited, Field, Value};

/// The bytes that are left of a digest.
const DIGEST_BYTES: usize = 8;

/// What is shown as it is.
#[derive(Debug, Clone)]
pub(in crate::plugin) struct Shown {
    headers: Vec<HeaderName>,
    salt: String,
}

impl Shown {
    /// The values of these fields; digests of others have this salt.
    pub(in crate::plugin) fn new(headers: Vec<HeaderName>, salt: String) -> Self {
        Self { headers, salt }
    }

    /// What digests are salted with.
    pub(in crate::plugin) fn salt(&self) -> &str {
        &self.salt
    }

    /// Whether a field is listed.
    pub(super) fn lists(&self, name: &HeaderName) -> bool {
        self.headers.contains(name)
    }

    /// The fields of a head that are listed.
    pub(super) fn listed(&self, headers: &HeaderMap) -> Vec<Field> {
        let listed = headers.iter().filter(|(name, _)| self.lists(name));
        listed.map(|(name, value)| (name.as_str().to_owned(), plain(value.as_bytes()))).collect()
    }

    /// A router's decision.
    pub(in crate::plugin) fn decision(&self, decision: &Decision) -> Decided {
        match decision {
            Decision::Next => Decided::Next,
            Decision::Forward { upstream, host, path } => {
                let (cluster, address) = match upstream {
                    Upstream::Cluster(name) => (Some(name.clone()), None),
                    Upstream::Address(address) => (None, Some(address.clone())),
                };
                let host = host.as_ref().map(|host| self.value(&http::header::HOST, host));
                let path = path.as_ref().map(ToString::to_string);
                Decided::Forward { cluster, address, host, path }
            }
            Decision::Respond(response) => Decided::Respond {
                status: response.status().as_u16(),
                headers: response.headers().iter().map(|field| self.field(field)).collect(),
                body_bytes: response.body().len(),
                body_digest: self.digest(response.body()),
            },
        }
    }

    /// A rewriter's.
    pub(in crate::plugin) fn edits(&self, edits: &[Edit]) -> Decided {
        let edited = |edit: &Edit| match edit {
            Edit::Set(name, value) => Edited::Set(name.to_string(), self.value(name, value)),
            Edit::Append(name, value) => Edited::Append(name.to_string(), self.value(name, value)),
            Edit::Remove(name) => Edited::Remove(name.to_string()),
            Edit::Path(path) => Edited::Path(path.to_string()),
            Edit::Authority(host) => Edited::Authority(self.value(&http::header::HOST, host)),
            Edit::Status(status) => Edited::Status(status.as_u16()),
            Edit::TransformBody => Edited::TransformBody,
        };
        Decided::Edits(edits.iter().map(edited).collect())
    }

    fn field(&self, (name, value): (&HeaderName, &HeaderValue)) -> Field {
        (name.as_str().to_owned(), self.value(name, value))
    }

    /// A value, or a digest of it.
    fn value(&self, name: &HeaderName, value: &HeaderValue) -> Value {
        if self.lists(name) {
            return plain(value.as_bytes());
        }
        // With the name, so that it does not show that another field has the same value.
        let mut bytes = name.as_str().as_bytes().to_vec();
        bytes.push(b':');
        bytes.extend_from_slice(value.as_bytes());
        Value::Hidden { digest: self.digest(&bytes) }
    }

    fn digest(&self, bytes: &[u8]) -> String {
        let mut digest = Sha256::new();
        digest.update(self.salt.as_bytes());
        digest.update(bytes);
        digest.finalize().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A value that is shown as it is.
pub(super) fn plain(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_other) => Value::Bytes(bytes.to_vec()),
    }
}
