//! What is printed, and how a command ends.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

use super::exit::Exit;
use super::printable::{one_row, printable, printable_json};
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
    /// A node refused, or none answered; with what may help, if that depends on what was typed.
    Refused(Refusal, Option<String>),
    /// The command cannot be carried out as it was given.
    Unusable(String),
    /// A setting is wrong.
    Setting(String),
    /// The node cannot start.
    NotStarted(String),
    /// Something went wrong on the way.
    Broken(String),
}

impl Failed {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Refused(refusal, _) => Exit::of(refusal),
            Self::Unusable(_) | Self::Setting(_) | Self::NotStarted(_) => Exit::Usage,
            Self::Broken(_) => Exit::Refused,
        }
    }

    /// The same as one JSON document: what a node said, or one of the same form.
    fn document(&self) -> Value {
        let (Refusal(mut document), hint) = match self {
            Self::Refused(refusal, hint) => {
                (refusal.clone(), hint.as_deref().or_else(|| hint_of(refusal.code())))
            }
            Self::Unusable(reason) => (Refusal::new("usage", reason), None),
            Self::Setting(reason) => (Refusal::new("bad_setting", reason), None),
            Self::NotStarted(reason) => (Refusal::new("cannot_start", reason), None),
            Self::Broken(reason) => (Refusal::new("failed", reason), None),
        };
        document["message"] = document["detail"].clone();
        document["exit"] = self.exit().code().into();
        if let Some(hint) = hint {
            document["hint"] = hint.into();
        }
        document
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, None)
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        Self::NotStarted(one_line(&error))
    }
}

impl From<ConfigError> for Failed {
    fn from(error: ConfigError) -> Self {
        Self::Setting(one_line(&error))
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

    /// Lines of the result. Whoever closed the other end does not want the rest.
    pub(super) fn line(self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{}", printable(text));
    }

    /// Lines beside the result.
    pub(super) fn note(self, text: &str) {
        self.beside("INFO", text, text);
    }

    /// Says what is wrong.
    pub(super) fn complain(self, reason: &str) {
        self.beside("ERROR", reason, &format!("error: {}", one_row(reason)));
    }

    /// A line on standard error. Among log lines in JSON it looks like one, though no filter holds it back.
    fn beside(self, level: &str, message: &str, plain: &str) {
        let line = match self.beside {
            LogFormat::Pretty => printable(plain),
            LogFormat::Json => {
                let timestamp = humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string();
                let target = module_path!();
                let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
                let line =
                    json!({ "timestamp": timestamp, "level": level, "message": message, "target": target });
                printable_json(&line.to_string())
            }
        };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// A value, on several lines for programs that also have readers.
    pub(super) fn json(self, value: &Value) {
        let _ = writeln!(std::io::stdout().lock(), "{}", printable_json(&format!("{value:#}")));
    }

    /// A value on one line, where there may be several.
    pub(super) fn json_line(self, value: &Value) {
        let _ = writeln!(std::io::stdout().lock(), "{}", printable_json(&value.to_string()));
    }

    /// Rows under a header. `None` prints as a dash.
    pub(super) fn table<const N: usize>(self, header: [&str; N], rows: Vec<[String; N]>) {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(header.map(str::to_uppercase));
        for row in rows {
            table.add_row(row.map(|cell| one_row(&cell)));
        }
        self.line(&table.trim_fmt());
    }

    /// Says why a command failed, and ends with its exit code.
    pub(super) fn failed(self, failed: &Failed) -> ExitCode {
        if self.is_json() {
            self.json_line(&failed.document());
        }
        match failed {
            Failed::Refused(refusal, hint) => {
                self.note(&format!("error[{}]: {}", one_row(refusal.code()), one_row(refusal.detail())));
                if let Some(hint) = hint.as_deref().or_else(|| hint_of(refusal.code())) {
                    self.note(&format!("hint: {hint}"));
                }
            }
            Failed::Unusable(reason)
            | Failed::Setting(reason)
            | Failed::NotStarted(reason)
            | Failed::Broken(reason) => self.complain(reason),
        }
        failed.exit().into()
    }
}

/// Says, for programs, that a command line is wrong. The text for people is clap's own.
pub(super) fn wrong_usage(said: &str) {
    let first = said.split("\n\n").next().unwrap_or_default();
    let reason = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    Output::new(Format::Json, LogFormat::Pretty).json_line(&Failed::Unusable(reason).document());
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

fn hint_of(code: &str) -> Option<&'static str> {
    Some(match code {
        "unreachable" => {
            "start a node with `up` or `dev`, or name with `--node` where one serves HTTP, 8080 by default"
        }
        "not_a_node" => {
            "`--node` is where a node serves HTTP, 8080 by default, not where it listens for peers"
        }
        "unknown_type" => "`cluster status -o json` lists the types that each node hosts",
        "bad_arguments" => "arguments are JSON, and texts where they are not; quote them for your shell",
        "not_delivered" | "no_leader" | "overloaded" | "busy" => "nothing was done; try again",
        "unknown_outcome" => "it may have been done; look before you try again, or give calls a `--key`",
        "no_answer" => "nothing was changed; ask again",
        "misdirected" => "ask the node by its address, or add the host to its setting `http_hosts`",
        "no_quorum" => "nothing was done; most nodes that keep this actor cannot be reached",
        "disk_full" => "nothing was done; the leader's disk is full",
        "paused" => "`actor resume` lets it go on",
        "broken_history" => "other replicas may have what is missing; see the log of the node that leads it",
        "last_node" => "start another node, or drain this one all the same with `--force`",
        "unauthorized" => "give the node's own token with `--token @FILE`, or in the variable GRITMESH_TOKEN",
        "forbidden" => "run this on the node's own machine, or start the node with `--token`",
        _ => return None,
    })
}
