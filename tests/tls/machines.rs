//! Clients as people have them: curl, nghttp, h2load and a browser.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::Vault;
use crate::support::{Browser, Origin, Proxy, one_cluster, reply};

/// A proxy that speaks HTTP/1.1 and HTTP/2 in TLS, as `localhost`, in front of an origin that says the
/// request's line.
struct Setting {
    vault: Vault,
    proxy: Proxy,
    _origin: Origin,
}

impl Setting {
    fn new() -> Self {
        let vault = Vault::new();
        vault.make("a", &["localhost"]);
        fs::write(vault.path().join("ca.pem"), vault.authority.pem()).unwrap();
        let page = "<!doctype html><title>page</title><script src=/script></script>";
        let origin = Origin::answering(move |request| match request.target() {
            "/script" => reply(200, &[("content-type", "text/javascript")], "window.ran = true"),
            _ => reply(200, &[("content-type", "text/html")], page),
        });
        let listener = format!("tls = {{ {} }}", vault.files("a"));
        let proxy = Proxy::start(&one_cluster(&[origin.address()], &listener, ""));
        Self { vault, proxy, _origin: origin }
    }

    fn address(&self) -> SocketAddr {
        self.proxy.address("web")
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/page", self.address().port())
    }

    fn ca(&self) -> String {
        self.vault.path().join("ca.pem").display().to_string()
    }
}

/// What a program says that tools/need.sh installs.
#[track_caller]
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|_| panic!("there is no {program}: tools/need.sh {program}"));
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {wrong}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_chooses_its_version() {
    let setting = Setting::new();
    for (version, expected) in [("--http1.1", "200 1.1"), ("--http2", "200 2")] {
        let told = said(
            "curl",
            &[
                version,
                "-sS",
                "--cacert",
                &setting.ca(),
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{http_version}",
                &setting.url(),
            ],
        );
        assert_eq!(told, expected, "{version}");
    }
}

#[test]
fn nghttp_gets_a_page_and_what_it_needs() {
    let setting = Setting::new();
    let told = said("nghttp", &["-nsa", "--no-verify-peer", &setting.url()]);
    assert_eq!(told.matches(" 200 ").count(), 2, "{told}");
}

#[test]
fn h2load_has_a_hundred_streams_of_a_connection_answered() {
    let setting = Setting::new();
    let told = said("h2load", &["-c", "4", "-m", "100", "-n", "5000", &setting.url()]);
    assert!(told.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{told}");
    assert!(told.contains("Application protocol: h2"), "{told}");
}

#[test]
fn a_browser_speaks_http2() {
    let setting = Setting::new();
    let mut browser = Browser::trusting_anybody();
    browser.open(&setting.url());
    browser.wait_for("the script to run", "window.ran === true");
    // The page and its script at least.
    let spoken = "const spoken = performance.getEntries().map(entry => entry.nextHopProtocol); \
                  spoken.filter(Boolean).length > 1 && spoken.every(p => !p || p === 'h2')";
    assert_eq!(browser.run(spoken), true);
    assert_eq!(browser.run("location.protocol").as_str(), Some("https:"));
}
