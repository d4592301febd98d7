//! Figures: medians with their spread.

use std::collections::BTreeMap;

/// Samples by name, in the order in which names first came.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    order: Vec<(String, &'static str)>,
    samples: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    /// Adds one sample.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        let name = name.into();
        if !self.samples.contains_key(&name) {
            self.order.push((name.clone(), unit));
        }
        self.samples.entry(name).or_default().push(value);
    }

    /// The median of a figure's samples; not a number if there are none.
    pub(crate) fn median(&self, name: &str) -> f64 {
        self.samples.get(name).map_or(f64::NAN, |samples| median(samples))
    }

    /// Prints every figure.
    pub(crate) fn print(&self) {
        for (name, unit) in &self.order {
            let samples = &self.samples[name];
            let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let middle = show(median(samples));
            println!("{name}={middle} {unit} ({}-{}, n={})", show(low), show(high), samples.len());
        }
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn show(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        small if small < 10.0 => format!("{value:.3}"),
        _ => format!("{value:.1}"),
    }
}

/// One percentile of latencies in nanoseconds, as microseconds.
pub(crate) fn percentile_us(latencies_ns: &mut [u64], percent: usize) -> f64 {
    if latencies_ns.is_empty() {
        return f64::NAN;
    }
    latencies_ns.sort_unstable();
    let at = (latencies_ns.len() - 1) * percent / 100;
    latencies_ns[at] as f64 / 1000.0
}
