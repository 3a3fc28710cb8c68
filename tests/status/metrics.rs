//! What Prometheus scrapes, held to the rules of its own linter, `promtool check metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{ask, toml};
use crate::support::{Down, Origin, Proxy, eventually};

const PLAIN: (&str, &str) = ("accept", "text/plain");

fn scrape(admin: SocketAddr, accept: &[(&str, &str)]) -> String {
    let response = ask(admin, "GET", "/metrics", accept);
    let kind = response.value("content-type").unwrap();
    let expected = if accept.is_empty() {
        "application/openmetrics-text"
    } else {
        "text/plain; version=0.0.4"
    };
    assert!(kind.starts_with(expected), "{kind}");
    response.text()
}

/// A sample: its name, its labels and its value.
type Line<'t> = (&'t str, BTreeMap<&'t str, &'t str>, f64);

/// Reads a line without forgiveness. The values of labels here have no quotes and commas in them.
fn sample(line: &str) -> Line<'_> {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap().split_terminator(',').map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        (name, value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap())
    });
    (name, labels.collect(), value.parse().unwrap())
}

fn valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What is wrong with a metric's name, by its type.
fn name_faults(name: &str, kind: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut no = |wrong: bool, what: &str| faults.extend(wrong.then(|| format!("{name}: {what}")));
    let words: Vec<_> = name.split('_').collect();
    no(!valid(name) || !name.starts_with("linkspan_"), "not a name of ours");
    no(
        (kind == "counter") != name.ends_with("_total"),
        "`_total` is for counters, and for all of them",
    );
    no(
        ["_sum", "_count", "_bucket", "_info_total"].iter().any(|end| name.ends_with(end)),
        "reserved",
    );
    for typed in ["counter", "gauge", "histogram", "summary", "untyped"] {
        no(words.contains(&typed), "names its type");
    }
    for unit in [
        "ms",
        "us",
        "ns",
        "s",
        "sec",
        "milliseconds",
        "microseconds",
        "minutes",
        "hours",
        "days",
        "kb",
        "mb",
        "b",
        "kilobytes",
        "megabytes",
        "bits",
        "percent",
        "ratio_percent",
    ] {
        no(words.contains(&unit), "not a base unit, or abbreviated");
    }
    // A unit stands at the end, but for `_total`.
    let bare = name.strip_suffix("_total").unwrap_or(name);
    for unit in ["seconds", "bytes"] {
        no(words.contains(&unit) && !bare.ends_with(unit), "its unit is not at the end");
    }
    faults
}

/// All that is wrong with a text in the format 0.0.4.
fn lint(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut helped, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap_or((help, ""));
            if words.is_empty() || !helped.insert(name) {
                faults.push(format!("{name}: no HELP, or two"));
            }
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            if kinds.insert(name, kind).is_some() || !helped.contains(name) {
                faults.push(format!("{name}: two TYPEs, or no HELP before it"));
            }
            faults.extend(name_faults(name, kind));
            current = name;
        } else if !line.starts_with('#') {
            let (name, mut labels, value) = sample(line);
            let end = name.strip_prefix(current).unwrap_or("?");
            let histogram = kinds.get(current) == Some(&"histogram");
            let fits = end.is_empty() != histogram
                && (end.is_empty() || ["_bucket", "_sum", "_count"].contains(&end));
            if !fits
                || value.is_nan()
                || labels.keys().any(|label| !valid(label))
                || !series.insert(line.rsplit_once(' ').unwrap().0)
            {
                faults.push(format!("{line}: apart from its TYPE, twice, or wrong"));
            }
            if !histogram && labels.contains_key("le") {
                faults.push(format!("{line}: `le` is for histograms"));
            }
            let le = labels.remove("le").map(|le| le.parse::<f64>().unwrap());
            let key = format!("{current} {labels:?}");
            match (end, le) {
                ("_bucket", Some(le)) => buckets.entry(key).or_default().push((le, value)),
                ("_bucket", None) => faults.push(format!("{line}: no `le`")),
                ("_count", _) => drop(counts.insert(key, value)),
                _ => {}
            }
        }
    }
    for (key, buckets) in &buckets {
        let rising =
            buckets.iter().zip(buckets.iter().skip(1)).all(|(a, b)| a.0 < b.0 && a.1 <= b.1);
        let last = buckets.last().unwrap();
        if !rising || last.0 != f64::INFINITY || counts.get(key) != Some(&last.1) {
            faults.push(format!("{key}: buckets do not rise to +Inf and the count"));
        }
    }
    faults
}

