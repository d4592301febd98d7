//! The command line, for the stock binary and for every application.
//!
//! Results go to standard output, everything else to standard error. Exit codes tell what may be done about a failure;
//! `--help` and `docs/errors.md` list them.

mod actor;
mod arguments;
mod call;
mod cluster;
mod config;
mod dev;
mod drain;
mod exit;
mod log;
mod output;
mod printable;
mod process;
mod secret;
mod up;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::NodeBuilder;
use crate::config::{Layers, LogFormat};
use arguments::{Cli, ClusterVerb, ConfigVerb, NodeVerb, SecretVerb, ShardVerb, Verb};
use output::{Format, Output};

const STOCK_NAME: &str = "gritmesh";

/// The command line of an application: `up`, `dev`, `call` and all the others, with the application's own actors.
///
/// `register` is called once for every node that is started. The commands are called as the program is.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     gritmesh::main(gritmesh::samples::register)
/// }
/// ```
pub fn main(register: impl Fn(NodeBuilder) -> NodeBuilder) -> ExitCode {
    App::new(register).run(std::env::args_os())
}

/// A command that a program adds to its command line, as the stock binary adds `sim`.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Its name, its arguments and its help.
    pub command: clap::Command,
    /// Runs it.
    pub run: fn(&ArgMatches) -> ExitCode,
}

/// The command line of a program.
pub struct App<R> {
    register: R,
    extras: Vec<Extra>,
}

impl<R: Fn(NodeBuilder) -> NodeBuilder> App<R> {
    /// The usual commands, for nodes made by `register`.
    pub const fn new(register: R) -> Self {
        Self { register, extras: Vec::new() }
    }

    /// Adds a command.
    #[must_use]
    pub fn with(mut self, extra: Extra) -> Self {
        self.extras.push(extra);
        self
    }

    /// All that can be typed, under a program's name: for documents and completions made elsewhere.
    pub fn command(&self, name: &str) -> clap::Command {
        command(name, &self.extras)
    }

    /// Reads the arguments, of which the first is the program's name, and does what they say.
    pub fn run(self, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let name = program_name(arguments.first());
        let command = self.command(&name);
        let matches = match command.clone().try_get_matches_from(&arguments) {
            Ok(matches) => matches,
            Err(error) => return misused(&error, &arguments),
        };
        if let Some((verb, matches)) = matches.subcommand()
            && let Some(extra) = self.extras.iter().find(|extra| extra.command.get_name() == verb)
        {
            return (extra.run)(matches);
        }
        match Cli::from_arg_matches(&matches) {
            Ok(cli) => run(cli, command, &name, &self.register),
            Err(error) => misused(&error, &arguments),
        }
    }
}

/// Says what is wrong with a command line, or prints the help that was asked for.
fn misused(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if error.use_stderr() && asks_for_json(arguments) {
        output::wrong_usage(&error.to_string());
    }
    if error.use_stderr() && wants_json_lines(arguments) {
        let text = error.to_string();
        let reason = text.strip_prefix("error: ").unwrap_or(&text);
        Output::new(Format::Table, LogFormat::Json).complain(reason);
    } else {
        // Nobody is left to tell if this cannot be printed.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Whether a command line that cannot be read starts nodes whose log lines are to be JSON.
fn wants_json_lines(arguments: &[OsString]) -> bool {
    let texts: Vec<&str> = arguments.iter().filter_map(|text| text.to_str()).collect();
    let by_flag =
        texts.contains(&"--log-format=json") || texts.windows(2).any(|pair| pair == ["--log-format", "json"]);
    match texts.get(1) {
        Some(&"up") => {
            by_flag || Layers::new().environment(std::env::vars_os()).log_format() == LogFormat::Json
        }
        Some(&"dev") => by_flag,
        _ => false,
    }
}

impl<R> fmt::Debug for App<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("extras", &self.extras).finish_non_exhaustive()
    }
}

/// Whether a command line that cannot be read asks for JSON all the same.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let mut words =
        arguments.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").peekable();
    while let Some(word) = words.next() {
        match word {
            "-o" | "--output" if words.peek() == Some(&"json") => return true,
            "-ojson" | "-o=json" | "--output=json" => return true,
            _ => {}
        }
    }
    false
}

fn program_name(first: Option<&OsString>) -> String {
    let name = first.and_then(|path| Path::new(path).file_name()).and_then(|name| name.to_str());
    name.unwrap_or(STOCK_NAME).to_owned()
}

/// The whole command line under a program's name, which also stands in the examples of its help.
fn command(name: &str, extras: &[Extra]) -> clap::Command {
    let command = Cli::command().display_name(name.to_owned()).bin_name(name.to_owned());
    let command = renamed(command, name);
    command.subcommands(extras.iter().map(|extra| extra.command.clone()))
}

fn renamed(mut command: clap::Command, name: &str) -> clap::Command {
    if let Some(help) = command.get_after_help().map(ToString::to_string) {
        let typed = |line: &str| match line.trim_start().strip_prefix(STOCK_NAME) {
            Some(rest) => format!("  {name}{rest}"),
            None => line.to_owned(),
        };
        command = command.after_help(help.lines().map(typed).collect::<Vec<_>>().join("\n"));
    }
    let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    verbs.into_iter().fold(command, |command, verb| command.mut_subcommand(verb, |verb| renamed(verb, name)))
}

fn run(
    cli: Cli,
    command: clap::Command,
    name: &str,
    register: &dyn Fn(NodeBuilder) -> NodeBuilder,
) -> ExitCode {
    let output = Output::new(cli.verb.format(), cli.verb.log_format());
    let done = match cli.verb {
        Verb::Up(arguments) => up::run(&arguments, &output, register),
        Verb::Dev(arguments) => dev::run(arguments, &output, name, register),
        Verb::Call(arguments) => call::call(arguments, &output),
        Verb::Send(arguments) => call::send(arguments, &output),
        Verb::Cluster(ClusterVerb::Status(asking)) => cluster::status(&asking, &output),
        Verb::Node(NodeVerb::Ls(asking)) => cluster::nodes(&asking, &output),
        Verb::Node(NodeVerb::Drain(arguments)) => drain::drain(&arguments, &output),
        Verb::Node(NodeVerb::Undrain(arguments)) => drain::undrain(&arguments, &output),
        Verb::Node(NodeVerb::Forget(arguments)) => drain::forget(&arguments, &output),
        Verb::Shard(ShardVerb::Ls(asking)) => cluster::shards(&asking, &output),
        Verb::Shard(ShardVerb::Where(arguments)) => cluster::locate(&arguments, &output),
        Verb::Actor(verb) => actor::run(&verb, &output),
        Verb::Config(ConfigVerb::Check(arguments)) => config::check(&arguments, &output),
        Verb::Secret(SecretVerb::New(_)) => secret::new(&output),
        Verb::Completions { shell } => {
            let mut command = command;
            clap_complete::generate(shell, &mut command, name, &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => output.failed(&failed),
    }
}

#[cfg(test)]
mod tests;
