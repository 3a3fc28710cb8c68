//! The administrator's listener: who is answered, with what, and what strangers cannot do.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::support::{Binary, Client, Message, Origin, Proxy, Signal, eventually, one_cluster};

const TOKEN: &str = "open-sesame";

/// A configuration with an administrator; `admin` is further lines of its table.
fn toml(origins: &[SocketAddr], admin: &str) -> String {
    let rest = one_cluster(origins, "rewriters = ['stamp']", "");
    format!(
        "{rest}[plugins.stamp]\ncomponent = 'headers'\n\
         [admin]\nbind = '127.0.0.1:0'\n{admin}\n"
    )
}

fn ask(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Message {
    let host = address.to_string();
    let mut all = vec![("host", host.as_str())];
    if fields.iter().any(|(name, _)| *name == "host") {
        all.clear();
    }
    all.extend(fields);
    Client::connect(address).ask(method, path, &all, b"")
}

fn get(address: SocketAddr, path: &str) -> Message {
    ask(address, "GET", path, &[])
}

fn json(address: SocketAddr, path: &str) -> Value {
    let response = get(address, path);
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.value("content-type"), Some("application/json"));
    serde_json::from_slice(&response.body).unwrap()
}

fn reload(proxy: &mut Binary, token: Option<&str>) -> (u16, Value) {
    let token = token.map(|token| format!("Bearer {token}"));
    let fields: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
    let response = ask(proxy.admin(), "POST", "/api/reload", &fields);
    (response.status(), serde_json::from_slice(&response.body).unwrap())
}

