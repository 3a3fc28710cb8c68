//! The stream routers that the program carries, and real clients and servers of the protocols that they
//! know: git, curl, OpenSSL.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{answer, echo, reason, routed, tcp, text};
use crate::support::{Origin, Proxy, UNHURRIED, reply, request};

/// A listener, `web`, with a stream router of that component before the clusters `one`, `other` and `rest`.
fn before(component: &str, config: &str, more: &str, clusters: [SocketAddr; 3]) -> Proxy {
    let mut toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = 'by'\n\
         [plugins.by]\ncomponent = '{component}'\n{UNHURRIED}\nconfig = {{ {config} }}\n{more}\n"
    );
    for (name, address) in ["one", "other", "rest"].into_iter().zip(clusters) {
        toml += &format!("[clusters.{name}]\nendpoints = ['{address}']\n");
    }
    Proxy::start(&toml)
}

/// What a program that is expected to succeed prints.
#[track_caller]
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {said}");
    text(stdout)
}

#[test]
fn the_first_bytes_say_which_protocol_it_is() {
    let [one, other, rest] = [echo(), echo(), echo()];
    let config = "rules = [{ match = '^SSH-', cluster = 'one' }, \
                  { match = ['^GET ', '^\\x16\\x03'], cluster = 'other' }], within = 8, default = 'rest'";
    let clusters = [one.address(), other.address(), rest.address()];
    let proxy = before("match-bytes", config, "", clusters);
    for (bytes, origin) in [
        ("SSH-2.0-x\r\n", &one),
        ("GET / HTTP/1.1\r\n", &other),
        ("\u{16}\u{3}\u{1}", &other),
        ("something", &rest),
    ] {
        assert_eq!(answer(&proxy, bytes), format!("{}:{bytes}", origin.address().port()));
    }
}

#[test]
fn a_host_of_the_first_request_has_its_cluster_and_what_is_no_request_an_answer() {
    let [one, other, rest] = ["one", "other", "rest"].map(|name| {
        Origin::answering(move |request| reply(200, &[], format!("{name} {}", request.target())))
    });
    let config = "hosts = { 'a.test' = 'one', '*.b.test' = 'other' }";
    let clusters = [one.address(), other.address(), rest.address()];
    let proxy = before("http-host", config, "", clusters);
    let mut client = proxy.connect();
    let ask = |host: &str| request("GET", "/x", &[("host", host)], b"");
    client.send(ask("A.test:80"));
    assert_eq!(client.response().text(), "one /x");
    client.send(ask("c.b.test"));
    assert_eq!(client.response().text(), "one /x", "it is one connection");
    let mut client = proxy.connect();
    client.send(ask("c.b.test"));
    assert_eq!(client.response().text(), "other /x");
    for (sent, status) in [
        (String::from_utf8(ask("c.test")).unwrap(), 404),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}".to_owned(), 400),
    ] {
        let mut client = proxy.connect();
        client.send(sent);
        assert_eq!(client.response().status(), status);
        client.expect_closed();
    }
}

#[test]
fn a_socks_client_gets_where_the_grants_let_it() {
    let origin = Origin::replying("hello");
    let address = origin.address();
    let granted = format!("grants.addresses = ['{address}', 'localhost:{}']", address.port());
    let proxy = before("socks4", "", &granted, [address; 3]);
    let via = proxy.address("web");
    for (option, url) in [
        ("--socks4", format!("http://{address}/")),
        ("--socks4a", format!("http://localhost:{}/", address.port())),
    ] {
        let mut curl = Command::new("curl");
        let curl = curl.args(["--silent", "--show-error", "--max-time", "60", option]);
        assert_eq!(run(curl.arg(via.to_string()).arg(url)), "hello", "{option}");
    }
    let mut curl = Command::new("curl");
    let curl = curl.args(["--silent", "--max-time", "60", "--socks4", &via.to_string()]);
    assert!(!curl.arg("http://127.0.0.2:1/").status().unwrap().success());
    let mut client = proxy.connect();
    client.send("\u{4}\u{2}");
    assert_eq!(client.rest(), [0, 0x5b, 0, 0, 0, 0, 0, 0], "it binds nothing");
}

