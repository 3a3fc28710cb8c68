//! `endpoints`: live figures of a balancer's cluster.

use wasmtime::Result;

use crate::plugin::bindings::endpoints;
use crate::plugin::guest::{Guest, Running};
use crate::plugin::members::{EndpointId, Figure};

impl Guest {
    fn figure(&self, id: EndpointId, figure: Figure) -> Result<u64> {
        if self.running == Running::Configure {
            return Err(wasmtime::Error::msg("asked about endpoints within configure"));
        }
        Ok(self.members.as_ref().map_or(0, |members| members.figure(id, figure)))
    }
}

impl endpoints::Host for Guest {
    fn in_flight(&mut self, id: EndpointId) -> Result<u32> {
        Ok(u32::try_from(self.figure(id, Figure::InFlight)?).unwrap_or(u32::MAX))
    }

    fn in_flight_of_all(&mut self) -> Result<Vec<u32>> {
        Ok(self.members.as_ref().map(|members| members.in_flight_of_all()).unwrap_or_default())
    }

    fn total(&mut self, id: EndpointId) -> Result<u64> {
        self.figure(id, Figure::Total)
    }

    fn failures(&mut self, id: EndpointId) -> Result<u64> {
        self.figure(id, Figure::Failures)
    }

    fn bytes_sent(&mut self, id: EndpointId) -> Result<u64> {
        self.figure(id, Figure::BytesSent)
    }

    fn bytes_received(&mut self, id: EndpointId) -> Result<u64> {
        self.figure(id, Figure::BytesReceived)
    }

    fn latency(&mut self, id: EndpointId) -> Result<u64> {
        self.figure(id, Figure::Latency)
    }
}
