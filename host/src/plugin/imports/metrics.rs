//! `metrics`: a plugin's own figures.

use wasmtime::Result;

use crate::plugin::bindings::metrics;
use crate::plugin::guest::Guest;

impl metrics::Host for Guest {
    fn count(&mut self, name: String, amount: u64) -> Result<()> {
        self.identity.given.metrics.figures.count(&name, amount);
        Ok(())
    }

    fn gauge(&mut self, name: String, value: f64) -> Result<()> {
        self.identity.given.metrics.figures.gauge(&name, value);
        Ok(())
    }
}
