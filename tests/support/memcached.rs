//! memcached: the real program in a process of its own, and a scripted server that speaks as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{PATIENCE, eventually};

/// A running memcached, on a port or socket of its own. Dropped, it is killed.
pub(crate) struct Memcached {
    child: Option<Child>,
    address: SocketAddr,
    /// Where it listens in place of a port.
    socket: Option<PathBuf>,
    directory: TempDir,
}

/// A connection to one.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

impl Memcached {
    /// Starts Debian's memcached.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut server = Self::nowhere();
        server.run("-1");
        server
    }

    /// Starts it on a Unix socket.
    #[track_caller]
    pub(crate) fn on_a_socket() -> Self {
        let mut server = Self::nowhere();
        server.socket = Some(server.directory.path().join("socket"));
        server.run_on_socket();
        server
    }

    fn nowhere() -> Self {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        Self { child: None, address, socket: None, directory: TempDir::new().unwrap() }
    }

    /// Where it listens, also while it does not.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A store named `sites` on it, with further keys.
    pub(crate) fn store(&self, keys: &str) -> String {
        let server = match &self.socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => self.address.to_string(),
        };
        format!("[stores.sites]\ntype = 'memcached'\nservers = ['{server}']\n{keys}\n")
    }

    /// Sets a key for good.
    #[track_caller]
    pub(crate) fn set(&self, key: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        let mut command = format!("set {key} 0 0 {}\r\n", value.len()).into_bytes();
        command.extend_from_slice(value);
        command.extend_from_slice(b"\r\n");
        assert_eq!(self.tell(&command), "STORED\r\n");
    }

    /// Removes a key, if it is there.
    #[track_caller]
    pub(crate) fn delete(&self, key: &str) {
        let said = self.tell(format!("delete {key}\r\n").as_bytes());
        assert!(["DELETED\r\n", "NOT_FOUND\r\n"].contains(&said.as_str()), "{said}");
    }

    /// The value of a key.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let mut stream = self.connect();
        write!(stream, "get {key}\r\nquit\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let (_, rest) = said.strip_prefix("VALUE ")?.split_once("\r\n")?;
        rest.strip_suffix("\r\nEND\r\n").map(str::to_owned)
    }

    /// Gives a command, and the first line of its answer.
    #[track_caller]
    pub(crate) fn tell(&self, command: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(command).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    /// How many connections it has, without the one that asks.
    pub(crate) fn connections(&self) -> usize {
        let mut stream = self.connect();
        stream.write_all(b"stats\r\nquit\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let line = said.lines().find_map(|line| line.strip_prefix("STAT curr_connections "));
        line.unwrap().parse::<usize>().unwrap().saturating_sub(1)
    }

    /// Kills it. What it held is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again where it was, and empty.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.kill();
        if self.socket.is_some() {
            self.run_on_socket();
        } else {
            self.run(&self.address.port().to_string());
        }
    }

    /// Stops it with SIGSTOP: it accepts, and says nothing.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let status = format!("/proc/{}/stat", self.child.as_ref().unwrap().id());
        eventually("memcached to stand still", || {
            let status = std::fs::read_to_string(&status).unwrap();
            status.rsplit_once(") ")?.1.starts_with('T').then_some(())
        });
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
    }

    #[track_caller]
    fn connect(&self) -> Box<dyn Stream> {
        if let Some(socket) = &self.socket {
            let stream = UnixStream::connect(socket).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            return Box::new(stream);
        }
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Box::new(stream)
    }

    #[track_caller]
    fn run(&mut self, port: &str) {
        let ports = self.directory.path().join("ports");
        let _ = std::fs::remove_file(&ports);
        let mut command = Command::new("memcached");
        command.args(["-l", "127.0.0.1", "-U", "0", "-p", port]);
        self.spawn(command.env("MEMCACHED_PORT_FILENAME", &ports));
        let port = eventually("memcached to listen", || {
            let text = std::fs::read_to_string(&ports).ok()?;
            text.lines().find_map(|line| line.strip_prefix("TCP INET: ")?.parse::<u16>().ok())
        });
        self.address = (Ipv4Addr::LOCALHOST, port).into();
    }

    #[track_caller]
    fn run_on_socket(&mut self) {
        let socket = self.socket.clone().unwrap();
        self.spawn(Command::new("memcached").arg("-s").arg(&socket));
        let connects = || UnixStream::connect(&socket).ok();
        drop(eventually("memcached to listen", connects));
    }

    #[track_caller]
    fn spawn(&mut self, command: &mut Command) {
        // Started by root, it wants to be told who it should be.
        command.args(["-u", "root", "-t", "1", "-c", "4096"]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("memcached cannot be run ({error}); `apt-get install memcached` has it")
        });
        self.child = Some(child);
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a scripted server does about a line.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// It says this.
    This(Vec<u8>),
    /// It says this, and closes.
    Last(Vec<u8>),
    /// It says this, byte by byte.
    Pieces(Vec<u8>),
}

