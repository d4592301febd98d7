//! How far a sweep is: a bar for people, a line now and then for logs.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Seeds between two lines.
const SEEDS_PER_LINE: u64 = 100;

/// How far a sweep is.
pub(super) struct Progress {
    done: u64,
    total: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing is done yet. A bar is shown if the standard error is a terminal.
    pub(super) fn new(total: u64) -> Self {
        let style = "{bar:40} {pos} of {len} seeds, {msg}, {eta} left";
        let style = ProgressStyle::with_template(style).expect("the template is one");
        let bar = io::stderr().is_terminal().then(|| ProgressBar::new(total).with_style(style));
        Self { done: 0, total, bar }
    }

    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    /// One more seed is done.
    pub(super) fn advance(&mut self, failed: usize, notes: &mut dyn Write) -> io::Result<()> {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{failed} failed"));
            bar.inc(1);
        } else if self.done.is_multiple_of(SEEDS_PER_LINE) {
            writeln!(notes, "{} of {} seeds, {failed} failed", self.done, self.total)?;
        }
        Ok(())
    }

    /// Lets something be written where the bar is.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
