//! How long things take: a histogram that any number of threads add to without a lock.
//!
//! An observation is a search among some twenty bounds and two relaxed additions, some ten nanoseconds. A scrape that
//! runs beside one may miss it in one of the two numbers, and has it the next time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds in microseconds: from what a disk without moving parts takes to what callers do not wait for.
const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Durations, counted by size. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// How many were within each bound and above the one before; last, those above all bounds.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Timing {
    pub(crate) fn observe(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.0.buckets[place].fetch_add(1, Ordering::Relaxed);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_ns.fetch_add(took_ns, Ordering::Relaxed);
    }
}

impl EncodeMetric for Timing {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        // Whole nanoseconds lose nothing below a hundred days in all.
        let seconds = |bound_us: u64| Duration::from_micros(bound_us).as_secs_f64();
        let bounds = BOUNDS_US.into_iter().map(seconds).chain([f64::MAX]);
        let counts = self.0.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum_s = Duration::from_nanos(self.0.sum_ns.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum_s, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Timing {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn durations_fall_below_their_bounds() {
        let timing = Timing::default();
        for took_us in [0, 100, 101, 3_000_000, 90_000_000] {
            timing.observe(Duration::from_micros(took_us));
        }
        let mut registry = Registry::default();
        registry.register("x_seconds", "X", timing);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_count 5",
            "x_seconds_bucket{le=\"0.0001\"} 2",
            "x_seconds_bucket{le=\"0.00025\"} 3",
            "x_seconds_bucket{le=\"2.5\"} 3",
            "x_seconds_bucket{le=\"5.0\"} 4",
            "x_seconds_bucket{le=\"30.0\"} 4",
            "x_seconds_bucket{le=\"+Inf\"} 5",
            "x_seconds_sum 93.000201",
        ] {
            assert!(text.contains(line), "{line} of {text}");
        }
    }
}
