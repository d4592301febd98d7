//! The page of figures: every figure of one run of everything, on one commit, on one machine.
//!
//! People read it, and `check` reads it back: the table's form is fixed.

use std::fmt::Write;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::figures::{Row, show};

const HEAD: &str = "| figure | median | unit | lowest | highest | runs |\n|---|---|---|---|---|---|\n";

/// Where and when figures were measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The commit, with a word about changes that are not part of it.
    pub(crate) commit: String,
    pub(crate) date: String,
    pub(crate) machine: String,
}

impl Origin {
    /// This commit, today, on this machine.
    pub(crate) fn here() -> Result<Self> {
        let head = output("git", &["rev-parse", "--short=12", "HEAD"])?;
        let changes = output("git", &["status", "--porcelain"])?;
        let commit = if changes.is_empty() { head } else { format!("{head} with uncommitted changes") };
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let date = now.split('T').next().unwrap_or(&now).to_owned();
        let processors = std::fs::read_to_string("/proc/cpuinfo")?;
        let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("unknown processor", |model| model.trim_start_matches([' ', '\t', ':']));
        let cores = std::thread::available_parallelism()?;
        let kernel = output("uname", &["-sr"])?;
        let rust = output("rustc", &["--version"])?;
        Ok(Self { commit, date, machine: format!("{model}, {cores} cores, {kernel}, {rust}") })
    }
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let ran = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    ensure!(ran.status.success(), "{program} {arguments:?} failed");
    Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
}

/// The page as text.
pub(crate) fn render(origin: &Origin, rows: &[Row]) -> String {
    let Origin { commit, date, machine } = origin;
    let mut page = format!(
        "# Figures\n\n`./run bench --report` writes this page: everything is measured in one run, the floors of the \
         machine and the peers in turns with Gritmesh. Only ratios within the page mean something elsewhere.\n\n\
         * commit {commit}\n* date {date}\n* machine {machine}\n\n{HEAD}"
    );
    for Row { name, median, unit, low, high, runs } in rows {
        let (median, low, high) = (show(*median), show(*low), show(*high));
        let _ = writeln!(page, "| {name} | {median} | {unit} | {low} | {high} | {runs} |");
    }
    page
}

/// The rows of a page.
pub(crate) fn parse(page: &str) -> Result<Vec<Row>> {
    let (_, table) = page.split_once(HEAD).context("the page has no table of figures")?;
    let lines = table.lines().take_while(|line| line.starts_with('|'));
    lines.map(|line| row(line).with_context(|| format!("not a row of figures: {line}"))).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [name, median, unit, low, high, runs] = cells.as_slice() else { return None };
    Some(Row {
        name: (*name).to_owned(),
        median: median.parse().ok()?,
        unit: (*unit).to_owned(),
        low: low.parse().ok()?,
        high: high.parse().ok()?,
        runs: runs.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, median: f64) -> Row {
        Row { name: name.to_owned(), median, unit: "calls/s".to_owned(), low: 1.5, high: 2000.0, runs: 5 }
    }

    #[test]
    fn a_page_is_read_back() {
        let text = |text: &str| text.to_owned();
        let origin = Origin { commit: text("abc"), date: text("2026-11-30"), machine: text("a machine") };
        let rows = [figure("a", 1234.0), figure("b", 0.125)];
        assert_eq!(parse(&render(&origin, &rows)).unwrap(), rows);
    }

    #[test]
    fn a_page_without_figures_is_refused() {
        assert!(parse("# Figures\n").is_err());
        assert!(parse(&format!("{HEAD}| a | fast | calls/s | 1 | 2 | 5 |\n")).is_err());
        assert!(parse(&format!("{HEAD}| a | 1 |\n")).is_err());
    }
}
