//! What is printed, and how a command ends.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use crate::ask::Refusal;
use crate::config::{ConfigError, LogFormat};
use crate::start::StartError;

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) enum Failed {
    /// A node refused, or none answered.
    Refused(Refusal),
    /// The command cannot be carried out as it was given: exit code 2.
    Unusable(String),
    /// Something went wrong on the way: exit code 1.
    Broken(String),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        Self::Unusable(one_line(&error))
    }
}

impl From<ConfigError> for Failed {
    fn from(error: ConfigError) -> Self {
        Self::Unusable(one_line(&error))
    }
}

/// An error with its causes, on one line.
pub(super) fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace('\n', " ")
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    format: Format,
    /// How lines on standard error look.
    beside: LogFormat,
}

impl Output {
    pub(super) const fn new(format: Format, beside: LogFormat) -> Self {
        Self { format, beside }
    }

    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// A line of the result. Whoever closed the other end does not want the rest.
    pub(super) fn line(self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A line beside the result.
    pub(super) fn note(self, text: &str) {
        self.beside("INFO", text, text);
    }

    /// Says what is wrong.
    pub(super) fn complain(self, reason: &str) {
        self.beside("ERROR", reason, &format!("error: {reason}"));
    }

    /// A line on standard error. Among log lines in JSON it looks like one, though no filter holds it back.
    fn beside(self, level: &str, message: &str, plain: &str) {
        let line = match self.beside {
            LogFormat::Pretty => plain.to_owned(),
            LogFormat::Json => {
                let timestamp = humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string();
                let target = module_path!();
                let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
                json!({ "timestamp": timestamp, "level": level, "message": message, "target": target })
                    .to_string()
            }
        };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// A value, on one line or, for programs that also have readers, on several.
    pub(super) fn json(self, value: &Value) {
        self.line(&format!("{value:#}"));
    }

    /// Rows under a header. `None` prints as a dash.
    pub(super) fn table<const N: usize>(self, header: [&str; N], rows: Vec<[String; N]>) {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(header.map(str::to_uppercase));
        for row in rows {
            table.add_row(row);
        }
        self.line(&table.trim_fmt());
    }

    /// Says why a command failed, and ends with its exit code.
    pub(super) fn failed(self, failed: &Failed) -> ExitCode {
        match failed {
            Failed::Refused(refusal) => {
                if self.is_json() {
                    self.json(&refusal.0);
                }
                self.note(&format!("error[{}]: {}", refusal.code(), refusal.detail()));
                if let Some(hint) = hint(refusal.code()) {
                    self.note(&format!("hint: {hint}"));
                }
                ExitCode::from(1)
            }
            Failed::Unusable(reason) => {
                self.complain(reason);
                ExitCode::from(2)
            }
            Failed::Broken(reason) => {
                self.complain(reason);
                ExitCode::from(1)
            }
        }
    }
}

/// A field of a JSON object as it stands in a table.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "unreachable" => "start a node with `up` or `dev`, or name one that runs with `--node HOST:PORT`",
        "not_a_node" => {
            "`--node` is where a node serves HTTP, 8080 by default, not where it listens for peers"
        }
        "unknown_type" => "`cluster status -o json` lists the types that each node hosts",
        "bad_arguments" => "arguments are JSON, and texts where they are not; quote them for your shell",
        "not_delivered" | "no_leader" | "overloaded" | "busy" => "nothing was done; try again",
        "unknown_outcome" => "it may have been done; look before you try again, or give calls a `--key`",
        "no_quorum" => "nothing was done; most nodes that keep this actor cannot be reached",
        "disk_full" => "nothing was done; the leader's disk is full",
        "paused" => "`actor resume` lets it go on",
        "broken_history" => "other replicas may have what is missing; see the log of the node that leads it",
        "unauthorized" => "give the node's token with `--token`",
        "forbidden" => "run this on the node's own machine, or start the node with `--token`",
        _ => return None,
    })
}
