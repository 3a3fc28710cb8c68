//! What the host keeps for one instance: its limits, its clock, and what its imports may answer
//! from.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::config::Limits;
use crate::metrics::{Denied, PluginMetrics};
use crate::plugin::exchange::Exchange;
use crate::plugin::identity::Identity;
use crate::plugin::imports::Random;
use crate::plugin::members::Members;

/// The most waits of one call whose ticks are forgiven.
const FORGIVEN: u32 = 256;

/// The length of an epoch.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Which call is running, as far as imports must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// None, or one without a request.
    Other,
    /// `configure`.
    Configure,
    /// One about a request.
    Request,
    /// One about a response.
    Response,
    /// One about the body of a response.
    Body,
    /// One about a TCP connection.
    Stream,
}

/// The data of an instance's store.
pub(super) struct Guest {
    /// Whose instance it is.
    pub(super) identity: Arc<Identity>,
    /// The call that is running.
    pub(super) running: Running,
    /// What that call is about.
    pub(super) exchange: Option<Box<Exchange>>,
    /// Why the body that the running call is about is given up, if it is.
    pub(super) given_up: Option<String>,
    /// The cluster that a balancer's instance belongs to.
    pub(super) members: Option<Arc<dyn Members>>,
    /// The phases that the plugin need not be called for, as it said in `configure`.
    pub(super) skips: Skips,
    /// Where `random.number` gets its numbers from.
    pub(super) random: Random,
    /// How much guest time is left.
    pub(super) clock: Clock,
    /// How much memory may be had.
    pub(super) meter: Meter,
}

/// Phases that a rewriter has declared idle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Skips {
    /// `on-request`.
    pub(super) request: bool,
    /// `on-response`.
    pub(super) response: bool,
}

impl Guest {
    /// The state of an instance that has not begun.
    pub(super) fn new(identity: Arc<Identity>, members: Option<Arc<dyn Members>>) -> Self {
        let meter = Meter::new(&identity.given.limits, Arc::clone(&identity.given.metrics));
        Self {
            identity,
            running: Running::Other,
            exchange: None,
            given_up: None,
            members,
            skips: Skips::default(),
            random: Random::seeded(),
            clock: Clock::default(),
            meter,
        }
    }

    /// Traces its beginning or end.
    pub(super) fn tell(&self, what: &str) {
        let (plugin, version) = (&*self.identity.given.name, &*self.identity.given.version);
        tracing::trace!(plugin, version, "{what}");
    }

    /// The running exchange.
    ///
    /// # Errors
    ///
    /// Traps the guest if no call about a request is running.
    pub(super) fn exchange(&self) -> wasmtime::Result<&Exchange> {
        match (&self.exchange, self.running) {
            (Some(exchange), Running::Request | Running::Response | Running::Body) => Ok(exchange),
            _ => Err(wasmtime::Error::msg("asked about a request outside a call about one")),
        }
    }

    /// The running exchange, be it about a request or about a TCP connection.
    pub(super) fn running_exchange(&self) -> wasmtime::Result<&Exchange> {
        match (&self.exchange, self.running) {
            (Some(exchange), Running::Stream) => Ok(exchange),
            _ => self.exchange(),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.tell("instance dropped");
    }
}

/// The guest time of a call.
///
/// The store's epoch deadline is always one tick ahead, so that the callback runs once per tick
/// that the guest spends computing. Ticks that pass while the thread is not running, or while the
/// guest waits for a store, are not counted, whatever the wall clock says. Where others run in
/// between, a tick counts for as much as the thread has computed since the one before, at most its
/// length. That a tick has passed while it waited shows at the guest's next step, so the first one
/// after a wait is forgiven; not for ever, or a guest that waits in an endless loop would go on as
/// long: from then on, every tick counts in full.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Ticks seen by the running call.
    ticks: u64,
    /// Ticks that it may see.
    budget: u64,
    /// The time that these are.
    pub(super) deadline: Duration,
    /// The thread's CPU time at the last tick.
    last: Duration,
    /// The CPU time from the first tick to the last, without that of others.
    spent: Duration,
    /// Whether the next tick is forgiven.
    waited: bool,
    /// How many may still be.
    forgiven: u32,
    /// Whether to let others run at each tick; only in an asynchronous call.
    yields: bool,
    /// Whether the budget was overrun.
    pub(super) expired: bool,
}

impl Clock {
    /// Begins a call.
    pub(super) fn start(&mut self, deadline: Duration, yields: bool) {
        self.ticks = 0;
        self.spent = Duration::ZERO;
        self.deadline = deadline;
        self.budget = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).max(1);
        self.waited = false;
        self.forgiven = FORGIVEN;
        self.yields = yields;
        self.expired = false;
    }

    /// The guest has waited for something.
    pub(super) fn waited(&mut self) {
        self.waited = self.forgiven > 0;
        self.forgiven = self.forgiven.saturating_sub(1);
    }

    /// A tick has passed within the guest.
    fn tick(&mut self) -> Tick {
        if std::mem::take(&mut self.waited) {
            return if self.yields { Tick::Yield } else { Tick::Continue };
        }
        self.ticks += 1;
        let now = thread_time();
        if self.ticks > 1 {
            let since = now.saturating_sub(self.last);
            self.spent += if self.yields { since.min(TICK) } else { since };
        }
        self.last = now;
        // The first tick comes up to one tick after the start. Ticks can be late, so they are not all that counts.
        let all_seen = self.ticks > self.budget && (self.forgiven == 0 || self.really_spent());
        if all_seen || self.spent >= self.deadline {
            self.expired = true;
            return Tick::Expired;
        }
        if self.yields { Tick::Yield } else { Tick::Continue }
    }

    /// Whether the thread has really run for the budget: on a busy machine it may not have, and
    /// then the guest is innocent.
    fn really_spent(&self) -> bool {
        self.spent + TICK >= TICK * u32::try_from(self.budget).unwrap_or(u32::MAX)
    }
}

