//! The file of a Unix socket: whose it is, who was there before, and what becomes of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::{Folder, Setting, get};
use crate::support::{Binary, Client, Origin, Proxy, Signal, eventually, request};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A user and a group that files can be given to: any for root, else one's own.
fn somebody() -> (u32, u32) {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() { (12_345, 54_321) } else { (user.as_raw(), group.as_raw()) }
}

#[test]
fn its_mode_and_owner_are_those_of_the_configuration() {
    assert_eq!(mode(&Setting::new("", "").path()), 0o660);
    let (user, group) = somebody();
    let lines = format!("socket-mode = '0622'\nsocket-owner = {user}\nsocket-group = '{group}'");
    let mut setting = Setting::new(&lines, "");
    let about = fs::metadata(setting.path()).unwrap();
    assert_eq!((mode(&setting.path()), about.uid(), about.gid()), (0o622, user, group));

    let mut client = setting.connect();
    assert_eq!(client.get("/").status(), 200);
    let toml = setting.folder.toml(&setting.origin, "socket-mode = '0600'", "");
    setting.proxy.reload(&toml).unwrap();
    assert_eq!(mode(&setting.path()), 0o600);
    assert_eq!(fs::metadata(setting.path()).unwrap().ino(), about.ino(), "it is the same socket");
    assert_eq!(client.get("/").status(), 200);
}

#[test]
fn what_the_dead_have_left_is_replaced_and_who_lives_is_not() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let toml = folder.toml(&origin, "", "");
    let other = UnixListener::bind(folder.path("web")).unwrap();
    let refused = Proxy::try_start(&toml, &[]).err().unwrap();
    assert!(refused.contains(&folder.path("web").display().to_string()), "{refused}");
    assert!(refused.ends_with("another process listens there"), "{refused}");
    assert!(folder.path("web").exists());
    drop(other);
    let proxy = Proxy::start(&toml);
    assert_eq!(get(&folder.path("web")).text(), "ok");
    let refused = Proxy::try_start(&toml, &[]).err().unwrap();
    assert!(refused.ends_with("another process listens there"), "{refused}");
    assert_eq!(get(&folder.path("web")).text(), "ok");
    drop(proxy);
    assert!(!folder.path("web").exists());

    fs::write(folder.path("web"), "precious").unwrap();
    let refused = Proxy::try_start(&toml, &[]).err().unwrap();
    assert!(refused.ends_with("there is something that is no socket"), "{refused}");
    assert_eq!(fs::read_to_string(folder.path("web")).unwrap(), "precious");
}

#[test]
fn one_that_was_killed_leaves_a_file_that_stops_nobody() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let mut proxy = Binary::serve(&folder.toml(&origin, "", ""));
    let line = format!("listening on unix:{} (web)\n", folder.path("web").display());
    proxy.wait_for_stdout(&line);
    proxy.killed_and_back(|_| {});
    proxy.wait_for_stdout(&line);
    assert_eq!(get(&folder.path("web")).text(), "ok");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.stderr());
    assert!(!folder.path("web").exists(), "it goes with the process");
}

#[test]
fn a_reload_adds_moves_and_removes_listeners() {
    let mut setting = Setting::new("", "");
    let (web, other) = (setting.path(), setting.folder.path("other"));
    let own = setting.folder.toml(&setting.origin, "", "");
    let listener = |name: &str, at: &str| {
        format!("[listeners.{name}]\n{}\ndefault-cluster = 'main'\n", setting.folder.bind(at))
    };
    let two = format!("{own}{}", listener("second", "other"));
    let moved = two.replace("other.sock", "third.sock");
    let without = own.replace(&setting.folder.bind("web"), "bind = '127.0.0.1:0'");
    let mut kept = setting.connect();

    setting.proxy.reload(&two).unwrap();
    assert_eq!((get(&web).status(), get(&other).status()), (200, 200));
    setting.proxy.reload(&moved).unwrap();
    assert_eq!(get(&setting.folder.path("third")).status(), 200);
    assert!(!other.exists());
    setting.proxy.reload(&own).unwrap();
    assert!(!setting.folder.path("third").exists());
    assert_eq!(kept.get("/").status(), 200, "who stays is not touched");

    setting.proxy.reload(&without).unwrap();
    assert!(!web.exists());
    assert_eq!(setting.proxy.get("/").status(), 200, "it is at an IP address now");
    setting.proxy.reload(&own).unwrap();
    assert_eq!(get(&web).status(), 200);
}

#[test]
fn listeners_that_change_places_take_over_what_waits_there() {
    let mut setting = Setting::new("", "");
    let (web, origin) = (setting.path(), setting.origin.address());
    let toml = setting.folder.toml(&setting.origin, "", "");
    let inode = fs::metadata(&web).unwrap().ino();
    let renamed = toml.replace("[listeners.web]", "[listeners.renamed]\nsocket-mode = '0666'");
    setting.proxy.reload(&renamed).unwrap();
    assert_eq!((mode(&web), fs::metadata(&web).unwrap().ino()), (0o666, inode));
    assert_eq!(get(&web).status(), 200);
    assert_eq!(setting.proxy.counter("linkspan_connections", &[("listener", "renamed")]), 1);

    let pair = |first: &str, second: &str| {
        let bind = |name: &str| setting.folder.bind(name);
        format!(
            "[listeners.a]\n{}\nstatus-path = '/a'\n[listeners.b]\n{}\nstatus-path = '/b'\n\
             [clusters.main]\nendpoints = ['{origin}']\n",
            bind(first),
            bind(second)
        )
    };
    let status = |name: &str, path: &str| Client::at(&setting.folder.path(name)).get(path).status();
    let (one, other) = (pair("web", "x"), pair("x", "web"));
    setting.proxy.reload(&one).unwrap();
    assert_eq!((status("web", "/a"), status("x", "/b")), (200, 200));
    setting.proxy.reload(&other).unwrap();
    assert_eq!((status("web", "/b"), status("x", "/a")), (200, 200));
}

