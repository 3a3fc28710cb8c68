//! An endpoint: its address, and the live figures that workers write and balancers read.
//!
//! The figures are exact and process-wide, whatever snapshot a request belongs to. They stand on
//! cache lines of their own, apart from what every pick reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;

use super::health::State;
use super::limit::Limit;
use super::peer::{Peer, Way};
use super::report::Report;
use super::vitals::Vitals;
use crate::tls::client::Secure;

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    id: u32,
    key: u64,
    peer: Peer,
    label: Arc<str>,
    authority: HeaderValue,
    tls: Option<Secure>,
    vitals: Vitals,
    report: Report,
    limit: Limit,
    figures: Figures,
}

impl Endpoint {
    /// An endpoint with no history. `id` must be unique within its cluster.
    #[must_use]
    pub fn new(id: u32, peer: Peer, label: Arc<str>, authority: HeaderValue) -> Self {
        static NEXT_KEY: AtomicU64 = AtomicU64::new(0);
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            key,
            peer,
            label,
            authority,
            tls: None,
            vitals: Vitals::default(),
            report: Report::default(),
            limit: Limit::default(),
            figures: Figures::default(),
        }
    }

    /// The same, which is spoken to like this.
    #[must_use]
    pub fn over(self, tls: Option<Secure>) -> Self {
        Self { tls, ..self }
    }

    /// The same, in place of another: what somebody has set that to by hand holds for both.
    pub(super) fn in_place_of(mut self, before: &Self) -> Self {
        self.vitals.share_hand(&before.vitals);
        self
    }

    /// Its number: stable as long as the cluster has this address, and speaks TLS to it like before, or not;
    /// never another's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Different for any two endpoints of the process: what connections are pooled by.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Where it is.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How connections lead to it.
    #[must_use]
    pub fn way(&self) -> Way<'_> {
        Way { peer: &self.peer, tls: self.tls.as_ref() }
    }

    /// `host:port` or `unix:/path`, as balancers and logs name it.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The Host under `host-header = "endpoint"`.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Consecutive connect failures and the time of the last.
    #[must_use]
    pub fn health(&self) -> State {
        self.vitals.connecting.state()
    }

    pub(super) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// What it says of itself when it is checked.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    pub(super) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Counts a request that is about to be sent as in flight, until the guard is dropped. None if
    /// the endpoint has as many as it may, or others wait for it.
    pub fn begin(self: &Arc<Self>) -> Option<InFlight> {
        if !self.limit.is_none() {
            return self.take_unclaimed_slot();
        }
        self.figures.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(InFlight::counted(self))
    }

    /// Counts an attempt to send a request.
    pub fn count_attempt(&self) {
        self.figures.total.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn in_flight_cell(&self) -> &AtomicU32 {
        &self.figures.in_flight
    }

    /// Requests sent and not finished.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.figures.in_flight.load(Ordering::Relaxed)
    }

    /// Requests ever sent.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.figures.total.load(Ordering::Relaxed)
    }

    /// Attempts that failed to connect, or broke before a response head.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.figures.failures.load(Ordering::Relaxed)
    }

    /// Counts an attempt that broke before a response head. Failures to connect are counted by
    /// [`Cluster::connect_failed`](super::Cluster::connect_failed).
    pub fn count_failure(&self) {
        self.figures.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of request bodies.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.figures.bytes_sent.load(Ordering::Relaxed)
    }

    /// Adds to [`Self::bytes_sent`].
    pub fn add_sent(&self, bytes: u64) {
        self.figures.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of response bodies.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.figures.bytes_received.load(Ordering::Relaxed)
    }

    /// Adds to [`Self::bytes_received`].
    pub fn add_received(&self, bytes: u64) {
        self.figures.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The time to a response's head in nanoseconds, averaged; 0 before the first response.
    #[must_use]
    pub fn latency(&self) -> u64 {
        self.figures.latency.load(Ordering::Relaxed)
    }

    /// Adds a time to a response's head to the average.
    ///
    /// Two threads that do so at the same moment may lose one of the two times; an average can bear
    /// that, and it keeps the path free of loops.
    pub fn observe_latency(&self, time: Duration, now: u64) {
        let sample = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).clamp(1, MAX_LATENCY);
        let elapsed = now.saturating_sub(self.figures.observed.swap(now, Ordering::Relaxed));
        let average = averaged(self.latency(), sample, elapsed);
        self.figures.latency.store(average, Ordering::Relaxed);
    }
}

