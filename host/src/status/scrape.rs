//! What Prometheus scrapes: all that is counted, and the figures of endpoints.
//!
//! The series of an endpoint are made from the members that its cluster has when it is asked, so
//! those of one that has left are gone. Their labels are names and addresses of the configuration.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::ACCEPT;

use crate::cluster::health::now;
use crate::cluster::{Cluster, Condition, EndpointState, Member, State};
use crate::config::Name;
use crate::metrics::{Family, Sample, Value, open_metrics, plain};
use crate::plugin::CONTRACT;
use crate::snapshot::Snapshot;
use crate::status::Sources;
use crate::status::time::{beginning, time_of_day};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, and what kind of text that is: what the scraper prefers by its Accept, OpenMetrics
/// or, where it asks only for `text/plain`, Prometheus's own.
#[must_use]
pub fn scrape(
    sources: &Sources,
    snapshot: &Snapshot,
    headers: &HeaderMap,
) -> (&'static str, String) {
    let mut families = sources.metrics.families();
    of_process(snapshot, &mut families);
    of_versions(snapshot, &mut families);
    of_endpoints(snapshot, &mut families);
    of_certificates(snapshot, &mut families);
    if wants_plain(headers) {
        (PLAIN, plain(&families))
    } else {
        (OPEN_METRICS, open_metrics(families))
    }
}

fn wants_plain(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        let quality = quality.and_then(|quality| quality.parse().ok()).unwrap_or(1.0);
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            open = open.max(quality);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            plain = plain.max(quality);
        }
    }
    plain > open
}

fn of_process(snapshot: &Snapshot, families: &mut Vec<Family>) {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let labels = vec![("version", version), ("contract", CONTRACT.to_owned())];
    let about = vec![Sample { labels, value: Value::Gauge(1) }];
    families.push(Family::gauge("linkspan_build_info", "What runs here; always 1", about));
    let begun = beginning().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let begun = vec![Sample { labels: Vec::new(), value: Value::Fraction(begun) }];
    let help = "When the process began, in Unix time";
    families.push(Family::gauge("linkspan_start_timestamp_seconds", help, begun));
    let generation = vec![Sample { labels: Vec::new(), value: Value::Gauge(snapshot.generation) }];
    let help = "The number of the configuration that is served";
    families.push(Family::gauge("linkspan_configuration_generation", help, generation));
}

fn of_versions(snapshot: &Snapshot, families: &mut Vec<Family>) {
    let sample = |plugin: &Name| {
        let version = snapshot.version_of(plugin)?.to_owned();
        let since = time_of_day(snapshot.serving_since(plugin)).duration_since(UNIX_EPOCH);
        let labels = vec![("plugin", plugin.to_string()), ("version", version)];
        Some(Sample { labels, value: Value::Gauge(since.unwrap_or_default().as_secs()) })
    };
    let samples = snapshot.config.plugins.keys().filter_map(sample).collect();
    let help = "When the version that serves began to, in Unix time";
    let name = "linkspan_plugin_version_start_timestamp_seconds";
    families.push(Family::gauge(name, help, samples));
}

/// An endpoint, when it is looked at.
struct Seen<'a> {
    cluster: &'a Cluster,
    member: Member,
    condition: Condition,
    state: EndpointState,
}

impl Seen<'_> {
    fn sample(&self, more: Option<(&'static str, &str)>, value: Value) -> Sample {
        let cluster = ("cluster", self.cluster.name().to_string());
        let endpoint = ("endpoint", self.member.endpoint.label().to_string());
        let more = more.map(|(label, value)| (label, value.to_owned()));
        Sample { labels: [cluster, endpoint].into_iter().chain(more).collect(), value }
    }
}

/// Each endpoint of each cluster once.
fn seen(snapshot: &Snapshot) -> Vec<Seen<'_>> {
    let now = now();
    let mut seen = Vec::new();
    for cluster in snapshot.clusters.values() {
        cluster.refresh(now);
        let mut known = HashSet::new();
        for member in cluster.membership().members() {
            if known.insert(member.endpoint.id()) {
                seen.push(Seen {
                    cluster,
                    condition: cluster.condition(member, now),
                    state: cluster.state_of(member, now),
                    member: member.clone(),
                });
            }
        }
    }
    seen
}

