//! What a version of a plugin hands over to the next.

use std::fs;

use linkspan::commands::BUILT_IN;

use super::stamped_as;
use crate::loading::caching::long;
use crate::support::{Binary, Client, Origin, eventually, one_cluster};

/// A proxy whose only router is the guest `hands-over` in a version that begins with `a`.
struct Bridge {
    linkspan: Binary,
    client: Client,
}

impl Bridge {
    fn new(plugin: &str, workers: usize) -> Self {
        Self::of(&format!("workers = {workers}"), plugin)
    }

    /// With these keys of the server.
    fn of(server: &str, plugin: &str) -> Self {
        let toml = format!(
            "[server]\nplugin-dir = 'plugins.d'\n{server}\n\
             [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['heir']\n\
             [plugins.heir]\ncomponent = 'heirs'\n{plugin}"
        );
        let mut linkspan = Binary::prepared(&toml, &[], &["run"], |directory| {
            fs::write(directory.join("heirs.wasm"), stamped_as("hands-over", "a")).unwrap();
        });
        let client = linkspan.connect();
        Self { linkspan, client }
    }

    fn drop_in(&self, stamp: &str) {
        let path = self.linkspan.file().with_file_name("plugins.d/heirs.wasm");
        fs::write(path, stamped_as("hands-over", stamp)).unwrap();
    }

    /// The version that answers, and how often it was called, as it says.
    fn called(&mut self) -> (String, u32) {
        let text = self.client.get("/").text();
        let (version, calls) = text.split_once(' ').unwrap();
        (version.to_owned(), calls.parse().unwrap())
    }

    /// Waits for another version, and says how often that one was called, as far as it knows.
    fn taken_over_by(&mut self, version: &str) -> (u32, u32) {
        let mut last = 0;
        eventually("the new version", || {
            let (by, calls) = self.called();
            if by == version {
                return Some((last, calls));
            }
            last = calls;
            None
        })
    }
}

#[test]
fn state_passes_from_version_to_version_and_none_is_called_in_between() {
    for instances in ["per-worker", "shared"] {
        let mut bridge = Bridge::new(&format!("instances = '{instances}'\n"), 1);
        for version in ["b", "c", "d"] {
            bridge.drop_in(version);
            let (before, after) = bridge.taken_over_by(version);
            // What is called while the next one is made ready is not in what that was told.
            assert!(after > 1 && after <= before + 1, "{instances} {version}: {before}, {after}");
        }
    }
}

#[test]
fn what_a_version_learns_while_another_component_is_compiled_is_handed_over() {
    let server = "workers = 1\ncompile-timeout = '3s'";
    let mut bridge = Bridge::of(server, "[plugins.round-robin]\n");
    let plugins = bridge.linkspan.file().with_file_name("plugins.d");
    fs::write(plugins.join("round-robin.wasm"), long(150)).unwrap();
    bridge.drop_in("b");
    bridge.linkspan.wait_for_compiler();
    let (before, after) = bridge.taken_over_by("b");
    // It has been called all the time.
    assert!(2 * after > before, "{before}, {after}");
}

#[test]
fn a_version_that_has_passed_its_trial_goes_on_with_the_state_of_the_one_that_served() {
    let canary = "[plugins.heir.canary]\nshare = '10%'\nfor = '2s'\n";
    let mut bridge = Bridge::new(canary, 1);
    bridge.drop_in("b");
    let (mut first, mut served, mut in_a_row, mut last) = (None, 0, 0, 0);
    eventually("the end of the trial", || {
        let (by, calls) = bridge.called();
        if by == "b" {
            // With what it was told when its trial began.
            first.get_or_insert(calls);
            (in_a_row, last) = (in_a_row + 1, calls);
        } else {
            (in_a_row, served) = (0, calls);
        }
        // Else it is called once in ten times.
        (in_a_row == 20).then_some(())
    });
    let first = first.unwrap();
    let (own, meanwhile) = (last - first, served.saturating_sub(first));
    assert!(2 * own > meanwhile, "{own} calls more that it knows of, and there were {meanwhile}");
}

#[test]
fn a_version_that_does_not_take_the_state_is_refused() {
    let mut bridge = Bridge::new("", 2);
    for (stamp, reason) in [
        ("x", "it does not take the state of the version before: these are no calls"),
        ("!", "restore failed"),
        ("~", "ran past its deadline of 1s"),
    ] {
        bridge.drop_in(stamp);
        bridge.linkspan.wait_for_stderr(reason);
        assert_eq!(bridge.called().0, "a");
    }
    bridge.drop_in("b");
    bridge.taken_over_by("b");
}

#[test]
fn a_version_that_gives_no_state_keeps_its_place() {
    for (stamp, reason) in [("$", "trapped"), ("^", "hands over 1048577 bytes")] {
        let mut bridge = Bridge::new("", 1);
        bridge.drop_in(stamp);
        bridge.taken_over_by(stamp);
        bridge.drop_in("b");
        bridge.linkspan.wait_for_stderr("the version before does not give its state");
        bridge.linkspan.wait_for_stderr(reason);
        assert_eq!(bridge.called().0, stamp);
    }
}

#[test]
fn a_version_begins_anew_where_state_may_be_lost() {
    let mut bridge = Bridge::new("state = 'fresh'\n", 1);
    for version in ["x", "!", "b", "$", "c"] {
        (0..20).for_each(|_| drop(bridge.called()));
        bridge.drop_in(version);
        let (before, after) = bridge.taken_over_by(version);
        let keeps = version == "b" || version == "$";
        assert_eq!(keeps, after > 1, "{version}: {before}, {after}");
    }
    bridge.linkspan.wait_for_stderr("begins without the state before");
}

/// The built-in component with a section that says nothing, so that it is another version.
fn another(component: &str) -> Vec<u8> {
    let (_, bytes) = BUILT_IN.iter().find(|(name, _)| *name == component).unwrap();
    [bytes, &b"\0\x05\x04none"[..]].concat()
}

#[test]
fn round_robin_goes_on_with_its_turn() {
    let origins: Vec<_> = (0..7).map(|number| Origin::replying(&number.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let toml = one_cluster(&addresses, "", "balancer = 'round-robin'");
    let toml = format!("{toml}[server]\nplugin-dir = 'plugins.d'\nworkers = 1\n");
    let mut linkspan = Binary::with(&toml, &[], &["run"]);
    let mut client = linkspan.connect();
    let mut turn = || client.get("/").text().parse::<usize>().unwrap();
    assert_eq!([turn(), turn(), turn()], [0, 1, 2]);
    let path = linkspan.file().with_file_name("plugins.d/round-robin.wasm");
    fs::write(path, another("round-robin")).unwrap();
    linkspan.wait_for_stderr("plugin swapped");
    assert_eq!([turn(), turn()], [3, 4]);
}
