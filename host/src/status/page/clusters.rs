//! Clusters, each with a table of its endpoints.

use std::fmt::{self, Write as _};

use super::text::{Bytes, Escaped, Micros, Number, Since};
use super::{SHOWN, begin_table, cell, figure, names, number, optional, rest};
use crate::status::{ClusterView, EndpointView};

/// The most endpoints of a cluster that are shown.
const ENDPOINTS: usize = 500;

/// The most endpoints that are shown altogether.
const ENDPOINTS_OF_ALL: usize = 2_000;

pub(super) fn clusters(out: &mut String, clusters: &[ClusterView]) -> fmt::Result {
    if clusters.is_empty() {
        out.push_str("<p class=\"card note\">No cluster is configured.</p>\n");
        return Ok(());
    }
    let mut room = ENDPOINTS_OF_ALL;
    for cluster in clusters.iter().take(SHOWN) {
        let shown = cluster.endpoints.len().min(ENDPOINTS).min(room);
        room -= shown;
        write_cluster(out, cluster, shown)?;
    }
    rest(out, clusters.len(), SHOWN, "cluster")
}

/// What is counted of a cluster as a whole.
fn figures(out: &mut String, cluster: &ClusterView) -> fmt::Result {
    let mut figures = vec![
        ("attempts", cluster.attempts),
        ("failures", cluster.failures),
        ("repetitions", cluster.retries),
    ];
    // Where nothing can wait there is nothing to say of it.
    let limited = cluster.endpoints.iter().any(|endpoint| endpoint.max_connections.is_some());
    if limited || cluster.waits > 0 {
        figures.extend([
            ("waiting", cluster.queued),
            ("waited", cluster.waits),
            ("turned away", cluster.queue_full + cluster.queue_timeouts),
        ]);
    }
    for (name, value) in figures {
        write!(out, "<li><span class=\"soft\">{name}</span> {}</li>", Number(value))?;
    }
    Ok(())
}

fn write_cluster(out: &mut String, cluster: &ClusterView, shown: usize) -> fmt::Result {
    let endpoints = &cluster.endpoints;
    let alive = endpoints.iter().filter(|endpoint| endpoint.state == "alive").count();
    let all = match endpoints.len() {
        0 => "no endpoints".to_owned(),
        count => format!("{} of {} alive", Number(alive as u64), Number(count as u64)),
    };
    let look = match alive {
        _ if endpoints.is_empty() => "warn",
        0 => "bad",
        alive if alive < endpoints.len() => "warn",
        _ => "good",
    };
    write!(
        out,
        "<article class=\"card\"><div class=\"head\"><h3>{}</h3>\
         <span class=\"pill {look}\">{all}</span>\
         <ul class=\"figures\"><li><span class=\"soft\">balanced by</span> {}</li>",
        Escaped(&cluster.name),
        Escaped(names(&cluster.balancers))
    )?;
    if !cluster.rewriters.is_empty() {
        let rewriters = Escaped(names(&cluster.rewriters));
        write!(out, "<li><span class=\"soft\">edited by</span> {rewriters}</li>")?;
    }
    figures(out, cluster)?;
    out.push_str("</ul></div>");
    if endpoints.is_empty() {
        out.push_str("</article>\n");
        return Ok(());
    }
    let caption = format!("<span class=\"unseen\">Endpoints of {}</span>", Escaped(&cluster.name));
    begin_table(
        out,
        "endpoints",
        &caption,
        &["Endpoint", "State", "Last check", "Share of requests"],
        &[
            "Requests",
            "In flight",
            "Weight",
            "Failures",
            "Offline count",
            "Latency",
            "Sent, received",
        ],
    )?;
    // If not all fit, those are not left out that somebody may be looking for.
    let all_fit = shown == endpoints.len();
    let first = endpoints.iter().filter(|endpoint| all_fit || endpoint.state != "alive");
    let then = endpoints.iter().filter(|endpoint| !all_fit && endpoint.state == "alive");
    for endpoint in first.chain(then).take(shown) {
        row(out, endpoint)?;
    }
    out.push_str("</tbody></table>");
    rest(out, endpoints.len(), shown, "endpoint")?;
    out.push_str("</article>\n");
    Ok(())
}

fn row(out: &mut String, endpoint: &EndpointView) -> fmt::Result {
    let look = match endpoint.state {
        "alive" => "good",
        "offline" | "unhealthy" | "failing" => "bad",
        "draining" => "warn",
        _ => "idle",
    };
    write!(
        out,
        "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">{}</th>",
        Escaped(&endpoint.address)
    )?;
    let by_hand = if endpoint.by_hand { ", by hand until the process ends" } else { "" };
    cell(
        out,
        "State",
        format_args!(
            "<span class=\"pill {look}\">{}</span><small>for {}{by_hand}</small>",
            endpoint.state,
            Since(&endpoint.since)
        ),
    )?;
    let check = endpoint.last_check.as_ref().map(|check| {
        let verdict = if check.passed { "passed" } else { "failed" };
        let (time, found) = (Since(&check.time), Escaped(&check.found));
        let (failed, all) = (Number(endpoint.checks_failed), Number(endpoint.checks));
        format!("{verdict} {time} ago<small>{found}</small><small>{failed} of {all} failed</small>")
    });
    optional(out, "", "Last check", check)?;
    let share = endpoint.share.map(|share| {
        let percent = share * 100.0;
        format!(
            "{percent:.1} %<svg class=\"bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" \
             aria-hidden=\"true\"><rect width=\"{percent:.1}\" height=\"4\"/></svg>"
        )
    });
    optional(out, "", "Share of requests", share)?;
    figure(out, "Requests", endpoint.requests)?;
    figure(out, "In flight", endpoint.in_flight.into())?;
    let plain = |label: &str, text: &dyn fmt::Display| {
        format!("<td role=\"cell\" class=\"n\" data-label=\"{label}\">{text}</td>")
    };
    let (weight, whole) = (endpoint.weight, endpoint.configured_weight);
    if weight < whole {
        out.push_str(&plain("Weight", &format_args!("{weight}<small>grows to {whole}</small>")));
    } else {
        out.push_str(&plain("Weight", &weight));
    }
    let bad = match endpoint.bad_responses_in_a_row {
        0 => String::new(),
        bad => format!("{bad} bad in a row"),
    };
    number(out, "Failures", endpoint.failures, &bad)?;
    let last = endpoint.last_failure.as_ref().map(|last| format!("last {} ago", Since(last)));
    let count = u64::from(endpoint.failures_in_a_row);
    number(out, "Offline count", count, &last.unwrap_or_default())?;
    let latency = endpoint.latency_ms.map(|ms| Micros(ms * 1e3).to_string());
    optional(out, "n", "Latency", latency)?;
    let (sent, received) = (Bytes(endpoint.bytes_sent), Bytes(endpoint.bytes_received));
    out.push_str(&plain("Sent, received", &format_args!("{sent}<small>{received}</small>")));
    out.push_str("</tr>\n");
    Ok(())
}
