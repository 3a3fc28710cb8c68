//! Where clients connect.

pub mod accept;
pub mod interim;
mod refuse;
pub mod stream;
