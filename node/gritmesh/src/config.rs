//! What an operator sets: defaults, then a TOML file, then the environment, then flags, each over the one before.
//!
//! A key that nobody knows is an error that names it and where it stands: a misspelt setting that is silently
//! ignored is found out at the worst time. `gritmesh up --dump-config` prints what came out, in the form of the file.

mod dump;
mod filter;
mod hosts;
mod layers;
mod range;
mod secrets;
mod services;
mod units;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

pub use filter::{LogFilter, LogFilterError};
pub(crate) use hosts::HostName;
pub use hosts::HostPattern;
pub use layers::{ConfigError, Layers};
pub use range::RangeError;
pub(crate) use secrets::{check_secrets, lines, secret_lines};
pub(crate) use units::parse_duration;
pub use units::{Size, SizeError};

/// Every setting of a node. The field names are the keys of the TOML file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The data directory; made if it is missing. One directory, one node.
    #[serde(deserialize_with = "units::text")]
    pub data: PathBuf,
    /// Where to listen for peers, `HOST:PORT`; port 0 takes a free one.
    #[serde(deserialize_with = "units::text")]
    pub listen: String,
    /// Where to serve HTTP, `HOST:PORT`; port 0 takes a free one, `off` serves none.
    #[serde(deserialize_with = "units::text")]
    pub http: String,
    /// Hosts under which HTTP is asked, beside the node's own addresses: a proxy's name, `*.example.org`, or `*`.
    #[serde(deserialize_with = "hosts::list")]
    pub http_hosts: Vec<HostPattern>,
    /// The host under which others reach this node, if it listens on all addresses. Empty: found out.
    #[serde(deserialize_with = "units::text")]
    pub advertise: String,
    /// Nodes to join through, `HOST:PORT` each. The list may be the same for all nodes.
    #[serde(deserialize_with = "units::list")]
    pub seeds: Vec<String>,
    /// How many addresses a name has to show that is the first seed, before a cluster is founded; 0 if that is not known.
    #[serde(deserialize_with = "units::text")]
    pub expect: usize,
    /// What the cluster is called. Nodes that call it otherwise, or not at all, refuse each other.
    #[serde(deserialize_with = "units::text")]
    pub cluster: String,
    /// The node's name in tables. Empty: taken from its key.
    #[serde(deserialize_with = "units::text")]
    pub name: String,
    /// The failure zone.
    #[serde(deserialize_with = "units::text")]
    pub zone: String,
    /// The node's share of the ring relative to others; 0 takes no shards.
    #[serde(deserialize_with = "units::text")]
    pub weight: u16,
    /// What all nodes of the cluster must know, or `@FILE`; one for each line of the text or the file. The first is
    /// proved, all are accepted.
    #[serde(deserialize_with = "secrets::list")]
    pub secret: Vec<Confidential>,
    /// Opens the administrative requests of HTTP to other machines, or `@FILE`.
    #[serde(deserialize_with = "units::text")]
    pub token: Confidential,
    /// How many engines share the node's shards; 0 is one for four cores.
    #[serde(deserialize_with = "units::text")]
    pub engines: usize,
    /// How many shards a cluster has that this node founds.
    #[serde(deserialize_with = "units::text")]
    pub shards: u32,
    /// Which log lines are written, as `info` or `info,gritmesh_core=debug`.
    #[serde(deserialize_with = "units::text")]
    pub log: LogFilter,
    /// How log lines look.
    #[serde(deserialize_with = "units::text")]
    pub log_format: LogFormat,
    /// Times.
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
}

