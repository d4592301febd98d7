//! Log lines, on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use super::output::Failed;
use crate::config::LogFormat;

/// What libraries say at the level that nodes use for what operators want to know. A filter can ask for it by name.
const QUIET: &str = "libp2p_swarm=warn";

/// Starts to write log lines. A program that has its own subscriber keeps it.
pub(super) fn start(filter: &str, format: LogFormat) -> Result<(), Failed> {
    let parsed = EnvFilter::try_new(format!("{QUIET},{filter}"));
    let parsed =
        parsed.map_err(|error| Failed::Unusable(format!("`{filter}` is not a log filter: {error}")))?;
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(stderr);
    let _ = match format {
        LogFormat::Pretty => lines.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}
