//! Which components are taken, and what is said of those that are not.

pub(crate) mod caching;

use std::fs;
use std::path::Path;

use linkspan::commands::BUILT_IN;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Binary, Origin, Proxy, plugin};

/// A router `bad` of a component, with further keys.
fn router(component: &str, more: &str) -> String {
    format!(
        "[server]\nplugin-dir = 'plugins.d'\nworkers = 1\n\
         [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['bad']\n\
         [plugins.bad]\ncomponent = '{component}'\n{more}\n"
    )
}

/// What a command says of a configuration that it refuses. `put` fills the plugin directory.
#[track_caller]
fn complaint(command: &str, toml: &str, put: impl Fn(&Path)) -> String {
    let mut linkspan = Binary::prepared(toml, &[], &[command], put);
    let status = linkspan.wait();
    assert_eq!(status.code(), Some(1), "{command}: {}", linkspan.stderr());
    linkspan.stderr()
}

/// Where the configuration of [`router`] names the component.
const COMPONENT: &str = "8:13";

/// Refused by `check` and `run` alike, at a place of the file and with all of these texts.
#[track_caller]
fn is_refused(toml: &str, put: impl Fn(&Path), place: &str, texts: &[&str]) {
    let place = format!("--> linkspan.toml:{place}\n");
    for command in ["check", "run"] {
        let said = complaint(command, toml, &put);
        for text in [place.as_str()].iter().chain(texts) {
            assert!(said.contains(text), "{command} does not say {text:?}: {said}");
        }
    }
}

fn guest(name: &'static str) -> impl Fn(&Path) {
    move |directory| fs::write(directory.join(format!("{name}.wasm")), plugin(name)).unwrap()
}

#[test]
fn what_is_no_component_is_refused() {
    let files: [(&[u8], &str); 4] = [
        (b"", "the file is empty"),
        (b"#!/bin/sh\n", "does not begin as WebAssembly"),
        (b"\0asm\x01\0\0\0", "core module"),
        (b"\0asm\x0d\0\x01\0 and then nonsense", "cannot be compiled"),
    ];
    for (bytes, text) in files {
        let put = |directory: &Path| fs::write(directory.join("odd.wasm"), bytes).unwrap();
        is_refused(&router("odd", ""), put, COMPONENT, &[text, "plugins.d/odd.wasm"]);
    }
}

#[test]
fn a_component_that_decides_nothing_is_refused() {
    is_refused(&router("no-kind", ""), guest("no-kind"), COMPONENT, &["no known kind", "router"]);
}

#[test]
fn a_component_of_another_contract_is_refused_with_both_versions() {
    let toml = router("future-contract", "");
    is_refused(&toml, guest("future-contract"), COMPONENT, &["0.9.0", "0.1.0"]);
}

#[test]
fn a_component_that_imports_what_nobody_offers_is_refused() {
    let toml = router("wants-ungranted", "");
    is_refused(&toml, guest("wants-ungranted"), COMPONENT, &["stranger:thing/api@1.0.0"]);
}

#[test]
fn a_configuration_that_the_plugin_refuses_is_refused_in_its_words() {
    let text = "key `colour`: expected a colour";
    let toml = router("configure-error", "");
    is_refused(&toml, guest("configure-error"), COMPONENT, &[text, "has no `config`"]);
    let toml = router("configure-error", "config = { colour = 7 }");
    is_refused(&toml, guest("configure-error"), "9:10", &[text]);
}

#[test]
fn a_plugin_that_breaks_in_configure_is_refused() {
    let texts = ["configure failed", "trapped"];
    is_refused(&router("configure-traps", ""), guest("configure-traps"), COMPONENT, &texts);
    let toml = router("configure-loops", "");
    let said = complaint("check", &toml, guest("configure-loops"));
    assert!(said.contains("plugins.bad") && said.contains("deadline of 5s"), "{said}");
}

