//! Plugins and stores.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Number};
use toml::de::DeValue;

use crate::config::check::{Context, LEVELS};
use crate::config::file::{Table, Value};
use crate::config::names;
use crate::config::{
    Grants, Instances, Limits, Name, OnFailure, Plugin, Store, StoreKind, address,
};

/// How deep tables and lists may lie within each other in what a plugin gets: a reader of JSON
/// refuses more than 128 levels.
const MAX_DEPTH: usize = 100;

impl Plugin {
    /// A component that is used as it is.
    pub(super) fn of_component(name: Name) -> Self {
        let (component, instances) = names::component(&name);
        Self {
            component: component.to_owned(),
            config: "{}".to_owned(),
            instances,
            log_level: None,
            on_failure: None,
            limits: Limits::default(),
            grants: Grants::default(),
            name,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            deadline: Duration::from_millis(10),
            table_elements: 20_000,
            handles: 1_024,
            instances: 64,
            host_call_bytes: 2 << 20,
            log_rate: 100,
        }
    }
}

/// `[plugins.NAME]`.
pub(super) fn plugin(table: &mut Table<'_>, name: Name, context: &Context<'_>) -> Plugin {
    const FAILURES: [(&str, OnFailure); 4] = [
        ("reject", OnFailure::Reject),
        ("next", OnFailure::Next),
        ("fallback", OnFailure::Fallback),
        ("skip", OnFailure::Skip),
    ];
    const INSTANCES: [(&str, Instances); 2] =
        [("per-worker", Instances::PerWorker), ("shared", Instances::Shared)];
    let component = match table.value("component") {
        Some(value) => value.text().and_then(|component| {
            if names::is_component(&component) {
                return Some(component.into_owned());
            }
            let message = format!("`{component}` cannot be a component");
            value.refuse(
                &message,
                "expected the NAME of a file NAME.wasm, without a directory",
                None,
            )
        }),
        None if names::is_component(&name) => Some(name.as_ref().to_owned()),
        None => {
            table.refuse("`component` is missing", "expected the name of a component");
            None
        }
    };
    let component = component.unwrap_or_default();
    let (component, instances) = names::component(&component);
    Plugin {
        component: component.to_owned(),
        config: table.get("config", config).unwrap_or_else(|| "{}".to_owned()),
        instances: table.get("instances", |value| value.choice(&INSTANCES)).unwrap_or(instances),
        log_level: table.get("log-level", |value| value.choice(&LEVELS)),
        on_failure: table.get("on-failure", |value| value.choice(&FAILURES)),
        limits: table.inner("limits", limits),
        grants: table.inner("grants", |table| Grants {
            stores: table
                .get("stores", |value| value.list(|value| context.store(value)))
                .unwrap_or_default(),
            addresses: table
                .get("addresses", |value| {
                    value.list(|value| {
                        let expected =
                            "an address to grant, such as `10.0.0.0/8:*` or `a.internal:80`";
                        value.parse(expected, address::grant)
                    })
                })
                .unwrap_or_default(),
        }),
        name,
    }
}

fn limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let deadlines = Duration::from_millis(1)..=Duration::from_secs(10);
    Limits {
        memory_bytes: table
            .get("memory", |value| value.size(64 << 10..=4 << 30))
            .unwrap_or(default.memory_bytes),
        deadline: table
            .get("deadline", |value| value.duration(deadlines))
            .unwrap_or(default.deadline),
        table_elements: table
            .get("table-elements", |value| value.integer(1..=10_000_000))
            .unwrap_or(default.table_elements),
        handles: table
            .get("handles", |value| value.integer(1..=1_000_000))
            .unwrap_or(default.handles),
        instances: table
            .get("instances", |value| value.integer(1..=4_096))
            .unwrap_or(default.instances),
        host_call_bytes: table
            .get("host-call-bytes", |value| value.size(4 << 10..=1 << 30))
            .unwrap_or(default.host_call_bytes),
        log_rate: table
            .get("log-rate", |value| value.integer(0..=1_000_000))
            .unwrap_or(default.log_rate),
    }
}

/// The JSON text that `configure` gets.
fn config(value: &Value<'_>) -> Option<String> {
    if !matches!(value.item(), DeValue::Table(_)) {
        return value.table(|_| String::new());
    }
    json(value, MAX_DEPTH).map(|json| json.to_string())
}

fn json(value: &Value<'_>, depth: usize) -> Option<serde_json::Value> {
    let Some(depth) = depth.checked_sub(1) else {
        return value.refuse("tables and lists lie too deep", "expected 100 levels at most", None);
    };
    match value.item() {
        DeValue::String(_) => value.text().map(|text| text.into_owned().into()),
        DeValue::Integer(_) => value.integer(i64::MIN..=i64::MAX).map(Into::into),
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(Number::from_f64);
            number.map(Into::into).or_else(|| {
                value.refuse(
                    "plugins get JSON, which has no such number",
                    "expected a finite number",
                    None,
                )
            })
        }
        DeValue::Boolean(truth) => Some((*truth).into()),
        DeValue::Datetime(date) => Some(date.to_string().into()),
        DeValue::Array(_) => value.list(|value| json(value, depth)).map(Into::into),
        DeValue::Table(_) => value.table(|table| {
            let entry =
                |(key, value): (&str, Value<'_>)| Some((key.to_owned(), json(&value, depth)?));
            table.entries().into_iter().filter_map(entry).collect::<Map<_, _>>().into()
        }),
    }
}

/// `[stores.NAME]`.
pub(super) fn store(name: Name, table: &mut Table<'_>) -> Store {
    if !table.chooses_later("type", "memory", "memcached") {
        table.later(&["servers"]);
    }
    let timeouts = Duration::from_millis(1)..=Duration::from_mins(1);
    let max_bytes =
        table.get("max-bytes", |value| value.size(1 << 10..=64 << 30)).unwrap_or(64 << 20);
    let latencies = Duration::ZERO..=Duration::from_mins(1);
    Store {
        name,
        kind: StoreKind::Memory {
            entries: table.get("entries", |value| entries(value, max_bytes)).unwrap_or_default(),
            max_bytes,
            latency: table.get("latency", |value| value.duration(latencies)).unwrap_or_default(),
        },
        timeout: table
            .get("timeout", |value| value.duration(timeouts))
            .unwrap_or(Duration::from_millis(50)),
    }
}

fn entries(value: &Value<'_>, max_bytes: usize) -> Option<BTreeMap<String, String>> {
    let entries: BTreeMap<_, _> = value.table(|table| {
        let entry =
            |(key, value): (&str, Value<'_>)| Some((key.to_owned(), value.text()?.into_owned()));
        table.entries().into_iter().filter_map(entry).collect()
    })?;
    let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > max_bytes {
        let expected = format!("expected at most the {max_bytes} of `max-bytes`");
        return value.refuse(&format!("the entries have {bytes} bytes"), &expected, None);
    }
    Some(entries)
}
