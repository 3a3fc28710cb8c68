//! `[dns]`.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::Dns;
use crate::config::check::kinds::NAME_SERVER;
use crate::config::check::{DAY, TIMEOUT, timeout};
use crate::config::file::{List, Period, Table, key};

/// How names are resolved.
pub(super) fn dns(table: &mut Table<'_>) -> Dns {
    let default = Dns::default();
    let about = "Name servers, as addresses";
    let servers =
        key("servers", about, List(NAME_SERVER)).such_as(vec![Json::from("127.0.0.1:53")]);
    let servers = table.optional(servers, "those of the system");
    let about = "The longest that an answer may take";
    let timeout = timeout(table, "timeout", about, default.timeout);
    // Less would be a query without pause.
    let ttl = || Period(Duration::from_millis(100)..=DAY);
    let about = "The least time that an answer is believed";
    let min_ttl = table.or(key("min-ttl", about, ttl()), default.min_ttl);
    let about = "The longest time that an answer is believed";
    let max_ttl = table.or(key("max-ttl", about, ttl()), default.max_ttl);
    if min_ttl > max_ttl {
        let message = "`min-ttl` is more than `max-ttl`";
        table.refuse(message, "expected the least time to be at most the longest");
    }
    let about = "How soon a name that did not resolve is tried again; doubled up to 30s";
    let retry = table.or(key("retry", about, Period(TIMEOUT)), default.retry);
    Dns { servers: servers.unwrap_or_default(), timeout, min_ttl, max_ttl, retry }
}
