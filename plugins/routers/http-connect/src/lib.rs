//! Stream router: a proxy for clients that ask for a connection by CONNECT, as browsers do. Where they can
//! go is what `grants.addresses` says; it takes no configuration.
//!
//! The client is told that it is connected when the address is known to be granted, and before the upstream
//! is connected to. Another method is answered with 405, and what is no request with 400.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::grants;
use linkspan_plugin_common::config::refuse_keys;
use linkspan_plugin_common::head::{self, Reading};

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
        match head::read(&bytes) {
            Reading::Incomplete if ended && bytes.is_empty() => Decision::Close(None),
            Reading::Incomplete if !ended => Decision::Wait,
            Reading::Incomplete | Reading::Malformed => answer("400 Bad Request", ""),
            Reading::Whole(head) if head.method != "CONNECT" => {
                answer("405 Method Not Allowed", "allow: CONNECT\r\n")
            }
            Reading::Whole(head) if !is_address(head.target) => answer("400 Bad Request", ""),
            Reading::Whole(head) => Decision::Forward(Target {
                upstreams: vec![Upstream::Address(format!("tcp://{}", head.target))],
                // What the client could not wait to send is for the upstream.
                data: Some(bytes.get(head.length..).unwrap_or_default().to_vec()),
                reply: Some(b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec()),
                connect_timeout: None,
                inactivity_timeout: None,
            }),
        }
    }

    fn failed(_id: u64, _upstream: String, _trouble: Trouble) {}
}

/// Whether a target is a host and a port. What exactly, the proxy judges.
fn is_address(target: &str) -> bool {
    let port = target.rsplit_once(':').map_or("", |(_, port)| port);
    port.parse::<u16>().is_ok_and(|port| port > 0) && !target.contains(['/', '@', '?', '#'])
}

/// An answer, and the end.
fn answer(status: &str, field: &str) -> Decision {
    let end = "content-length: 0\r\nconnection: close\r\n\r\n";
    Decision::Close(Some(format!("HTTP/1.1 {status}\r\n{field}{end}").into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        assert!(is_address("a.test:443") && is_address("[::1]:80"));
        for target in ["a.test", "a.test:", "a.test:0", "a.test:x", "/a:1", "u@a:1", "*"] {
            assert!(!is_address(target), "{target}");
        }
    }
}
