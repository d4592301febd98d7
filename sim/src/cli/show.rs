//! What is printed about a run.

use std::io::{self, Write};
use std::time::Duration;

use super::Shape;
use crate::diagram::Diagram;
use crate::options::TraceOptions;
use crate::run::{Report, RunOptions, Verdict, run};

/// Rows of the picture that is shown after a failure.
const ROWS_MAX: usize = 40;

/// Prints a report; if something went wrong, after a picture of what came before it.
pub(super) fn report(report: &Report, shape: &Shape, out: &mut dyn Write) -> io::Result<()> {
    let first = report.findings.iter().map(|finding| finding.at).min();
    if let Some(at) = first {
        // The lines of that moment are gone by the end of the run, so it is run again.
        let trace = TraceOptions { keep_until: at, ..TraceOptions::default() };
        let again = run(RunOptions { trace, ..shape.options(report.seed.clone()) });
        let gossip = report.verdict() == Verdict::Liveness;
        let diagram = Diagram { lines: &again.last_lines, rows_max: ROWS_MAX, gossip };
        writeln!(out, "\nbefore the first finding:\n\n{diagram}")?;
    }
    write!(out, "{report}")
}

/// Prints how fast the world went.
pub(super) fn speed(virtual_time: Duration, took: Duration, notes: &mut dyn Write) -> io::Result<()> {
    let ratio = virtual_time.as_secs_f64() / took.as_secs_f64().max(f64::EPSILON);
    let (virtual_time, took) = (virtual_time.as_secs_f64(), took.as_secs_f64());
    writeln!(notes, "{virtual_time:.1} s of virtual time in {took:.2} s: {ratio:.0} times real time")
}
