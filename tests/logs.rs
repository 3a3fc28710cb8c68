//! The logs of the process: what is said, in which form, to whom it can be traced, and that a target
//! that takes nothing costs lines and nobody's time.

mod targets;

use serde_json::Value;

use crate::support::{Binary, Client, Down, Origin, Signal, UNHURRIED, eventually, one_cluster};

/// Where test guests are.
const PLUGINS: &str = "[server]\nplugin-dir = 'plugins.d'\n";

/// The lines on standard error that are JSON.
fn lines(linkspan: &Binary) -> Vec<Value> {
    linkspan.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The lines of the diagnostic log with this message.
fn said(linkspan: &Binary, message: &str) -> Vec<Value> {
    let mut lines = lines(linkspan);
    lines.retain(|line| line.get("message").is_some_and(|said| said == message));
    lines
}

/// Waits for such a line.
#[track_caller]
fn wait_for(linkspan: &Binary, message: &str) -> Value {
    eventually(message, || said(linkspan, message).into_iter().next())
}

#[test]
fn it_begins_with_what_is_served_and_by_what() {
    let origin = Origin::replying("");
    let mut linkspan = Binary::serve(&format!(
        "[server]\nworkers = 1\n{}",
        one_cluster(&[origin.address()], "", "balancer = 'first-alive'")
    ));
    let address = linkspan.address("web").to_string();
    let line = wait_for(&linkspan, "linkspan serves");
    assert_eq!((&line["level"], &line["workers"]), (&"INFO".into(), &1.into()));
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert!(line["configuration"].as_str().unwrap().ends_with("linkspan.toml"), "{line}");
    let line = wait_for(&linkspan, "listening");
    assert_eq!((&line["listener"], &line["address"]), (&"web".into(), &address.into()));
    let line = wait_for(&linkspan, "plugin loaded");
    assert_eq!(line["plugin"], "first-alive");
    assert_eq!(line["version"].as_str().map(str::len), Some(12));
}

#[test]
fn text_is_one_aligned_line_for_each_event() {
    let origin = Origin::replying("");
    let toml = format!("[log]\nformat = 'text'\n{}", one_cluster(&[origin.address()], "", ""));
    let mut linkspan = Binary::serve(&toml);
    linkspan.connect().get("/");
    linkspan.signal(Signal::HUP);
    linkspan.wait_for_stderr(" attempts=1");
    linkspan.wait_for_stderr("  INFO configuration taken generation=2\n");
    for line in linkspan.stderr().lines() {
        assert!(line.starts_with("20") && !line.contains('\u{1b}'), "{line:?}");
    }
}

#[test]
fn a_plugins_lines_name_the_request() {
    let origin = Origin::replying("");
    let toml = format!(
        "{PLUGINS}{}[plugins.bad]\ncomponent = 'misbehave'\nconfig = {{ at = 'route' }}\n{UNHURRIED}",
        one_cluster(&[origin.address()], "routers = ['bad']\ntrusted-proxies = ['127.0.0.1']", "")
    );
    let mut linkspan = Binary::with(&toml, &["misbehave"], &["run"]);
    let mut client = linkspan.connect();
    for misdeed in ["log-flood", "trap"] {
        client.ask("GET", "/", &[("x-do", misdeed), ("x-request-id", misdeed)], b"");
    }
    let line = wait_for(&linkspan, "line 0 of a flood");
    assert_eq!((&line["plugin"], &line["id"]), (&"bad".into(), &"log-flood".into()));
    let failure = eventually("the failure", || {
        lines(&linkspan).into_iter().find(|line| line["call"] == "route")
    });
    assert_eq!((&failure["plugin"], &failure["id"]), (&"bad".into(), &"trap".into()));
    assert_eq!((&failure["level"], &failure["listener"]), (&"WARN".into(), &"web".into()));
}

#[test]
fn an_endpoint_that_goes_offline_is_told_with_why_and_until_when() {
    let down = Down::new();
    let health = "health = { attempts = 2, offline = '1h' }";
    let mut linkspan = Binary::serve(&one_cluster(&[down.address()], "", health));
    let mut client = linkspan.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").status(), 503);
    }
    let line = wait_for(&linkspan, "endpoint is offline");
    assert_eq!((&line["level"], &line["cluster"]), (&"WARN".into(), &"main".into()));
    assert_eq!(line["endpoint"], down.address().to_string());
    assert_eq!((&line["failures"], &line["error"]), (&2.into(), &"connection refused".into()));
    assert!(line["until"].as_str().unwrap() > line["time"].as_str().unwrap(), "{line}");
    let _origin = down.up(|peer| peer.answer(|_| crate::support::reply(200, &[], "")));
    assert_eq!(client.get("/").status(), 200, "with every endpoint offline each is tried");
    assert_eq!(wait_for(&linkspan, "endpoint is back")["failures"], 2);
}

