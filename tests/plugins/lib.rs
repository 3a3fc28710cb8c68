//! Guests that misbehave or are otherwise special, compiled when this crate was built.
//!
//! Every folder beside this file is one, and says in its first lines what it does. Only tests
//! depend on this crate: the proxy does not carry these components.

/// The name and the bytes of each component, sorted by name.
pub static COMPONENTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The bytes of the component of that name.
#[must_use]
pub fn component(name: &str) -> Option<&'static [u8]> {
    COMPONENTS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}
