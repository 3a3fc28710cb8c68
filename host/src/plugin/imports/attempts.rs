//! `attempts`: who was tried for the running request.

use wasmtime::Result;

use crate::plugin::bindings::attempts;
use crate::plugin::guest::{Guest, Running};
use crate::plugin::members::EndpointId;

impl attempts::Host for Guest {
    fn tried(&mut self) -> Result<Vec<EndpointId>> {
        if self.running == Running::Request && self.members.is_some() {
            return Ok(self.exchange()?.tried.to_vec());
        }
        Err(wasmtime::Error::msg("asked about attempts outside of pick"))
    }
}
