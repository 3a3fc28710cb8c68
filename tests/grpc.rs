//! gRPC through the proxy, with its own library at both ends: HTTP/2 down and up, in all four forms.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::Proxy;
use crate::support::tls::Authority;

/// What a client says to whom each call was answered.
const ALL: &str = "unary hello me b'me\\x00\\xff'\n\
                   down 50 5000000\n\
                   up 5000000\n\
                   both 100 True\n\
                   fails FAILED_PRECONDITION nein: ä%\n\
                   nothing UNIMPLEMENTED\n\
                   hangs first gone\n\
                   late DEADLINE_EXCEEDED gone\n\
                   many True\n";

/// One end, in a process of its own.
fn peer() -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let version = "import sys; print(f'{sys.version_info[0]}.{sys.version_info[1]}')";
    let version = Command::new("python3").args(["-c", version]).output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let library = root.join("target/grpc").join(version.trim());
    assert!(library.join("grpc").exists(), "there is no gRPC; tools/grpc.sh fetches it");
    let mut command = Command::new("python3");
    command.arg(root.join("tests/grpc/peer.py")).env("PYTHONPATH", library);
    command.stdin(Stdio::null());
    command
}

/// A server. Dropped, it is killed.
struct Server(Child, String);

impl Server {
    fn start() -> Self {
        let mut child = peer().arg("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self(child, format!("127.0.0.1:{}", port.trim()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client says.
#[track_caller]
fn asked(arguments: &[&str]) -> String {
    let asked = peer().arg("ask").args(arguments).output().unwrap();
    let (said, wrong) = (asked.stdout, String::from_utf8_lossy(&asked.stderr).into_owned());
    assert!(asked.status.success(), "{wrong}");
    String::from_utf8(said).unwrap()
}

#[test]
fn calls_of_every_form_go_through_in_the_clear_and_in_tls() {
    let (server, authority) = (Server::start(), Authority::new("authority"));
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    authority.vouch(&["grpc.test"]).write(directory.path(), "web");
    fs::write(at("ca.pem"), authority.pem()).unwrap();
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nhttp-versions = ['h2']\ndefault-cluster = 'app'\n\
         [listeners.secure]\nbind = '127.0.0.1:0'\ndefault-cluster = 'app'\n\
         tls = {{ cert = '{}', key = '{}' }}\n\
         [clusters.app]\nendpoints = ['{}']\nprotocol = 'h2'\n",
        at("web.pem"),
        at("web.key"),
        server.1
    );
    let proxy = Proxy::start(&toml);
    assert_eq!(asked(&[&proxy.address("web").to_string()]), ALL);
    let secure = proxy.address("secure").to_string();
    assert_eq!(asked(&[&secure, &at("ca.pem"), "grpc.test"]), ALL);
}
