//! One running copy of a component, and calls into it, both ways.
//!
//! A call that fails leaves an instance that must not be called again: its owner drops it.

mod hearing;

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance as Wasm, Lift, Lower, TypedFunc};

use crate::plugin::bindings::types::{Phase, Picked};
use crate::plugin::bindings::{balancer, body, edits, outcomes, router, stream_router};
use crate::plugin::component::Exports;
use crate::plugin::definition::Definition;
use crate::plugin::error::{Failure, Refusal};
use crate::plugin::exchange::Exchange;
use crate::plugin::guest::{Guest, Running, on_epoch};
use crate::plugin::members::{EndpointId, EndpointState, Members};
use crate::plugin::outcomes::Mailbox;

/// How long an instance may take to begin, in guest time: instantiation, `configure`, `update`.
const BIRTH: std::time::Duration = std::time::Duration::from_secs(5);

/// The most bytes that are kept of an error of `configure` or `restore`.
const REASON_BYTES: usize = 64 << 10;

/// The parameters of `pick`.
pub(super) type PickParams = (u32, u32, Option<Picked>);

/// What a stream router has said to a client that has connected.
type Greeting = (Option<Vec<u8>>,);

/// The parameters of `decide`: a connection, its bytes so far, and whether no more will come.
type Seen = (u64, Vec<u8>, bool);

/// A call that gives part of a body.
type Output<P> = Option<TypedFunc<P, (body::Output,)>>;

/// The parameters of `changed`.
type ChangedParams = (u32, Vec<(EndpointId, EndpointState)>);

/// The functions of an instance, looked up once.
#[derive(Clone, Copy)]
pub(super) struct Faces {
    pub(super) route: Option<TypedFunc<(), (router::Decision,)>>,
    pub(super) pick: Option<TypedFunc<PickParams, (balancer::Choice,)>>,
    pub(super) on_request: Option<TypedFunc<(), (Vec<edits::Edit>,)>>,
    pub(super) on_response: Option<TypedFunc<(), (Vec<edits::Edit>,)>>,
    pub(super) accepted: Option<TypedFunc<(u64,), Greeting>>,
    pub(super) decide: Option<TypedFunc<Seen, (stream_router::Decision,)>>,
    pub(super) undone: Option<TypedFunc<(u64, String, stream_router::Trouble), ()>>,
    pub(super) begin: Option<TypedFunc<(u64, Phase), ()>>,
    pub(super) transform: Output<(u64, Vec<u8>)>,
    pub(super) finish: Output<(u64,)>,
    pub(super) abandon: Option<TypedFunc<(u64,), ()>>,
    update: Option<TypedFunc<(u32, Vec<balancer::Endpoint>), ()>>,
    changed: Option<TypedFunc<ChangedParams, ()>>,
    save: Option<TypedFunc<(), (Vec<u8>,)>>,
    restore: Option<TypedFunc<(Vec<u8>,), Answer>>,
    chosen: Option<TypedFunc<(u32, Picked), ()>>,
    connected: Option<TypedFunc<(u32, Picked, u64), ()>>,
    failed: Option<TypedFunc<(u32, Picked, outcomes::Failure), ()>>,
    finished: Option<TypedFunc<(u32, Picked, u16, u64), ()>>,
}

/// What `configure` and `restore` answer.
type Answer = (Result<(), String>,);

/// The most bytes of state that are handed over.
const STATE_BYTES: usize = 1 << 20;

/// How long saving and restoring it may take each, in guest time.
const HANDOVER: std::time::Duration = std::time::Duration::from_secs(1);

/// A running copy of a component.
pub(super) struct Instance {
    store: Store<Guest>,
    faces: Faces,
    /// What a balancer has been told of its cluster.
    told: Told,
    /// What it has yet to be told of its choices, where it asks for that.
    mailbox: Option<Arc<Mailbox>>,
}

#[derive(Default)]
struct Told {
    membership: u64,
    states: u64,
    list: Vec<(EndpointId, EndpointState)>,
}

impl Instance {
    /// Makes an instance ready to be called: instantiated, configured, and told of its cluster.
    ///
    /// # Errors
    ///
    /// [`Refusal::Start`] or [`Refusal::Configuration`].
    pub(super) async fn birth(definition: &Definition) -> Result<Box<Self>, Refusal> {
        let machine = &definition.machine;
        machine.ticker.touch();
        let guest = Guest::new(definition.identity.clone(), definition.members.clone());
        let mut store = Store::new(&machine.engine, guest);
        let limits = &definition.identity.given.limits;
        store.limiter(|guest| &mut guest.meter);
        store.set_hostcall_fuel(limits.host_call_bytes);
        store.set_max_component_handles(limits.handles);
        store.epoch_deadline_callback(on_epoch);
        store.set_epoch_deadline(1);
        store.data_mut().clock.start(BIRTH, true);
        let component = &definition.component;
        let wasm = component.prepared.instantiate_async(&mut store).await;
        let wasm = wasm.map_err(|error| start("instantiation", &store, error))?;
        let faces = look_up(&component.exports, &wasm, &mut store)
            .map_err(|error| Refusal::Unfit(format!("{error:#}")))?;
        let asks = definition.members.is_some() && component.exports.asks_outcomes();
        let mailbox = asks.then(Arc::default);
        let mut instance = Box::new(Self { store, faces, told: Told::default(), mailbox });
        instance.configure(&component.exports, &wasm, &definition.config.config).await?;
        // All instances are configured alike, and the first speaks for them.
        let _ = definition.identity.skips.set(instance.store.data().skips);
        let caught_up = instance.catch_up(|_| BIRTH).await;
        caught_up.map_err(|cause| Refusal::Start { step: "update", cause })?;
        instance.store.data().tell("instance born");
        Ok(instance)
    }

