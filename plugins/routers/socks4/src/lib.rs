//! Stream router: a proxy for clients of SOCKS4, and of SOCKS4a, which send names of hosts. Where they can go
//! is what `grants.addresses` says; it takes no configuration.
//!
//! The client is told that it is connected when the address is known to be granted, and before the upstream
//! is connected to. Its user is not looked at. Anything but a request for a connection is rejected.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::grants;
use crate::request::Reading;
use linkspan_plugin_common::config::refuse_keys;

mod request;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "stream-router-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

/// The answers: a zero, what it is, and six bytes that mean nothing here.
const GRANTED: [u8; 8] = [0, 0x5a, 0, 0, 0, 0, 0, 0];
/// See [`GRANTED`].
const REJECTED: [u8; 8] = [0, 0x5b, 0, 0, 0, 0, 0, 0];

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        refuse_keys(&config)?;
        if grants::any_address() {
            return Ok(());
        }
        Err("the plugin is granted no address that clients could ask for, expected some as its \
             `grants.addresses`"
            .to_owned())
    }
}

impl stream_router::Guest for Plugin {
    fn accepted(_id: u64) -> Option<Vec<u8>> {
        None
    }

    fn decide(_id: u64, bytes: Vec<u8>, ended: bool) -> Decision {
        match request::read(&bytes) {
            Reading::Incomplete if !ended => Decision::Wait,
            Reading::Incomplete => Decision::Close(None),
            Reading::Rejected => Decision::Close(Some(REJECTED.to_vec())),
            Reading::Address { address, length } => Decision::Forward(Target {
                upstreams: vec![Upstream::Address(format!("tcp://{address}"))],
                data: Some(bytes.get(length..).unwrap_or_default().to_vec()),
                reply: Some(GRANTED.to_vec()),
                connect_timeout: None,
                inactivity_timeout: None,
            }),
        }
    }

    fn failed(_id: u64, _upstream: String, _trouble: Trouble) {}
}
