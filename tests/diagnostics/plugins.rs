//! What plugins say is wrong, shown where that stands.

use std::fs;

use super::{odd, places, refused};
use crate::strangers::with_something_else;
use crate::support::{Binary, Proxy};

/// A file whose router `bad` is the guest that refuses what it gets, and says this.
fn saying(config: &str) -> String {
    format!(
        "[server]\nplugin-dir = 'plugins.d'\n\
         [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['bad']\n\
         [plugins.bad]\ncomponent = 'configure-error'\n{config}\n"
    )
}

/// What is said of it; the fewest guests that it takes.
#[track_caller]
fn said(config: &str) -> String {
    refused(&saying(config), &["configure-error"], &["check"])
}

/// The line and column of the first text like this in what follows a file's first seven lines.
fn place_in(config: &str, text: &str) -> String {
    let (before, _) = config.split_once(text).unwrap();
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    format!("{}:{column}", before.matches('\n').count() + 8)
}

#[test]
fn a_path_of_keys_leads_to_its_place() {
    let rules = "rules = [{ match = ['a'] }, { 'a.b' = { c = [1, 2] } }]";
    for (says, at, title) in [
        ("rules[1].a.b.c[1]: odd", "2] }", "config.rules[1].\"a.b\".c[1]: odd"),
        ("rules[1].'a.b'.c: odd", "{ 'a.b'", "config.rules[1]: 'a.b'.c: odd"),
        ("rules[0].match[0]: odd", "'a'", "config.rules[0].match[0]: odd"),
        ("rules[0].match: odd", "['a']", "config.rules[0].match: odd"),
        ("rules[0].match: unknown key", "match", "config.rules[0].match: unknown key"),
        ("rules[0].mach[3]: odd", "{ match", "config.rules[0]: mach[3]: odd"),
        ("rules[7]: odd", "[{", "config.rules: [7]: odd"),
        ("rules[0]match: odd", "{ rules", "config: rules[0]match: odd"),
        ("nowhere[7].b: odd", "{ rules", "config: nowhere[7].b: odd"),
        ("rules are odd", "{ rules", "config: rules are odd"),
        (": odd", "{ rules", "config: : odd"),
        ("", "{ rules", "config: the plugin refuses this, and does not say why"),
    ] {
        let config = format!("config = {{ {rules}, say = \"{says}\" }}");
        let said = said(&config);
        assert_eq!(places(&said), [place_in(&config, at)], "{says}: {said}");
        let first = said.lines().next().unwrap();
        assert_eq!(first, format!("error: plugins.bad.{title}"));
    }
}

#[test]
fn tables_with_headers_and_dotted_keys_are_found_too() {
    let says = "say = 'rules[1].set.x: odd'";
    for (config, at) in [
        (format!("config.{says}\nconfig.rules = [1, {{ set.x = 77 }}]"), "77"),
        (format!("[plugins.bad.config]\n{says}\nrules = [1, {{ set = {{ x = 77 }} }}]"), "77"),
        (
            format!(
                "[plugins.bad.config]\n{says}\n[[plugins.bad.config.rules]]\n\
                 [[plugins.bad.config.rules]]\n[plugins.bad.config.rules.set]\nx = 77"
            ),
            "77",
        ),
        (format!("config = {{ {says}, rules = [\n1,\n{{ set.x =\t77 }}, ] }}"), "77"),
        (format!("config = {{ rules = [ 1, '''wide\n\ntext''', ], {says} }}"), "'''wide"),
        (format!("config = {{ 'ä漢字' = 1, rules = [ 0, {{ set.x = 77 }} ], {says} }}"), "77"),
    ] {
        let place = place_in(&config, at);
        let said = said(&config);
        assert_eq!(places(&said), [place.as_str()], "{config}: {said}");
        // The same with the line ends, and the mark, of other systems.
        let toml = format!("\u{feff}{}", saying(&config).replace('\n', "\r\n"));
        let said = refused(&toml, &["configure-error"], &["check"]);
        assert_eq!(places(&said), [place], "{config}: {said}");
    }
}

