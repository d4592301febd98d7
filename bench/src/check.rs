//! Whether Gritmesh got slower: ratios to floors and peers, measured again, against those of the page of figures.
//!
//! A ratio is compared, never a figure alone: the machine may be another one, or busier. Both sides of a ratio are
//! measured in turns.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::figures::{Figures, Row};
use crate::peers::Peers;
use crate::{durable, http, local, page, remote};

/// Runs of each figure at most: the check takes minutes.
pub(crate) const RUNS_MAX: usize = 3;
/// What of a committed ratio must be left.
const SHARE_MIN: f64 = 0.8;

/// A figure, what it is compared with, and whether more of it is better.
struct Ratio {
    figure: &'static str,
    beside: &'static str,
    more_is_better: bool,
}

const fn more(figure: &'static str, beside: &'static str) -> Ratio {
    Ratio { figure, beside, more_is_better: true }
}

const fn less(figure: &'static str, beside: &'static str) -> Ratio {
    Ratio { figure, beside, more_is_better: false }
}

const RATIOS: [Ratio; 13] = [
    more("local_call_held_64", "floor_tokio_channels_64"),
    more("local_call_held_64", "peer_kameo_local_64"),
    more("local_call_held_64", "peer_ractor_local_64"),
    more("local_call_lookup_64", "peer_ractor_local_64"),
    more("local_call_spread_64", "local_call_held_1"),
    more("activations", "floor_tokio_channels_64"),
    less("remote_call_1_p50", "floor_stream_1_p50"),
    more("remote_call_64", "floor_stream_64"),
    more("remote_call_1024", "floor_stream_1024"),
    more("durable_1", "peer_etcd_1"),
    more("durable_64", "peer_etcd_64"),
    more("durable_256", "peer_etcd_256"),
    more("http_echo_64", "floor_stream_64"),
];

/// Measures both sides of every ratio and compares.
pub(crate) fn compare(runs: usize, peers: &Peers, path: &Path) -> Result<()> {
    let committed = std::fs::read_to_string(path)
        .with_context(|| format!("{}: `./run bench --report` writes it", path.display()))?;
    let committed = page::parse(&committed)?;
    let mut figures = Figures::default();
    for _ in 0..runs {
        figures.extend(local::measure(1)?);
        peers.actors(&mut figures)?;
        figures.extend(remote::measure(1)?);
        figures.extend(durable::measure(1)?);
        peers.etcd(&mut figures)?;
        figures.extend(http::measure(1)?);
    }
    let now: Vec<Row> = figures.rows().collect();
    let mut slower = Vec::new();
    for ratio in &RATIOS {
        let (was, is) = (ratio.of(&committed)?, ratio.of(&now)?);
        let Ratio { figure, beside, .. } = ratio;
        let share = is / was;
        let line = format!("{figure} to {beside}: {is:.3}, committed {was:.3}, {share:.2} of it");
        println!("{line}");
        if share < SHARE_MIN {
            slower.push(line);
        }
    }
    ensure!(slower.is_empty(), "below {SHARE_MIN} of the committed ratio:\n{}", slower.join("\n"));
    Ok(())
}

impl Ratio {
    /// The ratio in these figures, turned so that more is better.
    fn of(&self, rows: &[Row]) -> Result<f64> {
        let median = |name: &str| {
            let row = rows.iter().find(|row| row.name == name);
            row.map(|row| row.median).with_context(|| format!("there is no figure {name}"))
        };
        let ratio = median(self.figure)? / median(self.beside)?;
        let ratio = if self.more_is_better { ratio } else { 1.0 / ratio };
        ensure!(ratio.is_finite() && ratio > 0.0, "{} to {} is no ratio", self.figure, self.beside);
        Ok(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(figures: &[(&str, f64)]) -> Vec<Row> {
        let row = |(name, median): &(&str, f64)| Row {
            name: (*name).to_owned(),
            median: *median,
            unit: String::new(),
            low: *median,
            high: *median,
            runs: 1,
        };
        figures.iter().map(row).collect()
    }

    #[test]
    fn a_ratio_is_turned_so_that_more_is_better() {
        let rows = rows(&[("a", 10.0), ("b", 5.0)]);
        assert_eq!(more("a", "b").of(&rows).unwrap(), 2.0);
        assert_eq!(less("a", "b").of(&rows).unwrap(), 0.5);
    }

    #[test]
    fn a_missing_figure_is_an_error_and_not_a_pass() {
        let rows = rows(&[("a", 10.0), ("zero", 0.0)]);
        assert!(more("a", "b").of(&rows).is_err());
        assert!(more("a", "zero").of(&rows).is_err());
    }
}
