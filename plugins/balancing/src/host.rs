//! What the host tells: a trait, so that tests can answer in its stead.

use crate::bindings::linkspan::plugin::{
    attempts, clock, endpoints, hashing, log, random, reports, request,
};

use std::net::IpAddr;

pub use hashing::Key as Part;

/// What may be asked within a pick. `random` and `warn` may be asked anywhere.
pub trait Host {
    /// Requests in flight at an endpoint.
    fn in_flight(&self, id: u32) -> u32;
    /// Requests in flight at all members, in the order of the list.
    fn in_flight_of_all(&self) -> Vec<u32>;
    /// The same of eight places from the first one on: 255 for that many and more, 0 where there is
    /// no such place.
    fn in_flight_of_eight(&self, first: u32) -> [u8; 8];
    /// Bytes of request bodies sent to an endpoint.
    fn bytes_sent(&self, id: u32) -> u64;
    /// Bytes of response bodies received from an endpoint.
    fn bytes_received(&self, id: u32) -> u64;
    /// The moving average of the time to an endpoint's response heads, in nanoseconds.
    fn latency(&self, id: u32) -> u64;
    /// The numbers of that name in the last answers of all members to active checks, of those less
    /// than so many milliseconds old, in the order of the list.
    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>>;
    /// The endpoints that were tried for the request, by whichever of the cluster's balancers.
    fn tried(&self) -> Vec<u32>;
    /// Nanoseconds of a clock that never goes back.
    fn monotonic(&self) -> u64;
    /// A random number.
    fn random(&self) -> u64;
    /// CRC-32 of a part of the request, if it has it.
    fn crc32(&self, part: &Part) -> Option<u32>;
    /// CARP's URL hash of it.
    fn carp(&self, part: &Part) -> Option<u32>;
    /// Mixed FNV-1a of it.
    fn fnv1a64_mixed(&self, part: &Part) -> Option<u64>;
    /// The number of the client's connection.
    fn connection_slot(&self) -> u32;
    /// The client's address; none for a client on a Unix socket.
    fn client_ip(&self) -> Option<IpAddr>;
    /// The path as the upstream will get it.
    fn path(&self) -> String;
    /// The query, if there is one.
    fn query(&self) -> Option<String>;
    /// The value of the first field of that name, if there is one.
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// The values of all fields of that name.
    fn header_values(&self, name: &str) -> Vec<Vec<u8>>;
    /// Tells the operator.
    fn warn(&self, message: &str);
}

/// The host itself.
#[derive(Clone, Copy, Debug)]
pub struct Live;

impl Host for Live {
    fn in_flight(&self, id: u32) -> u32 {
        endpoints::in_flight(id)
    }

    fn in_flight_of_all(&self) -> Vec<u32> {
        endpoints::in_flight_of_all()
    }

    fn in_flight_of_eight(&self, first: u32) -> [u8; 8] {
        endpoints::in_flight_of_eight(first).to_le_bytes()
    }

    fn bytes_sent(&self, id: u32) -> u64 {
        endpoints::bytes_sent(id)
    }

    fn bytes_received(&self, id: u32) -> u64 {
        endpoints::bytes_received(id)
    }

    fn latency(&self, id: u32) -> u64 {
        endpoints::latency(id)
    }

    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>> {
        reports::reported_of_all(name, younger_than)
    }

    fn tried(&self) -> Vec<u32> {
        attempts::tried()
    }

    fn monotonic(&self) -> u64 {
        clock::monotonic()
    }

    fn random(&self) -> u64 {
        random::number()
    }

    fn crc32(&self, part: &Part) -> Option<u32> {
        hashing::crc32(part)
    }

    fn carp(&self, part: &Part) -> Option<u32> {
        hashing::carp(part)
    }

    fn fnv1a64_mixed(&self, part: &Part) -> Option<u64> {
        hashing::fnv1a64_mixed(part)
    }

    fn connection_slot(&self) -> u32 {
        request::connection_slot()
    }

    fn client_ip(&self) -> Option<IpAddr> {
        Some(match request::client_ip()? {
            request::IpAddress::Ipv4(octets) => <[u8; 4]>::from(octets).into(),
            request::IpAddress::Ipv6(segments) => <[u16; 8]>::from(segments).into(),
        })
    }

    fn path(&self) -> String {
        request::path()
    }

    fn query(&self) -> Option<String> {
        request::query()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        request::header(name)
    }

    fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        request::header_values(name)
    }

    fn warn(&self, message: &str) {
        log::write(log::Level::Warn, message);
    }
}
