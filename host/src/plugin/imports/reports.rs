//! `reports`: what the endpoints of a balancer's cluster say of themselves.

use std::sync::Arc;

use wasmtime::Result;

use crate::plugin::bindings::reports;
use crate::plugin::guest::{Guest, Running};
use crate::plugin::members::{EndpointId, Members};

impl Guest {
    /// The cluster that reports are about; none for a plugin that belongs to none.
    fn reporting(&self) -> Result<Option<&Arc<dyn Members>>> {
        if self.running == Running::Configure {
            return Err(wasmtime::Error::msg("asked about reports within configure"));
        }
        Ok(self.members.as_ref())
    }
}

impl reports::Host for Guest {
    fn reported(&mut self, id: EndpointId, name: String) -> Result<Option<u64>> {
        Ok(self.reporting()?.and_then(|members| members.reported(id, &name)))
    }

    fn reported_of_all(&mut self, name: String, younger_than: u64) -> Result<Vec<Option<u64>>> {
        let members = self.reporting()?;
        Ok(members.map(|all| all.reported_of_all(&name, younger_than)).unwrap_or_default())
    }

    fn age(&mut self, id: EndpointId) -> Result<Option<u64>> {
        Ok(self.reporting()?.and_then(|members| members.report_age(id)))
    }
}
