//! What is counted, summed up by what it is counted of.

use std::collections::{BTreeMap, HashMap};

use crate::metrics::{Family, Value};

/// What is counted now, by metric and by the value of the first label: of what it is counted.
pub(super) struct Sums(HashMap<(&'static str, String), Vec<(String, Value)>>);

impl Sums {
    pub(super) fn new(families: Vec<Family>) -> Self {
        let mut sums: HashMap<_, Vec<_>> = HashMap::new();
        for family in families {
            for sample in family.samples {
                let mut labels = sample.labels.into_iter().map(|(_, value)| value);
                let of = labels.next().unwrap_or_default();
                let part = labels.next().unwrap_or_default();
                sums.entry((family.name, of)).or_default().push((part, sample.value));
            }
        }
        Self(sums)
    }

    fn samples(&self, metric: &'static str, of: &str) -> &[(String, Value)] {
        self.0.get(&(metric, of.to_owned())).map_or(&[], Vec::as_slice)
    }

    pub(super) fn total(&self, metric: &'static str, of: &str) -> u64 {
        self.parts(metric, of).values().sum()
    }

    /// By the value of the second label.
    pub(super) fn parts(&self, metric: &'static str, of: &str) -> BTreeMap<String, u64> {
        let part = |(part, value): &(String, Value)| match value {
            Value::Counter(value) | Value::Gauge(value) => Some((part.clone(), *value)),
            Value::Fraction(_) | Value::Histogram(..) => None,
        };
        self.samples(metric, of).iter().filter_map(part).collect()
    }

    /// The mean, the median and the 99th percentile of durations, in microseconds; none if there were
    /// none.
    pub(super) fn costs_us(&self, metric: &'static str, of: &str) -> Option<[f64; 3]> {
        self.samples(metric, of).iter().find_map(|(_, value)| match value {
            Value::Histogram(bounds, distribution) => {
                let quantile = |share| {
                    let time = distribution.quantile(bounds, share)?;
                    Some(time.as_secs_f64() * 1e6)
                };
                let mean = distribution.sum.as_secs_f64() / distribution.count() as f64;
                Some([mean * 1e6, quantile(0.5)?, quantile(0.99)?])
            }
            Value::Counter(_) | Value::Gauge(_) | Value::Fraction(_) => None,
        })
    }
}
