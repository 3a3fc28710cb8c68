//! `endpoints`: live figures of a balancer's cluster.

use std::sync::Arc;

use wasmtime::Result;

use crate::plugin::bindings::endpoints;
use crate::plugin::guest::{Guest, Running};
use crate::plugin::members::{EndpointId, Figures, Members};

/// In flight at eight places.
type Eight = (u32, u32, u32, u32, u32, u32, u32, u32);

impl Guest {
    fn cluster(&self) -> Result<Option<&Arc<dyn Members>>> {
        if self.running == Running::Configure {
            return Err(wasmtime::Error::msg("asked about endpoints within configure"));
        }
        Ok(self.members.as_ref())
    }

    fn figures(&self, id: EndpointId) -> Result<Figures> {
        Ok(self.cluster()?.and_then(|members| members.figures(id)).unwrap_or(Figures::NONE))
    }
}

impl endpoints::Host for Guest {
    fn figures_of(&mut self, id: EndpointId) -> Result<Figures> {
        self.figures(id)
    }

    fn in_flight(&mut self, id: EndpointId) -> Result<u32> {
        Ok(self.figures(id)?.in_flight)
    }

    fn in_flight_of_all(&mut self) -> Result<Vec<u32>> {
        Ok(self.cluster()?.map(|members| members.in_flight_of_all()).unwrap_or_default())
    }

    fn in_flight_of_eight(&mut self, first: u32) -> Result<Eight> {
        let mut eight = [0; 8];
        if let Some(members) = self.cluster()? {
            members.in_flight_from(usize::try_from(first).unwrap_or(usize::MAX), &mut eight);
        }
        let [a, b, c, d, e, f, g, h] = eight;
        Ok((a, b, c, d, e, f, g, h))
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
