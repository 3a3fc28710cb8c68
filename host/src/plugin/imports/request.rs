//! `request`: the getters about the running request.

use std::net::IpAddr;

use wasmtime::Result;

use crate::plugin::bindings::request;
use crate::plugin::bindings::types::Field;
use crate::plugin::convert;
use crate::plugin::guest::Guest;

impl request::Host for Guest {
    fn method(&mut self) -> Result<String> {
        Ok(self.exchange()?.request.method.as_str().to_owned())
    }

    fn scheme(&mut self) -> Result<String> {
        Ok(self.exchange()?.connection.scheme.to_owned())
    }

    fn authority(&mut self) -> Result<String> {
        Ok(self.exchange()?.authority.to_string())
    }

    fn target_origin(&mut self) -> Result<Option<String>> {
        Ok(self.exchange()?.target_origin.as_deref().map(str::to_owned))
    }

    fn path(&mut self) -> Result<String> {
        Ok(self.exchange()?.request.uri.path().to_owned())
    }

    fn decoded_path(&mut self) -> Result<Vec<u8>> {
        Ok(convert::decoded(self.exchange()?.request.uri.path()).into_owned())
    }

    fn query(&mut self) -> Result<Option<String>> {
        Ok(self.exchange()?.request.uri.query().map(str::to_owned))
    }

    fn header(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        Ok(convert::value(&self.exchange()?.request.headers, &name))
    }

    fn header_values(&mut self, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(convert::values(&self.exchange()?.request.headers, &name))
    }

    fn headers(&mut self) -> Result<Vec<Field>> {
        Ok(convert::fields(&self.exchange()?.request.headers))
    }

    fn client_address(&mut self) -> Result<String> {
        let client = self.exchange()?.connection.client;
        Ok(client.map(|client| convert::address(client.ip().to_canonical())).unwrap_or_default())
    }

    fn client_ip(&mut self) -> Result<Option<request::IpAddress>> {
        let client = self.exchange()?.connection.client;
        Ok(client.map(|client| match client.ip().to_canonical() {
            IpAddr::V4(address) => request::IpAddress::Ipv4(address.octets().into()),
            IpAddr::V6(address) => request::IpAddress::Ipv6(address.segments().into()),
        }))
    }

    fn client_port(&mut self) -> Result<u16> {
        Ok(self.exchange()?.connection.client.map_or(0, |client| client.port()))
    }

    fn connection_slot(&mut self) -> Result<u32> {
        Ok(self.exchange()?.connection.slot)
    }

    fn listener(&mut self) -> Result<String> {
        Ok(self.exchange()?.connection.listener.to_string())
    }
}
