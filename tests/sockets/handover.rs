//! A Unix socket that another process has next, or had before.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::io::{FdFlags, fcntl_setfd};

use super::{Folder, get};
use crate::support::{Binary, Client, Origin, Signal};

const TAKE_OVER: &[&str] = &["run", "--takeover"];

/// A configuration that can be taken over, with what else it says.
fn toml(folder: &Folder, origin: &Origin, more: &str) -> String {
    let own = "[server]\ntakeover = 'takeover.sock'\nworkers = 1\n";
    format!("{own}{}{more}", folder.toml(origin, "", ""))
}

fn wait(proxy: &Binary, folder: &Folder, name: &str) {
    proxy.wait_for_stdout(&format!("listening on unix:{} ", folder.path(name).display()));
}

#[test]
fn the_successor_has_the_path_and_takes_it_along() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let path = folder.path("web");
    let mut before = Binary::serve(&toml(&folder, &origin, ""));
    wait(&before, &folder, "web");
    let mut idle = Client::at(&path);
    assert_eq!(idle.get("/").value("connection"), None);
    for round in 0..3 {
        let after = before.beside(TAKE_OVER);
        wait(&after, &folder, "web");
        before.wait_for_stderr("leaving");
        if round == 0 {
            let last = idle.get("/");
            assert_eq!((&*last.text(), last.value("connection")), ("ok", Some("close")));
        }
        assert_eq!(get(&path).text(), "ok");
        assert_eq!(before.wait().code(), Some(0), "{}", before.stderr());
        assert!(path.exists(), "round {round}: it is the successor's");
        assert_eq!(get(&path).text(), "ok");
        before = after;
    }
    before.wait_for_stderr("taken over from");
    before.signal(Signal::TERM);
    assert_eq!(before.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_successor_that_cannot_serve_leaves_the_path_to_the_one_before() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let mut before = Binary::serve(&toml(&folder, &origin, ""));
    wait(&before, &folder, "web");
    let config = fs::read_to_string(before.file()).unwrap();
    // Its sockets are opened, and then the administrator's cannot be.
    let taken = UnixListener::bind(folder.path("admin")).unwrap();
    let admin = format!("[admin]\n{}\n", folder.bind("admin"));
    fs::write(before.file(), format!("{config}{admin}")).unwrap();
    let mut after = before.beside(TAKE_OVER);
    assert_eq!(after.wait().code(), Some(1));
    assert!(after.stderr().contains("another process listens there"), "{}", after.stderr());
    drop(taken);
    assert!(before.is_running());
    assert_eq!(get(&folder.path("web")).text(), "ok");
}

#[test]
fn what_the_successor_has_no_use_for_is_cleared_away() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let second = format!("[listeners.second]\n{}\n", folder.bind("second"));
    let config = toml(&folder, &origin, &second);
    // What comes by standard input is not read again.
    let mut before = Binary::reading(&config, &["run", "-c", "-"]);
    wait(&before, &folder, "second");
    let changed = config.replace(&second, "").replace("[listeners.web]", "[listeners.renamed]");
    fs::write(before.file(), changed).unwrap();
    let after = before.beside(TAKE_OVER);
    wait(&after, &folder, "web");
    assert_eq!(before.wait().code(), Some(0), "{}", before.stderr());
    after.wait_for_stderr("linkspan serves");
    assert!(!folder.path("second").exists());
    assert_eq!(get(&folder.path("web")).text(), "ok");
}

#[test]
fn takeovers_under_load_lose_no_request() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let path = folder.path("web");
    let mut serving = Binary::serve(&toml(&folder, &origin, ""));
    wait(&serving, &folder, "web");
    let stop = AtomicBool::new(false);
    let load = |path: &Path| {
        let mut answered = 0;
        while !stop.load(Ordering::Relaxed) {
            let response = get(path);
            assert_eq!((response.status(), &*response.text()), (200, "ok"));
            answered += 1;
        }
        answered
    };
    thread::scope(|scope| {
        let loads = [(); 3].map(|()| scope.spawn(|| load(&path)));
        for _ in 0..5 {
            let next = serving.beside(TAKE_OVER);
            wait(&next, &folder, "web");
            serving.wait_for_stderr("leaving");
            assert_eq!(serving.wait().code(), Some(0), "{}", serving.stderr());
            assert!(!serving.stderr().contains("cut off"), "{}", serving.stderr());
            serving = next;
        }
        stop.store(true, Ordering::Relaxed);
        let answered: Vec<usize> = loads.into_iter().map(|load| load.join().unwrap()).collect();
        assert!(answered.iter().all(|count| *count > 5), "{answered:?}");
    });
}

/// A listener of a service manager at a path, and what has a shell pass it on.
fn passed(path: &Path) -> (UnixListener, String) {
    let socket = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o604)).unwrap();
    fcntl_setfd(socket.as_fd(), FdFlags::empty()).unwrap();
    let number = socket.as_raw_fd();
    let pass = format!("exec 8<&{number}\nexec 3<&8\nexport LISTEN_PID=$$ LISTEN_FDS=1");
    (socket, pass)
}

#[test]
fn one_that_is_passed_by_a_service_manager_stays_the_managers() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let config = toml(&folder, &origin, "");
    for (name, at) in [("", "web"), ("web", "elsewhere")] {
        let path = folder.path(at);
        let (socket, pass) = passed(&path);
        let mut before = Binary::service(&config, &[("LISTEN_FDNAMES", name)], &pass);
        wait(&before, &folder, at);
        assert_eq!(get(&path).text(), "ok");
        let mut after = before.beside(TAKE_OVER);
        wait(&after, &folder, at);
        assert_eq!(before.wait().code(), Some(0), "{}", before.stderr());
        assert_eq!(get(&path).text(), "ok");
        after.wait_for_stderr("taken over from");
        after.signal(Signal::TERM);
        assert_eq!(after.wait().code(), Some(0), "{}", after.stderr());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o604, "whose it is says who may connect");
        assert!(Client::at(&path).write("x").is_ok(), "the manager goes on listening");
        drop(socket);
    }
}

#[test]
fn a_socket_of_the_other_kind_is_not_taken_for_a_listeners() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let (_socket, pass) = passed(&folder.path("web"));
    let config = crate::support::one_cluster(&[origin.address()], "", "");
    let mut proxy = Binary::service(&config, &[("LISTEN_FDNAMES", "web")], &pass);
    assert_eq!(proxy.connect().get("/").text(), "ok");
    proxy.wait_for_stderr("no listener has a use for a socket that was passed: unix:");
}