#[test]
fn each_line_is_a_fault_and_its_parts_are_told_apart() {
    let says = "a: this is wrong, expected that; did you mean `b`?\\nb: also\\n  very wrong\\n\\nc";
    let said = said(&format!("config = {{ a = 1, b = 2, say = \"{says}\" }}"));
    assert_eq!(places(&said), ["8:10", "8:16", "8:23"], "{said}");
    for text in [
        "error: plugins.bad.config.a: this is wrong\n",
        "^ expected that\n",
        "= help: did you mean `b`?",
        "error: plugins.bad.config.b: also very wrong\n",
        "error: plugins.bad.config: c\n",
        "3 faults",
    ] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}

#[test]
fn what_a_plugin_says_is_bounded_and_cannot_steer_a_terminal() {
    let steered = said("config = { say = \"\\u001b[31mred\\rover\\u202edne: \\u0000\" }");
    let quiet = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}');
    assert!(quiet(&steered) && steered.contains("\\u{1b}[31mred"), "{steered:?}");
    let long = said("config = { say = '0123456789', times = 100000 }");
    assert!(long.len() < 4_000 && long.contains('…'), "{} bytes", long.len());
    let many = said("config = { say = \"\"\"rules: odd\n\"\"\", times = 5000 }");
    assert!(many.contains("and 4900 faults more"), "{many}");
    let lines = said("config = { say = \"\"\"a\n\"\"\", times = 200000, a = [] }");
    assert!(lines.len() < 30_000, "{} bytes", lines.len());
}

#[test]
fn a_plugin_with_a_fault_of_its_own_says_nothing_more() {
    let said = said("config = { say = 'never', to = '${NO_SUCH_VARIABLE}' }\nlimit = {}");
    assert_eq!(places(&said), ["8:32", "9:1"], "{said}");
    assert_eq!(said.matches("error: ").count(), 3, "{said}");
}

#[test]
fn defaults_for_plugins_are_no_place_to_look() {
    let said = said("config = { say = 'a: odd' }\n[defaults.plugin.config]\na = 1");
    assert_eq!(places(&said), ["8:10", "9:11"], "{said}");
}

#[test]
fn a_component_without_a_table_is_refused_where_it_is_named() {
    let toml =
        odd("[listeners.other]\nbind = '127.0.0.1:0'\nrouters = ['regex-match', 'round-robin']");
    let said = refused(&toml, &[], &["check"]);
    assert_eq!(places(&said), ["8:12", "8:27"], "{said}");
    for text in [
        "`regex-match` refuses its configuration: `rules` is missing",
        "there is no table `[plugins.regex-match]` with a `config`",
        "`round-robin` is used as a router, and is a balancer",
    ] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}

#[test]
fn a_balancer_is_missed_wherever_it_is_named() {
    let twice = odd("balancer = ['round-robin', 'rond-robin']\n\
                     [clusters.b]\nendpoints = []\nbalancer = 'rond-robin'");
    let said = refused(&twice, &[], &["check"]);
    assert_eq!(places(&said), ["6:28", "9:12"], "{said}");
    let inherited = odd("[defaults.cluster]\nbalancer = 'rond-robin'");
    assert_eq!(places(&refused(&inherited, &[], &["check"])), ["7:12"]);
}

