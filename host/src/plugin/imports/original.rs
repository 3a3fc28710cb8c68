//! `original`: the running request as its client sent it.

use wasmtime::Result;

use crate::plugin::bindings::original;
use crate::plugin::guest::Guest;

impl Guest {
    fn original(&self) -> Result<&http::Uri> {
        let exchange = self.exchange()?;
        Ok(exchange.taken.original.as_ref().unwrap_or(&exchange.request.uri))
    }
}

impl original::Host for Guest {
    fn path(&mut self) -> Result<String> {
        Ok(self.original()?.path().to_owned())
    }

    fn query(&mut self) -> Result<Option<String>> {
        Ok(self.original()?.query().map(str::to_owned))
    }

    fn host(&mut self) -> Result<String> {
        let exchange = self.exchange()?;
        Ok(exchange.taken.asked_host.as_ref().unwrap_or(&exchange.authority).to_string())
    }

    fn upgrade(&mut self) -> Result<Option<Vec<u8>>> {
        let upgrade = self.exchange()?.taken.upgrade.as_ref();
        Ok(upgrade.map(|value| value.as_bytes().to_vec()))
    }
}
