//! `tls`: what is known of the TLS that the client speaks.

use wasmtime::Result;

use crate::plugin::bindings::tls;
use crate::plugin::exchange::Secured;
use crate::plugin::guest::Guest;

impl Guest {
    fn secured(&self) -> Result<Option<&Secured>> {
        Ok(self.running_exchange()?.connection.tls.as_deref())
    }
}

impl tls::Host for Guest {
    fn client_subject(&mut self) -> Result<Option<String>> {
        Ok(self.secured()?.and_then(|tls| tls.subject.as_deref().map(str::to_owned)))
    }

    fn client_certificate(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.secured()?.and_then(|tls| tls.certificate.as_deref().map(<[u8]>::to_vec)))
    }

    fn server_name(&mut self) -> Result<Option<String>> {
        Ok(self.secured()?.and_then(|tls| tls.server_name.as_deref().map(str::to_owned)))
    }

    fn version(&mut self) -> Result<Option<String>> {
        Ok(self.secured()?.map(|tls| tls.version.to_owned()))
    }
}
