//! `endpoints`: live figures of a balancer's cluster.

use std::sync::Arc;

use wasmtime::Result;

use crate::plugin::bindings::endpoints;
use crate::plugin::guest::{Guest, Running};
use crate::plugin::members::{EndpointId, Figures, Members};

impl Guest {
    fn cluster(&self) -> Result<Option<&Arc<dyn Members>>> {
        if self.running == Running::Configure {
            return Err(wasmtime::Error::msg("asked about endpoints within configure"));
        }
        Ok(self.members.as_ref())
    }

    fn figures(&self, id: EndpointId) -> Result<Figures> {
        Ok(self.cluster()?.and_then(|members| members.figures(id)).unwrap_or_default())
    }
}

impl endpoints::Host for Guest {
    fn in_flight(&mut self, id: EndpointId) -> Result<u32> {
        Ok(self.figures(id)?.in_flight)
    }

    fn in_flight_of_all(&mut self) -> Result<Vec<u32>> {
        Ok(self.cluster()?.map(|members| members.in_flight_of_all()).unwrap_or_default())
    }

    fn in_flight_of_eight(&mut self, first: u32) -> Result<u64> {
        let mut eight = [0; 8];
        if let Some(members) = self.cluster()? {
            members.in_flight_from(usize::try_from(first).unwrap_or(usize::MAX), &mut eight);
        }
        Ok(u64::from_le_bytes(eight.map(|count| u8::try_from(count).unwrap_or(u8::MAX))))
    }

    fn total(&mut self, id: EndpointId) -> Result<u64> {
        Ok(self.figures(id)?.total)
    }

    fn failures(&mut self, id: EndpointId) -> Result<u64> {
        Ok(self.figures(id)?.failures)
    }

    fn bytes_sent(&mut self, id: EndpointId) -> Result<u64> {
        Ok(self.figures(id)?.bytes_sent)
    }

    fn bytes_received(&mut self, id: EndpointId) -> Result<u64> {
        Ok(self.figures(id)?.bytes_received)
    }

    fn latency(&mut self, id: EndpointId) -> Result<u64> {
        Ok(self.figures(id)?.latency)
    }
}