#[test]
fn trace_shows_each_step() {
    let origin = Origin::replying("ok");
    let toml = format!(
        "[log]\nlevel = 'trace'\n{PLUGINS}workers = 1\n\
         [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['by-path']\nrewriters = ['stamp']\n\
         [clusters.main]\nendpoints = ['localhost:{0}', '127.0.0.1:{0}']\nbalancer = 'hashes'\n\
         max-idle-per-endpoint = 1\n\
         [plugins.by-path]\ncomponent = 'regex-match'\n\
         config = {{ rules = [ {{ match = ['.'], cluster = 'main' }} ] }}\n\
         [plugins.stamp]\ncomponent = 'headers'\n\
         config = {{ request = {{ set = {{ x-key = 'secret' }} }} }}",
        origin.address().port()
    );
    let mut linkspan = Binary::with(&toml, &["hashes"], &["run"]);
    let mut client = linkspan.connect();
    for _ in 0..2 {
        client.get("/a");
    }
    let line = wait_for(&linkspan, "resolved");
    assert_eq!(line["host"], "localhost");
    assert!(line["addresses"].is_string() && line["took_ms"].is_f64(), "{line}");
    assert!(wait_for(&linkspan, "endpoint joins")["endpoint"].is_string());
    assert!(wait_for(&linkspan, "instance born")["plugin"].is_string());
    let route = wait_for(&linkspan, "route");
    assert_eq!((&route["plugin"], &route["target"]), (&"by-path".into(), &"cluster main".into()));
    let rewrite = wait_for(&linkspan, "rewrite");
    assert_eq!((&rewrite["count"], &rewrite["edited"]), (&1.into(), &"set x-key".into()));
    let pick = wait_for(&linkspan, "pick");
    assert_eq!(pick["hash"], 0x6970_7B5C_u64, "zlib's of /a");
    assert_eq!((&pick["plugin"], &pick["key"]), (&"hashes".into(), &"path".into()));
    assert_eq!((&pick["token"], &pick["attempt"]), (&pick["hash"], &0.into()));
    assert!(pick["endpoint"].is_string(), "{pick}");
    for line in [&route, &rewrite] {
        assert_eq!(line["id"], pick["id"], "all of one request");
    }
    let opened = wait_for(&linkspan, "connection opened");
    assert_eq!(opened["id"], pick["id"]);
    assert_eq!(wait_for(&linkspan, "connection reused")["endpoint"], opened["endpoint"]);
    wait_for(&linkspan, "connection returned");
    std::fs::write(linkspan.file(), toml.replace("'.'", "'^/b'")).unwrap();
    linkspan.signal(Signal::HUP);
    wait_for(&linkspan, "instance dropped");
    drop(origin);
    assert_eq!(wait_for(&linkspan, "connection closed")["why"], "the upstream closed it");
    assert!(!linkspan.stderr().contains("secret"), "values are nobody's business");
}

#[test]
fn a_plugins_level_is_its_own_and_takes_effect_on_reload() {
    let origins = [Origin::replying("a"), Origin::replying("b")];
    let endpoints = [origins[0].address(), origins[1].address()];
    let toml = |level: &str, plugin: &str| {
        format!(
            "[log]\nlevel = '{level}'\n[server]\nworkers = 1\n{}[plugins.turns]\n\
             component = 'round-robin'\n{plugin}\n",
            one_cluster(&endpoints, "", "balancer = 'turns'")
        )
    };
    let mut linkspan = Binary::serve(&toml("info", "log-level = 'trace'"));
    let mut client = linkspan.connect();
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(wait_for(&linkspan, "pick")["plugin"], "turns");
    assert_eq!(said(&linkspan, "connection opened"), [] as [Value; 0], "of no plugin");

    let reload = |linkspan: &Binary, toml: &str| {
        let before = said(linkspan, "configuration taken").len();
        std::fs::write(linkspan.file(), toml).unwrap();
        linkspan.signal(Signal::HUP);
        eventually("the reload", || {
            (said(linkspan, "configuration taken").len() > before).then_some(())
        });
    };
    reload(&linkspan, &toml("info", ""));
    let picks = said(&linkspan, "pick").len();
    // The line that says so comes before the levels change.
    eventually("the level to change", || {
        let before = said(&linkspan, "pick").len();
        client.get("/");
        let access = lines(&linkspan).iter().filter(|line| line["status"] == 200).count();
        eventually("its line", || {
            let now = lines(&linkspan).iter().filter(|line| line["status"] == 200).count();
            (now > access).then_some(())
        });
        (said(&linkspan, "pick").len() == before).then_some(())
    });
    assert!(said(&linkspan, "pick").len() >= picks);
    reload(&linkspan, &toml("trace", "log-level = 'error'"));
    eventually("the level to change", || {
        client.get("/");
        (!said(&linkspan, "connection reused").is_empty()).then_some(())
    });
    assert!(said(&linkspan, "plugin loaded").len() == 1, "it is the same all along");
}

#[test]
fn a_client_cannot_write_lines_of_its_own() {
    let origin = Origin::replying("");
    for format in ["text", "json"] {
        let toml = format!(
            "[log]\nformat = '{format}'\nlevel = 'trace'\n{}",
            one_cluster(&[origin.address()], "trusted-proxies = ['127.0.0.1']", "")
        );
        let mut linkspan = Binary::serve(&toml);
        let mut client = Client::connect(linkspan.address("web"));
        client.send("GET /a\"x\\ HTTP/1.1\r\nhost: a\r\nx-request-id: a\u{85}b c\r\n\r\n");
        client.response();
        client.send("GET /last HTTP/1.1\r\nhost: a\r\n\r\n");
        client.response();
        linkspan.wait_for_stderr("/last");
        for line in linkspan.stderr().lines() {
            let json = serde_json::from_str::<Value>(line).is_ok();
            assert_eq!(json, format == "json", "{line}");
            assert!(json || line.starts_with("20"), "{line}");
        }
    }
}
