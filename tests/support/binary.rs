//! The real program in a process of its own, for what only a process has: signals, exit codes,
//! standard output and memory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, geteuid, kill_process};
use tempfile::TempDir;

use super::{Client, cache_home, directory, eventually};

pub(crate) use rustix::process::Signal;

/// The program: that which was built with the tests, unless another build is to be judged.
fn program() -> OsString {
    let other = std::env::var_os("LINKSPAN_PROGRAM");
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_linkspan").into())
}

/// A running or ended process. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Binary {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    directory: Arc<TempDir>,
}

impl Binary {
    /// Runs the program with arguments, in an empty directory.
    pub(crate) fn run(arguments: &[&str]) -> Self {
        Self::start(directory(&[]), arguments)
    }

    /// Runs the program with a configuration, and these test guests in `plugins.d`.
    pub(crate) fn with(toml: &str, guests: &[&str], arguments: &[&str]) -> Self {
        Self::prepared(toml, guests, arguments, |_| {})
    }

    /// The same, after `put` has put files into `plugins.d`.
    pub(crate) fn prepared(
        toml: &str,
        guests: &[&str],
        arguments: &[&str],
        put: impl Fn(&Path),
    ) -> Self {
        let directory = directory(guests);
        put(&directory.path().join("plugins.d"));
        fs::write(directory.path().join("linkspan.toml"), toml).unwrap();
        Self::start(directory, arguments)
    }

    /// Runs the program with a configuration and these variables.
    pub(crate) fn with_variables(
        toml: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let directory = directory(&[]);
        fs::write(directory.path().join("linkspan.toml"), toml).unwrap();
        let mut command = Command::new(program());
        command.args(arguments).envs(variables.iter().copied());
        Self::spawn(directory, command, Stdio::null())
    }

    /// Serves a configuration.
    pub(crate) fn serve(toml: &str) -> Self {
        Self::with(toml, &[], &["run"])
    }

