//! What several plugins have in common: reading a configuration, judging header fields and paths,
//! and what protocols begin with.
//! What balancers have in common stands in `plugins/balancing`.
//!
//! Nothing here knows of the bindings that are generated for each plugin, so all of it runs
//! natively in tests.

pub mod authority;
pub mod clusters;
pub mod config;
pub mod fields;
pub mod git;
pub mod head;
pub mod hosts;
pub mod names;
pub mod path;
pub mod segments;
pub mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
