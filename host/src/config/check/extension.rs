//! Plugins.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::config::check::kinds::{Component, GRANT};
use crate::config::check::{Context, LEVELS};
use crate::config::file::{Choice, Free, List, Period, Size, Table, Whole, key};
use crate::config::names;
use crate::config::{Grants, Instances, Limits, Name, OnFailure, Plugin};

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            deadline: Duration::from_millis(10),
            table_elements: 20_000,
            handles: 1_024,
            instances: None,
            host_call_bytes: 2 << 20,
            log_rate: 100,
        }
    }
}

/// `[plugins.NAME]`, or the empty table of a component that is used as it is.
pub(super) fn plugin(table: &mut Table<'_>, name: &Name, context: &Context<'_>) -> Plugin {
    const FAILURES: Choice<OnFailure> = Choice(&[
        ("reject", OnFailure::Reject, "an error"),
        ("next", OnFailure::Next, "of a router: the next is asked"),
        ("fallback", OnFailure::Fallback, "of a balancer: the first usable endpoint"),
        ("skip", OnFailure::Skip, "of a rewriter: no edits"),
    ]);
    const INSTANCES: Choice<Instances> = Choice(&[
        ("per-worker", Instances::PerWorker, "each worker has its own"),
        ("shared", Instances::Shared, "one for the process, its calls one after another"),
    ]);
    if !table.has("component") && !names::is_component(name) {
        table.refuse("`component` is missing", "expected the name of a component");
    }
    let component = "NAME.wasm in the plugin directory, or the built-in NAME";
    let component = key("component", component, Component).such_as("headers");
    let component = table.or_else(component, "the plugin's own name", || name.as_ref().to_owned());
    let (component, instances) = names::component(&component);
    let config = key("config", "What the component is configured with, as it says", Free);
    let kept = key("instances", "How many instances there are", INSTANCES);
    let failure = "What a request gets on which it fails";
    let failure = key("on-failure", failure, FAILURES).such_as("reject");
    let level = key("log-level", "Of lines by and about it", LEVELS).such_as("trace");
    let usual = "\"fallback\" of balancers, \"reject\" of others";
    Plugin {
        component: component.to_owned(),
        config: Json::Object(table.or(config, Map::new())).to_string(),
        instances: table.or(kept, instances),
        log_level: table.optional(level, "that of `[log]`"),
        on_failure: table.optional(failure, usual),
        limits: table.inner("limits", "What an instance may use", limits),
        grants: table.inner("grants", "What it may reach", |table| grants(table, context)),
        name: name.clone(),
    }
}

fn limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let memory = key("memory", "The most linear memory", Size(64 << 10..=4 << 30));
    let deadlines = Period(Duration::from_millis(1)..=Duration::from_secs(10));
    let deadline = key("deadline", "The longest that a call computes", deadlines);
    let elements =
        key("table-elements", "The most entries of each of its tables", Whole(1..=10_000_000));
    let handles = key("handles", "The most handles that it holds at a time", Whole(1..=1_000_000));
    let instances = "The most instances per worker, where calls overlap";
    let instances = key("instances", instances, Whole(1..=4_096)).such_as(64);
    let usual = "512 of plugins that wait for stores, 64 of others";
    let bytes = "The most that a call passes to the host";
    let bytes = key("host-call-bytes", bytes, Size(4 << 10..=1 << 30));
    let log_rate = key("log-rate", "The most messages that it logs a second", Whole(0..=1_000_000));
    Limits {
        memory_bytes: table.or(memory, default.memory_bytes),
        deadline: table.or(deadline, default.deadline),
        table_elements: table.or(elements, default.table_elements),
        handles: table.or(handles, default.handles),
        instances: table.optional(instances, usual),
        host_call_bytes: table.or(bytes, default.host_call_bytes),
        log_rate: table.or(log_rate, default.log_rate),
    }
}

fn grants(table: &mut Table<'_>, context: &Context<'_>) -> Grants {
    let stores = key("stores", "Stores that it may open", List(context.store()));
    let addresses = "Addresses that a router may forward to, as NETWORK:PORT or HOST:PORT";
    Grants {
        stores: table.or(stores, Vec::new()),
        addresses: table.or(key("addresses", addresses, List(GRANT)), Vec::new()),
    }
}