    /// Serves a configuration as somebody to whom nothing is open that a file's mode forbids, as it
    /// would be to root.
    pub(crate) fn unprivileged(toml: &str) -> Self {
        let directory = directory(&[]);
        fs::write(directory.path().join("linkspan.toml"), toml).unwrap();
        if !geteuid().is_root() {
            return Self::start(directory, &["run"]);
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--"]);
        command.arg(program()).arg("run");
        Self::spawn(directory, command, Stdio::null())
    }

    /// Runs the program with arguments and this on standard input, in an empty directory.
    pub(crate) fn reading(input: &str, arguments: &[&str]) -> Self {
        let directory = directory(&[]);
        let file = directory.path().join("input");
        fs::write(&file, input).unwrap();
        Self::start_reading(directory, arguments, File::open(file).unwrap().into())
    }

    fn start(directory: TempDir, arguments: &[&str]) -> Self {
        Self::start_reading(directory, arguments, Stdio::null())
    }

    /// Serves a configuration with so many descriptors.
    pub(crate) fn short_of_descriptors(toml: &str, most: u32) -> Self {
        Self::limited(toml, &format!("ulimit -n {most}"))
    }

    /// The same, of which it may have more if it wants to.
    pub(crate) fn softly_short_of_descriptors(toml: &str, most: u32) -> Self {
        Self::limited(toml, &format!("ulimit -Sn {most}"))
    }

    fn limited(toml: &str, limit: &str) -> Self {
        let directory = directory(&[]);
        fs::write(directory.path().join("linkspan.toml"), toml).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit}; exec \"$0\" run")]).arg(program());
        Self::spawn(directory, command, Stdio::null())
    }

    fn start_reading(directory: TempDir, arguments: &[&str], input: Stdio) -> Self {
        let mut command = Command::new(program());
        command.args(arguments);
        Self::spawn(directory, command, input)
    }

    fn spawn(directory: TempDir, mut command: Command, input: Stdio) -> Self {
        Self::within(Arc::new(directory), &mut command, input)
    }

    fn within(directory: Arc<TempDir>, command: &mut Command, input: Stdio) -> Self {
        let (child, stdout, stderr) = spawned(directory.path(), command, input);
        Self { child, stdout, stderr, directory }
    }

    /// Another process in the same directory.
    pub(crate) fn beside(&self, arguments: &[&str]) -> Self {
        self.beside_with(arguments, &[])
    }

    /// The same with these variables.
    pub(crate) fn beside_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program());
        command.args(arguments).envs(variables.iter().copied());
        Self::within(Arc::clone(&self.directory), &mut command, Stdio::null())
    }

    /// Serves a configuration as a service manager has it, with these variables, after the shell has done
    /// `before`: descriptors below ten can be passed there, and its arguments are those of `run`.
    pub(crate) fn service(toml: &str, variables: &[(&str, &str)], before: &str) -> Self {
        Self::service_with(toml, &[], variables, before)
    }

    /// The same with these test guests in `plugins.d`.
    pub(crate) fn service_with(
        toml: &str,
        guests: &[&str],
        variables: &[(&str, &str)],
        before: &str,
    ) -> Self {
        let directory = directory(guests);
        fs::write(directory.path().join("linkspan.toml"), toml).unwrap();
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{before}\nexec \"$0\" run \"$@\"")]).arg(program());
        command.envs(variables.iter().copied());
        Self::spawn(directory, command, Stdio::null())
    }

    /// Kills it, and serves the same configuration again after `meanwhile` has been done to
    /// `plugins.d`.
    pub(crate) fn killed_and_back(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        meanwhile(&self.directory.path().join("plugins.d"));
        let mut command = Command::new(program());
        let spawned = spawned(self.directory.path(), command.arg("run"), Stdio::null());
        (self.child, self.stdout, self.stderr) = spawned;
    }

    /// The address of a listener, as it is printed.
    #[track_caller]
    pub(crate) fn address(&mut self, listener: &str) -> SocketAddr {
        let name = format!(" ({listener})");
        eventually("the address of a listener", || {
            if self.child.try_wait().unwrap().is_some() {
                panic!("ended instead of listening: {}", self.stderr());
            }
            let stdout = self.stdout();
            let line = stdout.lines().find_map(|line| line.strip_suffix(&name))?;
            let line = line.strip_prefix("listening on ")?;
            line.split_once("://").and_then(|(_, address)| address.parse().ok())
        })
    }

    /// The address of the administrator's listener, as it is printed.
    #[track_caller]
    pub(crate) fn admin(&mut self) -> SocketAddr {
        self.address("web");
        eventually("the address of the administrator", || {
            self.stdout().lines().find_map(|l| l.strip_prefix("admin on http://")?.parse().ok())
        })
    }

    /// A connection to the listener `web`.
    #[track_caller]
    pub(crate) fn connect(&mut self) -> Client {
        Client::connect(self.address("web"))
    }

    /// The file that it was started with.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("linkspan.toml")
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// What it has said on standard error so far: faults, diagnostics and the access log.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until standard output has this text.
    #[track_caller]
    pub(crate) fn wait_for_stdout(&self, text: &str) {
        eventually(text, || self.stdout().contains(text).then_some(()));
    }

    /// Waits until standard error has this text.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&self, text: &str) {
        eventually(text, || self.stderr().contains(text).then_some(()));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = eventually("the process to end", || self.child.try_wait().unwrap());
        // Its output may not all have been read yet.
        let read = |text| Arc::strong_count(text) == 1;
        eventually("its last words", || (read(&self.stdout) && read(&self.stderr)).then_some(()));
        status
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The memory that it has in use, in bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// How many ends of pipes it holds.
    pub(crate) fn pipe_ends(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let links = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("pipe:")).count()
    }

    /// The most memory that it ever had in use, in bytes.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Waits until it has a process of its own that compiles.
    #[track_caller]
    pub(crate) fn wait_for_compiler(&self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        eventually("a process that compiles", || {
            let mut tasks = fs::read_dir(&tasks).unwrap().flatten();
            tasks
                .any(|task| {
                    let children = fs::read_to_string(task.path().join("children"));
                    children.is_ok_and(|children| !children.trim().is_empty())
                })
                .then_some(())
        });
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process, and what it prints on standard output and standard error.
fn spawned(
    directory: &Path,
    command: &mut Command,
    input: Stdio,
) -> (Child, Arc<Mutex<String>>, Arc<Mutex<String>>) {
    let mut child = command
        .current_dir(directory)
        .env("XDG_CACHE_HOME", cache_home())
        .env("XDG_CONFIG_HOME", directory)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    (child, stdout, stderr)
}

/// Reads lines as they come, in a thread that ends with the process.
fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::<Mutex<String>>::default();
    let collected = Arc::clone(&text);
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            collected.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}
