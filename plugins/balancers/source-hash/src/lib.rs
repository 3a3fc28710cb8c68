//! Balancer: Monkey's source hash. The endpoint whose place on the list is the client's address
//! modulo the length of the list, bit for bit as Monkey has it on a little-endian machine.
//!
//! That is the four bytes of an IPv4 address, or the last four of an IPv6 address, read with the
//! first as the lowest. Whether an endpoint can be used does not change the places of the others:
//! the next one of the list stands in for it, unless `strict` is set, which is how Monkey does it:
//! one attempt. A client on a Unix socket gets the first.

use linkspan_plugin_balancing::{Balancer, Choice, Host, Turn, balancer};
use linkspan_plugin_common::config;
use serde::Deserialize;
use std::net::IpAddr;

/// The balancer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceHash {
    /// Whether there is one attempt only.
    #[serde(default)]
    strict: bool,
}

impl Balancer for SourceHash {
    fn configure(config: &str) -> Result<Self, String> {
        config::parse(config)
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let number = usize::try_from(number(turn.host.client_ip())).unwrap_or(0);
        match number.checked_rem(turn.members.list().len()) {
            Some(own) if self.strict => {
                let first = turn.attempt == 0 && turn.competitors.has(own);
                first.then_some(own).into()
            }
            own => own.and_then(|own| turn.competitors.at_or_after(own)).into(),
        }
    }
}

/// What an address counts as; 0 where there is none.
fn number(address: Option<IpAddr>) -> u32 {
    u32::from_le_bytes(match address {
        Some(IpAddr::V4(address)) => address.octets(),
        Some(IpAddr::V6(address)) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
        None => [0; 4],
    })
}

balancer!(SourceHash);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<SourceHash>("source-hash");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<SourceHash>("{}", true);
    }

    #[test]
    fn says_what_is_wrong_with_its_configuration() {
        let error = SourceHash::configure("{\"strict\":\"yes\"}").err().unwrap();
        assert!(error.starts_with("strict: "), "{error}");
    }
}