    async fn configure(
        &mut self,
        exports: &Exports,
        wasm: &Wasm,
        config: &str,
    ) -> Result<(), Refusal> {
        let Some(export) = exports.configure else { return Ok(()) };
        let unfit = |error: wasmtime::Error| Refusal::Unfit(format!("{error:#}"));
        let face: TypedFunc<(&str,), Answer> =
            wasm.get_typed_func(&mut self.store, export).map_err(unfit)?;
        self.begin(Running::Configure, BIRTH, true);
        let answer = face.call_async(&mut self.store, (config,)).await;
        self.store.data_mut().running = Running::Other;
        match answer {
            Ok((Ok(()),)) => Ok(()),
            Ok((Err(text),)) => Err(Refusal::Configuration(reason(text))),
            Err(error) => Err(start("configure", &self.store, error)),
        }
    }

    /// The state that its successor is to take. It goes on serving.
    ///
    /// # Errors
    ///
    /// As a call; and [`Failure::Contract`] for more than may be handed over.
    pub(super) async fn save(&mut self) -> Result<Vec<u8>, Failure> {
        let Some(face) = self.faces.save else { return Err(no_face()) };
        self.begin(Running::Other, HANDOVER, true);
        let saved = face.call_async(&mut self.store, ()).await;
        let (state,) = saved.map_err(|error| self.failure(error))?;
        if state.len() > STATE_BYTES {
            let bytes = state.len();
            return Err(Failure::Contract(format!(
                "it hands over {bytes} bytes, which are more than {STATE_BYTES}"
            )));
        }
        Ok(state)
    }

    /// Takes the state of its predecessor.
    ///
    /// # Errors
    ///
    /// Why it does not. It must not be called again then.
    pub(super) async fn restore(&mut self, state: Vec<u8>) -> Result<(), Refusal> {
        let Some(face) = self.faces.restore else { return Ok(()) };
        self.begin(Running::Other, HANDOVER, true);
        match face.call_async(&mut self.store, (state,)).await {
            Ok((Ok(()),)) => Ok(()),
            Ok((Err(text),)) => Err(Refusal::Restore(reason(text))),
            Err(error) => Err(start("restore", &self.store, error)),
        }
    }

    /// Whether its cluster has changed since it was told.
    pub(super) fn is_stale(&self, members: &dyn Members) -> bool {
        (self.told.membership, self.told.states) != members.versions()
    }

    /// Tells a balancer what has changed about its cluster, within a deadline for so many members.
    ///
    /// # Errors
    ///
    /// As a call.
    pub(super) async fn catch_up(
        &mut self,
        deadline: impl Fn(usize) -> std::time::Duration,
    ) -> Result<(), Failure> {
        let Some(members) = self.store.data().members.clone() else { return Ok(()) };
        let cluster = members.cluster();
        // Read before the list, so that what changes meanwhile is told again, not lost.
        let states = members.states_version();
        if self.told.membership != members.membership_version() {
            let (membership, endpoints) = members.endpoints();
            let mut list: Vec<_> = endpoints.iter().map(|e| (e.id, e.state)).collect();
            list.sort_by_key(|(id, _)| *id);
            list.dedup_by_key(|(id, _)| *id);
            let deadline = deadline(endpoints.len());
            self.tell(self.faces.update, (cluster, endpoints), deadline).await?;
            self.told = Told { membership, states, list };
            return Ok(());
        }
        if self.told.states == states {
            return Ok(());
        }
        let mut news = members.states();
        news.sort_by_key(|(id, _)| *id);
        news.dedup_by_key(|(id, _)| *id);
        let known = &self.told.list;
        let same = |(id, state): &(EndpointId, EndpointState)| {
            let at = known.binary_search_by_key(id, |(known, _)| *known).ok();
            at.and_then(|at| known.get(at)).is_some_and(|(_, old)| equal(old, state))
        };
        // A member that came since the last `update` is left to the next one.
        let member = |id| known.binary_search_by_key(&id, |(known, _)| *known).is_ok();
        let changes: Vec<_> =
            news.iter().filter(|new| member(new.0) && !same(new)).copied().collect();
        if !changes.is_empty() {
            self.tell(self.faces.changed, (cluster, changes), deadline(news.len())).await?;
        }
        self.told.list = news;
        self.told.states = states;
        Ok(())
    }

