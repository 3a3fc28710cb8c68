//! Test guest: a component that exports nothing of the contract.

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package stranger:greeter@1.0.0;

            world greeter {
                export greet: func() -> string;
            }
        ",
        world: "greeter",
    });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

/// What exports it.
pub struct Plugin;

impl bindings::Guest for Plugin {
    fn greet() -> String {
        "Hello".to_owned()
    }
}
