//! Where clients connect.

pub mod accept;
pub mod interim;
pub mod stream;
