//! The engine that runs components, and the ticker that measures their time: owned together,
//! stopped together.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use wasmtime::component::Linker;
use wasmtime::{Config, Engine, OptLevel};

use crate::plugin::guest::Guest;
use crate::plugin::imports;
use crate::plugin::ticker::Ticker;

/// Guest stack, within the host's.
const STACK_BYTES: usize = 512 << 10;

/// The stack on which asynchronous calls run, guest's and host's part.
const ASYNC_STACK_BYTES: usize = 1 << 20;

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
        self.ticker.stop();
        if let Some(thread) = self.thread.take() {
            // It ends within a tick, and a panic in it has nothing more to say.
            let _ = thread.join();
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
}
