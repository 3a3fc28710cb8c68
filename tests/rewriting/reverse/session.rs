//! Chains of rewriters, and a browser's way through an application that believes to live somewhere
//! else.

use std::process::Command;

use crate::support::{Origin, Proxy, one_cluster, reply};

/// `/shop` of the front is the root of `app.internal`; what that says is turned back, and each
/// direction is stamped.
fn in_front_of(origin: &Origin) -> String {
    let config = one_cluster(
        &[origin.address()],
        "rewriters = ['stamp', 'to-app']",
        "rewriters = ['back']\nforwarded-headers = ['x-host']",
    );
    format!(
        "{config}[plugins.to-app]\ncomponent = 'rewrite'\n[plugins.to-app.config]\n\
         request = [ {{ header = '_uri', match = '^/shop(/.*)', to = '$1' }},\n\
         {{ header = 'Host', match = '.*', to = 'app.internal' }} ]\n\
         response = [ {{ header = 'Location', match = '^(http://[^/]*)/shop/old(.*)', to = '$1/shop/new$2' }} ]\n\
         [plugins.back]\ncomponent = 'reverse-map'\n\
         [plugins.stamp]\ncomponent = 'headers'\n[plugins.stamp.config]\n\
         request = {{ set = {{ x-stamp = 'up' }} }}\n\
         response = {{ set = {{ x-stamp = 'down' }}, remove = ['server'] }}\n"
    )
}

#[test]
fn in_a_chain_each_sees_what_the_one_before_made() {
    let origin = Origin::answering(|_| {
        reply(302, &[("location", "http://app.internal/old/a"), ("server", "app")], "")
    });
    let proxy = Proxy::start(&in_front_of(&origin));
    let answer = proxy.connect().ask("GET", "/shop/x?y", &[("host", "front.test")], b"");
    let request = origin.request();
    assert_eq!((request.target(), request.value("host")), ("/x?y", Some("app.internal")));
    assert_eq!(request.value("x-host"), Some("front.test"));
    assert_eq!(request.value("x-stamp"), Some("up"));
    // `back` came before `to-app`, whose rule would not have matched otherwise.
    assert_eq!(answer.value("location"), Some("http://front.test/shop/new/a"));
    assert_eq!((answer.value("x-stamp"), answer.value("server")), (Some("down"), None));
}

/// An application that knows nothing of where it is served: it redirects by absolute URLs, and wants
/// both of its cookies back.
fn application() -> Origin {
    Origin::answering(|request| {
        let cookies = request.value("cookie").unwrap_or_default();
        let has = |cookie: &str| cookies.split("; ").any(|own| own == cookie);
        match request.target() {
            "/" => reply(302, &[("location", "http://app.internal/login")], ""),
            "/login" => {
                let fields = [
                    ("set-cookie", "sid=42; Domain=app.internal; Path=/; HttpOnly"),
                    ("set-cookie", "seen=1; Path=/account"),
                    ("location", "/account/"),
                ];
                reply(303, &fields, "")
            }
            "/account/" if has("sid=42") && has("seen=1") => reply(200, &[], "welcome"),
            _ if cookies.is_empty() => reply(403, &[], "a stranger"),
            _ => reply(403, &[], cookies),
        }
    })
}

#[test]
fn a_client_finds_its_way_through_an_application_under_another_name() {
    let origin = application();
    let proxy = Proxy::start(&in_front_of(&origin));
    let port = proxy.address("web").port();
    let directory = tempfile::TempDir::new().unwrap();
    let jar = directory.path().join("jar");
    let curl = |path: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--location", "--max-time", "60", "--noproxy", "*"]);
        command.arg("--cookie").arg(&jar).arg("--cookie-jar").arg(&jar);
        command.args(["--resolve", &format!("front.example:{port}:127.0.0.1")]);
        command.args(["--write-out", " %{http_code} %{num_redirects} %{url_effective}"]);
        command.arg(format!("http://front.example:{port}{path}"));
        let output = command.output().unwrap_or_else(|error| {
            panic!("this test needs curl: `sudo apt-get install curl`: {error}")
        });
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let account = format!("200 2 http://front.example:{port}/shop/account/");
    assert_eq!(curl("/shop/"), format!("welcome {account}"));
    let kept = std::fs::read_to_string(&jar).unwrap();
    for line in
        ["front.example\tTRUE\t/shop\tFALSE\t0\tsid\t42", "\t/shop/account\tFALSE\t0\tseen\t1"]
    {
        assert!(kept.contains(line), "{line} is not in {kept}");
    }
    // The session goes on, and stays with its application.
    assert_eq!(curl("/shop/account/"), account.replace("200 2", "welcome 200 0"));
    let elsewhere = format!("a stranger 403 0 http://front.example:{port}/other");
    assert_eq!(curl("/other"), elsewhere);
}
