//! Active checks: endpoints are asked for their health, apart from requests.
//!
//! One task per cluster that wants it, and in it one per endpoint, all on the runtime of whoever owns
//! [`Checks`]: the control thread. An endpoint that stays is asked on over reloads, unless it is to be
//! asked differently. The first check decides by itself; before it an endpoint counts as healthy, so that
//! nobody waits for checks at start. Later ones decide as `rise` and `fall` say.

mod ask;
mod row;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time;

use super::condition::Check;
use super::endpoint::Endpoint;
use super::{Cluster, Member, Standing, health};
use crate::config;
use crate::config::Name;

use row::Row;

/// Checks of one cluster at a time, so that one whose endpoints do not answer holds up no other.
const AT_ONCE_OF_CLUSTER: usize = 64;

/// Checks at a time. Each takes a descriptor.
const AT_ONCE: usize = 1_024;

/// The most of an answer's body in which numbers are sought that balancers can ask for.
const REPORT_BYTES: usize = 8 << 10;

/// Over which part of the first second checks begin, so that they do not come all at once.
const SPREAD: Duration = Duration::from_millis(200);

/// The checks of all clusters. Dropped, they end.
#[derive(Debug)]
pub struct Checks {
    clusters: BTreeMap<Name, Attended>,
    seats: Arc<Semaphore>,
}

/// A cluster that is asked.
#[derive(Debug)]
struct Attended {
    shown: watch::Sender<Arc<Cluster>>,
    _task: Task,
}

/// A task that ends with its handle.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self { clusters: BTreeMap::new(), seats: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Checks {
    /// Checks these clusters from now on, as they are configured. To be called within a runtime.
    pub fn show(&mut self, clusters: &BTreeMap<Name, Arc<Cluster>>) {
        let wants = |cluster: &Cluster| cluster.settings().health.check.is_some();
        self.clusters.retain(|name, _| clusters.get(name).is_some_and(|cluster| wants(cluster)));
        for (name, cluster) in clusters.iter().filter(|(_, cluster)| wants(cluster)) {
            if let Some(attended) = self.clusters.get(name) {
                attended.shown.send_replace(Arc::clone(cluster));
                continue;
            }
            let (shown, seen) = watch::channel(Arc::clone(cluster));
            let task = Task(tokio::spawn(attend(seen, Arc::clone(&self.seats))));
            self.clusters.insert(Arc::clone(name), Attended { shown, _task: task });
        }
    }
}

/// Has the endpoints of a cluster asked, whoever they are.
async fn attend(mut shown: watch::Receiver<Arc<Cluster>>, seats: Arc<Semaphore>) {
    let mut asked: HashMap<u64, (Arc<config::Check>, Task)> = HashMap::new();
    let of_cluster = Arc::new(Semaphore::new(AT_ONCE_OF_CLUSTER));
    loop {
        let cluster = Arc::clone(&shown.borrow_and_update());
        let mut moved = pin!(cluster.moved());
        // From here on a change is noticed, also one that comes before the await.
        moved.as_mut().enable();
        let membership = Arc::clone(&cluster.membership());
        let check = cluster.settings().health.check.clone();
        let members = membership.members().iter();
        // Whoever is set aside by hand is meant to come back.
        let in_service = members.filter(|member| Cluster::standing(member) != Standing::Disabled);
        let in_service: HashMap<u64, &Member> =
            in_service.map(|member| (member.endpoint.key(), member)).collect();
        asked.retain(|key, (how, _)| in_service.contains_key(key) && Some(&*how) == check.as_ref());
        for member in in_service.values() {
            let Some(check) = &check else { continue };
            asked.entry(member.endpoint.key()).or_insert_with(|| {
                cluster.unchecked(&member.endpoint);
                let endpoint = Arc::clone(&member.endpoint);
                let seats = [&of_cluster, &seats].map(Arc::clone);
                let asking = ask_on(shown.clone(), endpoint, Arc::clone(check), seats);
                (Arc::clone(check), Task(tokio::spawn(asking)))
            });
        }
        tokio::select! {
            changed = shown.changed() => if changed.is_err() { return },
            () = moved => {}
        }
    }
}

/// Asks an endpoint again and again.
async fn ask_on(
    shown: watch::Receiver<Arc<Cluster>>,
    endpoint: Arc<Endpoint>,
    check: Arc<config::Check>,
    [of_cluster, of_all]: [Arc<Semaphore>; 2],
) {
    let mut row = Row::default();
    time::sleep(part_of(SPREAD.min(check.interval))).await;
    loop {
        let Ok(own) = of_cluster.acquire().await else { return };
        let Ok(seat) = of_all.acquire().await else { return };
        // A reload may have changed how connections begin, and nothing else.
        let spoken = {
            let cluster = shown.borrow();
            (cluster.settings().protocol, cluster.settings().proxy_protocol)
        };
        let (passed, found) = match ask::ask(&endpoint, &check, spoken).await {
            Ok((found, body)) => {
                endpoint.report().take(body.get(..REPORT_BYTES).unwrap_or(&body), health::now());
                (true, found)
            }
            Err(found) => (false, found),
        };
        drop((own, seat));
        let healthy = row.take(passed, check.rise, check.fall);
        let about = Check { at: health::now(), passed, found };
        let cluster = Arc::clone(&shown.borrow());
        tracing::trace!(
            cluster = &**cluster.name(),
            endpoint = &**endpoint.label(),
            passed,
            found = about.found,
            "checked"
        );
        // Another port that answers says nothing about this one.
        let reached = passed && check.port.is_none();
        cluster.checked(&endpoint, about, healthy, reached);
        drop(cluster);
        let tenth = check.interval / 10;
        time::sleep(check.interval - tenth / 2 + part_of(tenth)).await;
    }
}

/// A time between nothing and this one, by chance. The hasher is seeded by chance, which is all that
/// spreading checks takes.
fn part_of(whole: Duration) -> Duration {
    let drawn = u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0);
    whole.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}
