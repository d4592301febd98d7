//! Many runs, several at a time, and reported in the order of their seeds.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::progress::Progress;
use super::{Shape, Surroundings, SweepArgs, show};
use crate::run::{Report, Verdict, run};

/// Failing seeds after which a sweep ends: more tell nothing new.
const FAILURES_MAX: usize = 10;

/// Reports that wait for those of earlier seeds, for each job. A slow run holds the others up no sooner.
const WAITING_PER_JOB: usize = 16;

pub(super) fn sweep(arguments: &SweepArgs, around: &mut Surroundings<'_>) -> io::Result<u8> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = arguments.jobs.map_or(cores, usize::from);
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let next = AtomicU64::new(seeds.start);
    let begun = (around.elapsed)();
    let mut swept = Swept::new(seeds.clone());
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(jobs * WAITING_PER_JOB);
        for _ in 0..jobs {
            let (sender, seeds, next) = (sender.clone(), seeds.clone(), &next);
            scope.spawn(move || work(&arguments.shape, seeds, next, &sender));
        }
        drop(sender);
        for (seed, report) in &receiver {
            swept.take(seed, report, &arguments.shape, around)?;
            if swept.failures.len() >= FAILURES_MAX {
                // Whoever has another report finds nobody to take it, and ends.
                break;
            }
        }
        drop(receiver);
        io::Result::Ok(())
    })?;
    swept.finish((around.elapsed)() - begun, around)
}

/// Runs one seed after the other, until all are taken or nobody wants to know.
fn work(shape: &Shape, seeds: Range<u64>, next: &AtomicU64, reports: &SyncSender<(u64, Report)>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if !seeds.contains(&seed) || reports.send((seed, run(shape.options(seed.to_string())))).is_err() {
            return;
        }
    }
}

/// What became of the seeds so far.
struct Swept {
    /// Reports that came before those of earlier seeds.
    waiting: BTreeMap<u64, Report>,
    /// The seed that is reported next.
    turn: u64,
    failures: Vec<(u64, Verdict)>,
    virtual_time: Duration,
    progress: Progress,
}

impl Swept {
    fn new(seeds: Range<u64>) -> Self {
        Self {
            waiting: BTreeMap::new(),
            turn: seeds.start,
            failures: Vec::new(),
            virtual_time: Duration::ZERO,
            progress: Progress::new(seeds.end - seeds.start),
        }
    }

    fn take(
        &mut self,
        seed: u64,
        report: Report,
        shape: &Shape,
        around: &mut Surroundings<'_>,
    ) -> io::Result<()> {
        self.waiting.insert(seed, report);
        while let Some(report) =
            self.waiting.remove(&self.turn).filter(|_| self.failures.len() < FAILURES_MAX)
        {
            self.virtual_time += report.virtual_time;
            if report.verdict() != Verdict::Clean {
                self.failures.push((self.turn, report.verdict()));
                let out = &mut *around.out;
                self.progress.suspend(|| show::report(&report, shape, out))?;
            }
            self.turn += 1;
            self.progress.advance(self.failures.len(), around.notes)?;
        }
        Ok(())
    }

    fn finish(self, took: Duration, around: &mut Surroundings<'_>) -> io::Result<u8> {
        self.progress.finish();
        let seeds: Vec<String> = self.failures.iter().map(|(seed, _)| seed.to_string()).collect();
        let list = if seeds.is_empty() { "none".to_owned() } else { seeds.join(", ") };
        writeln!(around.out, "seeds      {} run, failed: {list}", self.progress.done())?;
        show::speed(self.virtual_time, took, around.notes)?;
        let worst = self.failures.iter().map(|(_, verdict)| *verdict).max().unwrap_or(Verdict::Clean);
        Ok(worst.exit_code())
    }
}