/// What follows from a tick.
enum Tick {
    Continue,
    Yield,
    Expired,
}

/// The CPU time of the calling thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The store's epoch callback.
pub(super) fn on_epoch(mut store: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    let guest = store.data_mut();
    let tick = guest.clock.tick();
    guest.identity.given.ticker.found(guest.clock.ticks > 1);
    match tick {
        Tick::Continue => Ok(UpdateDeadline::Continue(1)),
        // wasmtime's own yield has the task polled again at once, and tokio looks at sockets only every
        // 61 polls as long as any task is ready: nobody would be heard within a call of 10 ms.
        Tick::Yield => Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))),
        Tick::Expired => Err(wasmtime::Error::msg("deadline expired")),
    }
}

/// The limits that the engine asks about while the guest grows.
#[derive(Debug)]
pub(super) struct Meter {
    memory_bytes: usize,
    table_elements: usize,
    /// Whether growth was denied since the call began.
    pub(super) denied: bool,
    /// The linear memory that the instance has.
    memory: usize,
    /// The table elements that it has.
    tables: usize,
    /// Where that is told, and that it lives.
    metrics: Arc<PluginMetrics>,
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.metrics.dropped(self.memory);
    }
}

impl Meter {
    fn new(limits: &Limits, metrics: Arc<PluginMetrics>) -> Self {
        metrics.born();
        Self {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            denied: false,
            memory: 0,
            tables: 0,
            metrics,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Several memories of one component share the limit.
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.memory_bytes {
            self.denied = true;
            self.metrics.denied(Denied::Memory);
            return Ok(false);
        }
        self.metrics.grown(total.saturating_sub(self.memory));
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.tables.saturating_sub(current).saturating_add(desired);
        if total > self.table_elements {
            self.metrics.denied(Denied::Table);
            return Ok(false);
        }
        self.tables = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        // And the one that a shortcut takes.
        64 + 1
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Words};

    #[test]
    fn a_tick_that_passed_in_a_wait_is_not_the_guests() {
        let mut clock = Clock::default();
        clock.start(Duration::from_millis(10), true);
        for _ in 0..FORGIVEN {
            clock.waited();
            assert!(matches!(clock.tick(), Tick::Yield));
        }
        let mut ticks = 0;
        while !matches!(clock.tick(), Tick::Expired) {
            clock.waited();
            ticks += 1;
        }
        assert_eq!(ticks, 10, "an endless loop of waits ends");
    }

    /// Computes for so long.
    fn compute(time: Duration) {
        let busy = thread_time() + time;
        while thread_time() < busy {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_guest_that_computes_expires_after_its_budget_of_cpu_time() {
        for yields in [false, true] {
            let mut clock = Clock::default();
            clock.start(Duration::from_millis(2), yields);
            // Ticks that come at once are those of a machine that had no time for this thread.
            for _ in 0..100 {
                assert!(!matches!(clock.tick(), Tick::Expired), "yields: {yields}");
            }
            compute(TICK);
            let _ = clock.tick();
            compute(TICK);
            assert!(matches!(clock.tick(), Tick::Expired), "yields: {yields}");
        }
    }

    #[test]
    fn a_guest_that_computes_gains_nothing_by_late_ticks() {
        let mut clock = Clock::default();
        clock.start(Duration::from_millis(10), false);
        for _ in 0..3 {
            assert!(!matches!(clock.tick(), Tick::Expired));
            compute(4 * TICK);
        }
        assert!(matches!(clock.tick(), Tick::Expired));
    }

    #[test]
    fn what_others_compute_in_between_is_not_the_guests() {
        let mut clock = Clock::default();
        clock.start(Duration::from_millis(5), true);
        for _ in 0..100 {
            assert!(matches!(clock.tick(), Tick::Yield));
        }
        compute(4 * TICK);
        assert!(matches!(clock.tick(), Tick::Yield));
    }

    #[test]
    fn memories_and_tables_share_their_limits() {
        let limits = Limits { memory_bytes: 100, table_elements: 10, ..Limits::default() };
        let metrics = Metrics::new(1, Words { errors: &[], plugin_failures: &[] });
        let mut meter = Meter::new(&limits, metrics.plugin(&"a".into()));
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(!meter.memory_growing(0, 60, None).unwrap(), "a second memory");
        assert!(meter.denied);
        assert!(meter.memory_growing(60, 100, None).unwrap());
        assert!(meter.table_growing(0, 6, None).unwrap());
        assert!(!meter.table_growing(0, 6, None).unwrap(), "a second table");
        assert!(meter.table_growing(6, 10, None).unwrap());
    }
}