fn of_endpoints(snapshot: &Snapshot, families: &mut Vec<Family>) {
    let seen = seen(snapshot);
    let samples = |value: &dyn Fn(&Seen<'_>) -> Option<Value>| {
        let sample = |each: &Seen<'_>| Some(each.sample(None, value(each)?));
        seen.iter().filter_map(sample).collect::<Vec<_>>()
    };
    let states = seen.iter().flat_map(|each| {
        State::ALL.into_iter().map(|state| {
            let is = u64::from(each.condition.state == state);
            each.sample(Some(("state", state.word())), Value::Gauge(is))
        })
    });
    let states = states.collect();
    let mut gauge = |name, help, value: &dyn Fn(&Seen<'_>) -> Option<Value>| {
        families.push(Family::gauge(name, help, samples(value)));
    };
    let at = |at: u64| {
        let time = time_of_day(at).duration_since(UNIX_EPOCH).unwrap_or_default();
        Value::Fraction(time.as_secs_f64())
    };
    let usable = "Whether balancers may choose an endpoint, 0 or 1";
    gauge("linkspan_endpoint_usable", usable, &|e| Some(Value::Gauge(e.state.usable.into())));
    let since = "When an endpoint's state began, in Unix time";
    gauge("linkspan_endpoint_state_timestamp_seconds", since, &|e| Some(at(e.condition.since)));
    gauge("linkspan_endpoint_weight", "What balancers weigh an endpoint by", &|e| {
        Some(Value::Fraction(f64::from(e.state.weight) / 100.0))
    });
    let in_flight = "Requests at an endpoint that are not finished";
    gauge("linkspan_endpoint_requests_in_flight", in_flight, &|e| {
        Some(Value::Gauge(e.member.endpoint.in_flight().into()))
    });
    let latency = "The time to a response's head, averaged over about the last second";
    gauge("linkspan_endpoint_latency_seconds", latency, &|e| {
        let latency = e.member.endpoint.latency();
        let seconds = Duration::from_nanos(latency).as_secs_f64();
        (latency > 0).then_some(Value::Fraction(seconds))
    });
    let in_a_row = "Failures to connect to an endpoint since it could last be connected to";
    gauge("linkspan_endpoint_failures_in_a_row", in_a_row, &|e| {
        Some(Value::Gauge(e.condition.failures_in_a_row.into()))
    });
    let last = "When the last of the failures in a row was, in Unix time";
    gauge("linkspan_endpoint_last_failure_timestamp_seconds", last, &|e| {
        (e.condition.last_failure > 0).then(|| at(e.condition.last_failure))
    });
    let passed = "Whether an endpoint passed its last active check, 0 or 1";
    gauge("linkspan_endpoint_check_passed", passed, &|e| {
        e.condition.check.as_ref().map(|check| Value::Gauge(check.passed.into()))
    });
    let checked = "When the last active check of an endpoint ended, in Unix time";
    gauge("linkspan_endpoint_check_timestamp_seconds", checked, &|e| {
        e.condition.check.as_ref().map(|check| at(check.at))
    });
    let help = "The state of an endpoint: 1 for the one that it is in, 0 for the others";
    families.push(Family::gauge("linkspan_endpoint_state", help, states));
    let mut counter = |name, help, value: fn(&Seen<'_>) -> u64| {
        let counted = samples(&|each| Some(Value::Counter(value(each))));
        families.push(Family::counter(name, help, counted));
    };
    counter("linkspan_endpoint_requests", "Requests sent to an endpoint", |e| {
        e.member.endpoint.total()
    });
    let failures = "Attempts at an endpoint that came to no response head";
    counter("linkspan_endpoint_failures", failures, |e| e.member.endpoint.failures());
    counter("linkspan_endpoint_checks", "Active checks of an endpoint", |e| e.condition.checks);
    let failed = "Active checks that an endpoint failed";
    counter("linkspan_endpoint_checks_failed", failed, |e| e.condition.checks_failed);
    let sent = "Bytes of request bodies that an endpoint was sent";
    counter("linkspan_endpoint_sent_bytes", sent, |e| e.member.endpoint.bytes_sent());
    let received = "Bytes of response bodies that an endpoint has sent";
    counter("linkspan_endpoint_received_bytes", received, |e| e.member.endpoint.bytes_received());
}

fn of_certificates(snapshot: &Snapshot, families: &mut Vec<Family>) {
    let Some(issued) = snapshot.config.acme.as_ref().map(|acme| &acme.issued) else { return };
    let ends = issued.validities().into_iter().map(|(name, validity)| {
        let ends = validity.ends.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Sample { labels: vec![("name", name.into())], value: Value::Gauge(ends) }
    });
    let help = "When the certificate that was obtained for a name ends, in Unix time";
    let name = "linkspan_acme_certificate_expiry_timestamp_seconds";
    families.push(Family::gauge(name, help, ends.collect()));
    let orders = issued.tallies().into_iter().flat_map(|(name, tally)| {
        [("obtained", tally.obtained), ("failed", tally.failed)].map(|(outcome, count)| {
            let labels = vec![("name", name.to_string()), ("outcome", outcome.to_owned())];
            Sample { labels, value: Value::Counter(count) }
        })
    });
    let help = "Orders of certificates that have ended";
    families.push(Family::counter("linkspan_acme_orders", help, orders.collect()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_get_what_they_prefer() {
        let plain = |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (ACCEPT, http::HeaderValue::from_static(accept))));
            wants_plain(&headers)
        };
        assert!(!plain(None) && !plain(Some("*/*")));
        assert!(!plain(Some("text/html,application/xhtml+xml,*/*;q=0.8")), "a browser");
        assert!(plain(Some("text/plain")) && plain(Some("Text/Plain; version=0.0.4;q=0.5")));
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=0.0.4;q=0.4,*/*;q=0.3";
        assert!(!plain(Some(prometheus)));
        assert!(plain(Some("application/openmetrics-text;q=0.2, text/plain;q=0.9")));
    }
}
