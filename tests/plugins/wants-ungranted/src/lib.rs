//! Test guest: a router that imports `stranger:thing/api`, which nobody offers.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::stranger::thing::api;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package stranger:thing@1.0.0;

            interface api {
                ask: func() -> bool;
            }

            world guest {
                include linkspan:plugin/router-plugin@0.1.0;
                import api;
            }
        ",
        world: "stranger:thing/guest",
        generate_all,
    });
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
        if api::ask() {
            router::Decision::Next
        } else {
            router::Decision::Redirect(router::Redirection {
                status: 302,
                location: "/".to_owned(),
            })
        }
    }
}
