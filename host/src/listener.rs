//! Where clients connect.

pub mod accept;
pub mod ahead;
pub mod date;
pub mod descriptors;
pub mod door;
pub mod handle;
pub mod http1;
pub mod http2;
pub mod interim;
pub mod introduction;
pub mod places;
mod refuse;
pub mod secure;
pub mod shortage;
pub mod socket;
