//! Clusters of the addresses that routers name: kept for a while, so that their connections are
//! reused and their failures remembered.
//!
//! Which addresses may be named is not judged here. All is forgotten with the view.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cluster::pool::Pool;
use crate::tls::client::ClientTls;
use crate::view::ClusterUse;

/// The most clusters kept.
const MOST: usize = 1_024;

/// Names that are resolved at a time.
const LOOKUPS: usize = 16;

/// Who asked, as the number of a plugin's definition, and for what.
type Key = (u64, Box<str>);

/// The clusters of the addresses that routers name, of one worker.
pub struct Direct {
    /// Admits to resolving names.
    pub lookups: Semaphore,
    /// The longest that resolving one may take.
    pub patience: Duration,
    /// How TLS is spoken to them; nothing if it cannot be.
    pub tls: Option<Arc<ClientTls>>,
    known: RefCell<HashMap<Key, Known>>,
}

struct Known {
    cluster: Rc<ClusterUse>,
    addresses: Vec<SocketAddr>,
    /// Until when the addresses are believed.
    until: Instant,
    used: Instant,
}

impl Direct {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(patience: Duration, tls: Option<Arc<ClientTls>>) -> Self {
        Self { lookups: Semaphore::new(LOOKUPS), patience, tls, known: RefCell::default() }
    }

    /// The cluster that was found lately.
    pub fn fresh(&self, key: &Key) -> Option<Rc<ClusterUse>> {
        let now = Instant::now();
        let mut all = self.known.borrow_mut();
        let known = all.get_mut(key).filter(|known| now < known.until)?;
        known.used = now;
        Some(Rc::clone(&known.cluster))
    }

    /// Adds the endpoints of the clusters, as the pool tells them apart.
    pub(super) fn add_endpoint_keys(&self, keys: &mut Vec<u64>) {
        for known in self.known.borrow().values() {
            let membership = known.cluster.cluster.membership();
            keys.extend(membership.endpoints().iter().map(|endpoint| endpoint.key()));
        }
    }

    /// Keeps what was found just now and is `believed` for so long: the cluster there was, if it has the same addresses, else a
    /// new one. The connections of the cluster that goes for it are closed.
    pub fn keep(
        &self,
        key: Key,
        (addresses, believed): (Vec<SocketAddr>, Duration),
        pool: &Pool,
        make: impl FnOnce(Vec<SocketAddr>) -> Rc<ClusterUse>,
    ) -> Rc<ClusterUse> {
        let now = Instant::now();
        let mut all = self.known.borrow_mut();
        if let Some(known) = all.get_mut(&key).filter(|known| known.addresses == addresses) {
            (known.until, known.used) = (now + believed, now);
            return Rc::clone(&known.cluster);
        }
        if all.len() >= MOST && !all.contains_key(&key) {
            let unused = all.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            close(unused.and_then(|key| all.remove(&key)), pool);
        }
        let cluster = make(addresses.clone());
        let known =
            Known { cluster: Rc::clone(&cluster), addresses, until: now + believed, used: now };
        close(all.insert(key, known), pool);
        cluster
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Direct").field("known", &self.known.borrow().len()).finish()
    }
}

fn close(gone: Option<Known>, pool: &Pool) {
    let Some(gone) = gone else { return };
    for endpoint in gone.cluster.cluster.membership().endpoints() {
        pool.close_endpoint(endpoint.key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::registry::Registry;
    use crate::config::{Address, Location, Scheme};
    use crate::dns::Inquiries;
    use crate::metrics::{Metrics, Words};
    use crate::plugin::Nursery;
    use crate::view::Make;

    const FRESH: Duration = Duration::from_secs(30);

    fn keep(direct: &Direct, name: &str, ports: &[u16]) -> Rc<ClusterUse> {
        let addresses = ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect();
        let make = Make {
            worker: 0,
            workers: 1,
            nursery: Nursery::new(1).0,
            names: Inquiries::default(),
            metrics: Arc::new(Metrics::new(1, Words { errors: &[], plugin_failures: &[] })),
        };
        direct.keep((0, name.into()), (addresses, FRESH), &Pool::new(), |addresses| {
            let address = Address::Name(name.into(), 80);
            let location = Location { scheme: Scheme::Http, address };
            let cluster = Registry::unnamed(location, addresses, None);
            Rc::new(ClusterUse::plain(&cluster, &make))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_a_while_and_the_same_one_changes_nothing() {
        let direct = Direct::new(FRESH, None);
        let first = keep(&direct, "a", &[1, 2]);
        let key = (0, "a".into());
        tokio::time::advance(FRESH - Duration::from_millis(1)).await;
        assert!(direct.fresh(&key).is_some_and(|known| Rc::ptr_eq(&known, &first)));
        assert!(direct.fresh(&(1, "a".into())).is_none(), "another router has other grants");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(direct.fresh(&key).is_none());
        assert!(Rc::ptr_eq(&keep(&direct, "a", &[1, 2]), &first));
        assert!(direct.fresh(&key).is_some());
        assert!(!Rc::ptr_eq(&keep(&direct, "a", &[2]), &first));
    }

    #[tokio::test(start_paused = true)]
    async fn when_there_are_too_many_the_one_longest_unused_goes() {
        let direct = Direct::new(FRESH, None);
        for number in 0..MOST {
            keep(&direct, &number.to_string(), &[1]);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let known = |name: &str| direct.fresh(&(0, name.into())).is_some();
        assert!(known("0"));
        keep(&direct, "more", &[1]);
        assert!(known("0") && known("more") && !known("1"));
        assert_eq!(direct.known.borrow().len(), MOST);
    }
}
