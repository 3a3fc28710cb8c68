//! What comes of a call, as a recording has it and as people read it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The value of a field, or what stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// As text.
    Text(String),
    /// Bytes that are no UTF-8.
    Bytes(Vec<u8>),
    /// A digest of one that is not to be recorded.
    Hidden {
        /// The beginning of a salted SHA-256.
        digest: String,
    },
}

/// A field.
pub(in crate::plugin) type Field = (String, Value);

/// What came of a call: a decision, or how it failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The decision; none if the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decided>,
    /// How it failed, in the words of the metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Decided {
    /// The next plugin is to be asked.
    Next,
    /// To a cluster.
    Forward {
        /// By its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cluster: Option<String>,
        /// Or to an address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// A new Host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Value>,
        /// A new path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// An answer.
    Respond {
        /// Its status.
        status: u16,
        /// Its fields.
        headers: Vec<Field>,
        /// The length of its body.
        body_bytes: usize,
        /// The body's digest.
        body_digest: String,
    },
    /// This endpoint.
    Endpoint {
        /// By its id.
        id: u32,
        /// What the balancer gets back with the next attempt.
        token: u64,
    },
    /// No endpoint.
    None,
    /// Changes to a head.
    Edits(Vec<Edited>),
}

/// A change to a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edited {
    /// Replaces all fields of that name.
    Set(String, Value),
    /// Adds a field.
    Append(String, Value),
    /// Removes all fields of that name.
    Remove(String),
    /// Replaces the path.
    Path(String),
    /// Replaces Host.
    Authority(Value),
    /// Replaces the status.
    Status(u16),
    /// Has the body passed through the plugin.
    TransformBody,
}

impl Outcome {
    /// Whether both come to the same for a request: what a balancer keeps in its token is its own.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (&self.decision, &other.decision) {
            (Some(Decided::Endpoint { id, .. }), Some(Decided::Endpoint { id: other, .. })) => {
                id == other
            }
            (own, other_decision) => own == other_decision && self.failed == other.failed,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(out, "{text:?}"),
            Self::Bytes(bytes) => write!(out, "\"{}\"", bytes.escape_ascii()),
            Self::Hidden { digest } => write!(out, "(not listed, digest {digest})"),
        }
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next => out.write_str("next"),
            Self::None => out.write_str("none"),
            Self::Endpoint { id, .. } => write!(out, "endpoint {id}"),
            Self::Forward { cluster, address, host, path } => {
                match (cluster, address) {
                    (Some(cluster), _) => write!(out, "forward to cluster {cluster:?}")?,
                    (_, address) => {
                        write!(out, "forward to {}", address.as_deref().unwrap_or_default())?;
                    }
                }
                host.iter().try_for_each(|host| write!(out, ", host {host}"))?;
                path.iter().try_for_each(|path| write!(out, ", path {path:?}"))
            }
            Self::Respond { status, headers, body_bytes, body_digest } => {
                write!(out, "respond {status}")?;
                for (name, value) in headers {
                    write!(out, ", {name}: {value}")?;
                }
                write!(out, ", {body_bytes} bytes of digest {body_digest}")
            }
            Self::Edits(edits) if edits.is_empty() => out.write_str("no edits"),
            Self::Edits(edits) => {
                for (place, edit) in edits.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(out, "{comma}{edit}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Edited {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(name, value) => write!(out, "set {name}: {value}"),
            Self::Append(name, value) => write!(out, "append {name}: {value}"),
            Self::Remove(name) => write!(out, "remove {name}"),
            Self::Path(path) => write!(out, "path {path:?}"),
            Self::Authority(host) => write!(out, "host {host}"),
            Self::Status(status) => write!(out, "status {status}"),
            Self::TransformBody => out.write_str("transform the body"),
        }
    }
}
