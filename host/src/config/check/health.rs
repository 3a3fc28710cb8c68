//! Health: what failures lead to, and active checks.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use crate::config::check::DAY;
use crate::config::file::{
    Checked, Choice, Document, Kind, List, Parsed, Period, Table, Value, Whole, key, variable, with,
};
use crate::config::health::{Pattern, Probe, StatusRange};
use crate::config::{Check, Health, Statuses, schema};

/// `[clusters.NAME.health]`.
pub(super) fn health(table: &mut Table<'_>, default: &Health) -> Health {
    let attempts = "Connect failures in a row until it is offline";
    let offline = "How long it is then left alone, where \"0s\" turns this off";
    let check = "How it is asked for its health, by default with a GET of its `path`";
    let check = key("check", check, CheckKind).such_as(json!({ "path": "/healthz" }));
    Health {
        attempts: table.or(key("attempts", attempts, Whole(0..=1_000)), default.attempts),
        offline: table.or(key("offline", offline, Period(Duration::ZERO..=DAY)), default.offline),
        check: table.optional(check, "only requests tell").map(Arc::new),
    }
}

/// Some statuses: a number, or a text such as `5xx` or `500-504`.
pub(super) struct StatusKind;

impl Kind for StatusKind {
    type Value = StatusRange;

    fn read(&self, value: &Value<'_>) -> Option<StatusRange> {
        let text = match value.item() {
            DeValue::Integer(number) => number.as_str().to_owned(),
            _ => value.text_for("a status such as 503, `500-504` or `5xx`")?.into_owned(),
        };
        StatusRange::parse(&text).or_else(|| {
            let expected = "expected 100 to 599, such as 503, `500-504` or `5xx`";
            value.refuse(&format!("`{text}` is not a status"), expected, None)
        })
    }

    fn write(&self, value: &StatusRange) -> Json {
        if value.0.start() == value.0.end() {
            (*value.0.start()).into()
        } else {
            value.to_string().into()
        }
    }

    fn schema(&self) -> Json {
        let number = json!({ "type": "integer", "minimum": 100, "maximum": 599 });
        json!({ "anyOf": [number, variable("[1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?")] })
    }
}

const METHODS: Choice<u8> = Choice(&[("GET", 0, ""), ("HEAD", 1, ""), ("OPTIONS", 2, "")]);

const TYPES: Choice<bool> = Choice(&[
    ("http", true, "a request whose answer tells"),
    ("tcp", false, "whether it can be connected to"),
]);

const PATH: Parsed<PathAndQuery, &str> = Parsed {
    expected: "a path such as `/healthz`",
    read: |text| {
        if !text.starts_with('/') {
            return Err("it does not begin with a slash");
        }
        text.parse().or(Err("it has characters that a path cannot have"))
    },
    write: PathAndQuery::to_string,
    pattern: "/.*",
};

const HOST: Parsed<HeaderValue, &str> = Parsed {
    expected: "a host such as `app.example`",
    read: |text| match HeaderValue::from_str(text) {
        Ok(host) if text.parse::<http::uri::Authority>().is_ok() => Ok(host),
        _ => Err("it is not the name of a host"),
    },
    write: |host| String::from_utf8_lossy(host.as_bytes()).into_owned(),
    pattern: ".+",
};

const BODY: Parsed<Pattern, String> = Parsed {
    expected: "a regular expression",
    read: Pattern::new,
    write: |pattern| pattern.text().to_owned(),
    pattern: ".*",
};

/// An active check, as a table.
struct CheckKind;

impl CheckKind {
    fn table(table: &mut Table<'_>) -> Check {
        let is_http = table.or(key("type", "What is asked", TYPES), true);
        let probe = if is_http {
            http(table)
        } else {
            let of_http = ["path", "method", "host", "status", "body"];
            table.forbid(&of_http, "a check of type \"tcp\" sends nothing");
            Probe::Tcp
        };
        let interval =
            "The time between two checks of an endpoint, of which a tenth is left to chance";
        let interval = key("interval", interval, Period(Duration::from_millis(10)..=DAY));
        let timeout = Period(Duration::from_millis(1)..=Duration::from_hours(1));
        let timeout = key("timeout", "How long a check may take", timeout);
        let rise = "Checks in a row that pass until an endpoint is used again";
        let fall = "Checks in a row that fail until it is no longer used";
        let port = key("port", "The port that is asked", Whole(1..=u16::MAX)).such_as(8081);
        Check {
            probe,
            port: table.optional(port, "the endpoint's own"),
            interval: table.or(interval, Duration::from_secs(5)),
            timeout: table.or(timeout, Duration::from_secs(1)),
            rise: table.or(key("rise", rise, Whole(1..=1_000)), 1),
            fall: table.or(key("fall", fall, Whole(1..=1_000)), 3),
        }
    }
}

fn http(table: &mut Table<'_>) -> Probe {
    let host = key("host", "The Host that is sent", HOST).such_as("app.example");
    let body = "What must be found in the first 64 KiB of the answer's body";
    let body = key("body", body, BODY).such_as("\"status\": ?\"up\"");
    let methods = [Method::GET, Method::HEAD, Method::OPTIONS];
    let method = table.or(key("method", "The method of the request", METHODS), 0);
    if method == 1 {
        table.forbid(&["body"], "an answer to HEAD has no body that this could be found in");
    }
    let passing = || vec![StatusRange(200..=299), StatusRange(300..=399)];
    let some = |value: &Value<'_>, statuses: Vec<StatusRange>| {
        let none = "no status passes, and so no check";
        match value.item().as_array().is_some_and(|list| list.is_empty()) {
            true => value.refuse(none, "expected at least one status, such as `2xx`", None),
            false => Some(statuses),
        }
    };
    let status = Checked { kind: List(StatusKind), check: some };
    let status = key("status", "The statuses that pass", status);
    Probe::Http {
        method: methods.into_iter().nth(method.into()).unwrap_or_default(),
        path: table
            .or(key("path", "The path that is asked for", PATH), PathAndQuery::from_static("/")),
        host: table.optional(host, "the endpoint's address"),
        status: Statuses::new(table.or(status, passing())),
        body: table.optional(body, "any will do"),
    }
}

impl Kind for CheckKind {
    type Value = Check;

    fn read(&self, value: &Value<'_>) -> Option<Check> {
        value.table(Self::table)
    }

    fn write(&self, check: &Check) -> Json {
        let mut written = Map::new();
        let mut put = |key: &str, value: Json| written.insert(key.to_owned(), value);
        put("type", TYPES.write(&(check.probe != Probe::Tcp)));
        if let Probe::Http { method, path, host, status, body } = &check.probe {
            put("method", method.as_str().into());
            put("path", PATH.write(path));
            if let Some(host) = host {
                put("host", HOST.write(host));
            }
            put("status", status.ranges().iter().map(|range| StatusKind.write(range)).collect());
            if let Some(body) = body {
                put("body", BODY.write(body));
            }
        }
        if let Some(port) = check.port {
            put("port", port.into());
        }
        let period = Period(Duration::ZERO..=DAY);
        put("interval", period.write(&check.interval));
        put("timeout", period.write(&check.timeout));
        put("rise", check.rise.into());
        put("fall", check.fall.into());
        written.into()
    }

    fn schema(&self) -> Json {
        let table = schema::of_table(&Document::describe(Self::table));
        with(table, "description", "An active check")
    }
}
