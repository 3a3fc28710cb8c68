//! Test guest: a router that answers with what is known of the TLS that the client speaks.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::linkspan::plugin::tls;
use crate::bindings::linkspan::plugin::types::Response;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "router-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        let certificate = tls::client_certificate().map(|der| der.len() > 100);
        let known = (tls::client_subject(), certificate, tls::server_name(), tls::version());
        let body = format!("{known:?}").into_bytes();
        router::Decision::Respond(Response { status: 200, headers: Vec::new(), body })
    }
}
