//! `giving-up`: saying that there is no going on.

use wasmtime::Result;

use crate::plugin::bindings::giving_up;
use crate::plugin::guest::{Guest, Running};

impl giving_up::Host for Guest {
    fn body(&mut self, reason: String) -> Result<()> {
        if self.running != Running::Body {
            return Err(wasmtime::Error::msg("giving-up.body called outside a call about a body"));
        }
        self.given_up.get_or_insert(reason);
        Ok(())
    }
}
