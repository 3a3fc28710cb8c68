//! The lines of a recording: JSON objects, the first of which tells what all have in common.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::Limits;
use crate::plugin::component::Kind;
use crate::plugin::recording::outcome::{Decided, Field, Outcome, Value};

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Heading {
    /// The format. It stands first, so that a recording can be told by its beginning.
    pub linkspan_recording: u32,
    /// The plugin.
    pub plugin: String,
    /// The component's name.
    pub component: String,
    /// The SHA-256 of its bytes, when the recording began.
    pub digest: String,
    /// The version, when the recording began.
    pub version: String,
    /// What it is used as.
    pub kinds: Vec<String>,
    /// What it is configured with.
    pub config: serde_json::Value,
    /// What an instance may use.
    pub limits: Bounds,
    /// Whether all workers share one instance.
    pub shared: bool,
    /// Whether it is granted addresses to forward to.
    pub addresses: bool,
    /// The names of all clusters, sorted.
    pub clusters: Vec<String>,
    /// The header fields whose values are recorded.
    pub headers: Vec<String>,
    /// The share of the requests, in hundredths of a percent.
    pub share: u32,
    /// What digests are salted with.
    pub salt: String,
}

/// The limits that bear on what a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bounds {
    memory_bytes: usize,
    deadline_ms: u64,
    table_elements: usize,
    handles: usize,
    host_call_bytes: usize,
}

impl Bounds {
    /// Of these limits.
    pub(super) fn of(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            deadline_ms: u64::try_from(limits.deadline.as_millis()).unwrap_or(u64::MAX),
            table_elements: limits.table_elements,
            handles: limits.handles,
            host_call_bytes: limits.host_call_bytes,
        }
    }

    /// The limits.
    pub(in crate::plugin) fn limits(self) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes,
            deadline: std::time::Duration::from_millis(self.deadline_ms),
            table_elements: self.table_elements,
            handles: self.handles,
            host_call_bytes: self.host_call_bytes,
            ..Limits::default()
        }
    }
}

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A router.
    Route,
    /// A rewriter, about a request.
    OnRequest,
    /// A balancer.
    Pick,
    /// A rewriter, about a response.
    OnResponse,
}

impl Phase {
    /// Its name, as in a recording.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::OnRequest => "on-request",
            Self::Pick => "pick",
            Self::OnResponse => "on-response",
        }
    }

    /// What is called so.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Route => Kind::Router,
            Self::Pick => Kind::Balancer,
            Self::OnRequest | Self::OnResponse => Kind::Rewriter,
        }
    }
}

/// One decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// What was called.
    pub phase: Phase,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// By which worker, from 0.
    pub worker: usize,
    /// In which version.
    pub version: String,
    /// About what.
    #[serde(flatten)]
    pub input: Input,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The time that it took in the guest, in nanoseconds; none if it was not called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_ns: Option<u64>,
}

/// What a decision is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The request.
    pub request: Request,
    /// The response, in its phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// What a balancer chooses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<Picking>,
}

/// A request as getters tell it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    pub(in crate::plugin) method: String,
    pub(in crate::plugin) scheme: String,
    pub(in crate::plugin) authority: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) target_origin: Option<String>,
    pub(in crate::plugin) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) query: Option<String>,
    /// Path and query as the client sent them, if they were changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) original: Option<String>,
    /// The Host field, where the target said otherwise; if it is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) asked_host: Option<String>,
    /// The Upgrade field, if it is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) upgrade: Option<Value>,
    pub(in crate::plugin) client: Option<SocketAddr>,
    pub(in crate::plugin) slot: u32,
    pub(in crate::plugin) listener: String,
    pub(in crate::plugin) headers: Vec<Field>,
}

/// A response as getters tell it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Response {
    pub(in crate::plugin) status: u16,
    pub(in crate::plugin) headers: Vec<Field>,
    pub(in crate::plugin) cluster: Option<String>,
    pub(in crate::plugin) endpoint: Option<String>,
    /// The Host that the endpoint was sent, if that is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) host: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::plugin) attributes: Vec<Vec<(String, String)>>,
    /// The endpoints that might have answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::plugin) siblings: Vec<(Option<SocketAddr>, String)>,
}

/// What a balancer chooses from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Picking {
    pub(in crate::plugin) cluster: String,
    pub(in crate::plugin) number: u32,
    pub(in crate::plugin) attempt: u32,
    /// Id and token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) previous: Option<(u32, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::plugin) tried: Vec<u32>,
    pub(in crate::plugin) endpoints: Vec<Member>,
}

/// An endpoint with its state and figures at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::plugin) struct Member {
    pub(in crate::plugin) id: u32,
    pub(in crate::plugin) address: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::plugin) attributes: Vec<(String, String)>,
    pub(in crate::plugin) usable: bool,
    pub(in crate::plugin) draining: bool,
    pub(in crate::plugin) weight: u32,
    pub(in crate::plugin) in_flight: u32,
    pub(in crate::plugin) total: u64,
    pub(in crate::plugin) failures: u64,
    pub(in crate::plugin) bytes_sent: u64,
    pub(in crate::plugin) bytes_received: u64,
    pub(in crate::plugin) latency: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) report: Option<Report>,
}

/// What an endpoint said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::plugin) struct Report {
    /// Milliseconds since then.
    pub(in crate::plugin) age: u64,
    pub(in crate::plugin) numbers: Vec<(String, u64)>,
}

impl Line {
    /// What it is about, in a few words.
    #[must_use]
    pub fn about(&self) -> String {
        let Request { method, scheme, authority, path, query, .. } = &self.input.request;
        let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut text = format!("{method} {scheme}://{authority}{path}{query}");
        if let Some(response) = &self.input.response {
            text.push_str(&format!(" answered {}", response.status));
        }
        if let Some(pick) = &self.input.pick {
            text.push_str(&format!(" to {}, attempt {}", pick.cluster, pick.attempt));
        }
        text
    }

    /// What came of such a call, in a few words.
    #[must_use]
    pub fn told(&self, outcome: &Outcome) -> String {
        match (outcome, &self.input.pick) {
            (Outcome { decision: Some(Decided::Endpoint { id, .. }), .. }, Some(pick)) => {
                let member = pick.endpoints.iter().find(|member| member.id == *id);
                member.map_or_else(|| format!("endpoint {id}"), |member| member.address.clone())
            }
            (Outcome { decision: Some(decision), .. }, _) => decision.to_string(),
            (Outcome { failed, .. }, _) => {
                format!("failed: {}", failed.as_deref().unwrap_or("unknown"))
            }
        }
    }
}