#[test]
fn a_plugin_that_is_used_as_what_it_is_not_is_refused() {
    is_refused(&router("round-robin", ""), |_| {}, "6:12", &["used as a router", "is a balancer"]);
    let rules = "config = { rules = [] }\non-failure = 'fallback'";
    is_refused(&router("regex-match", rules), |_| {}, "10:14", &["expected `reject` or `next`"]);
}

#[test]
fn a_component_that_is_missing_is_refused_with_those_that_there_are() {
    let texts = ["`missing`", "plugins.d/missing.wasm", "no-kind", "round-robin", "regex-match"];
    is_refused(&router("missing", ""), guest("no-kind"), COMPONENT, &texts);
    is_refused(&router("no-knd", ""), guest("no-kind"), COMPONENT, &["did you mean `no-kind`?"]);
}

#[test]
fn a_link_that_leads_nowhere_does_not_uncover_the_built_in_component() {
    let put = |directory: &Path| {
        std::os::unix::fs::symlink("/nowhere", directory.join("regex-match.wasm")).unwrap();
    };
    let toml = router("regex-match", "config = { rules = [] }");
    is_refused(&toml, put, COMPONENT, &["cannot be read: No such file"]);
}

#[test]
fn what_is_no_regular_file_is_refused_for_what_it_is() {
    let toml = router("regex-match", "config = { rules = [] }");
    let link = |to: &'static str| {
        move |directory: &Path| {
            std::os::unix::fs::symlink(to, directory.join("regex-match.wasm")).unwrap();
        }
    };
    is_refused(&toml, link("/dev/zero"), COMPONENT, &["it is a device"]);
    is_refused(&toml, link("/"), COMPONENT, &["it is a directory"]);
    let pipe = |directory: &Path| {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, directory.join("regex-match.wasm"), FileType::Fifo, mode, 0).unwrap();
    };
    is_refused(&toml, pipe, COMPONENT, &["it is a pipe"]);
}

#[test]
fn all_plugins_that_are_refused_are_named_at_once() {
    let toml = format!(
        "{}[plugins.worse]\ncomponent = 'nowhere'\n",
        router("configure-error", "").replace("['bad']", "['bad', 'worse']")
    );
    let texts = ["--> linkspan.toml:11:13", "`nowhere`", "colour", "2 faults"];
    is_refused(&toml, guest("configure-error"), COMPONENT, &texts);
}

#[test]
fn a_file_of_the_plugin_directory_goes_before_the_built_in_component() {
    let put = |directory: &Path| {
        fs::write(directory.join("regex-match.wasm"), plugin("configure-error")).unwrap();
    };
    is_refused(&router("regex-match", "config = { rules = [] }"), put, "9:10", &["colour"]);
}

#[test]
fn the_table_lists_and_judges_what_nothing_uses() {
    let put = |directory: &Path| {
        guest("uses-hashmap")(directory);
        guest("no-kind")(directory);
    };
    let toml = router("regex-match", "config = { rules = [] }");
    let mut linkspan = Binary::prepared(&toml, &[], &["plugins"], put);
    assert_eq!(linkspan.wait().code(), Some(1), "one of them is refused");
    let (table, said) = (linkspan.stdout(), linkspan.stderr());
    let row = |name: &str| {
        let line = table.lines().find(|line| line.split('\t').take(2).any(|cell| cell == name));
        line.unwrap_or_else(|| panic!("no {name} in {table}")).to_owned()
    };
    assert!(row("bad").contains("router") && row("bad").contains("built-in"), "{table}");
    let unused = row("uses-hashmap");
    assert!(unused.contains("balancer") && unused.contains("unused"), "{table}");
    assert!(unused.contains("uses-hashmap.wasm") && unused.contains("wasi("), "{table}");
    assert!(row("round-robin").contains("unused"), "{table}");
    assert!(said.contains("no-kind") && said.contains("no known kind"), "{said}");
}

