//! What an idle actor costs, in a process of its own for each run.

use anyhow::{Context, Result};
use futures::StreamExt;

use crate::figures::Figures;
use crate::local::{Counter, alone};
use crate::role::Role;

const ACTORS: usize = 1_000_000;

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..runs {
        let role = Role::start("memory", &[])?;
        let mut numbers = role.line.split_whitespace().map(str::parse::<f64>);
        let mut next = || numbers.next().context("the child says two numbers")?.context("a number");
        figures.add("idle_actor", "bytes", next()?);
        figures.add("million_actors_resident", "MiB", next()?);
    }
    Ok(figures)
}

/// Brings a million actors into memory and prints bytes for each, beyond the 8 bytes of state, and the
/// process' resident MiB.
pub(crate) fn child(_: &[String]) -> Result<()> {
    crate::load::runtime()?.block_on(async {
        let (node, _directory) = alone().await?;
        node.actor::<Counter>("first").add(1).await?;
        let before = resident()?;
        let calls = futures::stream::iter(0..ACTORS).map(|id| {
            let actor = node.actor::<Counter>(&format!("user-{id}"));
            async move { actor.add(1).await }
        });
        let failed = calls.buffer_unordered(64).filter(|result| futures::future::ready(result.is_err()));
        anyhow::ensure!(failed.count().await == 0, "some calls failed");
        let after = resident()?;
        let state = size_of::<Counter>() as f64;
        println!("{:.0} {:.0}", (after - before) / ACTORS as f64 - state, after / (1 << 20) as f64);
        anyhow::Ok(())
    })?;
    // The node is not shut down in good order: nobody waits for a million deactivations.
    std::process::exit(0)
}

fn resident() -> Result<f64> {
    resident_of(std::process::id())
}

/// Bytes of a process that are in memory.
pub(crate) fn resident_of(process: u32) -> Result<f64> {
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: f64 = pages.split(' ').nth(1).context("statm has two numbers")?.parse()?;
    Ok(pages * 4096.0)
}