#[test]
fn everything_that_is_listed_answers() {
    let origin = Origin::replying("ok");
    let proxy = Proxy::start(&toml(&[origin.address()], ""));
    let admin = proxy.admin();
    let page = get(admin, "/");
    assert_eq!(
        (page.status(), page.value("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(page.text().contains("stamp"), "{}", page.text());
    assert_eq!(get(admin, "/healthz").text(), "ok\n");
    let version = json(admin, "/api/version");
    assert_eq!(version["contract"], "linkspan:plugin@0.1.0");
    assert_eq!(version["workers"], 1);
    // What the page links to is there.
    let text = page.text();
    let links: Vec<_> =
        text.split("<a href=\"").skip(1).map(|link| link.split('"').next().unwrap()).collect();
    assert!(links.len() > 6, "{links:?}");
    for link in links {
        let path = if link.starts_with('?') { format!("/{link}") } else { link.to_owned() };
        assert_eq!(get(admin, &path).status(), 200, "{path}");
    }
    assert_eq!(get(admin, "/nothing").status(), 404);
    assert_eq!(get(admin, "/api").status(), 404);
    for (method, path, allowed) in [
        ("POST", "/metrics", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("PUT", "/healthz", "GET, HEAD"),
    ] {
        let response = ask(admin, method, path, &[]);
        assert_eq!((response.status(), response.value("allow")), (405, Some(allowed)), "{path}");
    }
    let head = ask(admin, "HEAD", "/metrics", &[]);
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

#[test]
fn figures_tell_what_was_served() {
    let gone = Origin::replying("gone");
    let origin = Origin::replying("hello");
    let dead = gone.address();
    drop(gone);
    let proxy = Proxy::start(&toml(&[dead, origin.address()], ""));
    for _ in 0..4 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    let admin = proxy.admin();

    let clusters = json(admin, "/api/clusters");
    assert_eq!(clusters[0]["name"], "main");
    let endpoints = &clusters[0]["endpoints"];
    assert_eq!(endpoints[0]["address"], dead.to_string());
    assert_eq!(
        (&endpoints[0]["state"], &endpoints[0]["usable"]),
        (&"offline".into(), &false.into())
    );
    assert_eq!(
        (&endpoints[0]["failures"], &endpoints[0]["failures_in_a_row"]),
        (&2.into(), &2.into())
    );
    assert_eq!((&endpoints[1]["state"], &endpoints[1]["requests"]), (&"alive".into(), &4.into()));
    assert!(endpoints[1]["latency_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(clusters[0]["retries"], 2);

    let listeners = eventually("the last request to be counted", || {
        let listeners = json(admin, "/api/listeners");
        (listeners[0]["requests"]["2xx"] == 4).then_some(listeners)
    });
    assert_eq!(listeners[0]["address"], proxy.address("web").to_string());
    assert_eq!(listeners[0]["connections"], 4);

    let plugins = json(admin, "/api/plugins");
    let names: Vec<_> = plugins.as_array().unwrap().iter().map(|each| &each["name"]).collect();
    assert_eq!(names, ["round-robin", "stamp"]);
    let balancer = &plugins[0];
    assert_eq!(
        (&balancer["kinds"][0], &balancer["source"]),
        (&"balancer".into(), &"built-in".into())
    );
    assert_eq!(balancer["used_by"][0], "clusters.main.balancer");
    assert!(balancer["calls"].as_u64().unwrap() >= 4, "{balancer}");
    assert_eq!(balancer["failures"], 0);
    assert_eq!(balancer["version"].as_str().unwrap().len(), 12);

    let metrics = get(admin, "/metrics");
    let kind = metrics.value("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = metrics.text();
    for line in [
        "# TYPE linkspan_requests counter",
        "linkspan_requests_total{listener=\"web\",status=\"2xx\"} 4",
        "linkspan_upstream_retries_total{cluster=\"main\"} 2",
        "# UNIT linkspan_request_duration_seconds seconds",
    ] {
        assert!(text.lines().any(|own| own == line), "no {line} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn pages_of_strangers_get_nothing() {
    let proxy = Proxy::start(&toml(&[], &format!("token = '{TOKEN}'")));
    let admin = proxy.admin();
    for path in ["/", "/healthz", "/metrics", "/api/clusters", "/nothing"] {
        let response = ask(admin, "GET", path, &[("host", "evil.example")]);
        assert_eq!(response.status(), 403, "{path}");
        let error: Value = serde_json::from_slice(&response.body).unwrap();
        assert!(error["error"].as_str().unwrap().contains("Host"), "{error}");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            let response = ask(admin, "GET", path, &[("origin", origin)]);
            assert_eq!(response.status(), 403, "{path} from {origin}");
        }
    }
    let own = format!("http://{admin}");
    assert_eq!(ask(admin, "GET", "/metrics", &[("origin", &own)]).status(), 200);
    let localhost = format!("localhost:{}", admin.port());
    assert_eq!(ask(admin, "GET", "/metrics", &[("host", &localhost)]).status(), 200);
    let stranger = [("origin", "http://evil.example"), ("authorization", "Bearer open-sesame")];
    assert_eq!(ask(admin, "POST", "/api/reload", &stranger).status(), 403);
    let mut without = Client::connect(admin);
    without.send("GET /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(without.response().status(), 400);
}

#[test]
fn heads_that_are_too_large_or_too_slow_end_the_connection() {
    let proxy = Proxy::start(&toml(&[], ""));
    let admin = proxy.admin();
    let mut large = Client::connect(admin);
    large.send(format!("GET / HTTP/1.1\r\nhost: {admin}\r\nx: {}\r\n\r\n", "y".repeat(40 << 10)));
    assert_eq!(large.response().status(), 431);
    let mut many = Client::connect(admin);
    many.send(format!("GET / HTTP/1.1\r\nhost: {admin}\r\n{}\r\n", "x: y\r\n".repeat(100)));
    assert_eq!(many.response().status(), 431);

    // More than are served at a time, with nothing, with half a head, and with nothing after an
    // answer: whoever waits is served once they are given up.
    let mut slow: Vec<_> = (0..80).map(|_| Client::connect(admin)).collect();
    for (number, each) in slow.iter_mut().enumerate() {
        match number % 3 {
            0 => each.send("GET / HTTP/1.1\r\nhost: 127"),
            1 => each.send(format!("GET /healthz HTTP/1.1\r\nhost: {admin}\r\n\r\n")),
            _ => {}
        }
    }
    assert_eq!(get(admin, "/healthz").text(), "ok\n");
    for each in &mut slow {
        each.rest();
    }
}

#[test]
fn a_slow_reader_holds_up_neither_others_nor_a_reload() {
    let mut proxy = Proxy::start(&toml(&[], ""));
    let admin = proxy.admin();
    let mut greedy = Client::small(admin);
    for _ in 0..500 {
        if greedy.write(format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\n\r\n")).is_err() {
            break;
        }
    }
    assert_eq!(get(admin, "/healthz").status(), 200);
    proxy.reload(&toml(&[], "token = 'open-sesame'")).unwrap();
    assert_eq!(proxy.admin(), admin, "port 0 stays where it is");
    assert_eq!(json(admin, "/api/version")["generation"], 2);
}

#[test]
fn reloading_needs_the_token_and_tells_what_is_wrong() {
    let with_token = toml(&[], &format!("token = '{TOKEN}'"));
    let mut proxy = Binary::serve(&with_token);
    let before = json(proxy.admin(), "/api/version")["generation"].as_u64().unwrap();
    assert_eq!(reload(&mut proxy, None).0, 401);
    assert_eq!(reload(&mut proxy, Some("open-sesam")).0, 403);
    assert_eq!(get(proxy.admin(), "/api/reload").status(), 401, "not even who may is told");
    let (status, taken) = reload(&mut proxy, Some(TOKEN));
    assert_eq!((status, &taken["generation"]), (200, &(before + 1).into()), "{taken}");

    std::fs::write(proxy.file(), with_token.replace("'headers'", "'haeders'")).unwrap();
    let (status, refused) = reload(&mut proxy, Some(TOKEN));
    assert_eq!(status, 422);
    assert!(refused["report"].as_str().unwrap().contains("haeders"), "{refused}");
    std::fs::write(proxy.file(), with_token.replace("default-cluster", "default-clutser")).unwrap();
    let (status, refused) = reload(&mut proxy, Some(TOKEN));
    assert_eq!(status, 422);
    assert!(refused["report"].as_str().unwrap().contains("default-clutser"), "{refused}");
    assert_eq!(json(proxy.admin(), "/api/version")["generation"], before + 1);

    // The token is that of the configuration that is served.
    let other = with_token.replace(TOKEN, "another-token");
    std::fs::write(proxy.file(), other).unwrap();
    assert_eq!(reload(&mut proxy, Some(TOKEN)).0, 200);
    assert_eq!(reload(&mut proxy, Some(TOKEN)).0, 403);
    std::fs::write(proxy.file(), toml(&[], "")).unwrap();
    assert_eq!(reload(&mut proxy, Some("another-token")).0, 200);
    assert_eq!(reload(&mut proxy, Some("another-token")).0, 403, "nobody may");
}

#[test]
fn a_reload_moves_it_and_announces_where_it_is() {
    let mut proxy = Binary::serve(&toml(&[], ""));
    let (web, admin) = (proxy.address("web"), proxy.admin());
    let elsewhere =
        toml(&[], "").replace("[admin]\nbind = '127.0.0.1:0'", "[admin]\nbind = '[::1]:0'");
    std::fs::write(proxy.file(), &elsewhere).unwrap();
    proxy.signal(Signal::HUP);
    let moved = eventually("the new address", || {
        let stdout = proxy.stdout();
        let line = stdout.lines().find_map(|line| line.strip_prefix("admin on http://[::1]:"))?;
        format!("[::1]:{line}").parse::<SocketAddr>().ok()
    });
    assert_eq!(get(moved, "/healthz").text(), "ok\n");
    assert!(std::net::TcpStream::connect(admin).is_err(), "it still listens where it did");
    assert_eq!(proxy.address("web"), web);
    assert_eq!(proxy.stdout().lines().count(), 3, "only what has changed: {}", proxy.stdout());

    std::fs::write(proxy.file(), elsewhere.split("[admin]").next().unwrap()).unwrap();
    proxy.signal(Signal::HUP);
    eventually("it to go", || std::net::TcpStream::connect(moved).is_err().then_some(()));
}

#[test]
fn a_unix_socket_serves_and_goes_with_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let bind = format!("bind = 'unix:{}'", path.display());
    let toml = toml(&[], "").replace("[admin]\nbind = '127.0.0.1:0'", &format!("[admin]\n{bind}"));
    let mut proxy = Binary::serve(&toml);
    proxy.address("web");
    eventually("its line", || {
        proxy.stdout().contains(&format!("admin on unix:{}", path.display())).then_some(())
    });
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn health_tells_of_leaving_until_the_end() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request();
        // Answers never: the client holds the process.
        let _ = peer.request();
    });
    let config = toml(&[origin.address()], "");
    let mut proxy = Binary::serve(&config);
    let admin = proxy.admin();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    origin.wait_for(1);
    assert_eq!(get(admin, "/healthz").status(), 200);
    proxy.signal(Signal::QUIT);
    eventually("health to tell", || {
        let response = get(admin, "/healthz");
        (response.status() == 503 && response.text() == "draining\n").then_some(())
    });
    assert_eq!(json(admin, "/api/version")["draining"], true);
    drop(client);
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn addresses_that_others_reach_need_a_token() {
    let open =
        toml(&[], "").replace("[admin]\nbind = '127.0.0.1:0'", "[admin]\nbind = '0.0.0.0:0'");
    let said = Proxy::try_start(&open, &[]).err().unwrap();
    assert!(said.contains("admin.bind") && said.contains("token"), "{said}");
    let said = Proxy::try_start(&toml(&[], "token = 'short'"), &[]).err().unwrap();
    assert!(said.contains("token") && !said.contains("'short'"), "{said}");
    let proxy = Proxy::start(&format!("{open}token = '{TOKEN}'"));
    let local = SocketAddr::from(([127, 0, 0, 1], proxy.admin().port()));
    assert_eq!(get(local, "/metrics").status(), 200, "from this machine");
}

#[test]
fn without_the_table_there_is_none() {
    let mut proxy = Binary::serve(&one_cluster(&[], "", ""));
    proxy.address("web");
    assert!(!proxy.stdout().contains("admin"), "{}", proxy.stdout());
}

#[test]
fn plugins_do_not_reach_it_by_a_network_that_they_are_granted() {
    let config = |grants: &str| {
        format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['forwards']\n\
             [admin]\nbind = '127.0.0.1:0'\n[plugins.forwards]\ngrants = {{ addresses = [{grants}] }}\n"
        )
    };
    let mut proxy = Proxy::start_with(&config("'127.0.0.0/8:*'"), &["forwards"]);
    let admin = proxy.admin();
    let to = format!("http://{admin}");
    let fields = [("host", "127.0.0.1"), ("x-to", to.as_str())];
    let ask = |proxy: &Proxy| proxy.connect().ask("GET", "/healthz", &fields, b"").status();
    assert_eq!(ask(&proxy), 502);
    proxy.reload(&config(&format!("'{admin}'"))).unwrap();
    assert_eq!(ask(&proxy), 200, "it is granted by name");
}
