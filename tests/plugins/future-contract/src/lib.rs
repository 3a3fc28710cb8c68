//! Test guest: a router made for a later version of the contract.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package linkspan:plugin@0.9.0;

            interface lifecycle {
                configure: func(config: string) -> result<_, string>;
            }

            interface router {
                route: func() -> option<string>;
            }

            world router-plugin {
                export lifecycle;
                export router;
            }
        ",
        world: "router-plugin",
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
    fn route() -> Option<String> {
        None
    }
}
