//! Which server a key belongs to: the ring of libketama, as libmemcached has it for servers of equal
//! weight (`MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED` with MD5, in PHP `OPT_LIBKETAMA_COMPATIBLE`, in pylibmc
//! `ketama_weighted`), so that keys are found which common clients have set.
//!
//! A server has 160 points, four from each of 40 digests of its name and a number. Its name is the host as
//! configured, with a colon and the port unless that is 11211. A key belongs to the server of the first
//! point that is not below the first four bytes of its digest.

use md5::{Digest, Md5};

use crate::config::Address;

/// Points that a server has, if nothing is lost in rounding.
const POINTS: f32 = 160.0;

/// Points that one digest gives.
const PER_DIGEST: usize = 4;

/// The port that a name does without.
const DEFAULT_PORT: u16 = 11_211;

/// The points of all servers in order, with their servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ring(Box<[(u32, usize)]>);

impl Ring {
    /// The ring of some servers; of a single one there is nothing to choose.
    pub(super) fn new(servers: &[Address]) -> Self {
        if servers.len() < 2 {
            return Self(Box::default());
        }
        let digests = digests(servers.len());
        let mut points = Vec::new();
        for (server, address) in servers.iter().enumerate() {
            let name = name(address);
            for number in 0..digests {
                let digest: [u8; 16] = Md5::digest(format!("{name}-{number}")).into();
                points.extend((0..PER_DIGEST).map(|part| (point(&digest, part), server)));
            }
        }
        points.sort_unstable();
        Self(points.into())
    }

    /// The place of the server that a key belongs to.
    pub(super) fn server(&self, key: &str) -> usize {
        if self.0.is_empty() {
            return 0;
        }
        let digest: [u8; 16] = Md5::digest(key).into();
        let hash = point(&digest, 0);
        let place = self.0.partition_point(|(point, _)| *point < hash);
        self.0.get(place).or_else(|| self.0.first()).map_or(0, |(_, server)| *server)
    }
}

/// Digests per server. libmemcached reckons them from the server's share of the weight of all, in
/// single precision, and cuts off what it gets: with some numbers of servers that is one less than 40.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small positive number, reckoned as libmemcached does"
)]
fn digests(servers: usize) -> usize {
    let servers = servers as f32;
    let share = 1.0 / servers;
    let digests = f64::from(share * POINTS / 4.0 * servers) + 0.000_000_000_1;
    (digests as f32).floor() as usize
}

fn point(digest: &[u8; 16], part: usize) -> u32 {
    digest.as_chunks::<4>().0.get(part).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn name(address: &Address) -> String {
    let (host, port) = match address {
        Address::Socket(address) => (address.ip().to_string(), address.port()),
        Address::Name(host, port) => (host.as_ref().to_owned(), *port),
        // One has no port, which counts as 0.
        Address::Unix(path) => (path.display().to_string(), 0),
        Address::Service(name) => (name.as_ref().to_owned(), DEFAULT_PORT),
    };
    if port == DEFAULT_PORT { host } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The servers of the first 40 keys, as libmemcached 1.1 tells them with `KETAMA_WEIGHTED`.
    fn told(servers: &[&str]) -> Vec<usize> {
        let servers: Vec<_> = servers.iter().map(|text| address(text)).collect();
        let ring = Ring::new(&servers);
        (0..40).map(|key| ring.server(&format!("http://host-{key}.test:80/"))).collect()
    }

    fn address(text: &str) -> Address {
        match (text.strip_prefix("unix:"), text.parse()) {
            (Some(path), _) => Address::Unix(path.into()),
            (None, Ok(socket)) => Address::Socket(socket),
            (None, Err(_)) => {
                let (host, port) = text.split_once(':').unwrap();
                Address::Name(host.into(), port.parse().unwrap())
            }
        }
    }

    #[test]
    fn keys_are_where_libmemcached_puts_them() {
        let addresses = told(&["10.0.0.1:11211", "10.0.0.2:11211", "10.0.0.3:11212"]);
        assert_eq!(
            addresses,
            [
                0, 2, 0, 0, 2, 1, 1, 0, 2, 0, 2, 1, 1, 0, 1, 1, 1, 1, 2, 2, 0, 0, 0, 1, 1, 0, 1, 1,
                1, 2, 1, 2, 1, 1, 0, 1, 1, 1, 0, 2,
            ]
        );
        let mixed = told(&[
            "cache-a.test:11211",
            "cache-b.test:11300",
            "unix:/run/m.sock",
            "[::1]:11211",
            "[::1]:11213",
        ]);
        assert_eq!(
            mixed,
            [
                3, 0, 0, 4, 4, 1, 3, 0, 4, 4, 4, 1, 3, 1, 4, 2, 0, 2, 4, 2, 4, 4, 3, 2, 3, 0, 2, 3,
                2, 0, 0, 0, 2, 2, 4, 1, 3, 1, 4, 3,
            ]
        );
    }

    #[test]
    fn what_is_lost_in_rounding_is_lost_here_as_well() {
        assert_eq!([2, 24, 25, 26, 47].map(digests), [40, 40, 39, 40, 39]);
        let servers: Vec<_> =
            (1..26).map(|host| address(&format!("10.0.0.{host}:11211"))).collect();
        let ring = Ring::new(&servers);
        // With 40 digests each, these were elsewhere.
        let keys = [12, 40, 55, 70, 77, 156, 166, 169, 299, 305];
        let told = keys.map(|key| ring.server(&format!("http://host-{key}.test:80/")));
        assert_eq!(told, [1, 0, 4, 2, 19, 4, 14, 15, 1, 2]);
    }

    #[test]
    fn a_single_server_has_all_keys() {
        assert_eq!(told(&["10.0.0.1:1"]), [0; 40]);
    }
}
