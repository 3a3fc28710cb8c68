//! Names of clusters in a configuration.

use crate::names;

/// The clusters that there are, as the import `clusters` tells them.
pub trait Clusters {
    /// Whether there is one of that name.
    fn exists(&self, name: &str) -> bool;

    /// The names of all.
    fn names(&self) -> Vec<String>;
}

/// Whether there is a cluster of that name; the error says that there is none, and which may have
/// been meant.
pub fn known(clusters: &impl Clusters, name: &str) -> Result<(), String> {
    if clusters.exists(name) {
        return Ok(());
    }
    let names = clusters.names();
    let meant = names::did_you_mean(name, names.iter().map(String::as_str));
    Err(format!(
        "there is no cluster `{name}`, expected the NAME of a table `[clusters.NAME]`{meant}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl Clusters for Two {
        fn exists(&self, name: &str) -> bool {
            ["php", "static"].contains(&name)
        }

        fn names(&self) -> Vec<String> {
            ["php", "static"].map(str::to_owned).to_vec()
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_the_one_it_may_be() {
        assert_eq!(known(&Two, "php"), Ok(()));
        let error = known(&Two, "statc").unwrap_err();
        assert!(error.starts_with("there is no cluster `statc`, expected "), "{error}");
        assert!(error.ends_with("; did you mean `static`?"), "{error}");
        assert!(!known(&Two, "other").unwrap_err().contains("mean"));
    }
}
