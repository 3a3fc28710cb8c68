//! Stores.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;

use crate::config::check::DAY;
use crate::config::check::kinds::SERVER;
use crate::config::file::{
    Checked, Choice, OneOrMore, Period, Size, Table, Texts, Value, Whole, key,
};
use crate::config::{Address, ENTRY_BYTES, Memcached, Name, Store, StoreKind, valid_key};

/// How long a connection can be unused.
const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;

const TYPES: Choice<bool> =
    Choice(&[("memory", false, "this process's memory"), ("memcached", true, "memcached servers")]);

/// `[stores.NAME]`.
pub(super) fn store(name: &Name, table: &mut Table<'_>) -> Store {
    // What else stands beside a type that is misspelt is not refused as well.
    let meant = table.has("type") && table.has("servers");
    let is_memcached = table.or(key("type", "What serves it", TYPES), meant);
    let max_value = key("max-value", "The largest value", Size(1 << 10..=128 << 20));
    let max_value = table.or(max_value, 1 << 20);
    let timeout = Period(Duration::from_millis(1)..=Duration::from_mins(1));
    let timeout = key("timeout", "The longest that an operation takes", timeout);
    let timeout = table.or(timeout, Duration::from_millis(50));
    let mut kind = None;
    if is_memcached || table.is_described() {
        kind = memcached(table).map(StoreKind::Memcached);
    } else {
        let of_memcached = ["servers", "max-connections", "idle-timeout"];
        table.forbid(&of_memcached, "a store of type \"memory\" has no servers");
    }
    let kind = if is_memcached {
        let of_memory = ["entries", "max-bytes", "latency"];
        table.forbid(&of_memory, "a store of type \"memcached\" holds nothing in this process");
        kind.unwrap_or_else(nothing)
    } else {
        memory(table, max_value)
    };
    Store { name: name.clone(), kind, timeout, max_value_bytes: max_value }
}

/// What stands for a store that cannot be read.
fn nothing() -> StoreKind {
    StoreKind::Memory { entries: BTreeMap::new(), max_bytes: 0, latency: Duration::ZERO }
}

fn memory(table: &mut Table<'_>, max_value: usize) -> StoreKind {
    let max_bytes = Size(1 << 10..=64 << 30);
    let max_bytes = key("max-bytes", "The most that its keys and values take", max_bytes);
    let max_bytes = table.or(max_bytes, 64 << 20);
    let check = |value: &Value<'_>, entries: BTreeMap<String, String>| {
        let cost = |(key, value): (&String, &String)| key.len() + value.len() + ENTRY_BYTES;
        let bytes: usize = entries.iter().map(cost).sum();
        let bad = entries.keys().find(|key| !valid_key(key));
        let large = entries.iter().find(|(_, value)| value.len() > max_value);
        if let Some(key) = bad {
            let expected = "expected 1 to 250 bytes without blanks and control characters";
            return value.refuse(&format!("{key:?} cannot be a key"), expected, None);
        }
        if let Some((key, large)) = large {
            let message = format!("the value of {key:?} has {} bytes", large.len());
            let expected = format!("expected at most the {max_value} of `max-value`");
            return value.refuse(&message, &expected, None);
        }
        if bytes > max_bytes {
            let expected = format!("expected at most the {max_bytes} of `max-bytes`");
            let message = format!("the entries take {bytes} bytes, {ENTRY_BYTES} of each included");
            return value.refuse(&message, &expected, None);
        }
        Some(entries)
    };
    let entries = key("entries", "What it holds at first", Checked { kind: Texts, check });
    let latency = "Time added to each operation, to see what a slow store does";
    let latency = key("latency", latency, Period(Duration::ZERO..=Duration::from_mins(1)));
    StoreKind::Memory {
        entries: table.or(entries, BTreeMap::new()),
        max_bytes,
        latency: table.or(latency, Duration::ZERO),
    }
}

fn memcached(table: &mut Table<'_>) -> Option<Memcached> {
    let once = |value: &Value<'_>, servers: Vec<Address>| {
        let mut seen = BTreeSet::new();
        match servers.iter().find(|server| !seen.insert(*server)) {
            Some(twice) => value.refuse(
                &format!("`{twice}` is there twice"),
                "expected each server once",
                None,
            ),
            None => Some(servers),
        }
    };
    let about = "The servers, among which keys are shared out by consistent hashing";
    let servers = Checked { kind: OneOrMore { of: SERVER, what: "server" }, check: once };
    let servers = key("servers", about, servers).such_as(json!(["127.0.0.1:11211"]));
    let missing = !table.has("servers");
    let servers = table.optional(servers, "a store in memory has none");
    if missing && !table.is_described() {
        let expected = "expected a list such as `[\"127.0.0.1:11211\"]`";
        table.refuse("`servers` is missing", expected);
    }
    let connections = "The most connections of a worker to a server";
    let connections = key("max-connections", connections, Whole(1..=65_535)).such_as(256);
    let idle = "How long an unused connection is kept";
    let idle = key("idle-timeout", idle, Period(IDLE)).such_as("1m");
    Some(Memcached {
        max_connections: table.or_else(connections, "256 where there are servers", || 256),
        idle_timeout: table
            .or_else(idle, "a minute where there are servers", || Duration::from_mins(1)),
        servers: servers.filter(|servers| !servers.is_empty())?,
    })
}
