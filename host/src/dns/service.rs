//! Services: SRV records, and the addresses of the hosts that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::{Addresses, Failure, Found, MOST, Resolver, Service, seconds};

/// Targets of one service that are resolved at a time.
const AT_ONCE: usize = 16;

/// The most sets of endpoints that balancers know.
const LAST_RANK: u8 = 99;

/// The addresses of a target.
type Resolved = Result<Addresses, Failure>;

impl Resolver {
    /// The targets of a service with their addresses, how many seconds they are good for, and what of
    /// it could not be found out. A target that cannot be resolved keeps the addresses that it had.
    pub(super) async fn service(
        &self,
        name: &str,
        held: &[Found],
    ) -> Result<(Vec<Found>, u32, Option<String>), Failure> {
        let records = self.records(&Name::from_ascii(name)?, RecordType::SRV).await?;
        let mut ttl = seconds(&records);
        let mut listed: Vec<&SRV> = records
            .iter()
            .filter_map(|record| if let RData::SRV(srv) = &record.data { Some(srv) } else { None })
            // The root as the only target says that there is no such service (RFC 2782).
            .filter(|srv| !srv.target.is_root() && srv.port > 0)
            .collect();
        listed.sort_by_cached_key(|srv| (srv.priority, srv.port, srv.target.clone(), srv.weight));
        listed.dedup();
        listed.truncate(MOST);
        let services = services(&listed);
        let targets = services.iter().map(|service| Arc::clone(&service.target)).collect();
        let resolved = self.targets(targets, held).await;
        let mut found = Vec::new();
        let mut failure = Failure::Empty;
        let mut lacking = None;
        let mut any = false;
        for service in services {
            let addresses = match resolved.get(&service.target) {
                Some(Ok(resolved)) => {
                    any = true;
                    ttl = ttl.min(resolved.ttl);
                    lacking = lacking.or_else(|| resolved.lacking.clone());
                    resolved.addresses.clone()
                }
                other => {
                    let late = Failure::Timeout;
                    let error = other.and_then(|other| other.as_ref().err()).unwrap_or(&late);
                    lacking = Some(format!("{}: {error}", service.target));
                    failure = error.clone();
                    of_target(held, &service.target)
                }
            };
            let place = |address| Found { service: Some(service.clone()), address };
            found.extend(addresses.into_iter().map(place));
        }
        if any { Ok((found, ttl, lacking)) } else { Err(failure) }
    }

    /// Resolves targets. Those that were not asked for in time are missing.
    async fn targets(
        &self,
        targets: BTreeSet<Arc<str>>,
        held: &[Found],
    ) -> BTreeMap<Arc<str>, Resolved> {
        let until = Instant::now() + self.settings().timeout;
        let mut resolved = BTreeMap::new();
        let mut targets = targets.into_iter();
        let mut lookups = JoinSet::new();
        loop {
            for target in targets.by_ref().take(AT_ONCE.saturating_sub(lookups.len())) {
                let (resolver, held) = (self.clone(), of_target(held, &target));
                lookups.spawn(async move {
                    // Names within records are whole: no search list is for them.
                    let answer = resolver.addresses(&format!("{target}."), &held).await;
                    (target, answer)
                });
            }
            match time::timeout_at(until, lookups.join_next()).await {
                Ok(Some(Ok((target, answer)))) => resolved.insert(target, answer),
                Ok(Some(Err(_panicked))) => continue,
                Ok(None) | Err(_) => return resolved,
            };
        }
    }
}

/// What the records come to, in the order of their priorities.
fn services(listed: &[&SRV]) -> Vec<Service> {
    let priorities: BTreeSet<u16> = listed.iter().map(|srv| srv.priority).collect();
    let ranks: BTreeMap<u16, u8> = priorities
        .into_iter()
        .zip((0..LAST_RANK).chain(
            // What comes after the last set is in it.
            std::iter::repeat(LAST_RANK),
        ))
        .collect();
    let weighs = listed.iter().any(|srv| srv.weight > 0);
    let service = |srv: &&SRV| Service {
        rank: ranks.get(&srv.priority).copied().unwrap_or(LAST_RANK),
        target: host(&srv.target),
        port: srv.port,
        // Where nobody has a weight, all weigh the same; else none at all is as little as there is.
        weight: match u32::from(srv.weight) {
            0 if weighs => 1,
            0 => 100,
            weight => (weight * 100).min(1_000_000),
        },
    };
    listed.iter().map(service).collect()
}

/// A host as Host headers have it: in lower case and without the last dot.
fn host(name: &Name) -> Arc<str> {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).into()
}

fn of_target(held: &[Found], target: &str) -> Vec<IpAddr> {
    let same = |found: &&Found| found.service.as_ref().is_some_and(|of| *of.target == *target);
    let addresses: BTreeSet<_> = held.iter().filter(same).map(|found| found.address).collect();
    addresses.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(listed: &[(u16, u16)]) -> Vec<(u8, u32)> {
        let record = |(place, (priority, weight)): (usize, &(u16, u16))| {
            let target = Name::from_ascii(format!("T{place}.test.")).unwrap();
            SRV::new(*priority, *weight, 80, target)
        };
        let records: Vec<_> = listed.iter().enumerate().map(record).collect();
        let services = services(&records.iter().collect::<Vec<_>>());
        assert!(
            services.iter().enumerate().all(|(place, s)| *s.target == *format!("t{place}.test"))
        );
        services.iter().map(|service| (service.rank, service.weight)).collect()
    }

    #[test]
    fn weights_are_relative_and_none_is_the_least() {
        assert_eq!(weights(&[(0, 3), (0, 0), (0, 65535)]), [(0, 300), (0, 1), (0, 1_000_000)]);
        assert_eq!(weights(&[(0, 0), (0, 0)]), [(0, 100), (0, 100)]);
    }

    #[test]
    fn priorities_are_ranked_from_the_lowest() {
        assert_eq!(weights(&[(10, 1), (20, 1), (10, 1)]), [(0, 100), (1, 100), (0, 100)]);
        let many: Vec<_> = (0..200).map(|priority| (priority, 1)).collect();
        let ranks = weights(&many);
        assert_eq!((ranks[98].0, ranks[99].0, ranks[199].0), (98, 99, 99));
    }
}
