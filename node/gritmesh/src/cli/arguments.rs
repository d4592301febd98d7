//! What can be typed.

mod actor;
mod asking;
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use gritmesh_actor::KEY_BYTES_MAX;

use super::exit::EXIT_HELP;
use super::output::Format;
use crate::config::{Confidential, Layers, LogFilter, LogFormat, parse_duration};

pub(super) use actor::{
    ActorArguments, ActorVerb, LetterArguments, LettersVerb, LogArguments, PauseArguments, ShowArguments,
    Subject, SubjectArguments, VerifyArguments,
};
pub(super) use asking::Asking;
pub(super) use settings::{CheckArguments, ConfigVerb, SecretVerb};

/// Virtual actors on identical nodes: start some, and call any actor through any of them.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = format!("\
Examples:
  gritmesh dev                           three nodes in one process, to try things
  gritmesh up --name a                   one node, here
  gritmesh call counter/alice add 5      a call through the node on 127.0.0.1:8080
  gritmesh cluster status                who is there
{EXIT_HELP}")
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Start a node
    Up(Box<UpArguments>),
    /// Start several nodes in one process, with data that is gone afterwards
    Dev(DevArguments),
    /// Call an actor and print its answer as JSON
    Call(CallArguments),
    /// Send an actor a message, without waiting for what becomes of it
    Send(SendArguments),
    /// The cluster as a whole
    #[command(subcommand, after_help = "Examples:\n  gritmesh cluster status")]
    Cluster(ClusterVerb),
    /// Nodes
    #[command(subcommand, after_help = "Examples:\n  gritmesh node ls\n  gritmesh node drain node-2 --wait")]
    Node(NodeVerb),
    /// Shards, and where actors are
    #[command(
        subcommand,
        after_help = "Examples:\n  gritmesh shard ls\n  gritmesh shard where counter/alice"
    )]
    Shard(ShardVerb),
    /// Actors: those in memory, and the histories of durable ones
    #[command(
        subcommand,
        after_help = "Examples:\n  gritmesh actor ls --all\n  gritmesh actor log account/alice\n  gritmesh actor verify account/alice"
    )]
    Actor(ActorVerb),
    /// Secrets of clusters
    #[command(subcommand, after_help = "Examples:\n  gritmesh secret new > cluster.secret")]
    Secret(SecretVerb),
    /// Settings
    #[command(subcommand, after_help = "Examples:\n  gritmesh config check --config node.toml")]
    Config(ConfigVerb),
    /// Print a script that completes commands in a shell
    #[command(
        after_help = "Examples:\n  gritmesh completions bash > ~/.local/share/bash-completion/completions/gritmesh\n  gritmesh completions zsh\n  gritmesh completions fish"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

impl Verb {
    /// How the result is to be printed.
    pub(super) const fn format(&self) -> Format {
        match self {
            Self::Up(arguments) => arguments.format,
            Self::Dev(arguments) => arguments.format,
            Self::Call(arguments) => arguments.asking.format,
            Self::Send(arguments) => arguments.asking.format,
            Self::Cluster(ClusterVerb::Status(asking))
            | Self::Node(NodeVerb::Ls(asking))
            | Self::Shard(ShardVerb::Ls(asking)) => asking.format,
            Self::Node(NodeVerb::Drain(arguments)) => arguments.asking.format,
            Self::Node(NodeVerb::Undrain(arguments) | NodeVerb::Forget(arguments)) => arguments.asking.format,
            Self::Shard(ShardVerb::Where(arguments)) => arguments.asking.format,
            Self::Actor(verb) => verb.format(),
            Self::Config(ConfigVerb::Check(arguments)) => arguments.format,
            Self::Secret(SecretVerb::New(arguments)) => arguments.format,
            Self::Completions { .. } => Format::Table,
        }
    }

