//! Compressed bodies.

use super::{HTML, PAGE, REPLACED, assert_replaced, to, with_rules};
use crate::examples::Nginx;
use crate::support::{Origin, Proxy, eventually, reply};

/// [`PAGE`] as gzip writes what it does not compress.
fn gzipped() -> Vec<u8> {
    let length = u16::try_from(PAGE.len()).unwrap();
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    bytes.extend(length.to_le_bytes());
    bytes.extend((!length).to_le_bytes());
    bytes.extend(PAGE.as_bytes());
    let sum = PAGE.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    });
    bytes.extend((!sum).to_le_bytes());
    bytes.extend(u32::from(length).to_le_bytes());
    bytes
}

#[test]
fn what_a_real_nginx_has_compressed_is_replaced_in() {
    let lines = "<a href=\"http://old.test/\">v1</a>\n".repeat(20_000);
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("page.html"), &lines).unwrap();
    let root = folder.path().display();
    let nginx = Nginx::serve(&format!(
        "daemon off; pid nginx.pid; error_log stderr crit;\nevents {{}}\nhttp {{\n\
         access_log off;\n  types {{ text/html html; }}\n  gzip on; gzip_http_version 1.0;\n  \
         gzip_proxied any;\n  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;\n  \
         uwsgi_temp_path t4; scgi_temp_path t5;\n  \
         server {{ listen 127.0.0.1:PORT; root {root}; }}\n}}\n"
    ));
    let proxy = Proxy::start(&with_rules(nginx.address, ""));
    let expected = lines.replace("http://old.test/", "https://new.test/").replace("v1", "w1");
    let mut client = proxy.connect();
    for accepted in ["gzip, deflate, br, zstd", "identity"] {
        let response = client.ask("GET", "/page.html", &[("accept-encoding", accepted)], b"");
        assert!(response.complete && response.text() == expected, "{accepted}");
        assert_eq!((response.value("content-encoding"), response.length()), (None, None));
    }
    let proxy = Proxy::start(&with_rules(nginx.address, "encoded = 'leave'"));
    let response = proxy.connect().ask("GET", "/page.html", &[("accept-encoding", "gzip")], b"");
    assert!(response.complete && response.body.starts_with(&[0x1f, 0x8b]));
    assert_eq!(response.value("content-encoding"), Some("gzip"), "nginx does compress");
}

#[test]
fn upstreams_are_asked_for_codings_that_can_be_undone() {
    let origin = Origin::answering(|_| reply(200, &[HTML], PAGE));
    let proxy = to(&origin, "");
    let mut client = proxy.connect();
    assert_replaced(&client.ask("GET", "/", &[("accept-encoding", "zstd, gzip;q=0.9, *")], b""));
    assert_replaced(&client.ask("GET", "/", &[("accept-encoding", "zstd")], b""));
    assert_replaced(&client.get("/"));
    let seen: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| request.value("accept-encoding").map(str::to_owned))
        .collect();
    assert_eq!(seen, [Some("gzip;q=0.9".to_owned()), Some("identity".to_owned()), None]);
}

#[test]
fn codings_that_nobody_knows_are_left_alone() {
    let origin = Origin::answering(|_| reply(200, &[HTML, ("content-encoding", "zstd")], PAGE));
    let response = to(&origin, "").get("/");
    assert_eq!((response.text().as_str(), response.length()), (PAGE, Some(PAGE.len())));
    assert_eq!(response.value("content-encoding"), Some("zstd"));
}

#[test]
fn a_coding_that_breaks_off_or_is_none_cuts_the_body_off_and_is_no_failure() {
    let origin = Origin::answering(|request| {
        let mut bytes = gzipped();
        match request.target() {
            "/cut" => bytes.truncate(bytes.len() - 1),
            "/none" => bytes = PAGE.into(),
            "/sum" => *bytes.last_mut().unwrap() ^= 1,
            _ => {}
        }
        reply(200, &[HTML, ("content-encoding", "gzip")], bytes)
    });
    let proxy = to(&origin, "");
    assert_replaced(&proxy.get("/good"));
    for (target, said) in [
        ("/cut", "its coding breaks off"),
        ("/none", "it cannot be decoded"),
        ("/sum", "its coding breaks off, or does not add up"),
    ] {
        for _ in 0..3 {
            let response = proxy.get(target);
            assert!(!response.complete, "{target}");
            assert!(REPLACED.starts_with(&response.text()), "{target}");
        }
        let error = eventually("a line of the access log", || {
            let lines = proxy.access(1);
            let line = lines.iter().find(|line| line["target"] == target)?;
            Some(line["error"].as_str()?.to_owned())
        });
        assert!(error.contains("rewriter links") && error.contains(said), "{error}");
    }
    assert_replaced(&proxy.get("/good"));
    let failures = proxy.counter("linkspan_plugin_failures_total", &[]);
    assert_eq!((failures, proxy.counter("linkspan_plugin_parked", &[])), (0, 0));
}