    async fn tell<P>(
        &mut self,
        face: Option<TypedFunc<P, ()>>,
        params: P,
        deadline: std::time::Duration,
    ) -> Result<(), Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
    {
        let Some(face) = face else { return Ok(()) };
        self.begin(Running::Other, deadline, true);
        let result = face.call_async(&mut self.store, params).await;
        result.map_err(|error| self.failure(error))
    }

    /// Calls a function about an exchange, synchronously.
    #[inline]
    pub(super) fn call<P, R>(
        &mut self,
        call: Call<P, R>,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<R, Failure>)
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let Some(face) = (call.face)(&self.faces) else { return (exchange, Err(no_face())) };
        let deadline = self.store.data().identity.given.limits.deadline;
        self.begin(call.running, deadline, false);
        self.store.data_mut().exchange = Some(exchange);
        let result = face.call(&mut self.store, call.params);
        self.end(result)
    }

    /// Calls a function about an exchange so that others run while it waits, and at each tick.
    pub(super) async fn call_yielding<P, R>(
        &mut self,
        call: Call<P, R>,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<R, Failure>)
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let Some(face) = (call.face)(&self.faces) else { return (exchange, Err(no_face())) };
        let deadline = self.store.data().identity.given.limits.deadline;
        self.begin(call.running, deadline, true);
        self.store.data_mut().exchange = Some(exchange);
        let result = face.call_async(&mut self.store, call.params).await;
        self.end(result)
    }

    /// Why the last call gave up its body, if it did.
    pub(super) fn given_up(&mut self) -> Option<String> {
        self.store.data_mut().given_up.take()
    }

    #[inline]
    fn begin(&mut self, running: Running, deadline: std::time::Duration, yields: bool) {
        self.store.set_epoch_deadline(1);
        let guest = self.store.data_mut();
        guest.clock.start(deadline, yields);
        guest.meter.denied = false;
        guest.running = running;
    }

    #[inline]
    fn end<R>(&mut self, result: wasmtime::Result<R>) -> (Box<Exchange>, Result<R, Failure>) {
        let guest = self.store.data_mut();
        guest.running = Running::Other;
        let Some(exchange) = guest.exchange.take() else {
            // Nothing takes it but this.
            unreachable!("the exchange is where the call left it")
        };
        (exchange, result.map_err(|error| self.failure(error)))
    }

    fn failure(&self, error: wasmtime::Error) -> Failure {
        classify(self.store.data(), error)
    }
}

/// A call to make.
pub(super) struct Call<P, R> {
    /// Its name, as logs have it.
    pub(super) name: &'static str,
    /// Which function.
    pub(super) face: fn(&Faces) -> Option<TypedFunc<P, R>>,
    /// What it gets.
    pub(super) params: P,
    /// What its getters answer about.
    pub(super) running: Running,
}

/// As much of a guest's reason as is kept.
fn reason(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REASON_BYTES));
    text
}

fn no_face() -> Failure {
    Failure::Contract("the component has no such function".to_owned())
}

fn equal(one: &EndpointState, other: &EndpointState) -> bool {
    (one.usable, one.draining, one.weight) == (other.usable, other.draining, other.weight)
}

fn classify(guest: &Guest, error: wasmtime::Error) -> Failure {
    if guest.clock.expired {
        return Failure::TimedOut { after: guest.clock.deadline, trace: error };
    }
    if guest.meter.denied {
        return Failure::OutOfMemory(guest.identity.given.limits.memory_bytes);
    }
    Failure::Trapped(error)
}

fn start(step: &'static str, store: &Store<Guest>, error: wasmtime::Error) -> Refusal {
    Refusal::Start { step, cause: classify(store.data(), error) }
}

fn look_up(exports: &Exports, wasm: &Wasm, store: &mut Store<Guest>) -> wasmtime::Result<Faces> {
    macro_rules! face {
        ($name:ident) => {
            match exports.$name {
                Some(export) => Some(wasm.get_typed_func(&mut *store, export)?),
                None => None,
            }
        };
    }
    Ok(Faces {
        route: face!(route),
        pick: face!(pick),
        on_request: face!(on_request),
        on_response: face!(on_response),
        accepted: face!(accepted),
        decide: face!(decide),
        undone: face!(undone),
        begin: face!(begin),
        transform: face!(transform),
        finish: face!(finish),
        abandon: face!(abandon),
        update: face!(update),
        changed: face!(changed),
        save: face!(save),
        restore: face!(restore),
        chosen: face!(chosen),
        connected: face!(connected),
        failed: face!(failed),
        finished: face!(finished),
    })
}
