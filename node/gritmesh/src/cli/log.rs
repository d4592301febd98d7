//! Log lines, on standard error.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::panic::PanicHookInfo;

use tracing::field::Field;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::{EnvFilter, reload};

use super::printable::one_row;
use crate::config::{LogFilter, LogFormat};

/// How much libraries may say where a filter has one level for everything. What they tell at the level that nodes use
/// for what operators want to know is about themselves, and at `debug` it buries the rest. A filter can ask for it by
/// name. The longer of two names that begin a target counts, so these are the shortest.
///
/// A connection that is closed is a warning to the two that carry streams, and nothing to an operator: nodes tell
/// themselves which connections end, and why.
const LIBRARIES: [(&str, LevelFilter); 8] = [
    ("if_watch", LevelFilter::WARN),
    ("libp2p", LevelFilter::WARN),
    ("multistream_select", LevelFilter::ERROR),
    ("netlink", LevelFilter::WARN),
    ("rtnetlink", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("ureq", LevelFilter::WARN),
    ("yamux", LevelFilter::ERROR),
];

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
            let lines = lines.fmt_fields(debug_fn(write_field));
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

/// Writes one field as the library does, except that nothing in it orders a terminal about or makes a line of its own: what
/// strangers send stands in some.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = one_row(&format!("{value:?}"));
    match (field.name(), writer.has_ansi_escapes()) {
        // It comes first.
        ("message", _) => writer.write_str(&value),
        // Where a line of another logging library comes from; the line says so already.
        (name, _) if name.starts_with("log.") => Ok(()),
        (name, true) => write!(writer, " \u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}"),
        (name, false) => write!(writer, " {name}={value}"),
    }
}

fn parsed(filter: &LogFilter) -> EnvFilter {
    EnvFilter::try_new(with_quiet_libraries(filter.as_str())).expect("a filter that was read is one")
}

/// The filter, in which libraries that it does not name say less than everything else. They never say more.
fn with_quiet_libraries(filter: &str) -> String {
    let plain = |part: &str| part.trim().parse::<LevelFilter>().ok();
    let level = filter.split(',').filter_map(plain).next_back().unwrap_or(LevelFilter::OFF);
    let quiet = LIBRARIES.iter().filter(|(_, most)| *most < level);
    let mut parts: Vec<String> = quiet.map(|(target, most)| format!("{target}={most}")).collect();
    // What comes later counts.
    parts.push(filter.to_owned());
    parts.join(",")
}

/// Whoever reads lines as JSON cannot read what is written for a person.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, reason = panic.payload_as_str(), "a thread panicked");
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which of the lines that nodes and libraries write comes through.
    fn written(filter: &str) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let filter = parsed(&filter.parse().unwrap());
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || writer.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "yamux::connection", "1");
            tracing::warn!(target: "yamux::connection", "2");
            tracing::warn!(target: "multistream_select::dialer_select", "3");
            tracing::warn!(target: "libp2p_tcp", "4");
            tracing::info!(target: "libp2p_swarm", "5");
            tracing::debug!(target: "libp2p_swarm", "6");
            tracing::debug!(target: "netlink_proto::connection", "7");
            tracing::info!(target: "gritmesh_core::node", "8");
            tracing::debug!(target: "gritmesh_core::node", "9");
            tracing::debug!(target: "an_application", "10");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let numbers: Vec<&str> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
        numbers.join(" ")
    }

    #[test]
    fn libraries_say_less_than_nodes_unless_they_are_named() {
        for (filter, expected) in [
            ("off", ""),
            ("error", "1"),
            ("warn", "1 4"),
            ("info", "1 4 8"),
            ("debug", "1 4 8 9 10"),
            ("TRACE", "1 4 8 9 10"),
            ("info,gritmesh_core=debug", "1 4 8 9"),
            ("gritmesh_core=debug", "8 9"),
            ("debug,libp2p_swarm=debug", "1 4 5 6 8 9 10"),
            ("info,libp2p=info", "1 4 5 8"),
            ("info,yamux=warn,multistream_select=warn", "1 2 3 4 8"),
            ("yamux=off,info", "4 8"),
        ] {
            assert_eq!(written(filter), expected, "{filter}");
        }
    }

    #[test]
    fn nothing_that_a_stranger_sends_makes_a_line_of_its_own_or_turns_one() {
        let kept = Kept::default();
        let writer = kept.clone();
        let fields = debug_fn(write_field);
        let lines = tracing_subscriber::fmt().with_ansi(true).fmt_fields(fields);
        let lines = lines.with_writer(move || writer.clone());
        tracing::subscriber::with_default(lines.finish(), || {
            let sent = "a\u{1b}[2J\nERROR b\u{202e}\r\u{9b}";
            tracing::warn!(text = sent, shown = %sent, "a peer says {sent}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let sent = "a\\u{1b}[2J\\nERROR b\\u{202e}\\r\\u{9b}";
        let name = |name: &str| format!("\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m");
        let fields = format!("a peer says {sent} {}\"{sent}\" {}{sent}\n", name("text"), name("shown"));
        assert!(text.ends_with(&fields), "{text:?}");
    }
}
