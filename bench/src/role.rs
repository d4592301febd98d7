//! Child processes of this program.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A child process, ended when dropped, as a crash would end it.
#[derive(Debug)]
pub(crate) struct Role {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The first line it printed.
    pub(crate) line: String,
}

impl Role {
    pub(crate) fn start(role: &str, arguments: &[&str]) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["child", role])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().context("the child's input is a pipe")?;
        let output = BufReader::new(process.stdout.take().context("the child's output is a pipe")?);
        let mut role = Self { process, input, output, line: String::new() };
        role.line = role.read()?;
        Ok(role)
    }

    /// Gives an order and waits for the line that answers it.
    pub(crate) fn ask(&mut self, order: &str) -> Result<String> {
        writeln!(self.input, "{order}").with_context(|| format!("telling the child `{order}`"))?;
        self.read().with_context(|| format!("waiting for the child's answer to `{order}`"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    fn read(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the child ended");
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The child's side: answers each line of the input, until there is no more.
pub(crate) fn obey(mut answer: impl FnMut(&str) -> Result<String>) -> Result<()> {
    for order in std::io::stdin().lines() {
        println!("{}", answer(&order?)?);
    }
    Ok(())
}
