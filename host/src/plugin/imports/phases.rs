//! `phases`: what a rewriter need not be asked about.

use wasmtime::Result;

use crate::plugin::bindings::phases;
use crate::plugin::bindings::types::Phase;
use crate::plugin::guest::{Guest, Running};

impl phases::Host for Guest {
    fn skip(&mut self, phase: Phase) -> Result<()> {
        if self.running != Running::Configure {
            return Err(wasmtime::Error::msg("phases.skip called outside configure"));
        }
        match phase {
            Phase::Request => self.skips.request = true,
            Phase::Response => self.skips.response = true,
        }
        Ok(())
    }
}