#[test]
fn inspecting_tells_kind_imports_and_what_to_grant() {
    let put = |directory: &Path| {
        guest("waits")(directory);
        guest("no-kind")(directory);
    };
    let inspect = |name: &str| {
        let file = format!("plugins.d/{name}.wasm");
        let mut linkspan = Binary::prepared("", &[], &["inspect", &file], put);
        (linkspan.wait().code(), linkspan.stdout(), linkspan.stderr())
    };
    let (code, told, _) = inspect("waits");
    assert_eq!(code, Some(0));
    for text in ["router", "linkspan:plugin@0.1.0", "keyvalue", "stores", "digest", "size"] {
        assert!(told.contains(text), "no {text}: {told}");
    }
    let (code, _, said) = inspect("no-kind");
    assert_eq!(code, Some(1));
    assert!(said.contains("no-kind.wasm") && said.contains("no known kind"), "{said}");
}

#[test]
fn a_plugin_refused_on_reload_leaves_the_one_before_serving() {
    let toml = |component: &str| {
        format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['bad']\n\
             [plugins.bad]\ncomponent = '{component}'\n\
             config = {{ rules = [ {{ respond = {{ status = 200, body = 'old' }} }} ] }}\n"
        )
    };
    let mut proxy = Proxy::start(&toml("regex-match"));
    assert_eq!(proxy.get("/").text(), "old");
    for guest in ["configure-error", "configure-traps", "future-contract"] {
        proxy.add_plugin(guest);
        let said = proxy.reload(&toml(guest)).unwrap_err();
        assert!(said.contains(guest), "{said}");
        assert_eq!(proxy.get("/").text(), "old", "after {guest}");
    }
}

#[test]
fn a_guest_that_uses_a_hash_map_needs_no_grant_and_prints_to_the_log() {
    let origin = Origin::replying("hello");
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\n\
         [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{}']\nbalancer = 'uses-hashmap'\n",
        origin.address()
    );
    let mut linkspan = Binary::with(&toml, &["uses-hashmap"], &["run"]);
    assert_eq!(linkspan.connect().get("/").text(), "hello");
    for said in ["configured", "told of 1", &format!("picked {}", origin.address())] {
        linkspan.wait_for_stderr(said);
    }
}

#[test]
fn turns_counted_in_cells_are_exact_over_workers_and_reloads() {
    let origins = ["a", "b", "c"].map(Origin::replying);
    let endpoints = origins.each_ref().map(|origin| format!("'{}'", origin.address())).join(", ");
    let toml = |memory: &str| {
        format!(
            "[server]\nworkers = 4\n\
             [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
             [clusters.main]\nendpoints = [{endpoints}]\nbalancer = 'counts'\n\
             [plugins.counts]\nlimits = {{ memory = '{memory}' }}\n"
        )
    };
    let mut proxy = Proxy::start_with(&toml("8MiB"), &["counts"]);
    let mut clients: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
    for turn in 0..24 {
        assert_eq!(clients[turn % 8].get("/").text(), ["a", "b", "c"][turn % 3]);
    }
    // 24 turns are over, and one more moves the others' place.
    assert_eq!(proxy.get("/").text(), "a");
    proxy.reload(&toml("9MiB")).unwrap();
    for turn in 25..49 {
        assert_eq!(clients[turn % 8].get("/").text(), ["a", "b", "c"][turn % 3]);
    }
}

#[test]
fn shipped_components_are_offered_what_they_import_and_wait_only_to_ask_a_store() {
    assert!(BUILT_IN.len() >= 4);
    let toml = router("regex-match", "config = { rules = [] }");
    let mut linkspan = Binary::with(&toml, &[], &["plugins"]);
    assert_eq!(linkspan.wait().code(), Some(0), "{}", linkspan.stderr());
    let table = linkspan.stdout();
    for (name, _) in BUILT_IN {
        let name = if *name == "regex-match" { "bad" } else { name };
        let row = table.lines().find(|line| line.split('\t').take(2).any(|cell| cell == name));
        let row = row.unwrap_or_else(|| panic!("{name} is not accepted: {table}"));
        // The one import that makes calls asynchronous, and has to be granted.
        let waits = ["memcached-remap", "git-path-store"].contains(&name);
        assert_eq!(row.contains("keyvalue"), waits, "{row}");
    }
}