#[test]
fn what_is_not_granted_is_said_with_what_to_write() {
    let toml = |more: &str| {
        format!(
            "[server]\nplugin-dir = 'plugins.d'\n[stores.sites]\n\
             [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['waits']\n{more}"
        )
    };
    for (more, place, help) in [
        ("", "6:12", "add a table `[plugins.waits]` with `grants = { stores = [\"sites\"] }`"),
        ("[plugins.waits]", "7:10", "write `grants = { stores = [\"sites\"] }`"),
        ("[plugins.waits]\ngrants = { stores = [] }", "8:10", "add `stores = [\"sites\"]` to it"),
        (
            "[plugins.waits]\ngrants = { addresses = ['127.0.0.1:*'] }",
            "8:10",
            "add `stores = [\"sites\"]` to it",
        ),
        (
            "[plugins.waits]\ngrants.stores = ['sites']\ninstances = 'shared'",
            "9:13",
            "expected `per-worker`",
        ),
    ] {
        let said = refused(&toml(more), &["waits"], &["check"]);
        assert_eq!(places(&said), [place], "{said}");
        assert!(said.contains(help), "no {help:?} in {said}");
    }
}

#[test]
fn a_limit_that_is_broken_while_it_begins_is_named() {
    let toml = odd("[plugins.bad]\ncomponent = 'regex-match'\nconfig.rules = []\n\
                    limits = { deadline = '5ms', memory = '64KiB' }");
    let said = refused(&toml, &[], &["check"]);
    assert_eq!(places(&said), ["9:39"], "{said}");
    assert!(said.contains("raise `limits.memory`"), "{said}");
    let talkative = "config = { say = 'x', times = 8000 }\nlimits = { host-call-bytes = 4096 }";
    let said = refused(&saying(talkative), &["configure-error"], &["check"]);
    assert_eq!(places(&said), ["9:30"], "{said}");
    assert!(said.contains("raise `limits.host-call-bytes`"), "{said}");
}

#[test]
fn a_rule_must_name_a_cluster_that_is_there_at_every_load() {
    let rules = |clusters: &str| {
        format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['by-path']\n\
             [plugins.by-path]\ncomponent = 'regex-match'\nconfig = {{ rules = [\n\
             {{ match = ['^/a'], cluster = 'alpha' }},\n{{ cluster = 'beta' }} ] }}\n{clusters}"
        )
    };
    let both = "[clusters.alpha]\nendpoints = []\n[clusters.beta]\nendpoints = []\n";
    let said = refused(&rules("[clusters.alhpa]\nendpoints = 1\n"), &[], &["check"]);
    // The third names a cluster whose own table is wrong: that is no reason to say more.
    assert_eq!(places(&said), ["7:30", "8:13", "10:13"], "{said}");
    assert!(said.contains("did you mean `alhpa`?"), "{said}");
    // Its table has not changed, and what it says of clusters has become wrong.
    let mut proxy = Proxy::start(&rules(both));
    assert_eq!(proxy.get("/").status(), 503);
    let said = proxy.reload(&rules("[clusters.alpha]\nendpoints = []\n")).unwrap_err();
    assert!(said.contains("there is no cluster `beta`"), "{said}");
    assert_eq!(proxy.get("/").status(), 503);
    proxy.reload(&rules(&format!("{both}[clusters.gamma]\nendpoints = []"))).unwrap();
}

#[test]
fn what_a_component_has_and_nobody_calls_is_a_warning() {
    let toml = odd("balancer = 'both'\n[server]\nplugin-dir = 'plugins.d'");
    let run = |arguments: &[&str]| {
        let mut linkspan = Binary::prepared(&toml, &[], arguments, |directory| {
            fs::write(directory.join("both.wasm"), with_something_else()).unwrap();
        });
        assert_eq!(linkspan.wait().code(), Some(0), "{}", linkspan.stderr());
        linkspan
    };
    let said = run(&["check"]).stderr();
    assert_eq!(places(&said), ["6:12"], "{said}");
    assert!(said.contains("`both` exports `extra`, which this version never"), "{said}");
    let told = run(&["inspect", "plugins.d/both.wasm"]).stdout();
    assert!(told.contains("uncalled  extra\n"), "{told}");
}

#[test]
fn the_list_of_plugins_ends_with_the_same_words() {
    let said =
        refused(&saying("config = { say = 'a: odd', a = 1 }"), &["configure-error"], &["plugins"]);
    assert_eq!(places(&said), ["8:32"], "{said}");
}