fn proxy_with_everything() -> (Proxy, Origin) {
    let origin = Origin::replying("hello");
    let dead = Down::new();
    let health = "health = { attempts = 2, offline = '60s' }";
    let checked = "[clusters.checked]\nendpoints = ['127.0.0.1:9']\n\
                   health.check = { type = 'tcp', interval = '100ms' }\n";
    let toml = toml(&[dead.address(), origin.address()], health);
    let proxy = Proxy::start(&format!("{toml}{checked}"));
    for _ in 0..40 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    eventually("a check to fail", || {
        scrape(proxy.admin(), &[PLAIN]).contains("linkspan_endpoint_check_passed{").then_some(())
    });
    (proxy, origin)
}

#[test]
fn the_plain_text_passes_the_linter() {
    let (proxy, origin) = proxy_with_everything();
    let text = scrape(proxy.admin(), &[PLAIN]);
    assert_eq!(lint(&text), [""; 0], "{text}");
    assert!(text.contains("linkspan_plugin_guest_seconds_bucket") && text.lines().count() > 100);
    let labels = format!("{{cluster=\"main\",endpoint=\"{}\"}}", origin.address());
    for line in [
        format!("linkspan_endpoint_usable{labels} 1"),
        format!("linkspan_endpoint_requests_in_flight{labels} 0"),
        format!("linkspan_endpoint_requests_total{labels} 40"),
        format!("linkspan_endpoint_received_bytes_total{labels} 200"),
        format!("linkspan_endpoint_weight{labels} 1"),
        format!("linkspan_endpoint_state{} 1", labels.replace('}', ",state=\"alive\"}")),
        format!("linkspan_endpoint_state{} 0", labels.replace('}', ",state=\"offline\"}")),
        "linkspan_configuration_generation 1".to_owned(),
    ] {
        assert!(text.lines().any(|own| own == line), "no {line} in\n{text}");
    }
    let offline = |line: &&str| {
        line.starts_with("linkspan_endpoint_state{") && line.contains("\"offline\"} 1")
    };
    assert_eq!(text.lines().filter(offline).count(), 1);
}

#[test]
fn the_linter_finds_what_is_wrong() {
    let fault = |text: &str| lint(text).join("; ");
    let told = "# HELP linkspan_a_total A\n# TYPE linkspan_a_total counter\n";
    assert_eq!(fault(&format!("{told}linkspan_a_total 1\n")), "");
    for (text, said) in [
        (format!("{told}linkspan_a_total 1\nlinkspan_a_total 2\n"), "twice"),
        (told.replace("_total", ""), "for all of them"),
        (told.replace("counter", "gauge"), "`_total` is for counters"),
        (told.replace("HELP linkspan_a_total A", "HELP linkspan_a_total"), "no HELP"),
        (told.replace("_a_", "_a_ms_"), "not a base unit"),
        (told.replace("_a_", "_seconds_of_a_"), "unit is not at the end"),
        (told.replace("_a_", "_gauge_"), "names its type"),
        (format!("{told}linkspan_b_total 1\n"), "apart from its TYPE"),
        (format!("{told}linkspan_a_total{{le=\"1\"}} 1\n"), "`le` is for histograms"),
    ] {
        assert!(fault(&text).contains(said), "{text}: {}", fault(&text));
    }
    let histogram = "# HELP linkspan_h H\n# TYPE linkspan_h histogram\nlinkspan_h_bucket{le=\"1\"} 2\n\
                     linkspan_h_bucket{le=\"+Inf\"} 3\nlinkspan_h_sum 1\nlinkspan_h_count 3\n";
    assert_eq!(fault(histogram), "");
    assert!(fault(&histogram.replace("count 3", "count 4")).contains("do not rise"));
    assert!(fault(&histogram.replace("\"} 2", "\"} 9")).contains("do not rise"));
}

#[test]
fn both_texts_have_the_same_series() {
    let (proxy, _origin) = proxy_with_everything();
    let names = |text: &str| -> BTreeSet<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| sample(line).0.to_owned()).collect()
    };
    let (plain, open) = (scrape(proxy.admin(), &[PLAIN]), scrape(proxy.admin(), &[]));
    assert_eq!(names(&plain), names(&open));
    assert!(open.contains("# UNIT linkspan_endpoint_received_bytes bytes"), "{open}");
    assert!(open.ends_with("# EOF\n") && !plain.contains("# EOF"));
}

#[test]
fn the_series_of_departed_endpoints_are_gone() {
    let (a, b) = (Origin::replying("a"), Origin::replying("b"));
    let mut proxy = Proxy::start(&toml(&[a.address(), b.address()], ""));
    let has = |proxy: &Proxy, origin: &Origin| {
        scrape(proxy.admin(), &[PLAIN]).contains(&format!("endpoint=\"{}\"", origin.address()))
    };
    assert!(has(&proxy, &a) && has(&proxy, &b));
    proxy.reload(&toml(&[b.address()], "")).unwrap();
    assert!(!has(&proxy, &a) && has(&proxy, &b));
}
