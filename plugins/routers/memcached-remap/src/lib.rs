//! Router: asks a store for the origin of each host, as Traffic Server's `memcached_remap` did.
//!
//! For a request to `shop.test` the store is asked for `http://shop.test:80/`, which may hold
//! `http://10.0.0.7:8080/`: the request goes there, and the host of the value becomes its Host. What
//! the store does not hold, or holds in another form, is answered as `on-miss` says, and a store
//! that cannot be asked as `on-error` does. Each request is looked up by itself, unless `cache` lets
//! what the worker has learnt count for a while.
//!
//! Waiting for the store holds nobody up: there are as many instances as requests that wait.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::linkspan::plugin::keyvalue::{self, Bucket, Error};
use crate::bindings::linkspan::plugin::types::{Field, Response};
use crate::bindings::linkspan::plugin::{grants, log, metrics, original, request};
use crate::config::{Otherwise, Settings};
use crate::key::{Addressed, Further, NoKey};
use crate::value::Origin;
use std::cell::RefCell;

mod config;
mod key;
mod told;
mod value;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "router-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

thread_local! {
    static REMAP: RefCell<Option<Remap>> = const { RefCell::new(None) };
}

/// What one instance has.
struct Remap {
    settings: Settings,
    store: Bucket,
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        let settings = Settings::parse(&config)?;
        let store = keyvalue::open(&settings.store).map_err(|_not_granted| {
            format!(
                "store: the plugin is granted no store `{}`, expected one of its `grants.stores`",
                settings.store
            )
        })?;
        if !grants::any_address() {
            return Err(
                "the plugin is granted no address that the values of the store could name, \
                        expected some as its `grants.addresses`"
                    .to_owned(),
            );
        }
        REMAP.set(Some(Remap { settings, store }));
        Ok(())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        REMAP.with_borrow(|remap| remap.as_ref().map_or(router::Decision::Next, Remap::route))
    }
}

impl Remap {
    fn route(&self) -> router::Decision {
        match self.key() {
            Ok(key) => match self.look_up(&key) {
                Ok(Some(origin)) => router::Decision::Forward(router::Target {
                    upstream: router::Upstream::Address(origin.address),
                    host: Some(origin.host).filter(|_| !self.settings.keep_host),
                    path: None,
                }),
                Ok(None) => self.settings.on_miss.decision(),
                Err(()) => self.settings.on_error.decision(),
            },
            Err(NoKey::Unstorable) => {
                metrics::count("misses", 1);
                self.settings.on_miss.decision()
            }
            Err(NoKey::NoHost) => respond(400),
        }
    }

    fn key(&self) -> Result<String, NoKey> {
        let (scheme, authority) = (request::scheme(), request::authority());
        let origin = request::target_origin();
        let addressed =
            Addressed { scheme: &scheme, authority: &authority, origin: origin.as_deref() };
        self.settings.key_style.key(&addressed, || {
            let is_zero = |value: &[u8]| value.iter().all(|byte| *byte == b'0');
            let last = request::header("max-forwards").is_some_and(|value| is_zero(&value));
            Further {
                websocket: opens_websocket(),
                own_host: (last && origin.is_some()).then(original::host),
            }
        })
    }

    /// Where requests go by the store, if it says so.
    fn look_up(&self, key: &str) -> Result<Option<Origin>, ()> {
        let answer = match self.settings.cache {
            0 => self.store.get(key),
            milliseconds => self.store.get_recent(key, milliseconds),
        };
        let (name, origin) = match answer {
            Ok(Some(value)) => match value::parse(&value) {
                Ok(origin) => ("hits", Some(origin)),
                Err(fault) => {
                    let (store, value) = (&self.settings.store, told::quoted(&value));
                    let text = format!("store {store} holds {value} for {key}: {fault}");
                    log::write(log::Level::Warn, &text);
                    ("malformed", None)
                }
            },
            Ok(None) | Err(Error::InvalidKey) => {
                let text = format!("store {} holds nothing for {key}", self.settings.store);
                log::write(log::Level::Debug, &text);
                ("misses", None)
            }
            Err(error) => {
                metrics::count("errors", 1);
                let (store, error) = (&self.settings.store, told::in_words(&error));
                let text = format!("store {store} was asked for {key}: {error}");
                log::write(log::Level::Error, &text);
                return Err(());
            }
        };
        metrics::count(name, 1);
        Ok(origin)
    }
}

impl Otherwise {
    fn decision(self) -> router::Decision {
        match self {
            Self::Next => router::Decision::Next,
            Self::Answer(status) => respond(status),
        }
    }
}

/// Whether the request asks for a WebSocket (RFC 6455, 4.1), as Traffic Server told it.
fn opens_websocket() -> bool {
    let protocol = original::upgrade().unwrap_or_default();
    protocol.eq_ignore_ascii_case(b"websocket")
        && request::method() == "GET"
        && request::header("sec-websocket-key").is_some()
        && request::header("sec-websocket-version").is_some_and(|version| version == b"13")
}

fn respond(status: u16) -> router::Decision {
    let kind =
        Field { name: "content-type".to_owned(), value: b"text/plain; charset=utf-8".to_vec() };
    let body = match reason(status) {
        Some(reason) => format!("{status} {reason}\n"),
        None => format!("{status}\n"),
    };
    router::Decision::Respond(Response { status, headers: vec![kind], body: body.into_bytes() })
}

/// The phrases of the statuses that make sense here.
fn reason(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        421 => "Misdirected Request",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return None,
    })
}
