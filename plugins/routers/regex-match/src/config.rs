//! The configuration as it is written.

use serde::Deserialize;
use std::collections::BTreeMap;

/// All conditions that are there must hold, each of them through any one of its patterns. One of
/// the last three says what happens then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Patterns of the percent-decoded path, without the query.
    pub(crate) r#match: Option<Vec<String>>,
    /// Patterns of the host, without the port.
    pub(crate) host: Option<Vec<String>>,
    /// Methods, in their exact spelling.
    pub(crate) method: Option<Vec<String>>,
    /// Patterns of header fields, each of any one value of the name.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Patterns>,
    /// With `cluster`: the path that the upstream gets.
    pub(crate) path: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) respond: Option<Respond>,
}

/// A pattern, or several of which any one will do.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum Patterns {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redirect {
    pub(crate) status: u16,
    pub(crate) location: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Respond {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) body: String,
}
