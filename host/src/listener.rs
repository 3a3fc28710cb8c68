//! Where clients connect.

pub mod accept;
pub mod stream;
