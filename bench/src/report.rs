//! Everything in one run, written to the page of figures, and a part of it to the README's table.
//!
//! Both come from the same samples: nobody edits a figure by hand.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::figures::{Figures, Row};
use crate::page::{self, Origin};
use crate::peers::Peers;

const BEGIN: &str = "<!-- figures: `./run bench --report` writes what follows -->\n";
const END: &str = "<!-- end of figures -->\n";

/// A row of the README: what it is about, figures of Gritmesh, and what stands beside them, each with its figures.
type Line = (&'static str, &'static [&'static str], &'static [(&'static str, &'static [&'static str])]);

const LINES: &[Line] = &[
    (
        "durable steps on three processes, 1 / 64 / 256 callers",
        &["durable_1", "durable_64", "durable_256"],
        &[("etcd, three members", &["peer_etcd_1", "peer_etcd_64", "peer_etcd_256"])],
    ),
    (
        "the same, p50",
        &["durable_1_p50", "durable_64_p50", "durable_256_p50"],
        &[("etcd", &["peer_etcd_1_p50", "peer_etcd_64_p50", "peer_etcd_256_p50"])],
    ),
    ("durable steps of one actor, 64 callers", &["durable_hot_64"], &[]),
    ("bytes written per step of 100 bytes, all three replicas", &["durable_bytes_per_step"], &[]),
    (
        "a leader killed under load, until its actors answer: p50, p99, longest",
        &["failover", "failover_p99", "failover_max"],
        &[("acknowledged, lost", &["failover_steps_acknowledged", "failover_acknowledged_steps_lost"])],
    ),
    (
        "local calls of one actor, held reference, 64 callers",
        &["local_call_held_64"],
        &[
            ("tokio channels", &["floor_tokio_channels_64"]),
            ("ractor", &["peer_ractor_local_64"]),
            ("kameo", &["peer_kameo_local_64"]),
        ],
    ),
    ("the same, looked up for each call", &["local_call_lookup_64"], &[]),
    (
        "local calls, 64 callers on 64 actors",
        &["local_call_spread_64"],
        &[("one caller", &["local_call_held_1"])],
    ),
    ("activations", &["activations"], &[]),
    ("an idle actor beyond its state", &["idle_actor"], &[]),
    ("a million idle actors", &["million_actors_resident"], &[]),
    ("remote call alone, p50", &["remote_call_1_p50"], &[("bare libp2p stream", &["floor_stream_1_p50"])]),
    (
        "remote calls, 64 / 1,024 callers",
        &["remote_call_64", "remote_call_1024"],
        &[("bare libp2p stream", &["floor_stream_64", "floor_stream_1024"])],
    ),
    ("HTTP calls, 1 / 64 connections", &["http_echo_1", "http_echo_64"], &[]),
    ("HTTP calls of durable actors, 1 / 64 connections", &["http_durable_1", "http_durable_64"], &[]),
    ("a killed node is known to all of five", &["kill_known_to_all_of_5"], &[]),
    (
        "a silent node is known to all of five; its actors answer again",
        &["silence_known_to_all_of_5", "silence_actor_answers_again"],
        &[],
    ),
    (
        "25 node processes on this machine ready; each while idle",
        &["nodes_25_ready", "nodes_25_idle_cpu_each"],
        &[],
    ),
    (
        "healthy nodes declared dead in an hour of 2 s stalls",
        &["hour_of_2s_stalls_healthy_declared_dead"],
        &[("stalls", &["hour_of_2s_stalls"])],
    ),
    ("gossip per node, 10 / 100 nodes", &["gossip_10_nodes", "gossip_100_nodes"], &[]),
];

/// Measures everything and writes it.
pub(crate) fn write(runs: usize, peers: &Peers, page: &Path, readme: &Path) -> Result<()> {
    let origin = Origin::here()?;
    let text = std::fs::read_to_string(readme).with_context(|| readme.display().to_string())?;
    let mut figures = Figures::default();
    // In turns with the parts that they are compared with, as near as parts of minutes can be.
    for _ in 0..runs {
        peers.etcd(&mut figures)?;
        figures.extend(crate::durable::measure(1)?);
        peers.actors(&mut figures)?;
        figures.extend(crate::local::measure(1)?);
    }
    figures.print();
    figures.extend(crate::everything_else(runs)?);
    let rows: Vec<Row> = figures.rows().collect();
    let table = table(&origin, &rows)?;
    std::fs::write(page, page::render(&origin, &rows))?;
    std::fs::write(readme, replaced(&text, &table)?)?;
    eprintln!("wrote {} and the table of {}", page.display(), readme.display());
    Ok(())
}

/// The README's table.
fn table(origin: &Origin, rows: &[Row]) -> Result<String> {
    let Origin { commit, date, machine } = origin;
    let mut table = format!(
        "Medians of one run of `./run bench --report` on commit {commit}, {date}: {machine}. Floors and peers are of the \
         same run. [All figures](docs/figures.md), with their spread.\n\n| | Gritmesh | beside it |\n|---|---|---|\n"
    );
    for (title, figures, beside) in LINES {
        let beside: Result<Vec<String>> =
            beside.iter().map(|(name, figures)| Ok(format!("{name} {}", cell(rows, figures)?))).collect();
        let _ = writeln!(table, "| {title} | {} | {} |", cell(rows, figures)?, beside?.join("; "));
    }
    Ok(table)
}

/// Figures with one unit behind them, or each with its own where they differ.
fn cell(rows: &[Row], names: &[&str]) -> Result<String> {
    let find = |name: &&str| {
        rows.iter().find(|row| row.name == *name).with_context(|| format!("there is no figure {name}"))
    };
    let found = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    let alike = found.windows(2).all(|pair| pair[0].unit == pair[1].unit);
    let shown = |row: &&Row| match alike {
        true => rounded(row.median),
        false => format!("{} {}", rounded(row.median), row.unit),
    };
    let text = found.iter().map(shown).collect::<Vec<_>>().join(" / ");
    Ok(match found.first() {
        Some(row) if alike => format!("{text} {}", row.unit),
        _ => text,
    })
}

/// Three digits that mean something.
fn rounded(value: f64) -> String {
    let with = |scaled: f64, suffix: &str| match scaled.abs() {
        large if large >= 100.0 => format!("{scaled:.0}{suffix}"),
        middle if middle >= 10.0 => format!("{scaled:.1}{suffix}"),
        _ => format!("{scaled:.2}{suffix}"),
    };
    match value.abs() {
        millions if millions >= 1e6 => with(value / 1e6, " M"),
        thousands if thousands >= 1e4 => with(value / 1e3, " k"),
        whole if whole.fract() == 0.0 => format!("{value:.0}"),
        _ => with(value, ""),
    }
}

/// The document with another table between the marks.
fn replaced(document: &str, table: &str) -> Result<String> {
    let (before, rest) = document.split_once(BEGIN).context("the README has no mark where figures begin")?;
    let (_, after) = rest.split_once(END).context("the README has no mark where figures end")?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, median: f64, unit: &str) -> Row {
        Row { name: name.to_owned(), median, unit: unit.to_owned(), low: median, high: median, runs: 1 }
    }

    #[test]
    fn a_cell_shows_its_unit_once() {
        let rows =
            [figure("a", 1_234_567.0, "calls/s"), figure("b", 23_456.0, "calls/s"), figure("c", 7.5, "ms")];
        assert_eq!(cell(&rows, &["a", "b"]).unwrap(), "1.23 M / 23.5 k calls/s");
        assert_eq!(cell(&rows, &["a", "c"]).unwrap(), "1.23 M calls/s / 7.50 ms");
        assert!(cell(&rows, &["d"]).is_err());
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let document = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(replaced(&document, "new\n").unwrap(), format!("before\n{BEGIN}new\n{END}after\n"));
        assert!(replaced("before\nafter\n", "new\n").is_err());
    }
}
