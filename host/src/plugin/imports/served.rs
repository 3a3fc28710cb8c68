//! `served`: the table of the endpoint that answered.

use wasmtime::Result;

use crate::plugin::bindings::served;
use crate::plugin::guest::{Guest, Running};

impl served::Host for Guest {
    fn attribute(&mut self, name: String) -> Result<Option<String>> {
        if !matches!(self.running, Running::Response | Running::Body) {
            return Err(wasmtime::Error::msg("asked who served outside a call about a response"));
        }
        let mut attributes = self.exchange()?.attributes.iter().flat_map(|table| table.iter());
        Ok(attributes.find(|(key, _)| *key == name).map(|(_, value)| value.clone()))
    }
}
