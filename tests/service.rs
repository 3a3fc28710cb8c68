//! As a service manager has it: what it is told, and the sockets that it passes.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::support::{Binary, Client, PATIENCE, Signal};

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
        let mut bytes = [0; 512];
        let count = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(bytes.get(..count).unwrap()).into_owned()
    }
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
fn sockets_that_are_passed_are_listened_on() {
    let (own, other) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (own, other) = (own.unwrap(), other.unwrap());
    let (address, stranger) = (own.local_addr().unwrap(), other.local_addr().unwrap());
    // Those that the shell gets are its to pass on.
    for socket in [&own, &other] {
        fcntl_setfd(socket.as_fd(), FdFlags::empty()).unwrap();
    }
    let (first, second) = (own.as_raw_fd(), other.as_raw_fd());
    let pass =
        format!("exec 8<&{first} 9<&{second}\nexec 3<&8 4<&9\nexport LISTEN_PID=$$ LISTEN_FDS=2");
    let config = format!("[server]\nworkers = 1\n[listeners.web]\nbind = '{address}'\n");
    let mut proxy = Binary::service(&config, &[], &pass);
    drop((own, other));
    assert_eq!(proxy.address("web"), address);
    assert_eq!(Client::connect(address).get("/").status(), 404);
    proxy.wait_for_stderr("no listener has a use for a socket that was passed");
    assert!(proxy.stderr().contains(&stranger.to_string()), "{}", proxy.stderr());
}

#[test]
fn a_socket_is_known_by_its_name_whatever_its_address() {
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = own.local_addr().unwrap();
    fcntl_setfd(own.as_fd(), FdFlags::empty()).unwrap();
    let pass = format!("exec 8<&{}\nexec 3<&8\nexport LISTEN_PID=$$ LISTEN_FDS=1", own.as_raw_fd());
    let mut proxy = Binary::service(CONFIG, &[("LISTEN_FDNAMES", "web")], &pass);
    drop(own);
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
