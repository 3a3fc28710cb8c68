//! `connection`: the getters about the TCP connection that a stream router is asked about.

use wasmtime::Result;

use crate::hello::{ClientHello, Reading, read};
use crate::plugin::bindings::connection::{self, Hello};
use crate::plugin::convert;
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::{Guest, Running};

impl Guest {
    /// The running exchange, which is that of a TCP connection.
    fn stream(&self) -> Result<(&Exchange, &[u8])> {
        let exchange = self.exchange.as_deref().filter(|_| self.running == Running::Stream);
        let streamed = exchange.and_then(|exchange| Some((exchange, exchange.stream.as_ref()?)));
        let Some((exchange, stream)) = streamed else {
            return Err(wasmtime::Error::msg("asked about a connection outside a call about one"));
        };
        Ok((exchange, stream.bytes.as_slice()))
    }

    fn hello(&self) -> Result<ClientHello> {
        Ok(match read(self.stream()?.1) {
            Reading::Whole(hello) => hello,
            Reading::Incomplete | Reading::NotTls => ClientHello::default(),
        })
    }
}

impl connection::Host for Guest {
    fn client_address(&mut self) -> Result<String> {
        let client = self.stream()?.0.connection.client;
        Ok(client.map(|client| convert::address(client.ip().to_canonical())).unwrap_or_default())
    }

    fn client_port(&mut self) -> Result<u16> {
        Ok(self.stream()?.0.connection.client.map_or(0, |client| client.port()))
    }

    fn listener(&mut self) -> Result<String> {
        Ok(self.stream()?.0.connection.listener.to_string())
    }

    fn client_hello(&mut self) -> Result<Hello> {
        Ok(match read(self.stream()?.1) {
            Reading::Incomplete => Hello::Incomplete,
            Reading::Whole(_) => Hello::Whole,
            Reading::NotTls => Hello::NotTls,
        })
    }

    fn server_name(&mut self) -> Result<Option<String>> {
        Ok(self.hello()?.server_name)
    }

    fn application_protocols(&mut self) -> Result<Vec<Vec<u8>>> {
        Ok(self.hello()?.protocols)
    }
}
