//! Where clients connect.

pub mod stream;
