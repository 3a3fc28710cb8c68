//! Nothing but regular files below the roots, whatever is named and whoever moves things about.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Scene, expect_discreet};
use crate::support::{Binary, Origin, Proxy, one_cluster};

const SECRET: &str = "secret";

/// A scene with a secret beside its root.
fn scene() -> Scene {
    let scene = Scene::new("");
    fs::write(scene.directory.path().join("secret"), SECRET).unwrap();
    fs::create_dir(scene.directory.path().join("outside")).unwrap();
    fs::write(scene.directory.path().join("outside/a"), SECRET).unwrap();
    scene
}

#[test]
fn no_path_leads_outside() {
    let scene = scene();
    scene.put("sub/a", "file");
    symlink("../secret", scene.path("up")).unwrap();
    symlink(scene.directory.path().join("secret"), scene.path("absolute")).unwrap();
    symlink("../outside", scene.path("elsewhere")).unwrap();
    symlink("sub/a", scene.path("within")).unwrap();
    symlink("loop", scene.path("loop")).unwrap();
    for (file, status) in [
        ("~/files/within", 200),
        ("~/files/../secret", 403),
        ("~/files/../../../../../../../../etc/passwd", 403),
        ("~/files/%2e%2e/secret", 403),
        ("~/files/%2e%2e%2fsecret", 403),
        ("~/filesystem", 403),
        ("../secret", 403),
        ("/proc/self/environ", 403),
        ("/proc/self/root/etc/passwd", 403),
        ("~/files/up", 403),
        ("~/files/absolute", 403),
        ("~/files/elsewhere/a", 403),
        ("~/files/loop", 404),
        ("~/files/sub/a/b", 404),
        ("sub/a", 200),
        ("", 502),
        ("%20", 502),
        ("~/files/%ff", 502),
        ("~/files/a.txt%00.png", 502),
    ] {
        let response = scene.get("/", &[("x-file", file)]);
        assert_eq!(response.status(), status, "{file}");
        assert!(!response.text().contains(SECRET), "{file}");
    }
    let long = format!("~/files/{}", "x".repeat(300));
    assert_eq!(scene.get("/", &[("x-file", &long)]).status(), 404);
    let twice = scene.get("/sub/a", &[("x-answer", "x-sendfile=/etc/passwd")]);
    assert_eq!(twice.status(), 502, "which is meant?");
}

#[test]
fn a_raw_nul_is_no_response_at_all() {
    let origin = Origin::raw(
        &b"HTTP/1.1 200 OK\r\nX-Sendfile: /usr/a.txt\0.png\r\nContent-Length: 0\r\n\r\n"[..],
    );
    let roots = "sendfile-roots = ['/usr']";
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", roots));
    assert_eq!(proxy.get("/").status(), 502);
}

#[test]
fn what_is_no_regular_file_is_not_there_and_holds_nobody_up() {
    let scene = scene();
    let fifo = rustix::fs::CWD;
    let kind = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(fifo, scene.path("fifo"), kind, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("socket")).unwrap();
    fs::create_dir(scene.path("directory")).unwrap();
    for name in ["/fifo", "/socket", "/directory", "/directory/", "/", "/none"] {
        assert_eq!(scene.get(name, &[]).status(), 404, "{name}");
    }
    let devices = Scene::with(tempfile::tempdir().unwrap(), "sendfile-roots = ['/dev']");
    for name in ["/dev/null", "/dev/zero", "/dev/tty"] {
        assert_eq!(devices.get("/", &[("x-file", name)]).status(), 404, "{name}");
    }
}

#[test]
fn what_may_not_be_read_is_refused() {
    let scene = scene();
    let inside = scene.put("closed/a", SECRET);
    let closed = [scene.put("a", SECRET), inside.parent().unwrap().to_owned()];
    scene.put("open", "file");
    let modes = closed.each_ref().map(|path| fs::metadata(path).unwrap().permissions());
    for path in &closed {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let roots = format!("sendfile-roots = [{:?}]", scene.path(""));
    let mut linkspan = Binary::unprivileged(&one_cluster(&[scene.origin.address()], "", &roots));
    let mut client = linkspan.connect();
    for path in ["/a", "/closed/a", "/closed/none"] {
        let response = client.get(path);
        assert_eq!(
            (response.status(), response.text().as_str()),
            (403, "403 Forbidden\n"),
            "{path}"
        );
        expect_discreet(&response);
    }
    assert_eq!(client.get("/open").text(), "file");
    linkspan.wait_for_stderr("Permission denied");
    // So that they can be removed.
    for (path, mode) in closed.iter().zip(modes) {
        fs::set_permissions(path, mode).unwrap();
    }
}

#[test]
fn nothing_outside_is_sent_while_a_directory_and_a_symlink_change_places() {
    let scene = scene();
    scene.put("place/a", "file");
    symlink("../outside", scene.path("link")).unwrap();
    let done = AtomicBool::new(false);
    let (place, link) = (scene.path("place"), scene.path("link"));
    let mut seen = [0, 0];
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let here = rustix::fs::CWD;
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(here, &place, here, &link, exchange).unwrap();
            }
        });
        let mut client = scene.proxy.connect();
        for _ in 0..3_000 {
            let response = client.get("/place/a");
            match response.status() {
                200 => assert_eq!(response.text(), "file"),
                status => assert!([403, 404].contains(&status), "{status}"),
            }
            let kind = usize::from(response.status() != 200);
            if let Some(count) = seen.get_mut(kind) {
                *count += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
    });
    assert!(seen.iter().all(|count| *count > 0), "both were there: {seen:?}");
}

#[test]
fn a_root_is_the_directory_that_it_was_when_it_was_loaded() {
    let scene = scene();
    scene.put("a", "file");
    let root = scene.path("");
    fs::rename(&root, scene.directory.path().join("moved")).unwrap();
    symlink("outside", root.parent().unwrap().join("files")).unwrap();
    assert_eq!(scene.get("/a", &[]).text(), "file");
}
