//! Balancer: Apache's sticky sessions. A request goes to the endpoint that its session belongs to;
//! who has none is left to the next balancer, as in `balancer = ["sticky", "by-requests"]`.
//!
//! A session's value is that of a parameter of the URL or of a cookie; what follows its first
//! separator is the route. An endpoint's routes are the attribute `route` and a name that its
//! address gives. One that is being drained still serves its sessions. Where the endpoint cannot be
//! used, the one that its attribute `redirect` names is sought in its stead, and then the next
//! balancer is asked; with `no-failover` there is no next: the answer is 503.
//!
//! With `set-cookie`, and named among a cluster's rewriters as well, it also gives clients the
//! cookie: the route of the endpoint that answered, or the name that its address gives where it has
//! none that can stand in a cookie.

use crate::bindings::exports::linkspan::plugin::response_rewriter;
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::{response, served};
use crate::config::Config;
use linkspan_plugin_balancing::bindings::linkspan::plugin::types::Field;
use linkspan_plugin_balancing::host::Live;
use linkspan_plugin_balancing::members::Role;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, hash};
use std::cell::RefCell;
use std::rc::Rc;

mod config;
mod session;

/// What a balancer that also rewrites has besides the balancer's world.
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package linkspan:sticky;
            world rewriting {
                import linkspan:plugin/response@0.1.0;
                import linkspan:plugin/served@0.1.0;
                export linkspan:plugin/response-rewriter@0.1.0;
            }
        ",
        world: "linkspan:sticky/rewriting",
        with: {
            "linkspan:plugin/types@0.1.0": linkspan_plugin_balancing::bindings::linkspan::plugin::types,
        },
        generate_all,
    });
}

#[cfg(target_family = "wasm")]
mod rewriting {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    crate::bindings::export!(Rewriter with_types_in crate::bindings);

    use crate::Rewriter;
}

/// The balancer.
pub struct Sticky {
    config: Rc<Config>,
    /// The routes, their hashes first, whether their endpoints stand by, and their places; in the order in
    /// which they are tried.
    routes: Vec<(u64, String, bool, usize)>,
}

/// The name that an address gives an endpoint.
fn name(address: &str) -> String {
    format!("{:016x}", hash::fnv1a64_mixed(address.as_bytes()))
}

impl Sticky {
    /// The places that have a route, those that stand by last.
    fn places(&self, route: &[u8]) -> impl Iterator<Item = usize> {
        let hash = hash::fnv1a64_mixed(route);
        let start = self.routes.partition_point(|(known, ..)| *known < hash);
        let rest = self.routes.get(start..).unwrap_or_default().iter();
        let alike = rest.take_while(move |(known, ..)| *known == hash);
        alike.filter(move |(_, known, ..)| known.as_bytes() == route).map(|(.., place)| *place)
    }

    /// The endpoint of a route, or of the one that it is redirected to, and so on.
    fn seek<'t>(&self, route: &'t [u8], turn: &'t Turn<'_, impl Host>) -> Option<usize> {
        let usable = |place: &usize| {
            let member = turn.members.at(*place);
            member.is_some_and(|member| member.is_usable() && !turn.was_tried(member))
        };
        let redirect = |place| turn.members.at(place)?.attribute("redirect").map(str::as_bytes);
        let mut route = route;
        for _ in turn.members.list() {
            let found = self.places(route).find(usable);
            if found.is_some() {
                return found;
            }
            route = self.places(route).find_map(redirect)?;
        }
        None
    }
}

impl Balancer for Sticky {
    fn configure(config: &str) -> Result<Self, String> {
        let config = Rc::new(Config::parse(config)?);
        CONFIG.set(Some(Rc::clone(&config)));
        Ok(Self { config, routes: Vec::new() })
    }

    fn update(&mut self, members: &Members) {
        self.routes.clear();
        for (place, member) in members.list().iter().enumerate() {
            let standby = member.role == Role::Standby;
            let own = member.attribute("route").map(str::to_owned);
            let routes = own.into_iter().chain([name(&member.address)]);
            let hash = |route: &str| hash::fnv1a64_mixed(route.as_bytes());
            self.routes.extend(routes.map(|route| (hash(&route), route, standby, place)));
        }
        self.routes.sort_unstable();
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let Some(route) = session::route(&self.config, turn.host) else { return Choice::Next };
        match self.seek(&route, turn) {
            Some(place) => Choice::At(place),
            None if self.config.no_failover && self.places(&route).next().is_some() => Choice::None,
            None => Choice::Next,
        }
    }
}

linkspan_plugin_balancing::balancer!(Sticky);

thread_local! {
    /// For the rewriter, which is an instance of its own, without a cluster.
    static CONFIG: RefCell<Option<Rc<Config>>> = const { RefCell::new(None) };
}

struct Rewriter;

impl response_rewriter::Guest for Rewriter {
    fn on_response() -> Vec<Edit> {
        let config = CONFIG.with_borrow(Clone::clone);
        let cookie = config.filter(|config| config.set_cookie.is_some()).and_then(|config| {
            let (address, route) = (response::endpoint(), served::attribute("route"));
            set_cookie(&config, &address, route, &Live)
        });
        let field =
            |value: String| Field { name: "set-cookie".to_owned(), value: value.into_bytes() };
        cookie.map(|value| Edit::Append(field(value))).into_iter().collect()
    }
}

/// The cookie that a client is given, unless it has it already.
fn set_cookie(
    config: &Config,
    address: &str,
    route: Option<String>,
    host: &impl Host,
) -> Option<String> {
    let (attributes, cookie) = (config.set_cookie.as_ref()?, config.cookie.as_ref()?);
    let name = route.filter(|route| config::is_value(route)).unwrap_or_else(|| name(address));
    if address.is_empty() || session::cookie(config, host).as_deref() == Some(name.as_bytes()) {
        return None;
    }
    let separator = &config.separator;
    let end = if attributes.is_empty() { "" } else { "; " };
    Some(format!("{cookie}={separator}{name}{end}{attributes}"))
}

#[cfg(test)]
mod tests;
