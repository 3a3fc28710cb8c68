//! Test guest: a router, balancer and rewriter that does what a proxy fears, when asked to.
//!
//! `at` says in which call it misbehaves: `route`, `pick`, `on-request` or `on-response`. What it
//! does there is what `do` says, always, or without it what the request's field `x-do` asks for.
//! Elsewhere, and when asked for nothing, it is neutral: `route` passes on, `pick` takes the first
//! endpoint of the list that is usable and not tried before, `on-request` changes nothing, and
//! `on-response` adds `x-misbehave: ok`.

use crate::bindings::exports::linkspan::plugin::{
    balancer, lifecycle, request_rewriter, response_rewriter, router,
};
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::request;
use crate::bindings::linkspan::plugin::types::{Field, Picked, Response};
use crate::misdeeds::Misdeed;
use linkspan_plugin_common::config;
use serde::Deserialize;
use std::cell::RefCell;

mod given;
mod misdeeds;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package linkspan:test;

            world misbehave {
                include linkspan:plugin/router-plugin@0.1.0;
                include linkspan:plugin/balancer-plugin@0.1.0;
                include linkspan:plugin/rewriter-plugin@0.1.0;
            }
        ",
        world: "linkspan:test/misbehave",
        generate_all,
    });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    at: Call,
    r#do: Option<Misdeed>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Route,
    Pick,
    OnRequest,
    OnResponse,
}

thread_local! {
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
    /// The endpoints in their order, and whether they may be used.
    static MEMBERS: RefCell<Vec<(u32, bool)>> = const { RefCell::new(Vec::new()) };
}

/// What to do now. The misdeeds that are the same in every call are done here.
fn asked(call: Call) -> Option<Misdeed> {
    let config = CONFIG.with_borrow(Clone::clone).filter(|config| config.at == call)?;
    let misdeed = config.r#do.or_else(|| Misdeed::parse(&request::header("x-do")?))?;
    misdeed.commit();
    Some(misdeed)
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        CONFIG.set(Some(config::parse(&config)?));
        Ok(())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        match asked(Call::Route) {
            Some(Misdeed::UnknownCluster) => {
                forward(router::Upstream::Cluster("no-such-cluster".to_owned()), None)
            }
            Some(Misdeed::UngrantedAddress) => {
                forward(router::Upstream::Address("http://127.0.0.1:1".to_owned()), None)
            }
            Some(Misdeed::BadPath) => {
                let cluster = request::header("x-cluster").unwrap_or_default();
                let cluster = String::from_utf8_lossy(&cluster).into_owned();
                forward(router::Upstream::Cluster(cluster), Some("no slash\r\nx: y".to_owned()))
            }
            Some(Misdeed::BadStatus) => respond(99, Vec::new(), Vec::new()),
            Some(Misdeed::BadRedirect) => router::Decision::Redirect(router::Redirection {
                status: 200,
                location: "/\r\nx: y".to_owned(),
            }),
            Some(Misdeed::FramingHeader) => {
                respond(200, vec![field("content-length", "7")], Vec::new())
            }
            Some(Misdeed::CrlfHeader) => {
                respond(200, vec![field("x-a", "1\r\nx-b: 2")], Vec::new())
            }
            Some(Misdeed::ManyHeaders) => respond(200, many_fields().collect(), Vec::new()),
            Some(Misdeed::Given) => given::decision(),
            Some(Misdeed::BigBody) => respond(200, Vec::new(), vec![b'x'; 2 << 20]),
            _ => router::Decision::Next,
        }
    }
}

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, endpoints: Vec<balancer::Endpoint>) {
        MEMBERS.set(endpoints.iter().map(|endpoint| (endpoint.id, open(endpoint.state))).collect());
    }

    fn changed(_cluster: u32, states: Vec<(u32, balancer::EndpointState)>) {
        MEMBERS.with_borrow_mut(|members| {
            for (id, state) in states {
                members.iter_mut().filter(|it| it.0 == id).for_each(|it| it.1 = open(state));
            }
        });
    }

    fn pick(_cluster: u32, _attempt: u32, previous: Option<Picked>) -> balancer::Choice {
        match asked(Call::Pick) {
            Some(Misdeed::BadIndex) => {
                return balancer::Choice::Endpoint(Picked { id: u32::MAX, token: 0 });
            }
            Some(Misdeed::Nobody) => return balancer::Choice::None,
            Some(Misdeed::Next) => return balancer::Choice::Next,
            _ => {}
        }
        let choice = MEMBERS.with_borrow(|members| {
            let tried = |previous: Picked| members.iter().position(|it| it.0 == previous.id);
            let start = previous.and_then(tried).map_or(0, |tried| tried + 1);
            members.iter().skip(start).find(|it| it.1).map(|it| it.0)
        });
        choice.map_or(balancer::Choice::None, |id| {
            balancer::Choice::Endpoint(Picked { id, token: 0 })
        })
    }
}

impl request_rewriter::Guest for Plugin {
    fn on_request() -> Vec<Edit> {
        match asked(Call::OnRequest) {
            // An edit of the other phase.
            Some(Misdeed::BadStatus) => vec![Edit::Status(200)],
            Some(Misdeed::Given) => vec![given::edit()],
            Some(misdeed) => bad_edits(misdeed),
            None => Vec::new(),
        }
    }
}

impl response_rewriter::Guest for Plugin {
    fn on_response() -> Vec<Edit> {
        let mut edits = vec![Edit::Append(field("x-misbehave", "ok"))];
        match asked(Call::OnResponse) {
            Some(Misdeed::BadStatus) => edits.push(Edit::Status(99)),
            Some(Misdeed::Given) => edits.push(given::edit()),
            Some(misdeed) => edits.extend(bad_edits(misdeed)),
            None => {}
        }
        edits
    }
}

fn bad_edits(misdeed: Misdeed) -> Vec<Edit> {
    match misdeed {
        Misdeed::FramingHeader => vec![Edit::Set(field("transfer-encoding", "chunked"))],
        Misdeed::CrlfHeader => vec![Edit::Append(field("x-a", "1\r\nx-b: 2"))],
        Misdeed::ManyHeaders => many_fields().map(Edit::Append).collect(),
        Misdeed::BadPath => vec![Edit::Path("no slash\r\nx: y".to_owned())],
        _ => Vec::new(),
    }
}

/// More than an `http::HeaderMap` holds.
fn many_fields() -> impl Iterator<Item = Field> {
    (0..40_000).map(|number| field(&format!("x-{number}"), "1"))
}

fn field(name: &str, value: &str) -> Field {
    Field { name: name.to_owned(), value: value.as_bytes().to_vec() }
}

fn forward(upstream: router::Upstream, path: Option<String>) -> router::Decision {
    router::Decision::Forward(router::Target { upstream, host: None, path })
}

fn respond(status: u16, headers: Vec<Field>, body: Vec<u8>) -> router::Decision {
    router::Decision::Respond(Response { status, headers, body })
}

fn open(state: balancer::EndpointState) -> bool {
    state.usable && !state.draining
}