#[test]
fn no_request_is_lost_while_a_listener_is_renamed() {
    let mut setting = Setting::new("", "");
    let (web, toml) = (setting.path(), setting.folder.toml(&setting.origin, "", ""));
    let renamed = toml.replace("[listeners.web]", "[listeners.renamed]");
    let (asked, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let mut kept = setting.connect();
    thread::scope(|scope| {
        let end = Over(&over);
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(get(&web).status(), 200);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 0..30 {
            let before = asked.load(Ordering::SeqCst);
            setting.proxy.reload(if round % 2 == 0 { &renamed } else { &toml }).unwrap();
            assert_eq!(kept.get("/").status(), 200, "who is connected stays so");
            eventually("more requests", || {
                (asked.load(Ordering::SeqCst) > before + 5).then_some(())
            });
        }
        drop(end);
    });
}

/// Set at the end, whatever that is.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_path_that_is_taken_keeps_a_configuration_from_being_served() {
    let mut setting = Setting::new("", "");
    let _other = UnixListener::bind(setting.folder.path("other")).unwrap();
    let toml = setting.folder.toml(&setting.origin, "socket-mode = '0600'", "");
    let second = format!("{toml}[listeners.second]\n{}\n", setting.folder.bind("other"));
    let refused = setting.proxy.reload(&second).unwrap_err();
    assert!(refused.ends_with("another process listens there"), "{refused}");
    assert_eq!(mode(&setting.path()), 0o660, "nothing has changed");
    fs::remove_file(setting.path()).unwrap();
    let refused = setting.proxy.reload(&toml).unwrap_err();
    assert!(refused.ends_with("somebody has removed it, or put another there"), "{refused}");
}

#[test]
fn the_administrator_is_told_the_path_and_the_public_a_name() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let toml = folder.toml(&origin, "status-path = '/status'", "");
    let proxy = Proxy::start(&format!("{toml}[admin]\nbind = '127.0.0.1:0'\n"));
    let address = format!("unix:{}", folder.path("web").display());
    let admin = proxy.admin();
    let host = admin.to_string();
    let ask = |path: &str| {
        let mut client = Client::connect(admin);
        client.send(request("GET", path, &[("host", &host)], b""));
        client.response().text()
    };
    let listeners: serde_json::Value = serde_json::from_str(&ask("/api/listeners")).unwrap();
    assert!(listeners.to_string().contains(&format!("\"address\":\"{address}\"")), "{listeners}");
    assert!(ask("/").contains(&format!("<code>http at {address}</code>")));

    let public = Client::at(&folder.path("web")).get("/status").text();
    assert!(public.contains("<code>http at unix:web.sock</code>"), "{public}");
    assert!(!public.contains(&*folder.0.path().to_string_lossy()));
    let public = Client::at(&folder.path("web")).get("/status?format=json").text();
    assert!(public.contains("unix:web.sock"), "{public}");
    assert!(!public.contains(&*folder.0.path().to_string_lossy()));
}

#[test]
fn a_host_or_a_port_can_not_be_given_for_it() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let toml = folder.toml(&origin, "", "");
    let mut proxy = Binary::with(&toml, &[], &["run", "-p", "0"]);
    assert_eq!(proxy.wait().code(), Some(1));
    assert!(proxy.stderr().contains("can be given for an IP address only"), "{}", proxy.stderr());
    assert!(!folder.path("web").exists());
}

#[test]
fn the_command_check_looks_for_its_owner_and_leaves_the_path_alone() {
    let (origin, folder) = (Origin::replying("ok"), Folder::new());
    let toml = folder.toml(&origin, "socket-owner = 'nobody-of-this-name'", "");
    let mut check = Binary::with(&toml, &[], &["check"]);
    assert_eq!(check.wait().code(), Some(1));
    let said = check.stderr();
    assert!(said.contains("this machine has no user `nobody-of-this-name`"), "{said}");
    let toml = folder.toml(&origin, "socket-owner = 'root'\nsocket-mode = '666'", "");
    let mut check = Binary::with(&toml, &[], &["check"]);
    assert_eq!(check.wait().code(), Some(0), "{}", check.stderr());
    assert!(!folder.path("web").exists());
    let mut config = Binary::with(&toml, &[], &["config"]);
    assert_eq!(config.wait().code(), Some(0));
    let shown = config.stdout();
    for line in ["socket-mode = \"0666\"", "socket-owner = \"root\""] {
        assert!(shown.contains(line), "{shown}");
    }
}