impl Say {
    /// What memcached says about a key that has a value.
    pub(crate) fn value(key: &str, value: &str) -> Self {
        Self::this(&format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len()))
    }

    /// What memcached says about a key that it does not hold.
    pub(crate) fn miss() -> Self {
        Self::this("END\r\n")
    }

    /// This text.
    pub(crate) fn this(text: &str) -> Self {
        Self::This(text.into())
    }
}

/// A server that says what it is told about each line it gets, each connection in a thread.
pub(crate) struct FakeMemcached {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    connections: AtomicUsize,
    lines: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
}

impl FakeMemcached {
    /// Answers each line with what is made of it.
    pub(crate) fn answering(answer: impl Fn(&str) -> Say + Send + Sync + 'static) -> Self {
        Self::answering_after(Duration::ZERO, answer)
    }

    /// The same after so long.
    pub(crate) fn answering_after(
        delay: Duration,
        answer: impl Fn(&str) -> Say + Send + Sync + 'static,
    ) -> Self {
        Self::in_turn(move |_, line| {
            if !delay.is_zero() {
                thread::park_timeout(delay);
            }
            answer(line)
        })
    }

    /// The same, where answers also depend on how many lines the connection has had before.
    pub(crate) fn in_turn(answer: impl Fn(usize, &str) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let (own, answer) = (Arc::clone(&shared), Arc::new(answer));
        let acceptor = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if own.stopping.load(Ordering::SeqCst) {
                    return;
                }
                own.connections.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                lock(&own.open).push(stream.try_clone().unwrap());
                let (shared, answer) = (Arc::clone(&own), Arc::clone(&answer));
                thread::spawn(move || converse(stream, &shared, &*answer));
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// A store named `sites` on it, with further keys.
    pub(crate) fn store(&self, keys: &str) -> String {
        format!("[stores.sites]\ntype = 'memcached'\nservers = ['{}']\n{keys}\n", self.address)
    }

    /// The lines that it got, without their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.shared.lines).clone()
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Says something unasked over all its connections.
    pub(crate) fn shout(&self, text: &str) {
        for mut stream in lock(&self.shared.open).iter() {
            // Some may be closed by now.
            let _ = stream.write_all(text.as_bytes());
        }
    }
}

impl Drop for FakeMemcached {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in lock(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn converse(stream: TcpStream, shared: &Shared, answer: &dyn Fn(usize, &str) -> Say) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    for turn in 0.. {
        line.clear();
        if !reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        lock(&shared.lines).push(text.clone());
        let (bytes, piece, last) = match answer(turn, &text) {
            Say::This(bytes) => (bytes, usize::MAX, false),
            Say::Last(bytes) => (bytes, usize::MAX, true),
            Say::Pieces(bytes) => (bytes, 1, false),
        };
        let written = bytes.chunks(piece).all(|piece| writer.write_all(piece).is_ok());
        if !written || last {
            let _ = writer.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
