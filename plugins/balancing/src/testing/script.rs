//! A host that answers as it is told.

use crate::bindings::exports::linkspan::plugin::balancer::Endpoint;
use crate::hash;
use crate::host::{Host, Part};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A request, and the figures of the endpoints.
#[derive(Debug, Default)]
pub struct Script {
    /// The members' numbers, in the order of the list.
    order: RefCell<Vec<u32>>,
    in_flight: RefCell<BTreeMap<u32, u32>>,
    bytes: RefCell<BTreeMap<u32, (u64, u64)>>,
    latency: RefCell<BTreeMap<u32, u64>>,
    reports: RefCell<BTreeMap<u32, Report>>,
    tried: RefCell<Vec<u32>>,
    now: Cell<u64>,
    random: Cell<u64>,
    request: RefCell<Request>,
    warnings: RefCell<Vec<String>>,
}

/// The numbers of an endpoint's answer to a check, and how old it is in milliseconds.
pub type Report = (BTreeMap<String, u64>, u64);

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The path.
    pub path: String,
    /// The query.
    pub query: Option<String>,
    /// The authority.
    pub host: String,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The slot of the client's connection.
    pub slot: u32,
    /// The fields.
    pub headers: Vec<(String, String)>,
}

impl Script {
    /// Says what the list is that figures are about.
    pub fn list(&self, endpoints: &[Endpoint]) {
        self.order.replace(endpoints.iter().map(|endpoint| endpoint.id).collect());
    }

    /// Sets the requests in flight at an endpoint.
    pub fn set_in_flight(&self, id: u32, requests: u32) {
        self.in_flight.borrow_mut().insert(id, requests);
    }

    /// Sets the bytes sent to and received from an endpoint.
    pub fn set_bytes(&self, id: u32, sent: u64, received: u64) {
        self.bytes.borrow_mut().insert(id, (sent, received));
    }

    /// Sets an endpoint's latency, in nanoseconds.
    pub fn set_latency(&self, id: u32, nanoseconds: u64) {
        self.latency.borrow_mut().insert(id, nanoseconds);
    }

    /// Sets what an endpoint says of itself.
    pub fn set_report(&self, id: u32, report: Report) {
        self.reports.borrow_mut().insert(id, report);
    }

    /// What an endpoint says of itself.
    #[must_use]
    pub fn report(&self, id: u32) -> Option<Report> {
        self.reports.borrow().get(&id).cloned()
    }

    /// Says who was tried for the running request.
    pub fn set_tried(&self, tried: Vec<u32>) {
        self.tried.replace(tried);
    }

    /// Sets the clock, in nanoseconds.
    pub fn set_now(&self, now: u64) {
        self.now.set(now);
    }

    /// Makes the running request another.
    pub fn set_request(&self, request: Request) {
        self.request.replace(request);
    }

    /// Changes the running request's path.
    pub fn set_path(&self, path: &str) {
        path.clone_into(&mut self.request.borrow_mut().path);
    }

    /// Changes the running request's only field.
    pub fn set_header(&self, name: &str, value: &str) {
        self.request.borrow_mut().headers = vec![(name.to_owned(), value.to_owned())];
    }

    /// Changes the client's address.
    pub fn set_client(&self, client: Option<IpAddr>) {
        self.request.borrow_mut().client = client;
    }

    /// Changes the connection's slot.
    pub fn set_slot(&self, slot: u32) {
        self.request.borrow_mut().slot = slot;
    }

    /// The running request.
    #[must_use]
    pub fn request(&self) -> Request {
        self.request.borrow().clone()
    }

    /// The bytes sent to and received from an endpoint.
    #[must_use]
    pub fn bytes(&self, id: u32) -> (u64, u64) {
        self.bytes.borrow().get(&id).copied().unwrap_or_default()
    }

    /// What the operator has been told.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }

    fn hash<T>(&self, part: &Part, hash: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let request = self.request.borrow();
        let field = |name: &str| {
            let field = request.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
            field.map(|(_, value)| value.as_str())
        };
        match part {
            Part::Path => Some(hash(request.path.as_bytes())),
            Part::Authority => Some(hash(request.host.to_ascii_lowercase().as_bytes())),
            Part::ClientAddress => match request.client? {
                IpAddr::V4(address) => Some(hash(&address.octets())),
                IpAddr::V6(address) => Some(hash(&address.octets())),
            },
            Part::Header(name) => field(name).map(|value| hash(value.as_bytes())),
            Part::Cookie(name) => {
                let pairs = field("cookie")?.split(';').filter_map(|pair| pair.split_once('='));
                let mut values = pairs.filter(|(key, _)| key.trim() == name);
                values.next().map(|(_, value)| hash(value.trim().as_bytes()))
            }
        }
    }
}

impl Host for Script {
    fn in_flight(&self, id: u32) -> u32 {
        self.in_flight.borrow().get(&id).copied().unwrap_or(0)
    }

    fn in_flight_of_all(&self) -> Vec<u32> {
        self.order.borrow().iter().map(|id| self.in_flight(*id)).collect()
    }

    fn in_flight_of_eight(&self, first: u32) -> [u8; 8] {
        let all = self.in_flight_of_all();
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        std::array::from_fn(|at| {
            let count = all.get(first.saturating_add(at)).copied().unwrap_or(0);
            u8::try_from(count).unwrap_or(u8::MAX)
        })
    }

    fn bytes_sent(&self, id: u32) -> u64 {
        self.bytes(id).0
    }

    fn bytes_received(&self, id: u32) -> u64 {
        self.bytes(id).1
    }

    fn latency(&self, id: u32) -> u64 {
        self.latency.borrow().get(&id).copied().unwrap_or(0)
    }

    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>> {
        let reports = self.reports.borrow();
        let number = |id: &u32| {
            let (numbers, _) = reports.get(id).filter(|(_, age)| *age < younger_than)?;
            numbers.get(name).copied()
        };
        self.order.borrow().iter().map(number).collect()
    }

    fn tried(&self) -> Vec<u32> {
        self.tried.borrow().clone()
    }

    fn monotonic(&self) -> u64 {
        self.now.get()
    }

    fn random(&self) -> u64 {
        self.random.set(self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        hash::mix(self.random.get())
    }

    fn crc32(&self, part: &Part) -> Option<u32> {
        self.hash(part, hash::crc32)
    }

    fn carp(&self, part: &Part) -> Option<u32> {
        self.hash(part, hash::carp)
    }

    fn fnv1a64_mixed(&self, part: &Part) -> Option<u64> {
        self.hash(part, hash::fnv1a64_mixed)
    }

    fn connection_slot(&self) -> u32 {
        self.request.borrow().slot
    }

    fn client_ip(&self) -> Option<IpAddr> {
        self.request.borrow().client
    }

    fn path(&self) -> String {
        self.request.borrow().path.clone()
    }

    fn query(&self) -> Option<String> {
        self.request.borrow().query.clone()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.header_values(name).into_iter().next()
    }

    fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        let request = self.request.borrow();
        let fields = request.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.clone().into_bytes()).collect()
    }

    fn warn(&self, message: &str) {
        self.warnings.borrow_mut().push(message.to_owned());
    }
}