/// A request that is counted as in flight at an endpoint.
#[derive(Debug)]
#[must_use = "the request counts as finished when this is dropped"]
pub struct InFlight(Arc<Endpoint>);

impl InFlight {
    /// The guard of a request that has been counted.
    pub(super) fn counted(endpoint: &Arc<Endpoint>) -> Self {
        Self(Arc::clone(endpoint))
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Ordered before the look at the limit; relaxed would cost the same on most machines.
        self.0.figures.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.0.limit.is_none() {
            self.0.slot_freed();
        }
    }
}

/// What every request writes. 128 bytes apart: neighbouring lines are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Figures {
    in_flight: AtomicU32,
    total: AtomicU64,
    failures: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    latency: AtomicU64,
    /// When the latency was last added to.
    observed: AtomicU64,
}

/// A day, which keeps the average's arithmetic far from overflow.
const MAX_LATENCY: u64 = 86_400_000_000_000;

/// A moving average over time, not over samples: one that comes `elapsed` milliseconds after the
/// one before weighs `elapsed / (elapsed + 1000)`, so that the last second weighs as much as all
/// before it, at any rate of requests. Of the samples of one millisecond the first counts.
fn averaged(average: u64, sample: u64, elapsed: u64) -> u64 {
    const WINDOW: u64 = 1_000;
    // An hour of silence forgets as much as a longer one, and cannot overflow.
    let elapsed = elapsed.min(3_600_000);
    if average == 0 {
        return sample;
    }
    let sum = u128::from(average) * u128::from(WINDOW) + u128::from(sample) * u128::from(elapsed);
    u64::try_from(sum / u128::from(WINDOW + elapsed)).unwrap_or(MAX_LATENCY)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn endpoint() -> Arc<Endpoint> {
        let peer = Peer::Tcp(([127, 0, 0, 1], 80).into());
        let authority = HeaderValue::from_static("127.0.0.1");
        Arc::new(Endpoint::new(0, peer, "127.0.0.1:80".into(), authority))
    }

    #[test]
    fn in_flight_returns_to_zero() {
        let endpoint = endpoint();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut held = Vec::new();
                    for round in 0..10_000 {
                        held.push(endpoint.begin().unwrap());
                        endpoint.count_attempt();
                        assert!(endpoint.in_flight() > 0);
                        if round % 7 == 0 {
                            held.clear();
                        }
                    }
                });
            }
        });
        assert_eq!(endpoint.in_flight(), 0);
        assert_eq!(endpoint.total(), 40_000);
    }

    #[test]
    fn figures_do_not_share_a_line_with_what_picks_read() {
        let endpoint = endpoint();
        let figures = std::ptr::from_ref(&endpoint.figures).addr();
        let vitals = std::ptr::from_ref(&endpoint.vitals).addr();
        assert_ne!(figures / 128, vitals / 128);
        assert_eq!(figures % 128, 0);
    }

    #[test]
    fn the_last_second_weighs_most() {
        let endpoint = endpoint();
        assert_eq!(endpoint.latency(), 0);
        endpoint.observe_latency(Duration::from_millis(100), 5);
        assert_eq!(endpoint.latency(), 100_000_000);
        for now in 6..2_000 {
            endpoint.observe_latency(Duration::from_millis(1), now);
        }
        let latency = endpoint.latency();
        assert!((1_000_000..20_000_000).contains(&latency), "{latency}");
    }

    #[test]
    fn a_burst_after_silence_counts_as_the_present() {
        let endpoint = endpoint();
        endpoint.observe_latency(Duration::from_millis(100), 0);
        endpoint.observe_latency(Duration::from_millis(1), 60_000);
        assert!(endpoint.latency() < 3_000_000);
    }

    proptest! {
        #[test]
        fn an_average_lies_between_what_it_averages(
            average in 1..=MAX_LATENCY, sample in 1..=MAX_LATENCY, elapsed: u64,
        ) {
            let result = averaged(average, sample, elapsed);
            prop_assert!(result >= average.min(sample) && result <= average.max(sample));
        }
    }
}
