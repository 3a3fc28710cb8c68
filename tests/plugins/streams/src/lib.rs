//! Test guest: a stream router that does what the first of its rules says whose `begins` or `ends` the bytes
//! begin or end with, and whose `protocol` a TLS client offers; without one, it waits.
//!
//! Of what it is told it counts `accepted`, `decided` (each call), `ended` (those at the end),
//! `connect_failed` and `inactivity_failed`, and keeps the port of the upstream that failed last in the
//! figure `failed_port`.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::{connection, metrics, tls};
use linkspan_plugin_common::config;
use serde::Deserialize;
use std::cell::RefCell;
use std::hint::black_box;
use std::process;

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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Config {
    greeting: Option<String>,
    /// Another greeting, of so many bytes.
    greeting_bytes: Option<usize>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Rule {
    begins: Option<String>,
    ends: Option<String>,
    protocol: Option<String>,
    /// Clusters, or addresses where there is a colon.
    to: Option<Vec<String>>,
    data: Option<String>,
    /// Other data, of so many bytes.
    data_bytes: Option<usize>,
    reply: Option<String>,
    connect_timeout: Option<u32>,
    inactivity_timeout: Option<u32>,
    /// Closes after this.
    close: Option<String>,
    /// `trap` or `loop`, or `tell`, which closes after the listener, the client's address and its port, and
    /// the name that it has asked for in TLS.
    r#do: Option<String>,
}

thread_local! {
    static CONFIG: RefCell<Config> = RefCell::default();
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        CONFIG.set(config::parse(&config)?);
        Ok(())
    }
}

impl stream_router::Guest for Plugin {
    fn accepted(_id: u64) -> Option<Vec<u8>> {
        metrics::count("accepted", 1);
        CONFIG.with_borrow(|config| given(config.greeting.as_ref(), config.greeting_bytes))
    }

    fn decide(_id: u64, bytes: Vec<u8>, ended: bool) -> Decision {
        metrics::count("decided", 1);
        metrics::count("ended", ended.into());
        CONFIG.with_borrow(|config| {
            let rule = config.rules.iter().find(|rule| rule.holds(&bytes));
            rule.map_or(Decision::Wait, Rule::decision)
        })
    }

    fn failed(_id: u64, upstream: String, trouble: Trouble) {
        let port = upstream.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        metrics::gauge("failed_port", port.unwrap_or_default().into());
        let name = match trouble {
            Trouble::Connect => "connect_failed",
            Trouble::Inactivity => "inactivity_failed",
        };
        metrics::count(name, 1);
    }
}

/// A text, or so many bytes.
fn given(text: Option<&String>, bytes: Option<usize>) -> Option<Vec<u8>> {
    let text = text.map(|text| text.clone().into_bytes());
    text.or_else(|| bytes.map(|count| vec![b'x'; count]))
}

impl Rule {
    fn holds(&self, bytes: &[u8]) -> bool {
        self.begins.as_ref().is_none_or(|begins| bytes.starts_with(begins.as_bytes()))
            && self.ends.as_ref().is_none_or(|ends| bytes.ends_with(ends.as_bytes()))
            && self.protocol.as_ref().is_none_or(|protocol| {
                connection::application_protocols().iter().any(|it| it == protocol.as_bytes())
            })
    }

    fn decision(&self) -> Decision {
        match self.r#do.as_deref() {
            Some("trap") => process::abort(),
            Some("tell") => {
                let (listener, address) = (connection::listener(), connection::client_address());
                let (port, name) = (connection::client_port(), tls::server_name());
                let name = name.map(|name| format!(" {name}")).unwrap_or_default();
                let told = format!("{listener} {address} {port}{name}");
                return Decision::Close(Some(told.into_bytes()));
            }
            Some("loop") => loop {
                black_box(self);
            },
            _ => {}
        }
        let Some(to) = &self.to else {
            let last = given(self.close.as_ref(), None);
            return Decision::Close(last.filter(|bytes| !bytes.is_empty()));
        };
        let upstream = |name: &String| match name.contains(':') {
            true => Upstream::Address(name.clone()),
            false => Upstream::Cluster(name.clone()),
        };
        Decision::Forward(Target {
            upstreams: to.iter().map(upstream).collect(),
            data: given(self.data.as_ref(), self.data_bytes),
            reply: given(self.reply.as_ref(), None),
            connect_timeout: self.connect_timeout,
            inactivity_timeout: self.inactivity_timeout,
        })
    }
}
