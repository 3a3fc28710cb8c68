//! The status page: the same figures for people and programs, on the administrator's listener and on
//! those that have a `status-path`.

mod browser;
mod metrics;
mod states;

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{Client, Down, Message, Origin, Proxy, eventually, one_cluster};

/// A configuration whose listener shows the page, with an administrator.
fn toml(origins: &[SocketAddr], cluster: &str) -> String {
    let listener = "status-path = '/proxy-status'\nrewriters = ['stamp']";
    let rest = one_cluster(origins, listener, cluster);
    format!(
        "{rest}[plugins.stamp]\ncomponent = 'headers'\n\
         [admin]\nbind = '127.0.0.1:0'\ntoken = 'open-sesame'\n"
    )
}

/// A request as the administrator's listener wants it.
fn ask(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Message {
    let host = address.to_string();
    let all: Vec<_> = [("host", host.as_str())].into_iter().chain(fields.iter().copied()).collect();
    Client::connect(address).ask(method, path, &all, b"")
}

fn json(response: &Message) -> Value {
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.value("content-type"), Some("application/json"));
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_listener_shows_the_page_before_any_router() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start(&toml(&[origin.address()], ""));
    for path in ["/proxy-status", "/proxy-status?x=y", "/%70roxy-status", "/proxy%2Dstatus?"] {
        let page = proxy.get(path);
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(page.value("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.value("server"), Some("linkspan"));
        assert_eq!(page.value("cache-control"), Some("no-store"));
        let policy = page.value("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(page.text().contains(&origin.address().to_string()), "{}", page.text());
    }
    assert_eq!(origin.hits(), 0, "it is answered by the proxy itself");
    for path in ["/proxy-status/", "/Proxy-Status", "/proxy-statu", "/", "/x/proxy-status"] {
        assert_eq!(proxy.get(path).text(), "hello", "{path}");
    }
    let head = proxy.connect().ask("HEAD", "/proxy-status", &[], b"");
    assert_eq!((head.status(), head.body.len()), (200, 0));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = proxy.connect().ask(method, "/proxy-status", &[], b"");
        assert_eq!(
            (refused.status(), refused.value("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    assert_eq!(proxy.get("/proxy-status?format=xml").status(), 400);

    // They are requests like others.
    let lines = proxy.access(15);
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(
        statuses,
        [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 405, 405, 405, 405, 400]
    );
    assert_eq!(lines[0]["target"], "/proxy-status");
    assert!(lines[0].get("cluster").is_none_or(Value::is_null), "{}", lines[0]);
    eventually("all to be counted", || {
        (proxy.counter("linkspan_requests_total", &[("listener", "web")]) == 15).then_some(())
    });
}

#[test]
fn without_the_key_the_path_is_the_upstreams() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    assert_eq!(proxy.get("/proxy-status").text(), "hello");
}

#[test]
fn a_path_that_is_none_is_refused() {
    for (path, said) in [
        ("proxy-status", "it does not begin with `/`"),
        ("", "it does not begin with `/`"),
        ("/a?b", "a path has no query and no fragment"),
        ("/a\\n", "it has control characters"),
    ] {
        let toml = one_cluster(&[], &format!("status-path = \"{path}\""), "");
        let error = Proxy::try_start(&toml, &[]).err().unwrap();
        assert!(error.contains("listeners.web.status-path") && error.contains(said), "{error}");
    }
}

/// Monkey's statistics page told, for each server, its connections, its offline count and when it
/// was last found offline.
#[test]
fn offline_counts_and_last_failures_are_told() {
    let (dead, origin) = (Down::new(), Origin::replying("hello"));
    let origins = [dead.address(), origin.address()];
    let health = "balancer = 'first-alive'\nhealth = { attempts = 2, offline = '60s' }";
    let proxy = Proxy::start(&toml(&origins, health));
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    let status = json(&proxy.get("/proxy-status?format=json"));
    let [a, b] = [0, 1].map(|place| &status["clusters"][0]["endpoints"][place]);
    assert_eq!(a["address"], dead.address().to_string());
    assert_eq!((&a["state"], &a["failures_in_a_row"]), (&"offline".into(), &2.into()));
    for time in [&a["last_failure"], &a["since"], &status["about"]["time"]] {
        let time = time.as_str().unwrap();
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    assert_eq!((&b["state"], &b["failures_in_a_row"]), (&"alive".into(), &0.into()));
    assert_eq!((&b["last_failure"], &b["requests"]), (&Value::Null, &10.into()));
    let share = |endpoint: &Value| endpoint["share"].as_f64().unwrap();
    assert!((share(a) + share(b) - 1.0).abs() < 1e-9 && share(b) > 0.8, "{a} {b}");
    let page = proxy.get("/proxy-status").text();
    assert!(page.contains("1 of 2 alive") && page.contains(">offline</span>"), "{page}");
}

#[test]
fn all_forms_tell_the_same() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start(&toml(&[origin.address()], ""));
    for _ in 0..40 {
        proxy.get("/");
    }
    let admin = proxy.admin();
    let whole = json(&ask(admin, "GET", "/?format=json", &[]));
    let public = json(&proxy.get("/proxy-status?format=json"));
    for part in ["listeners", "clusters", "plugins"] {
        let alone = json(&ask(admin, "GET", &format!("/api/{part}"), &[]));
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|each| each["name"].to_string()).collect()
        };
        assert!(!names(&alone).is_empty());
        assert_eq!(names(&alone), names(&whole[part]));
        assert_eq!(names(&alone), names(&public[part]));
    }
    let listener = &whole["listeners"][0];
    assert_eq!(
        (&listener["status_path"], &listener["default_cluster"]),
        (&"/proxy-status".into(), &"main".into())
    );
    let step = &listener["steps"][0];
    assert_eq!((&step["kind"], &step["component"]), (&"rewriter".into(), &"headers".into()));
    assert_eq!(step["version"], whole["plugins"][1]["version"]);
    let balancer = &whole["plugins"][0];
    let (mean, p99) = (balancer["mean_us"].as_f64().unwrap(), balancer["p99_us"].as_f64().unwrap());
    assert!(mean > 0.0 && p99 > 0.0, "{balancer}");
    assert_eq!(balancer["calls"], 40);
    let page = ask(admin, "GET", "/", &[]);
    assert!(page.text().contains("/api/clusters") && page.text().contains("headers@"));
    assert!(!proxy.get("/proxy-status").text().contains("/api/"), "links are the administrator's");
}

#[test]
fn the_public_learns_of_no_path_on_disk() {
    let socket = "[clusters.app]\nendpoints = ['unix:/run/secret-folder/app.sock']\n";
    let toml = format!("{}{socket}", toml(&[], "balancer = 'observes'"));
    let proxy = Proxy::start_with(&toml, &["observes"]);
    let told = json(&ask(proxy.admin(), "GET", "/?format=json", &[])).to_string();
    assert!(told.contains("plugins.d/observes.wasm") && told.contains("secret-folder"), "{told}");
    for path in ["/proxy-status", "/proxy-status?format=json"] {
        let told = proxy.get(path).text();
        assert!(told.contains("observes") && told.contains("unix:app.sock"), "{told}");
        for secret in ["plugins.d", "secret-folder", "open-sesame", "/tmp"] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
}

#[test]
fn the_page_is_bounded_and_the_json_is_whole() {
    let endpoints: Vec<_> =
        (1..=1_000).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    let proxy = Proxy::start(&toml(&endpoints, ""));
    let page = proxy.get("/proxy-status").text();
    assert_eq!(page.matches("role=\"rowheader\">127.0.0.1:").count(), 500);
    assert!(page.contains("500 more endpoints in <a href=\"?format=json\">"));
    assert!(page.contains("1,000 of 1,000 alive"));
    let status = || json(&proxy.get("/proxy-status?format=json"));
    assert_eq!(status()["clusters"][0]["endpoints"].as_array().unwrap().len(), 1_000);
    // What is large is not made for each request, nor kept for long.
    let time = || status()["about"]["time"].as_str().unwrap().to_owned();
    eventually("the same answer", || (time() == time()).then_some(()));
    let before = time();
    eventually("another answer", || (time() != before).then_some(()));
}

#[test]
fn a_page_about_nothing_is_a_page() {
    let proxy = Proxy::start("[listeners.web]\nbind = '127.0.0.1:0'\nstatus-path = '/'\n");
    let page = proxy.get("/").text();
    assert!(page.contains("No cluster is configured") && page.contains("No plugin is in use"));
    assert!(page.ends_with("</html>\n"));
    assert_eq!(proxy.get("/x").status(), 404);
}

#[test]
fn names_are_no_markup() {
    let name = "<script>alert('&')</script>\\\"";
    let proxy = Proxy::start(
        &toml(&[], "")
            .replace("clusters.main", &format!("clusters.\"{name}\""))
            .replace("default-cluster = \"main\"", &format!("default-cluster = \"{name}\"")),
    );
    let page = proxy.get("/proxy-status").text();
    assert!(page.contains("&lt;script&gt;alert('&amp;')&lt;/script&gt;&quot;"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
}
