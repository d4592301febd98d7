//! A node that was killed comes back to a million durable actors.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::figures::Figures;
use crate::member::{FILL_CALLERS, Plan};
use crate::memory;
use crate::process::Process;

const TEXT_BYTES: usize = 100;

pub(crate) fn measure(runs: usize, heads: usize) -> Result<Figures> {
    let heads = heads.next_multiple_of(FILL_CALLERS);
    let mut figures = Figures::default();
    let directory = tempfile::tempdir()?;
    let full = directory.path().join("full");
    let mut process = Process::start(Plan::new(&full, &[]))?;
    process.ready()?;
    figures.add("durable_alone_256", "steps/s", process.fill(0, heads, TEXT_BYTES)?);
    drop(process);
    figures.add("recovery_directory", "MiB", bytes_in(&full)? as f64 / f64::from(1 << 20));
    for run in 0..runs {
        let data = directory.path().join(run.to_string());
        copy(&full, &data)?;
        let started = Instant::now();
        let mut process = Process::start(Plan::new(&data, &[]))?;
        figures.add("recovery_opened", "ms", milliseconds(started));
        process.ready()?;
        figures.add("recovery_ready", "ms", milliseconds(started));
        // One of those that were written first, and one that only the log of the database may have.
        for number in [run, heads - 1 - run] {
            let step = process.put(&format!("r{number}"))?;
            ensure!(step as u64 == 2, "actor r{number} came back, and its next step was {step}");
        }
        figures.add("recovery_serving", "ms", milliseconds(started));
        figures.add("recovery_resident", "MiB", memory::resident_of(process.id())? / f64::from(1 << 20));
        drop(process);
        fs::remove_dir_all(&data)?;
    }
    Ok(figures)
}

fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1000.0
}

fn bytes_in(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { bytes_in(&entry.path())? } else { data.len() };
    }
    Ok(bytes)
}

/// Copies a data directory. The sorted files never change once they are written, so a link is a copy.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let (from, to) = (entry?.path(), to);
        let to = to.join(from.file_name().context("an entry has a name")?);
        if from.is_dir() {
            copy(&from, &to)?;
        } else if from.extension().is_some_and(|extension| extension == "sst") {
            fs::hard_link(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