    /// How what stands beside the result is to be printed.
    pub(super) fn log_format(&self) -> LogFormat {
        match self {
            Self::Up(arguments) => arguments.layers().log_format(),
            Self::Dev(arguments) => arguments.log_format,
            _ => LogFormat::Pretty,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ClusterVerb {
    /// Show all members, and whether the cluster is whole
    #[command(
        after_help = "Examples:\n  gritmesh cluster status\n  gritmesh cluster status -o json --node 127.0.0.1:8081"
    )]
    Status(Asking),
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeVerb {
    /// List the nodes
    #[command(after_help = "Examples:\n  gritmesh node ls\n  gritmesh node ls -o json")]
    Ls(Asking),
    /// Let a node hand over its shards, so that it can be stopped
    #[command(
        after_help = "Examples:\n  gritmesh node drain node-2\n  gritmesh node drain 3f9a12c4 --wait --timeout 2m"
    )]
    Drain(DrainArguments),
    /// Let a node take part again that was drained
    #[command(after_help = "Examples:\n  gritmesh node undrain node-2")]
    Undrain(TargetArguments),
    /// Let all nodes forget one that is down or has left, and does not come back
    #[command(after_help = "Examples:\n  gritmesh node forget node-2\n  gritmesh node forget 3f9a12c4")]
    Forget(TargetArguments),
}

