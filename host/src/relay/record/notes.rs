//! What is written down of the choice of an endpoint.

use super::Record;
use crate::cluster::endpoint::InFlight;
use crate::log::id::RequestId;
use crate::plugin::{Exchange, Plugin};
use crate::relay::choice::{Notes, Waited};
use crate::relay::error::Error;

impl Notes for Record {
    fn id(&self) -> &RequestId {
        Self::id(self)
    }

    fn called(&mut self, plugin: &Plugin, exchange: &Exchange) {
        Self::called(self, plugin, exchange);
    }

    fn chosen(&mut self, balancer: &Plugin, fallback: bool) {
        self.balancer = Some((balancer.clone(), fallback));
    }

    fn in_flight(&mut self) -> &mut Option<InFlight> {
        &mut self.in_flight
    }

    fn retry_after(&mut self, error: &Error) {
        Self::retry_after(self, error);
    }

    fn waited(&mut self) -> &mut Waited {
        &mut self.waited
    }
}
