//! The users and their clusters.

use linkspan_plugin_common::clusters::{self, Clusters};
use linkspan_plugin_common::config::Value;
use linkspan_plugin_common::table::Table;
use std::collections::BTreeMap;

/// Clusters by user.
#[derive(Debug, Default)]
pub(crate) struct Users {
    users: BTreeMap<String, String>,
    default: Option<String>,
}

impl Users {
    /// Reads a configuration: `users`, each with its cluster, and perhaps `default`. The error names what
    /// is wrong with it, one fault a line.
    pub(crate) fn compile(config: &str, clusters: &impl Clusters) -> Result<Self, String> {
        let mut table = Table::parse(config)?;
        let store: Option<Value> = table.optional("store");
        if store.is_some() {
            table.fault(
                "store: this component has only a table, expected `component = \"git-path-store\"`",
            );
        }
        let written: Option<BTreeMap<String, Value>> = table.required("users");
        let default: Option<String> = table.optional("default");
        let mut users = BTreeMap::new();
        for (user, cluster) in written.into_iter().flatten() {
            let Value::String(cluster) = cluster else {
                table.fault(format!(
                    "users.{user:?}: this is no string, expected the name of a cluster"
                ));
                continue;
            };
            if let Err(unknown) = clusters::known(clusters, &cluster) {
                table.fault(format!("users.{user:?}: {unknown}"));
            }
            users.insert(user, cluster);
        }
        if let Some(Err(unknown)) = default.as_ref().map(|name| clusters::known(clusters, name)) {
            table.fault(format!("default: {unknown}"));
        }
        table.finish(Some(Self { users, default }))
    }

    /// The cluster of a user.
    pub(crate) fn cluster(&self, user: &str) -> Option<&str> {
        self.users.get(user).or(self.default.as_ref()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_common::testing::Known;

    #[test]
    fn a_user_has_a_cluster_or_the_default() {
        let users = Users::compile(r#"{"users": {"mojombo": "a"}}"#, &Known).unwrap();
        assert_eq!((users.cluster("mojombo"), users.cluster("Mojombo")), (Some("a"), None));
        let config = r#"{"users": {"mojombo": "a"}, "default": "b"}"#;
        let users = Users::compile(config, &Known).unwrap();
        assert_eq!((users.cluster("mojombo"), users.cluster("x")), (Some("a"), Some("b")));
    }

    #[test]
    fn all_faults_are_told() {
        let faults = Users::compile(
            r#"{"users": {"a": "nobody", "b": 1}, "default": "none", "store": "s"}"#,
            &Known,
        );
        let faults = faults.unwrap_err();
        let begins =
            ["store: ", "users.\"a\": there is no", "users.\"b\": this is no", "default: "];
        for (line, begin) in faults.lines().zip(begins) {
            assert!(line.starts_with(begin), "{faults}");
        }
        assert_eq!(faults.lines().count(), 4, "{faults}");
    }
}
