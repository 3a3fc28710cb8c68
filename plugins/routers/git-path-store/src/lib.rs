//! Stream router: the upstream of the user whose repository a client of `git://` asks for, the first part of
//! its path, as the store `store` has it: the name of a cluster, or an address `host:port` that the plugin's
//! grants cover.
//!
//! Who is not there goes to `default`, a cluster, or without one is told so in git's own words, as is who
//! asks while the store does not answer. `git-path` has a table instead.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::keyvalue::{self, Bucket};
use crate::bindings::linkspan::plugin::{clusters, log};
use linkspan_plugin_common::clusters::{self as names, Clusters};
use linkspan_plugin_common::git::{self, Reading};
use linkspan_plugin_common::table::Table;
use std::cell::RefCell;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "stream-router-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

thread_local! {
    static USERS: RefCell<Option<Users>> = const { RefCell::new(None) };
}

/// What one instance has.
struct Users {
    store: Bucket,
    default: Option<String>,
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        let mut table = Table::parse(&config)?;
        let name: Option<String> = table.required("store");
        let default: Option<String> = table.optional("default");
        if let Some(Err(unknown)) = default.as_ref().map(|it| names::known(&Configured, it)) {
            table.fault(format!("default: {unknown}"));
        }
        let store = name.and_then(|name| match keyvalue::open(&name) {
            Ok(store) => Some(store),
            Err(_not_granted) => {
                table.fault(format!(
                    "store: the plugin is granted no store `{name}`, expected one of its \
                     `grants.stores`"
                ));
                None
            }
        });
        USERS.set(Some(table.finish(store.map(|store| Users { store, default }))?));
        Ok(())
    }
}

impl stream_router::Guest for Plugin {
    fn accepted(_id: u64) -> Option<Vec<u8>> {
        None
    }

    fn decide(_id: u64, bytes: Vec<u8>, ended: bool) -> Decision {
        let user = match git::read(&bytes) {
            Reading::Incomplete if !ended => return Decision::Wait,
            Reading::Incomplete | Reading::Malformed => return Decision::Close(None),
            Reading::User(user) => user,
        };
        USERS.with_borrow(|users| users.as_ref().map_or(Decision::Close(None), |it| it.find(user)))
    }

    fn failed(_id: u64, _upstream: String, _trouble: Trouble) {}
}

impl Users {
    fn find(&self, user: &str) -> Decision {
        match self.store.get(user) {
            Ok(Some(value)) => match upstream(&value) {
                Some(upstream) => forward(upstream),
                None => {
                    let value = String::from_utf8_lossy(&value);
                    let text = format!("what the store has of {user} is no upstream: {value:?}");
                    log::write(log::Level::Warn, &text);
                    close("this user cannot be served")
                }
            },
            Ok(None) => match &self.default {
                Some(cluster) => forward(Upstream::Cluster(cluster.clone())),
                None => close(&format!("there is no user {user} here")),
            },
            Err(error) => {
                log::write(log::Level::Warn, &format!("the store cannot be asked: {error:?}"));
                close("nobody can be looked up at the moment")
            }
        }
    }
}

/// A cluster that there is, or else an address.
fn upstream(value: &[u8]) -> Option<Upstream> {
    let value = str::from_utf8(value).ok()?.trim();
    if clusters::exists(value) {
        return Some(Upstream::Cluster(value.to_owned()));
    }
    let (_, port) = value.rsplit_once(':')?;
    let is_port = port.parse::<u16>().is_ok();
    is_port.then(|| Upstream::Address(format!("tcp://{value}")))
}

fn close(text: &str) -> Decision {
    Decision::Close(Some(git::error(text)))
}

fn forward(upstream: Upstream) -> Decision {
    Decision::Forward(Target {
        upstreams: vec![upstream],
        data: None,
        reply: None,
        connect_timeout: None,
        inactivity_timeout: None,
    })
}

/// The clusters that there are.
struct Configured;

impl Clusters for Configured {
    fn exists(&self, name: &str) -> bool {
        clusters::exists(name)
    }

    fn names(&self) -> Vec<String> {
        clusters::names()
    }
}
