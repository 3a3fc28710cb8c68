//! As a service manager has it: what it is told, and the sockets that it passes.

use std::fs;
use std::io;
use std::iter;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::support::{Binary, Client, PATIENCE, Signal, eventually};
use crate::takeover::TAKE_OVER;
use crate::takeover::meanwhile::{Predecessor, hand_over_nothing};

const CONFIG: &str = "[server]\nworkers = 1\n[listeners.web]\nbind = '127.0.0.1:0'\n";

/// A manager that listens to what it is told.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory }
    }

    fn path(&self) -> String {
        self.directory.path().join("notify").to_str().unwrap().to_owned()
    }

    /// The next message that is not about the watchdog.
    #[track_caller]
    fn told(&self) -> String {
        loop {
            let text = self.hears();
            if !text.contains("WATCHDOG=1") {
                return text;
            }
        }
    }

    #[track_caller]
    fn hears(&self) -> String {
        self.next().unwrap()
    }

    /// What it has been told by now and has not listened to, without the watchdog.
    fn was_told(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let told = iter::from_fn(|| self.next().ok());
        let told = told.filter(|text| !text.contains("WATCHDOG=1")).collect();
        self.socket.set_nonblocking(false).unwrap();
        told
    }

    /// Whether it is told nothing for a while.
    fn hears_nothing_for(&self, time: Duration) -> bool {
        self.was_told();
        self.socket.set_read_timeout(Some(time)).unwrap();
        let heard = self.next();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_err()
    }

    fn next(&self) -> io::Result<String> {
        let mut bytes = [0; 512];
        let count = self.socket.recv(&mut bytes)?;
        Ok(String::from_utf8_lossy(bytes.get(..count).unwrap()).into_owned())
    }
}

/// What says that this process serves from now on, as the service's.
fn ready(text: &str, process: &Binary) -> bool {
    let pid = process.pid().as_raw_nonzero();
    text.contains("READY=1\n") && text.lines().any(|line| line == format!("MAINPID={pid}"))
}

