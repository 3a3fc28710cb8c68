//! The text format of Prometheus before OpenMetrics, version 0.0.4, for scrapers that ask for it.

use std::fmt::{self, Write as _};
use std::time::Duration;

use prometheus_client::metrics::MetricType;

use super::text::{Family, Sample, Value};

/// What such scrapers get. A metric without samples is left out.
#[must_use]
pub fn plain(families: &[Family]) -> String {
    let mut out = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        // Writing to a string does not fail.
        let _ = write_family(&mut out, family);
    }
    out
}

fn write_family(out: &mut String, family: &Family) -> fmt::Result {
    // Here the suffix of a counter belongs to its name.
    let (kind, suffix) = match family.kind {
        MetricType::Counter => ("counter", "_total"),
        MetricType::Histogram => ("histogram", ""),
        _ => ("gauge", ""),
    };
    let name = format!("{}{suffix}", family.name);
    writeln!(out, "# HELP {name} {}", family.help)?;
    writeln!(out, "# TYPE {name} {kind}")?;
    for Sample { labels, value } in &family.samples {
        match value {
            Value::Counter(value) | Value::Gauge(value) => {
                write_sample(out, &name, labels, None, value)?;
            }
            Value::Fraction(value) => write_sample(out, &name, labels, None, Number(*value))?,
            Value::Histogram(bounds, distribution) => {
                let (bucket, mut count) = (format!("{name}_bucket"), 0);
                for (bound, own) in bounds.iter().zip(&distribution.buckets) {
                    count += own;
                    let bound = Duration::from_nanos(*bound).as_secs_f64().to_string();
                    write_sample(out, &bucket, labels, Some(&bound), count)?;
                }
                let count = distribution.count();
                write_sample(out, &bucket, labels, Some("+Inf"), count)?;
                let sum = distribution.sum.as_secs_f64();
                write_sample(out, &format!("{name}_sum"), labels, None, sum)?;
                write_sample(out, &format!("{name}_count"), labels, None, count)?;
            }
        }
    }
    Ok(())
}

fn write_sample(
    out: &mut String,
    name: &str,
    labels: &[(&'static str, String)],
    bound: Option<&str>,
    value: impl fmt::Display,
) -> fmt::Result {
    out.push_str(name);
    let labels = labels.iter().map(|(label, value)| (*label, value.as_str()));
    let mut separator = '{';
    for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        write!(out, "{separator}{label}=\"{}\"", Escaped(value))?;
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    writeln!(out, " {value}")
}

/// A number as scrapers read it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => formatter.write_str("+Inf"),
            f64::NEG_INFINITY => formatter.write_str("-Inf"),
            value => value.fmt(formatter),
        }
    }
}

/// The value of a label.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => formatter.write_str("\\\\")?,
                '"' => formatter.write_str("\\\"")?,
                '\n' => formatter.write_str("\\n")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}
