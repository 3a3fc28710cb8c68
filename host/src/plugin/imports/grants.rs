//! `grants`: what a plugin is granted, where nothing else tells.

use wasmtime::Result;

use crate::plugin::bindings::grants;
use crate::plugin::guest::Guest;

impl grants::Host for Guest {
    fn any_address(&mut self) -> Result<bool> {
        Ok(self.identity.given.any_address)
    }
}