#[test]
fn the_manager_is_told_when_it_serves_reloads_and_leaves() {
    let manager = Manager::new();
    let mut proxy = Binary::service(CONFIG, &[("NOTIFY_SOCKET", &manager.path())], "");
    let ready = manager.told();
    assert!(ready.contains("READY=1\n") && ready.contains("MAINPID="), "{ready}");
    assert_eq!(proxy.connect().get("/").status(), 404, "it serves by then");
    proxy.signal(Signal::HUP);
    let reloading = manager.told();
    assert!(reloading.contains("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(manager.told().contains("READY=1"));
    proxy.signal(Signal::TERM);
    assert!(manager.told().contains("STOPPING=1"));
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_while_workers_have_time() {
    let manager = Manager::new();
    let variables = [("NOTIFY_SOCKET", &*manager.path()), ("WATCHDOG_USEC", "600000")];
    let _proxy = Binary::service(CONFIG, &variables, "");
    let fed = (0..20).filter(|_| manager.hears().contains("WATCHDOG=1")).take(3);
    assert_eq!(fed.count(), 3);
}

#[test]
fn the_watchdog_starves_while_a_worker_is_stuck() {
    let manager = Manager::new();
    let variables = [("NOTIFY_SOCKET", &*manager.path()), ("WATCHDOG_USEC", "600000")];
    let config = "[server]\nworkers = 1\nplugin-dir = 'plugins.d'\n\
                  [listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\n\
                  stream-router = 'streams'\n[plugins.streams]\nlimits.deadline = '10s'\n\
                  config.rules = [{ begins = 'loop', do = 'loop' }]\n";
    let mut proxy = Binary::service_with(config, &["streams"], &variables, "");
    let mut client = proxy.connect();
    while !manager.hears().contains("WATCHDOG=1") {}
    client.send("loop");
    let quiet = Duration::from_secs(1);
    eventually("it not to be fed", || manager.hears_nothing_for(quiet).then_some(()));
    proxy.wait_for_stderr("has had no time since the watchdog was last fed");
    // When its time is over it is fed again.
    while !manager.hears().contains("WATCHDOG=1") {}
}

#[test]
fn a_takeover_is_not_the_end_of_the_service() {
    let manager = Manager::new();
    let told = [("NOTIFY_SOCKET", &*manager.path())];
    let config = CONFIG.replace("[server]", "[server]\ntakeover = 'takeover.sock'");
    let mut before = Binary::service(&config, &told, "");
    assert!(ready(&manager.told(), &before));
    let mut after = before.beside_with(TAKE_OVER, &told);
    assert!(ready(&manager.told(), &after), "the process after is the service's main one");
    assert_eq!(before.wait().code(), Some(0));
    assert_eq!(manager.was_told(), [""; 0], "by the one before, which has left");
    after.signal(Signal::TERM);
    assert!(manager.told().contains("STOPPING=1"));
    assert_eq!(after.wait().code(), Some(0));
}

#[test]
fn the_manager_knows_the_process_after_before_the_one_before_may_leave() {
    let (manager, before) = (Manager::new(), Predecessor::new());
    let told = [("NOTIFY_SOCKET", &*manager.path())];
    let mut after = Binary::service(&before.config(), &told, "set -- --takeover");
    let mut successor = before.asked();
    assert_eq!(manager.was_told(), [""; 0]);
    hand_over_nothing(&mut successor);
    // An end of the one before would be the service's, otherwise.
    let told = manager.was_told();
    assert!(matches!(&told[..], [text] if ready(text, &after)), "{told:?}");
    assert_eq!(after.connect().get("/").status(), 404);
}

#[test]
fn a_process_that_takes_over_feeds_the_watchdog_as_the_one_before_did() {
    let manager = Manager::new();
    let told = [("NOTIFY_SOCKET", &*manager.path())];
    let fed = [told[0], ("WATCHDOG_USEC", "600000")];
    let config = CONFIG.replace("[server]", "[server]\ntakeover = 'takeover.sock'");
    let mut before = Binary::service(&config, &fed, "");
    before.address("web");
    // The manager has not started it, and has not told it.
    let after = before.beside_with(TAKE_OVER, &told);
    assert_eq!(before.wait().code(), Some(0), "{}", after.stderr());
    manager.was_told();
    while !manager.hears().contains("WATCHDOG=1") {}
}

/// A duplicate for the shell to pass on, whose number is not among those that it passes.
fn to_pass(socket: &TcpListener) -> OwnedFd {
    let passed = fcntl_dupfd_cloexec(socket, 100).unwrap();
    fcntl_setfd(&passed, FdFlags::empty()).unwrap();
    passed
}

#[test]
fn sockets_that_are_passed_are_listened_on() {
    let (own, other) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (own, other) = (own.unwrap(), other.unwrap());
    let (address, stranger) = (own.local_addr().unwrap(), other.local_addr().unwrap());
    let (first, second) = (to_pass(&own), to_pass(&other));
    let pass = format!(
        "exec 3<&{} 4<&{}\nexport LISTEN_PID=$$ LISTEN_FDS=2",
        first.as_raw_fd(),
        second.as_raw_fd()
    );
    let config = format!("[server]\nworkers = 1\n[listeners.web]\nbind = '{address}'\n");
    let mut proxy = Binary::service(&config, &[], &pass);
    drop((own, other, first, second));
    assert_eq!(proxy.address("web"), address);
    assert_eq!(Client::connect(address).get("/").status(), 404);
    proxy.wait_for_stderr("no listener has a use for a socket that was passed");
    assert!(proxy.stderr().contains(&stranger.to_string()), "{}", proxy.stderr());
}

#[test]
fn a_socket_is_known_by_its_name_whatever_its_address() {
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = own.local_addr().unwrap();
    let passed = to_pass(&own);
    let pass = format!("exec 3<&{}\nexport LISTEN_PID=$$ LISTEN_FDS=1", passed.as_raw_fd());
    let mut proxy = Binary::service(CONFIG, &[("LISTEN_FDNAMES", "web")], &pass);
    drop((own, passed));
    assert_eq!(proxy.address("web"), address);
    assert_eq!(Client::connect(address).get("/").status(), 404);
}

#[test]
fn the_unit_file_is_one() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let directory = tempfile::tempdir().unwrap();
    // It is judged by whether its program is there, too.
    let unit = fs::read_to_string(packaging.join("linkspan.service")).unwrap();
    let program = env!("CARGO_BIN_EXE_linkspan");
    let unit = unit.replace("/usr/bin/linkspan", program);
    assert!(unit.contains(program), "{unit}");
    let path = directory.path().join("linkspan.service");
    fs::write(&path, unit).unwrap();
    fs::copy(packaging.join("linkspan.socket"), directory.path().join("linkspan.socket")).unwrap();
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let verify = verify.unwrap_or_else(|error| panic!("{error}: apt-get install systemd"));
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && said.trim().is_empty(), "{said}");
}
