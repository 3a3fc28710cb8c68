//! `response`: the getters about the running response.

use wasmtime::Result;

use crate::plugin::bindings::response;
use crate::plugin::bindings::types::Field;
use crate::plugin::convert;
use crate::plugin::guest::{Guest, Running};

impl Guest {
    fn response(&self) -> Result<&http::response::Parts> {
        match (self.running, &self.exchange()?.response) {
            (Running::Response | Running::Body, Some(response)) => Ok(response),
            _ => Err(wasmtime::Error::msg("asked about a response outside a call about one")),
        }
    }
}

impl response::Host for Guest {
    fn status(&mut self) -> Result<u16> {
        Ok(self.response()?.status.as_u16())
    }

    fn header(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        Ok(convert::value(&self.response()?.headers, &name))
    }

    fn header_values(&mut self, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(convert::values(&self.response()?.headers, &name))
    }

    fn headers(&mut self) -> Result<Vec<Field>> {
        Ok(convert::fields(&self.response()?.headers))
    }

    fn cluster(&mut self) -> Result<String> {
        self.response()?;
        Ok(self.exchange()?.cluster.as_deref().unwrap_or_default().to_owned())
    }

    fn endpoint(&mut self) -> Result<String> {
        self.response()?;
        Ok(self.exchange()?.endpoint.as_deref().unwrap_or_default().to_owned())
    }
}
