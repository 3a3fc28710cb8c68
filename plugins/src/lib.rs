//! The standard plugins, compiled to components when this crate was built.
//!
//! Every folder below `plugins/balancers`, `plugins/rewriters` and `plugins/routers` is a plugin of
//! that name. This crate knows nothing of what they do; it exists so that the proxy is one file
//! that needs no plugin directory.

/// The name and the bytes of each component, sorted by name.
pub static COMPONENTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The bytes of the component of that name.
#[must_use]
pub fn component(name: &str) -> Option<&'static [u8]> {
    COMPONENTS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}
