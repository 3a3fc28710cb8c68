//! Other programs that speak the PROXY protocol.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{TRUSTED, expecting};
use crate::examples::{Nginx, program};
use crate::support::{Proxy, eventually, one_cluster};

#[test]
fn a_real_nginx_reads_what_is_sent() {
    let nginx = Nginx::serve(
        "daemon off; pid nginx.pid; error_log stderr crit;\nevents {}\nhttp {\n  access_log off;\n  \
         client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;\n  \
         uwsgi_temp_path t4; scgi_temp_path t5;\n  server {\n    \
         listen 127.0.0.1:PORT proxy_protocol;\n    return 200 \
         '$proxy_protocol_addr:$proxy_protocol_port > $proxy_protocol_server_addr:\
         $proxy_protocol_server_port';\n  }\n}\n",
    );
    for version in ["v1", "v2"] {
        let check = "health.check = { path = '/', interval = '50ms' }";
        let lines = format!("proxy-protocol = '{version}'\n{check}\nforce-recovery = false");
        let proxy = Proxy::start(&one_cluster(&[nginx.address], "", &lines));
        let mut clients = [proxy.connect(), proxy.connect()];
        for _ in 0..2 {
            for client in &mut clients {
                let own = client.stream().local_addr().unwrap();
                let told = client.get("/").text();
                assert_eq!(told, format!("{own} > {}", proxy.address("web")), "{version}");
            }
        }
        // Its checks are understood too, or nothing would be served any more.
        eventually("checks", || {
            let line = proxy.get("/");
            (line.status() == 200).then_some(())
        });
    }
    let proxy = Proxy::start(&one_cluster(&[nginx.address], "", ""));
    assert_ne!(proxy.get("/").status(), 200, "it takes nothing else");
}

#[test]
fn a_real_curl_is_understood() {
    let (origin, proxy) = expecting(TRUSTED);
    let address = proxy.address("web");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--haproxy-protocol", "--write-out", "%{local_port}"])
        .arg(format!("http://{address}/"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let port: u16 = said.strip_prefix("ok").unwrap().parse().unwrap();
    assert_eq!(proxy.access(1)[0]["client"], format!("127.0.0.1:{port}"));
    assert_eq!(origin.hits(), 1);
    let plain = Command::new("curl").arg("--silent").arg(format!("http://{address}/")).output();
    assert!(!plain.unwrap().status.success());
}

/// A real HAProxy. Dropped, it ends.
struct Haproxy {
    address: SocketAddr,
    process: Child,
    _directory: TempDir,
}

impl Haproxy {
    /// One that passes connections on, reading and sending headers as these options say.
    fn between(bind: &str, server: &str, to: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        // A port that was free can be taken before it has it; then the test fails.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = directory.path().join("haproxy.cfg");
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 9s\n  timeout client 9s\n  timeout server 9s\n\
             listen all\n  bind {address} {bind}\n  server one {to} {server}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program("haproxy", "haproxy"));
        let process = command.arg("-f").arg(file).stdin(Stdio::null()).spawn().unwrap();
        eventually("HAProxy to listen", || TcpStream::connect(address).ok());
        Self { address, process, _directory: directory }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_real_haproxy_in_front_is_understood_and_one_behind_understands() {
    use crate::support::Client;
    let (origin, inner) = expecting(TRUSTED);
    for (server, version) in [("send-proxy", "v1"), ("send-proxy-v2", "v2")] {
        let front =
            Haproxy::between("", &format!("{server} check inter 50ms"), inner.address("web"));
        let mut client = Client::from([127, 0, 0, 77], front.address);
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(origin.requests().pop().unwrap().value("x-forwarded-for"), Some("127.0.0.77"));

        let behind = Haproxy::between("accept-proxy", server, inner.address("web"));
        let lines = format!("proxy-protocol = '{version}'\nhealth.check = {{ type = 'tcp' }}");
        let outer = Proxy::start(&one_cluster(&[behind.address], "", &lines));
        let mut client = Client::from([127, 0, 0, 78], outer.address("web"));
        assert_eq!(client.get("/").text(), "ok");
        let own = client.stream().local_addr().unwrap().to_string();
        eventually("the line", || {
            inner.access(1).iter().find(|line| line["client"] == own).map(drop)
        });
    }
}
