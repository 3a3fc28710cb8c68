//! Sums over workers, and their text.

use std::thread;

use super::*;

const WORDS: Words =
    Words { errors: &["connect", "timeout"], plugin_failures: &["trapped", "timed-out"] };

#[test]
fn what_workers_count_is_summed_up() {
    let metrics = Metrics::new(4, WORDS);
    let listener = metrics.listener(&"web".into());
    thread::scope(|scope| {
        for worker in 0..6 {
            let (listener, metrics) = (&listener, &metrics);
            scope.spawn(move || {
                listener.request(worker, 101, None);
                for status in [200, 204, 404, 503, 0, 600, 999] {
                    listener.request(worker, status, Some(Duration::from_millis(3)));
                }
                metrics.error(worker, 1);
                metrics.error(worker, 7);
            });
        }
    });
    let requests = |status| {
        metrics.counter("linkspan_requests_total", &[("listener", "web"), ("status", status)])
    };
    assert_eq!(requests("2xx"), 12);
    assert_eq!(requests("4xx"), 6);
    assert_eq!(requests("5xx"), 6);
    assert_eq!(requests("none"), 6);
    assert_eq!(requests("other"), 12);
    assert_eq!(metrics.counter("linkspan_requests_total", &[]), 48);
    assert_eq!(metrics.counter("linkspan_request_duration_seconds", &[]), 42, "six have none");
    assert_eq!(metrics.counter("linkspan_errors_total", &[("reason", "timeout")]), 6);
    assert_eq!(metrics.counter("linkspan_errors_total", &[("reason", "connect")]), 0);
    assert_eq!(metrics.counter("linkspan_nothing", &[]), 0);
}

#[test]
fn connections_are_open_until_they_are_dropped() {
    let metrics = Metrics::new(2, WORDS);
    let listener = metrics.listener(&"web".into());
    let open = || metrics.counter("linkspan_connections_open", &[("listener", "web")]);
    let connections = [listener.connection(0), listener.connection(1), listener.connection(9)];
    assert_eq!(open(), 3);
    drop(connections);
    assert_eq!(open(), 0);
    assert_eq!(metrics.counter("linkspan_connections_total", &[]), 3);
}

#[test]
fn requests_wait_until_they_do_not() {
    let metrics = Metrics::new(2, WORDS);
    let cluster = metrics.cluster(&"app".into());
    let count = |name: &str| metrics.counter(name, &[("cluster", "app")]);
    let waiting = [cluster.queued(0), cluster.queued(1), cluster.queued(ELSEWHERE)];
    assert_eq!(count("linkspan_upstream_queued"), 3);
    drop(waiting);
    cluster.queue_timeout(0);
    cluster.queue_full(1);
    assert_eq!(count("linkspan_upstream_queued"), 0);
    assert_eq!(count("linkspan_upstream_waits_total"), 3);
    assert_eq!(count("linkspan_upstream_queue_timeouts_total"), 1);
    assert_eq!(count("linkspan_upstream_queue_full_total"), 1);
}

#[test]
fn handles_go_on_counting_until_nobody_holds_them() {
    let metrics = Metrics::new(1, WORDS);
    let name: Arc<str> = "app".into();
    let attempts = || metrics.counter("linkspan_upstream_attempts_total", &[("cluster", "app")]);
    let first = metrics.cluster(&name);
    first.attempt(0);
    let second = metrics.cluster(&name);
    drop(first);
    metrics.forget_unused();
    second.attempt(ELSEWHERE);
    second.failure(0);
    second.retry(0);
    assert_eq!(attempts(), 2);
    assert_eq!(metrics.counter("linkspan_upstream_failures_total", &[]), 1);
    assert_eq!(metrics.counter("linkspan_upstream_retries_total", &[]), 1);
    drop(second);
    metrics.forget_unused();
    assert!(!open_metrics(metrics.families()).contains("app"));
}

#[test]
fn workers_do_not_share_lines() {
    let metrics = Metrics::new(3, WORDS);
    let cluster = metrics.cluster(&"app".into());
    let lines: std::collections::BTreeSet<_> =
        cluster.0.all().map(|cells| std::ptr::from_ref(cells).addr() / 128).collect();
    assert_eq!(lines.len(), 4);
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let metrics = Metrics::new(2, WORDS);
    let plugin = metrics.plugin(&"by \"path\"".into());
    for (worker, time) in [(0, 300), (1, 3_000), (1, 1_000_000_000)] {
        plugin.call(worker);
        plugin.guest_time(worker, Duration::from_nanos(time));
    }
    plugin.failure(1, 0);
    plugin.busy(0);
    plugin.park();
    plugin.park();
    plugin.unpark();
    plugin.message_dropped();
    plugin.denied(Denied::Store);
    plugin.figures.count("hits", 5);
    plugin.figures.gauge("load", 0.5);
    plugin.figures.gauge("Wrong", 0.5);
    metrics.watch_log("access", || 7);
    let text = open_metrics(metrics.families());
    let expected = [
        "# HELP linkspan_plugin_calls Calls of a plugin",
        "# TYPE linkspan_plugin_calls counter",
        "# TYPE linkspan_plugin_guest_seconds histogram",
        "# UNIT linkspan_plugin_guest_seconds seconds",
        r#"linkspan_plugin_calls_total{plugin="by \"path\""} 3"#,
        r#"linkspan_plugin_failures_total{plugin="by \"path\"",cause="trapped"} 1"#,
        r#"linkspan_plugin_failures_total{plugin="by \"path\"",cause="timed-out"} 0"#,
        r#"linkspan_plugin_busy_total{plugin="by \"path\""} 1"#,
        r#"linkspan_plugin_parked{plugin="by \"path\""} 1"#,
        r#"linkspan_plugin_guest_seconds_sum{plugin="by \"path\""} 16.0000528"#,
        r#"linkspan_plugin_guest_seconds_count{plugin="by \"path\""} 48"#,
        r#"linkspan_plugin_guest_seconds_bucket{le="2.5e-7",plugin="by \"path\""} 0"#,
        r#"linkspan_plugin_guest_seconds_bucket{le="5e-7",plugin="by \"path\""} 16"#,
        r#"linkspan_plugin_guest_seconds_bucket{le="0.1",plugin="by \"path\""} 32"#,
        r#"linkspan_plugin_guest_seconds_bucket{le="+Inf",plugin="by \"path\""} 48"#,
        r#"linkspan_plugin_messages_dropped_total{plugin="by \"path\""} 1"#,
        r#"linkspan_plugin_denied_total{plugin="by \"path\"",what="store"} 1"#,
        r#"linkspan_plugin_denied_total{plugin="by \"path\"",what="address"} 0"#,
        r#"linkspan_plugin_events_total{plugin="by \"path\"",name="hits"} 5"#,
        r#"linkspan_plugin_value{plugin="by \"path\"",name="load"} 0.5"#,
        r#"linkspan_plugin_figures_dropped_total{plugin="by \"path\""} 1"#,
        "linkspan_log_lines_dropped_total{log=\"access\"} 7",
        r#"linkspan_errors_total{reason="connect"} 0"#,
        "# EOF",
    ];
    for line in expected {
        assert!(text.lines().any(|own| own == line), "no {line}\nin\n{text}");
    }
    let mut series = std::collections::BTreeSet::new();
    for line in text.lines() {
        let (name, _) = line.rsplit_once(' ').unwrap_or((line, ""));
        assert!(line.starts_with('#') || series.insert(name), "{line} comes twice");
    }
}
