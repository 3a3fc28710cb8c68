//! Promises of the pool, kept over real sockets.

mod downloads;
mod reuse;
mod support;
mod told;
mod uploads;
