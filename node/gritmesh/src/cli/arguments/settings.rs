//! What can be typed about settings and secrets.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::output::Format;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigVerb {
    /// Tell whether the settings of a file and of the variables can be used, without starting anything
    #[command(
        after_help = "Examples:\n  gritmesh config check --config node.toml\n  gritmesh config check --config node.toml -o json"
    )]
    Check(CheckArguments),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SecretVerb {
    /// Print a secret that nobody can guess: 256 random bits
    #[command(
        after_help = "Examples:\n  gritmesh secret new > cluster.secret\n  gritmesh secret new -o json\n\nA file of your own alone (chmod 600) is the place for it: gritmesh up --secret @cluster.secret"
    )]
    New(SecretArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SecretArguments {
    /// How to print the result
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    pub(in crate::cli) format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArguments {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "GRITMESH_CONFIG")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// How to print the result
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    pub(in crate::cli) format: Format,
}