#[test]
fn a_client_that_asks_to_be_connected_gets_where_the_grants_let_it() {
    let origin = Origin::replying("hello");
    let address = origin.address();
    let proxy =
        before("http-connect", "", &format!("grants.addresses = ['{address}']"), [address; 3]);
    let via = proxy.address("web").to_string();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--proxytunnel", "--proxy", &via]);
    assert_eq!(run(curl.arg(format!("http://{address}/"))), "hello");

    let mut client = proxy.connect();
    let early = text(request("GET", "/", &[("connection", "close")], b""));
    client.send(format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n{early}"));
    assert_eq!(client.response_to("HEAD").status(), 200);
    assert_eq!(client.response().text(), "hello");
    for (sent, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:1\r\n\r\n", 400),
    ] {
        let mut client = proxy.connect();
        client.send(sent);
        assert_eq!(client.response().status(), status, "{sent}");
    }
    let refused = answer(&proxy, "CONNECT 127.0.0.2:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(refused, "", "nothing is promised that is not granted");
}

#[test]
fn what_needs_grants_says_so() {
    for component in ["socks4", "http-connect"] {
        let toml = format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = '{component}'"
        );
        let refused = Proxy::try_start(&toml, &[]).err().unwrap();
        assert!(refused.contains("the plugin is granted no address"), "{refused}");
    }
}

/// A real git daemon that serves the repositories in a folder.
fn git_daemon(folder: &Path) -> Origin {
    let folder = folder.to_owned();
    Origin::scripted(move |peer| {
        let socket = || OwnedFd::from(peer.stream().try_clone().unwrap());
        let mut daemon = git(&folder);
        daemon.args(["daemon", "--inetd", "--export-all"]);
        daemon.arg(format!("--base-path={}", folder.display()));
        daemon.stdin(socket()).stdout(socket()).stderr(Stdio::null());
        assert!(daemon.status().unwrap().success());
    })
}

/// Git, without anybody's settings.
fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder).env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1");
    git.env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@a.test");
    }
    git
}

/// A folder with a repository of each of these users, in which a file tells of both.
fn repositories(server: &str, users: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for user in users {
        let repository = folder.path().join(user).join("god.git");
        std::fs::create_dir_all(&repository).unwrap();
        std::fs::write(repository.join("told"), format!("{user} at {server}")).unwrap();
        for arguments in [&["init", "--quiet"][..], &["add", "told"], &["commit", "-qm", "told"]] {
            run(git(&repository).args(arguments));
        }
    }
    folder
}

#[test]
fn users_of_git_are_served_by_their_own_daemons() {
    let (first, second) = (repositories("one", &["mojombo"]), repositories("other", &["defunkt"]));
    let (one, other) = (git_daemon(first.path()), git_daemon(second.path()));
    let clusters = [one.address(), other.address(), other.address()];
    let table = before(
        "git-path",
        "users = { mojombo = 'one', defunkt = 'other', gone = 'other' }",
        "",
        clusters,
    );
    let store = before(
        "git-path-store",
        "store = 'users'",
        &format!(
            "grants = {{ stores = ['users'], addresses = ['127.0.0.1:*'] }}\n\
             [stores.users]\nentries = {{ mojombo = 'one', defunkt = '{}', gone = 'other' }}",
            other.address()
        ),
        clusters,
    );
    for proxy in [&table, &store] {
        let url = |user: &str| format!("git://{}/{user}/god.git", proxy.address("web"));
        for (user, server) in [("mojombo", "one"), ("defunkt", "other")] {
            let folder = TempDir::new().unwrap();
            run(git(folder.path()).args(["clone", "--quiet", &url(user), "clone"]));
            let told = std::fs::read_to_string(folder.path().join("clone/told")).unwrap();
            assert_eq!(told, format!("{user} at {server}"));
        }
        let folder = TempDir::new().unwrap();
        let output = git(folder.path()).args(["ls-remote", &url("nobody")]).output().unwrap();
        let said = text(output.stderr);
        assert!(
            !output.status.success() && said.contains("there is no user nobody here"),
            "{said}"
        );
        assert_eq!(reason(proxy, 3), "");
    }
}

