//! The engine that runs components, and the ticker that measures their time: owned together,
//! stopped together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use wasmtime::component::Linker;
use wasmtime::{Config, Engine, OptLevel};

use crate::plugin::guest::{Guest, TICK};
use crate::plugin::imports;

/// Guest stack, within the host's.
const STACK_BYTES: usize = 512 << 10;

/// The stack on which asynchronous calls run, guest's and host's part.
const ASYNC_STACK_BYTES: usize = 1 << 20;

/// Quiet ticks after which the ticker sleeps.
const QUIET: u32 = 1000;

/// How components are compiled and run: the same in the proxy and in its compiling child, or
/// images would not load.
pub(super) fn settings() -> Config {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES);
    config.async_stack_size(ASYNC_STACK_BYTES);
    config.cranelift_opt_level(OptLevel::Speed);
    // The cargo feature `gc` is on because builds without it can abort; the proposals that it
    // turns on are not wanted: fewer proposals, fewer advisories.
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    config.wasm_memory64(false);
    config.wasm_relaxed_simd(false);
    config.wasm_tail_call(false);
    config.wasm_custom_page_sizes(false);
    config.wasm_wide_arithmetic(false);
    config
}

/// The engine, its linkers, and its ticker, which stops when this is dropped.
pub(super) struct Machine {
    pub(super) engine: Engine,
    /// For components that never wait.
    pub(super) direct: Linker<Guest>,
    /// For components that may wait for a store.
    pub(super) waiting: Linker<Guest>,
    pub(super) ticker: Arc<Ticker>,
    thread: Option<JoinHandle<()>>,
}

impl Machine {
    /// Starts an engine.
    pub(super) fn start() -> wasmtime::Result<Self> {
        let engine = Engine::new(&settings())?;
        let linker = |waiting| -> wasmtime::Result<Linker<Guest>> {
            let mut linker = Linker::new(&engine);
            imports::link(&mut linker, waiting)?;
            Ok(linker)
        };
        let (direct, waiting) = (linker(false)?, linker(true)?);
        let ticker = Arc::new(Ticker::default());
        let thread = thread::Builder::new().name("linkspan-ticker".to_owned()).spawn({
            let (engine, ticker) = (engine.clone(), Arc::clone(&ticker));
            move || ticker.run(&engine)
        })?;
        Ok(Self { engine, direct, waiting, ticker, thread: Some(thread) })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.ticker.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends within a tick, and a panic in it has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// Counts epochs while guests run, and sleeps while none does.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    active: AtomicBool,
    asleep: AtomicBool,
    stopped: AtomicBool,
    sleeper: std::sync::OnceLock<thread::Thread>,
}

impl Ticker {
    /// Notes that a call begins. One load, but for the first call of a tick.
    pub(super) fn touch(&self) {
        if !self.active.load(Ordering::Relaxed) {
            self.active.store(true, Ordering::SeqCst);
            if self.asleep.load(Ordering::SeqCst)
                && let Some(sleeper) = self.sleeper.get()
            {
                sleeper.unpark();
            }
        }
    }

    fn run(&self, engine: &Engine) {
        let _ = self.sleeper.set(thread::current());
        let mut quiet = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            engine.increment_epoch();
            if self.active.swap(false, Ordering::SeqCst) {
                quiet = 0;
                continue;
            }
            quiet += 1;
            if quiet < QUIET {
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            while !self.active.load(Ordering::SeqCst) && !self.stopped.load(Ordering::SeqCst) {
                thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            quiet = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_that_no_plugin_needs_are_off() {
        let engine = Engine::new(&settings()).unwrap();
        let accepts = |sections: &[u8]| {
            let module = [b"\0asm\x01\0\0\0", sections].concat();
            wasmtime::Module::new(&engine, module).is_ok()
        };
        assert!(accepts(&[5, 3, 1, 0, 1]), "a plain memory is accepted");
        assert!(!accepts(&[5, 3, 1, 4, 1]), "memory64");
        assert!(!accepts(&[5, 4, 1, 3, 1, 1]), "threads");
        assert!(!accepts(&[1, 3, 1, 0x5f, 0]), "gc");
        assert!(!accepts(&[1, 4, 1, 0x60, 0, 0, 13, 3, 1, 0, 0]), "exceptions");
        assert!(!accepts(&[1, 6, 2, 0x60, 0, 0, 0x5d, 0]), "stack switching");
    }

    #[test]
    fn the_ticker_sleeps_and_wakes() {
        let machine = Machine::start().unwrap();
        for _ in 0..2 {
            let end = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
            while !machine.ticker.asleep.load(Ordering::SeqCst) {
                assert!(tokio::time::Instant::now() < end, "the ticker never slept");
                thread::yield_now();
            }
            machine.ticker.touch();
            while machine.ticker.asleep.load(Ordering::SeqCst) {
                assert!(tokio::time::Instant::now() < end, "the ticker never woke");
                thread::yield_now();
            }
        }
    }
}
