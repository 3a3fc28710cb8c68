//! Other processes at the same certificates, and authorities that have had enough.

use std::fs;
use std::net::Ipv4Addr;

use serde_json::json;

use super::Setting;
use crate::support::pebble::{HTTP, Pebble, TLS};
use crate::support::{Binary, Client, Origin, eventually, reply};

#[test]
fn of_two_processes_one_asks_and_the_other_reads_what_comes() {
    let setting = Setting::new(Pebble::start(), "");
    // Nobody listens there.
    setting.pebble.name("a.test", Ipv4Addr::new(127, 0, 0, 2));
    let mut first = Binary::serve(&setting.toml(&["a.test"]));
    first.address("web");
    first.wait_for_stderr("no certificate obtained");
    let elsewhere = setting.toml(&["a.test"]).replace("'takeover.sock'", "'other.sock'");
    let elsewhere = elsewhere.replace(&format!(":{TLS}'"), ":0'");
    let elsewhere = elsewhere.replace(&format!(":{HTTP}'"), ":0'");
    fs::write(first.file().with_file_name("other.toml"), elsewhere).unwrap();
    let mut second = first.beside(&["run", "-c", "other.toml"]);
    let address = second.address("web");
    second.wait_for_stderr("another process keeps the certificates");
    setting.pebble.name("a.test", setting.pebble.address());
    setting.eventually_serves(&first, "a.test");
    let client = setting.pebble.client();
    eventually("what the other keeps", || Client::secure(address, &client, "a.test").ok());
    assert!(!second.stderr().contains("certificate obtained"), "{}", second.stderr());
}

#[test]
fn an_authority_is_left_alone_for_as_long_as_it_wants_to_be() {
    let authority = Origin::answering(|request| {
        let at = |path: &str| format!("http://{}/{path}", request.value("host").unwrap());
        let nonce = ("replay-nonce", "abc");
        match request.target() {
            "/dir" => {
                let urls =
                    json!({ "newNonce": at("n"), "newAccount": at("a"), "newOrder": at("o") });
                reply(200, &[], urls.to_string())
            }
            "/n" => reply(200, &[nonce], ""),
            _ => {
                let problem = json!({
                    "type": "urn:ietf:params:acme:error:rateLimited",
                    "detail": "too many of you",
                    "status": 429,
                });
                reply(429, &[nonce, ("retry-after", "7200")], problem.to_string())
            }
        }
    });
    let directory = tempfile::TempDir::new().unwrap();
    let (address, dir) = (authority.address(), directory.path().display());
    let program = Binary::serve(&format!(
        "[acme]\nterms-agreed = true\ndirectory = 'http://{address}/dir'\ndir = '{dir}'\n\
         retry = '100ms'\n[listeners.web]\nbind = '127.0.0.1:0'\nstatus-path = '/'\n\
         tls = {{ acme = ['a.test'] }}\n"
    ));
    program.wait_for_stderr("too many of you (urn:ietf:params:acme:error:rateLimited)");
    program.wait_for_stderr("tried again in 1h59m");
}
