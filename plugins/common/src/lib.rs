//! What several plugins have in common: reading a configuration, judging header fields. What
//! balancers have in common stands in `plugins/balancing`.
//!
//! Nothing here knows of the bindings that are generated for each plugin, so all of it runs
//! natively in tests.

pub mod config;
pub mod fields;
pub mod names;
