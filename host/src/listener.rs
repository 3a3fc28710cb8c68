//! Where clients connect.

pub mod accept;
pub mod places;
pub mod stream;