/// Times of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// How long a call may take whose caller sets no deadline.
    #[serde(deserialize_with = "units::duration")]
    pub call: Duration,
    /// How long a node that stops goes on taking requests while it says that it stops, so that whoever sends them
    /// looks for another one. It ends early when no HTTP connection is open.
    #[serde(deserialize_with = "units::duration")]
    pub lame_duck: Duration,
    /// How long a node that stops may take to hand over its shards. Zero: it does not even try.
    #[serde(deserialize_with = "units::duration")]
    pub drain: Duration,
    /// How long stopping may take altogether.
    #[serde(deserialize_with = "units::duration")]
    pub shutdown: Duration,
    /// How long a node that may found a cluster waits to hear of one.
    #[serde(deserialize_with = "units::duration")]
    pub found_after: Duration,
    /// How long an HTTP connection may rest between two requests, and a request's head may take to arrive.
    #[serde(deserialize_with = "units::duration")]
    pub keep_alive: Duration,
    /// How long answers under an idempotency key are kept.
    #[serde(deserialize_with = "units::duration")]
    pub answers_kept: Duration,
}

/// Bounds of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// HTTP requests at once; one more is answered with 503.
    #[serde(deserialize_with = "units::text")]
    pub http_requests: usize,
    /// Memory at which idle actors begin to leave early.
    #[serde(deserialize_with = "units::text")]
    pub memory: MemoryLimit,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("gritmesh-data"),
            listen: "127.0.0.1:7946".into(),
            http: "127.0.0.1:8080".into(),
            http_hosts: Vec::new(),
            advertise: String::new(),
            seeds: Vec::new(),
            expect: 0,
            cluster: String::new(),
            name: String::new(),
            zone: String::new(),
            weight: 1,
            secret: Vec::new(),
            token: Confidential::default(),
            engines: 0,
            shards: 64,
            log: LogFilter::default(),
            log_format: LogFormat::Pretty,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            lame_duck: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            shutdown: Duration::from_secs(60),
            found_after: Duration::from_secs(3),
            keep_alive: Duration::from_secs(75),
            answers_kept: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { http_requests: 1024, memory: MemoryLimit::Detected }
    }
}

/// Largest file that a confidential text is read from: as many secrets as a node has, ten times over.
const CONFIDENTIAL_BYTES_MAX: u64 = 64 * 1024;

/// A text that is never printed: empty, the text itself, or `@FILE` for the content of a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Confidential(String);

impl Confidential {
    /// From a text as it stands in a flag.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, unless a file holds it.
    pub(crate) fn inline(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.starts_with('@'))
    }

    /// Whether nothing was given.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself; `None` if nothing was given. A file's last line end does not count.
    ///
    /// # Errors
    /// If the file cannot be read, or is empty.
    pub fn reveal(&self) -> std::io::Result<Option<String>> {
        let Some(path) = self.0.strip_prefix('@') else {
            return Ok(Some(self.0.clone()).filter(|text| !text.is_empty()));
        };
        let file = std::fs::metadata(path)?;
        // Anything else may never end, or never begin, and a node waits for it.
        if !file.is_file() || file.len() > CONFIDENTIAL_BYTES_MAX {
            let problem = format!("it is no ordinary file of at most {CONFIDENTIAL_BYTES_MAX} bytes");
            return Err(std::io::Error::other(problem));
        }
        let text = std::fs::read_to_string(path)?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(std::io::Error::other("the file is empty")),
            text => Ok(Some(text.to_owned())),
        }
    }

    /// What may be shown: where it comes from, not what it is.
    pub(crate) fn redacted(&self) -> &str {
        match self.0.as_str() {
            "" => "",
            file if file.starts_with('@') => file,
            // Long enough to read back as a secret.
            _ => "<redacted: put it here>",
        }
    }
}

impl FromStr for Confidential {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Confidential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Confidential({})", self.redacted())
    }
}

/// At which memory use idle actors leave early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// What the control group allows, else what the machine has.
    Detected,
    /// This much.
    Bytes(Size),
    /// Never.
    Off,
}

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Detected),
            "off" => Ok(Self::Off),
            size => size
                .parse()
                .map(Self::Bytes)
                .map_err(|error: SizeError| format!("{error}, or `auto`, or `off`")),
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detected => f.write_str("auto"),
            Self::Bytes(size) => size.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is not a log format: choose `pretty` or `json`")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests;
