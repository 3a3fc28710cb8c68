//! `served`: the endpoint that answered.

use wasmtime::Result;

use crate::plugin::bindings::served;
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::{Guest, Running};

impl Guest {
    fn answered(&self) -> Result<&Exchange> {
        if self.running != Running::Response {
            return Err(wasmtime::Error::msg("asked who served outside a call about a response"));
        }
        self.exchange()
    }
}

impl served::Host for Guest {
    fn attribute(&mut self, name: String) -> Result<Option<String>> {
        let mut attributes = self.answered()?.attributes.iter().flat_map(|table| table.iter());
        Ok(attributes.find(|(key, _)| *key == name).map(|(_, value)| value.clone()))
    }

    fn host(&mut self) -> Result<String> {
        let host = self.answered()?.taken.host.as_ref();
        Ok(host.map(|host| String::from_utf8_lossy(host.as_bytes()).into()).unwrap_or_default())
    }

    fn is_endpoint(&mut self, authority: String) -> Result<bool> {
        let siblings = self.answered()?.taken.siblings.as_deref();
        Ok(siblings.is_some_and(|siblings| siblings.include(&authority)))
    }
}
