//! Compiling a stranger's bytes where they can do no harm: in a child process with low priority
//! and limits on CPU time and memory, which reads a component and writes its image.
//!
//! The child is this executable, run with the hidden command `compile`.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::plugin::engine::settings;
use crate::plugin::error::Refusal;
use crate::plugin::shortcut::shortened;

/// The name of the hidden command.
pub const COMMAND: &str = "compile";

/// The largest component that is accepted.
pub(super) const COMPONENT_BYTES: u64 = 128 << 20;

/// The largest complaint of a child that is read.
const COMPLAINT_BYTES: u64 = 16 << 10;

/// The most threads that compile one component, and the memory that each of them is to have.
const THREADS: u64 = 4;
/// See [`THREADS`].
const THREAD_BYTES: u64 = 256 << 20;

/// How many threads compile a component that may take so much memory.
fn threads(memory_bytes: u64) -> u64 {
    let processors = available_parallelism().map_or(1, |count| count.get() as u64);
    processors.min(THREADS).min(memory_bytes / THREAD_BYTES).max(1)
}

/// How components are compiled.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The program to run: this one, unless a test says otherwise.
    pub program: PathBuf,
    /// The longest it may take.
    pub timeout: Duration,
    /// The most memory it may take.
    pub memory_bytes: u64,
}

impl Compiler {
    /// Turns a component into an image.
    ///
    /// # Errors
    ///
    /// [`Refusal::Compile`] with what the compiler complains about, or that it was stopped.
    pub(super) async fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Refusal> {
        match tokio::time::timeout(self.timeout, self.run(component)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Refusal::Compile(format!("took longer than {:?}", self.timeout))),
        }
    }

    async fn run(&self, component: &[u8]) -> Result<Vec<u8>, Refusal> {
        let failed = |error: io::Error| Refusal::Compile(format!("the compiler: {error}"));
        let mut child = Command::new(&self.program)
            .arg(COMMAND)
            // A second more than it gets, so that it hears from us and not from the system.
            .arg(self.timeout.as_secs().saturating_add(1).to_string())
            .arg(self.memory_bytes.to_string())
            .env_clear()
            // The allocator would reserve a gigabyte before the child limits itself, and give from
            // that whatever the limit is.
            .env("MIMALLOC_ARENA_RESERVE", "0")
            .env("RAYON_NUM_THREADS", threads(self.memory_bytes).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(Refusal::Compile("the compiler has no pipes".to_owned()));
        };
        let mut image = Vec::new();
        let mut complaint = String::new();
        let mut stderr = stderr.take(COMPLAINT_BYTES);
        let complain = async {
            let _ = stderr.read_to_string(&mut complaint).await;
            // Whoever has more to say must not wait for a reader.
            let _ = tokio::io::copy(stderr.get_mut(), &mut tokio::io::sink()).await;
        };
        let (sent, read, ()) = tokio::join!(
            async move { stdin.write_all(component).await },
            stdout.read_to_end(&mut image),
            complain,
        );
        let status = child.wait().await.map_err(failed)?;
        if status.signal().is_some() {
            let text = "the compiler was stopped, as it is when it wants more memory than";
            let limit = self.memory_bytes >> 20;
            let text = format!("{text} the {limit} MiB of `compile-memory-bytes` ({status})");
            return Err(Refusal::Compile(text));
        }
        if !status.success() {
            return Err(Refusal::Compile(complaint.trim().to_owned()));
        }
        sent.and(read).map_err(failed)?;
        Ok(image)
    }
}

/// What the hidden command does: reads a component from standard input and writes its image to
/// standard output, within limits that it first sets for itself.
///
/// # Errors
///
/// Anything that keeps an image from being written; to be printed on standard error.
pub fn child(seconds: u64, memory_bytes: u64) -> Result<(), String> {
    let limit = |what, most| {
        setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|error| format!("cannot limit itself: {error}"))
    };
    limit(Resource::Cpu, seconds)?;
    limit(Resource::As, memory_bytes)?;
    limit(Resource::Core, 0)?;
    // Lower priority is a courtesy: without it, compiling still works.
    let _ = rustix::process::nice(10);
    let mut component = Vec::new();
    let mut input = io::stdin().lock().take(COMPONENT_BYTES + 1);
    input.read_to_end(&mut component).map_err(|error| error.to_string())?;
    if component.len() as u64 > COMPONENT_BYTES {
        return Err(format!("larger than {COMPONENT_BYTES} bytes"));
    }
    let engine = wasmtime::Engine::new(&settings()).map_err(|e| format!("{e:#}"))?;
    let compile = |component: &[u8]| engine.precompile_component(component);
    let shorter = shortened(&component).and_then(|shorter| compile(&shorter).ok());
    let image = match shorter {
        Some(image) => image,
        // What there is to complain about is about the component as it came.
        None => compile(&component).map_err(|error| format!("{error:#}"))?,
    };
    io::stdout().lock().write_all(&image).map_err(|error| error.to_string())
}
