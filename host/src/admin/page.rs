//! The overview: one page that needs nothing but itself.

use std::fmt::Write as _;

use crate::admin::{Handles, view};
use crate::snapshot::Snapshot;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;\
padding:0 1em;color-scheme:light dark}table{border-collapse:collapse;margin:.5em 0 1.5em}\
th,td{text-align:left;padding:.2em 1.2em .2em 0;border-bottom:1px solid #8884;vertical-align:top}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.alive{color:#2a2}.offline{color:#d33}\
h2{font-size:1.1em;margin:0}";

/// What can be seen elsewhere.
const LINKS: [&str; 6] =
    ["/metrics", "/healthz", "/api/version", "/api/listeners", "/api/clusters", "/api/plugins"];

/// The page of this moment.
pub(super) fn overview(handles: &Handles, snapshot: &Snapshot) -> String {
    let about = view::version(handles, snapshot);
    let state = if about.draining { "draining" } else { "serving" };
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Linkspan</title>\
         <meta name=viewport content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>Linkspan {}</h1><p>{state} for {} s, configuration {}, {} worker{}</p>",
        about.version,
        about.uptime_seconds,
        about.generation,
        about.workers,
        if about.workers == 1 { "" } else { "s" }
    );
    let mut listeners = Table::new("Listeners", &["name", "address", "routers", "rewriters"]);
    listeners.numbers(&["open", "connections", "requests"]);
    for each in view::listeners(handles, snapshot) {
        listeners.row(&[&each.name, &each.address, &list(&each.routers), &list(&each.rewriters)]);
        let requests: u64 = each.requests.values().sum();
        listeners.figures(&[each.connections_open, each.connections, requests]);
    }
    page.push_str(&listeners.end());
    let mut clusters = Table::new("Clusters", &["name", "balancer", "endpoint", "state"]);
    clusters.numbers(&["in flight", "requests", "failures"]);
    for each in view::clusters(handles, snapshot) {
        let balancers = list(&each.balancers);
        for endpoint in &each.endpoints {
            clusters.row(&[&each.name, &balancers, &endpoint.address, endpoint.state]);
            clusters.figures(&[endpoint.in_flight.into(), endpoint.requests, endpoint.failures]);
        }
    }
    page.push_str(&clusters.end());
    let mut plugins = Table::new("Plugins", &["name", "component", "kinds", "version", "mean"]);
    plugins.numbers(&["calls", "failures", "parked"]);
    for each in view::plugins(handles, snapshot) {
        let mean = each.mean_us.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1} µs"));
        let kinds = each.kinds.join(", ");
        plugins.row(&[&each.name, &each.component, &kinds, &each.version, &mean]);
        plugins.figures(&[each.calls, each.failures, each.parked]);
    }
    page.push_str(&plugins.end());
    let links: Vec<_> = LINKS.iter().map(|path| format!("<a href={path}>{path}</a>")).collect();
    let _ = write!(page, "<p>{}</p></html>", links.join(" · "));
    page
}

fn list(names: &[crate::config::Name]) -> String {
    names.join(", ")
}

/// A table that is being written.
struct Table(String);

impl Table {
    fn new(title: &str, columns: &[&str]) -> Self {
        let mut text = format!("<h2>{title}</h2><table><tr>");
        for column in columns {
            let _ = write!(text, "<th>{column}");
        }
        Self(text)
    }

    /// Further columns, of numbers.
    fn numbers(&mut self, columns: &[&str]) {
        for column in columns {
            let _ = write!(self.0, "<th class=n>{column}");
        }
    }

    fn row(&mut self, cells: &[&str]) {
        self.0.push_str("<tr>");
        for cell in cells {
            let class = match *cell {
                "alive" | "offline" => format!(" class={cell}"),
                _ => String::new(),
            };
            let _ = write!(self.0, "<td{class}>{}", escaped(cell));
        }
    }

    fn figures(&mut self, figures: &[u64]) {
        for figure in figures {
            let _ = write!(self.0, "<td class=n>{figure}");
        }
    }

    fn end(mut self) -> String {
        self.0.push_str("</table>");
        self.0
    }
}

/// Names come from the configuration, and may hold anything but control characters.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_markup() {
        let mut table = Table::new("T", &["a"]);
        table.row(&["<script>&"]);
        assert!(table.end().contains("<td>&lt;script&gt;&amp;"));
    }
}
