//! Log lines, on standard error.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;

use tracing_subscriber::{EnvFilter, reload};

use crate::config::{LogFilter, LogFormat};

/// What libraries say at the level that nodes use for what operators want to know. A filter can ask for it by name.
const QUIET: &str = "libp2p_swarm=warn";

type Replace = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error>>;

/// The lines that this process writes. Which, can be changed while it does.
pub(super) struct Log {
    /// Absent if the program has a subscriber of its own.
    replace: Option<Replace>,
}

impl Log {
    /// Writes other lines from now on.
    pub(super) fn replace(&self, filter: &LogFilter) {
        // Fails only if nobody writes lines any more.
        let _ = self.replace.as_ref().map(|replace| replace(parsed(filter)));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// Starts to write log lines. A program that has its own subscriber keeps it.
pub(super) fn start(filter: &LogFilter, format: LogFormat) -> Log {
    let lines = tracing_subscriber::fmt().with_env_filter(parsed(filter)).with_writer(stderr);
    let replace: Option<Replace> = match format {
        LogFormat::Pretty => {
            let lines = lines.with_ansi(stderr().is_terminal()).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.try_init().is_ok().then(|| Box::new(move |filter| handle.reload(filter)) as Replace)
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let replace = Box::new(move |filter| handle.reload(filter)) as Replace;
            lines.try_init().is_ok().then(|| {
                std::panic::set_hook(Box::new(log_panic));
                replace
            })
        }
    };
    Log { replace }
}

fn parsed(filter: &LogFilter) -> EnvFilter {
    EnvFilter::try_new(format!("{QUIET},{filter}")).expect("a filter that was read is one")
}

/// Whoever reads lines as JSON cannot read what is written for a person.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, reason = panic.payload_as_str(), "a thread panicked");
}
