//! What plugins are asked about: a request with its response, and a cluster.

use std::sync::Arc;

use http::Request;
use linkspan::log::id::RequestIds;
use linkspan::plugin::{
    Connection, Endpoint, EndpointId, EndpointState, Exchange, Figures, Members, Taken, Trail,
};
use smallvec::SmallVec;

/// The session that every request belongs to.
const ROUTE: &str = "0123456789abcdef";

/// A request as a browser sends it, and its response.
pub(crate) fn exchange() -> Box<Exchange> {
    let request = Request::get("/w/index.html?title=Main")
        .header("host", "www.example.org")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0")
        .header("accept", "text/html,application/xhtml+xml")
        .header("accept-language", "en-GB,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br")
        .header("cookie", format!("session={ROUTE}"))
        .body(());
    let response = http::Response::builder()
        .header("content-type", "text/html")
        .header("content-length", "1024");
    let response = (0..8).fold(response, |it, n| it.header(format!("x-field-{n}"), "a value"));
    let response = response.body(());
    let (client, slot) = (Some(([127, 0, 0, 1], 40_000).into()), 0);
    let (scheme, tls) = ("http", None);
    Box::new(Exchange {
        connection: Arc::new(Connection { listener: "web".into(), client, slot, scheme, tls }),
        authority: "www.example.org".into(),
        target_origin: None,
        request: Box::new(request.unwrap().into_parts().0),
        response: Some(response.unwrap().into_parts().0),
        cluster: Some("main".into()),
        endpoint: None,
        attributes: SmallVec::new(),
        tried: SmallVec::new(),
        taken: Taken::default(),
        trail: Trail::new(RequestIds::new().issue(), false),
        stream: None,
    })
}

/// A cluster of so many endpoints, all usable, that never changes.
pub(crate) struct Fixed(pub(crate) u32);

const USABLE: EndpointState = EndpointState { usable: true, draining: false, weight: 100 };

impl Members for Fixed {
    fn cluster(&self) -> u32 {
        0
    }

    fn membership_version(&self) -> u64 {
        1
    }

    fn states_version(&self) -> u64 {
        1
    }

    fn endpoints(&self) -> (u64, Vec<Endpoint>) {
        let endpoint = |id| Endpoint {
            id,
            address: format!("10.0.{}.{}:80", id / 256, id % 256),
            state: USABLE,
            attributes: vec![("route".to_owned(), ROUTE.to_owned())],
        };
        (1, (0..self.0).map(endpoint).collect())
    }

    fn states(&self) -> Vec<(EndpointId, EndpointState)> {
        (0..self.0).map(|id| (id, USABLE)).collect()
    }

    fn has(&self, id: EndpointId) -> bool {
        id < self.0
    }

    fn figures(&self, _id: EndpointId) -> Option<Figures> {
        Some(Figures::default())
    }

    fn reported(&self, _id: EndpointId, _name: &str) -> Option<u64> {
        None
    }

    fn reported_of_all(&self, _name: &str, _younger_than: u64) -> Vec<Option<u64>> {
        vec![Some(1); usize::try_from(self.0).unwrap_or(0)]
    }

    fn report_age(&self, _id: EndpointId) -> Option<u64> {
        None
    }

    fn in_flight_of_all(&self) -> Vec<u32> {
        (0..self.0).map(|_| 0).collect()
    }

    fn in_flight_from(&self, _first: usize, _room: &mut [u32]) {}
}