/// A real TLS server, with a certificate of this name. Dropped, it is killed.
struct Tls {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Tls {
    fn named(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (key, certificate) = (file("key"), file("certificate"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"]);
        openssl.args([
            "ec_paramgen_curve:prime256v1",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
        ]);
        run(openssl.args(["-keyout", &key, "-out", &certificate]));
        let mut openssl = Command::new("openssl");
        openssl.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-alpn", "http/1.1"]);
        openssl.args(["-key", &key, "-cert", &certificate]);
        openssl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = openssl.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it does not listen");
            if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
                break address.parse().unwrap();
            }
        };
        // Who prints must be read.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self { address, process, _folder: folder }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn tls_goes_through_to_the_server_that_its_client_names() {
    let [one, other, rest] = ["one", "other", "rest"].map(Tls::named);
    let clusters = [one.address, other.address, rest.address];
    let hosts = "hosts = { 'one.test' = 'one', '*.other.test' = 'other' }";
    let proxy = before("sni", &format!("{hosts}, default = 'rest'"), "", clusters);
    let via = proxy.address("web");
    let subject = |options: &[&str]| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &via.to_string()]).args(options);
        run(client.stdin(Stdio::null()))
    };
    for (options, name) in [
        (&["-servername", "One.test"][..], "one"),
        (&["-servername", "a.other.test", "-alpn", "h2,http/1.1"], "other"),
        (&["-servername", "else.test"], "rest"),
        (&["-noservername"], "rest"),
    ] {
        let said = subject(options);
        let own = said.lines().find(|line| line.starts_with("subject=")).unwrap_or_default();
        assert!(own.replace(' ', "").ends_with(&format!("CN={name}")), "{options:?}: {own}");
    }

    let port = via.port();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--insecure", "--max-time", "60", "--resolve"]);
    curl.arg(format!("one.test:{port}:127.0.0.1")).arg(format!("https://one.test:{port}/"));
    assert!(run(&mut curl).contains("s_server"));

    let proxy = before("sni", hosts, "", clusters);
    let mut curl = Command::new("curl");
    let url = format!("https://{}/", proxy.address("web"));
    let output = curl.args(["--silent", "--show-error", "--insecure", &url]).output().unwrap();
    let said = text(output.stderr);
    assert!(!output.status.success() && said.contains("unrecognized name"), "{said}");
    assert_eq!(answer(&proxy, "not TLS"), "");
}

#[test]
fn a_router_is_told_which_protocols_a_tls_client_offers() {
    let [one, other] = ["one", "other"].map(Tls::named);
    let rules = format!(
        "rules = [{{ protocol = 'h2', to = ['{}'] }}, {{ protocol = 'http/1.1', to = ['{}'] }}]",
        tcp(one.address),
        tcp(other.address)
    );
    let proxy = routed(&rules, "", "");
    let via = proxy.address("web").to_string();
    for (offered, name) in [("http/1.1,h2", "one"), ("http/1.1", "other")] {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &via, "-alpn", offered]);
        let said = run(client.stdin(Stdio::null()));
        let own = said.lines().find(|line| line.starts_with("subject=")).unwrap_or_default();
        assert!(own.replace(' ', "").ends_with(&format!("CN={name}")), "{offered}: {own}");
    }
}

#[test]
fn a_router_is_told_of_the_listener_and_the_client() {
    let proxy = routed("rules = [{ begins = 'x', do = 'tell' }]", "", "");
    let mut client = proxy.connect();
    let port = client.stream().local_addr().unwrap().port();
    client.send("x");
    assert_eq!(text(client.rest()), format!("web 127.0.0.1 {port}"));
}