#[derive(Debug, Subcommand)]
pub(super) enum ShardVerb {
    /// List the shards and who leads them
    #[command(after_help = "Examples:\n  gritmesh shard ls\n  gritmesh shard ls -o json")]
    Ls(Asking),
    /// Tell where an actor is, or would be
    #[command(
        after_help = "Examples:\n  gritmesh shard where counter/alice\n  gritmesh shard where acme:counter/alice -o json"
    )]
    Where(WhereArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Settings come from the file, then from variables (GRITMESH_TIMEOUTS__CALL=5s sets `call` in `[timeouts]`), then
from flags. Ports are 7946 for peers and 8080 for HTTP; 0 picks a free one.

Examples:
  gritmesh up
  gritmesh up --name b --data b --listen 127.0.0.1:7947 --http 127.0.0.1:8081 --seeds 127.0.0.1:7946
  gritmesh up --listen 0.0.0.0:7946 --secret @cluster.secret --seeds a:7946,b:7946,c:7946
  gritmesh up --config node.toml --dump-config")]
pub(super) struct UpArguments {
    /// The data directory; one directory, one node
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where to listen for peers
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where to serve HTTP, or `off`
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// The host others reach this node at, if it listens on all addresses
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Nodes to join through; may be the same list on every node
    #[arg(long, value_name = "HOST:PORT,...")]
    seeds: Option<String>,
    /// How many nodes stand behind one name that is the seed, before they found a cluster
    #[arg(long, value_name = "N")]
    expect: Option<String>,
    /// What the cluster is called; nodes that call it otherwise refuse each other
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The node's name in tables
    #[arg(long)]
    name: Option<String>,
    /// The failure zone
    #[arg(long)]
    zone: Option<String>,
    /// The node's share of the ring relative to others
    #[arg(long, value_name = "N")]
    weight: Option<String>,
    /// What all nodes of the cluster must know, 16 letters at least; without it, a node listens on this machine only.
    /// Given more than once, or with a line for each: the first is proved, all are accepted
    #[arg(long, value_name = "TEXT|@FILE")]
    secret: Vec<String>,
    /// Opens administrative requests to other machines
    #[arg(long, value_name = "TEXT|@FILE")]
    token: Option<String>,
    /// Engines that share the node's shards; 0 is one for four cores
    #[arg(long, value_name = "N")]
    engines: Option<String>,
    /// Which log lines are written [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look [default: pretty]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "GRITMESH_CONFIG")]
    config: Option<PathBuf>,
    /// Print the settings that result, and stop
    #[arg(long)]
    pub(super) dump_config: bool,
    /// How to print what is started
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

impl UpArguments {
    /// The layers that the flags lie on top of.
    pub(super) fn layers(&self) -> Layers {
        Layers::new()
            .file(self.config.as_deref())
            .environment(std::env::vars_os())
            .flag("data", self.data.as_ref())
            .flag("listen", self.listen.as_ref())
            .flag("http", self.http.as_ref())
            .flag("advertise", self.advertise.as_ref())
            .flag("seeds", self.seeds.as_ref())
            .flag("expect", self.expect.as_ref())
            .flag("cluster", self.cluster.as_ref())
            .flag("name", self.name.as_ref())
            .flag("zone", self.zone.as_ref())
            .flag("weight", self.weight.as_ref())
            .flag("secret", (!self.secret.is_empty()).then(|| self.secret.join("\n")))
            .flag("token", self.token.as_ref())
            .flag("engines", self.engines.as_ref())
            .flag("log", self.log.as_ref())
            .flag("log_format", self.log_format)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
The first node serves HTTP on 127.0.0.1:8080 if that is free, so that other commands find it by default.

Examples:
  gritmesh dev
  gritmesh dev --nodes 5 --http-base 9000")]
pub(super) struct DevArguments {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) nodes: u16,
    /// Serve HTTP on this port and those after it; 0 picks free ones
    #[arg(long, value_name = "PORT")]
    pub(super) http_base: Option<u16>,
    /// Which log lines are written
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub(super) log: LogFilter,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Pretty)]
    pub(super) log_format: LogFormat,
    /// How to print what is started
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each argument is read as JSON, and taken as a text if it is none. A text of digits alone takes quotes that the shell
leaves: '\"1002\"'. Write -- before texts that begin with a dash.

Examples:
  gritmesh call counter/alice add 5
  gritmesh call account/alice transfer bob 30 --timeout 2s
  gritmesh call echo/x echo '{\"a\": [1, 2]}'
  gritmesh call acme:counter/alice get -o json --node 127.0.0.1:8081
  gritmesh call counter/alice get --node 127.0.0.1:8080,127.0.0.1:8081
  gritmesh call account/alice deposit 5 --tenant acme --key invoice-17")]
pub(super) struct CallArguments {
    #[command(flatten)]
    pub(super) message: MessageArguments,
    /// How long to wait for the answer [default: the node's, 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) timeout: Option<Duration>,
    /// A text by which a durable actor knows this call again for a day: it runs once, however often it is made
    #[arg(long, value_name = "TEXT", value_parser = printable)]
    pub(super) key: Option<String>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A delayed message waits in the memory of the node that took it, and is gone if that node is.

Examples:
  gritmesh send counter/alice add 5
  gritmesh send counter/alice add 5 --delay 10s
  gritmesh send counter/alice add 5 --key invoice-17")]
pub(super) struct SendArguments {
    #[command(flatten)]
    pub(super) message: MessageArguments,
    /// How long the message waits before it goes
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) delay: Option<Duration>,
    /// A text by which a durable actor knows this message again for a day: it runs once, however often it is sent
    #[arg(long, value_name = "TEXT", value_parser = printable)]
    pub(super) key: Option<String>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// An actor, one of its methods, and what it is told.
#[derive(Debug, Args)]
pub(super) struct MessageArguments {
    #[command(flatten)]
    pub(super) subject: Subject,
    /// The method
    pub(super) method: String,
    /// Its arguments
    #[arg(allow_negative_numbers = true)]
    pub(super) arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct WhereArguments {
    #[command(flatten)]
    pub(super) subject: Subject,
    #[command(flatten)]
    pub(super) asking: Asking,
}

#[derive(Debug, Args)]
pub(super) struct DrainArguments {
    /// The node: its name, or the beginning of its id
    pub(super) target: String,
    /// Wait until it has handed over everything, and show how far it is
    #[arg(long)]
    pub(super) wait: bool,
    /// Wait for so long at most; the node goes on by itself
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "wait")]
    pub(super) timeout: Option<Duration>,
    /// Drain it even if no other node could take over
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) asking: Asking,
}

#[derive(Debug, Args)]
pub(super) struct TargetArguments {
    /// The node: its name, or the beginning of its id
    pub(super) target: String,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// A key as a node takes it.
fn printable(text: &str) -> Result<String, String> {
    let fits =
        (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match fits {
        true => Ok(text.to_owned()),
        false => Err(format!("a key has 1 to {KEY_BYTES_MAX} printable ASCII letters")),
    }
}

fn confidential(text: &str) -> Result<Confidential, std::convert::Infallible> {
    text.parse()
}
