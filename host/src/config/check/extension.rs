//! Plugins.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::config::check::kinds::{Component, GRANT};
use crate::config::check::percent::{in_percent, percent};
use crate::config::check::sample::SampleKind;
use crate::config::check::{Context, LEVELS};
use crate::config::file::{Choice, Free, List, Parsed, Period, Size, Table, Whole, key};
use crate::config::names;
use crate::config::{Canary, Grants, Instances, Limits, Name, OnFailure, Plugin, State};

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
        ("reject", OnFailure::Reject, "an error, or of a stream router the end"),
        (
            "next",
            OnFailure::Next,
            "of a router: the next is asked; of a stream router: the default cluster",
        ),
        ("fallback", OnFailure::Fallback, "of a balancer: the first usable endpoint"),
        ("skip", OnFailure::Skip, "of a rewriter: no edits"),
    ]);
    const INSTANCES: Choice<Instances> = Choice(&[
        ("per-worker", Instances::PerWorker, "each worker has its own"),
        ("shared", Instances::Shared, "one for the process, its calls one after another"),
    ]);
    const STATES: Choice<State> = Choice(&[
        ("kept", State::Kept, "a version that does not take it is refused"),
        ("fresh", State::Fresh, "a version that does not take it begins without it"),
    ]);
    if !table.has("component") && !names::is_component(name) {
        table.refuse("`component` is missing", "expected the name of a component");
    }
    let component = "NAME.wasm in the plugin directory, or the built-in NAME";
    let component = key("component", component, Component).such_as("headers");
    let component = table.or_else(component, "the plugin's own name", || name.as_ref().to_owned());
    let (component, instances) = names::component(&component);
    let config = key("config", "What the component is configured with, as it says", Free);
    let shadow =
        "A component that is called beside it, as `component` names one, and decides nothing";
    let shadow = key("shadow", shadow, Component).such_as("headers");
    let shadow = table.optional(shadow, "none");
    if shadow.is_some() && context.plugins.contains(&*Plugin::shadow_of(name)) {
        let taken = format!("the plugin `{}` has the name of its shadow", Plugin::shadow_of(name));
        table.refuse(&taken, "expected another name of either");
    }
    let kept = key("instances", "How many instances there are", INSTANCES);
    let state = "The state that a version hands over to the next";
    let state = key("state", state, STATES);
    let failure = "What a request gets on which it fails";
    let failure = key("on-failure", failure, FAILURES).such_as("reject");
    let record = "Where a sample of its decisions goes, to be replayed: a file, or a table";
    let record = key("record", record, SampleKind(context)).such_as("decisions.jsonl");
    let level = key("log-level", "Of lines by and about it", LEVELS).such_as("trace");
    let usual = "\"fallback\" of balancers, \"reject\" of others";
    Plugin {
        component: component.to_owned(),
        config: Json::Object(table.or(config, Map::new())).to_string(),
        instances: table.or(kept, instances),
        state: table.or(state, State::Kept),
        canary: table.inner(
            "canary",
            "How another version is tried before it takes its place",
            canary,
        ),
        shadow: shadow.map(|shadow| names::component(&shadow).0.to_owned()),
        beside: None,
        record: table.optional(record, "nothing is recorded"),
        log_level: table.optional(level, "that of `[log]`"),
        on_failure: table.optional(failure, usual),
        limits: table.inner("limits", "What an instance may use", limits),
        grants: table.inner("grants", "What it may reach", |table| grants(table, context)),
        name: name.clone(),
    }
}

/// `[plugins.NAME.canary]`.
fn canary(table: &mut Table<'_>) -> Option<Canary> {
    const SHARE: Parsed<u32, &str> = Parsed {
        expected: "a share from `0%` to `100%`",
        read: |text| percent(0..=10_000)(text),
        write: in_percent,
        pattern: r"[0-9]+(\.[0-9]{1,2})?%",
    };
    const COST: Parsed<u32, &str> = Parsed {
        expected: "a comparison from `100%` to `10000%`",
        read: |text| percent(10_000..=1_000_000)(text),
        write: in_percent,
        pattern: r"[0-9]+(\.[0-9]{1,2})?%",
    };
    let share = key(
        "share",
        "The share of the requests that it gets; 0%: it takes the place at once",
        SHARE,
    );
    let periods = Period(Duration::from_millis(100)..=Duration::from_secs(7 * 24 * 3600));
    let period = key("for", "How long it is tried", periods);
    let failures = key("max-failures", "The calls that may fail", Whole(0..=1_000_000_000));
    let cost = "The most that a call may take on average, compared with the version that serves";
    let cost = key("max-cost", cost, COST);
    let canary = Canary {
        share: table.or(share, 0),
        period: table.or(period, Duration::from_secs(60)),
        max_failures: table.or(failures, 0),
        max_cost: table.or(cost, 20_000),
    };
    Some(canary).filter(|canary| canary.share > 0)
}

fn limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let memory = key("memory", "The most linear memory", Size(64 << 10..=4 << 30));
    let deadlines = Period(Duration::from_millis(1)..=Duration::from_secs(10));
    let deadline = key("deadline", "The longest that a call computes", deadlines);
    let elements =
        key("table-elements", "The most entries of all its tables together", Whole(1..=10_000_000));
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
    let addresses =
        "Addresses that a router may forward to, as NETWORK:PORT, HOST:PORT or unix:/path";
    Grants {
        stores: table.or(stores, Vec::new()),
        addresses: table.or(key("addresses", addresses, List(GRANT)), Vec::new()),
    }
}
