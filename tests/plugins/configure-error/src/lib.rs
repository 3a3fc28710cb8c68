//! Test guest: a router that refuses its configuration: with what `say` holds, `times` over, or
//! with a text of its own.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use linkspan_plugin_common::config;
use serde::Deserialize;

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

#[derive(Deserialize)]
struct Config {
    say: Option<String>,
    times: Option<usize>,
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        let Config { say, times } = config::parse(&config)?;
        let say = say.unwrap_or_else(|| "key `colour`: expected a colour".to_owned());
        Err(say.repeat(times.unwrap_or(1)))
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        router::Decision::Next
    }
}
