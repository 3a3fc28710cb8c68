//! What several plugins have in common: reading a configuration, judging header fields, keeping the
//! members of a cluster.
//!
//! Nothing here knows of the bindings that are generated for each plugin, so all of it runs
//! natively in tests.

pub mod config;
pub mod fields;
pub mod members;
pub mod names;
