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

    /// Every figure, in the order in which names first came.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.order.iter().map(|(name, unit)| {
            let samples = &self.samples[name];
            Row {
                name: name.clone(),
                median: median(samples),
                unit: (*unit).to_owned(),
                low: samples.iter().copied().fold(f64::INFINITY, f64::min),
                high: samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                runs: samples.len(),
            }
        })
    }

    /// Adds the samples of other figures.
    pub(crate) fn extend(&mut self, other: Self) {
        for (name, unit) in other.order {
            for sample in &other.samples[&name] {
                self.add(name.clone(), unit, *sample);
            }
        }
    }

    /// Prints every figure.
    pub(crate) fn print(&self) {
        for Row { name, median, unit, low, high, runs } in self.rows() {
            println!("{name}={} {unit} ({}-{}, n={runs})", show(median), show(low), show(high));
        }
    }
}

/// One figure: the median of its samples, and how far they spread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) median: f64,
    pub(crate) unit: String,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) runs: usize,
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn show(value: f64) -> String {
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
