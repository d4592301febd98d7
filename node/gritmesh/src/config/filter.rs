//! Which log lines are written.
//!
//! The library that filters takes any word without a level for a part of the program, and then writes lines of
//! nothing else: `warning` in place of `warn` silences the node. So a word without a level must be a level here.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// All that can be typed as a level, from silence to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or levels of parts of the program: `info,gritmesh_core=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The text that it was read from.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".into())
    }
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, LogFilterError> {
        // Spans may hold commas and have no level. Only people who know the library write them.
        let filter = if text.contains('[') { text.to_owned() } else { with_levels(text)? };
        match EnvFilter::try_new(&filter) {
            Ok(_) => Ok(Self(filter)),
            Err(error) => Err(LogFilterError::Form { given: filter, reason: error.to_string() }),
        }
    }
}

/// The text without spaces, if every part of it has a level.
fn with_levels(text: &str) -> Result<String, LogFilterError> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(LogFilterError::Level { given: String::new() });
    }
    let level = |part: &&str| part.rsplit_once('=').map_or(*part, |(_, level)| level).to_owned();
    let is_level = |level: &String| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
    match parts.iter().map(level).find(|level| !is_level(level)) {
        Some(given) => Err(LogFilterError::Level { given }),
        None => Ok(parts.join(",")),
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that says of no log line whether it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFilterError {
    /// Something else stands where a level should.
    #[error(
        "`{given}` is no log level: choose one of {}, for parts of the program as in `info,gritmesh_core=debug`",
        LEVELS.join(", ")
    )]
    Level {
        /// What stands there.
        given: String,
    },
    /// It cannot be read.
    #[error("`{given}` is no log filter: {reason}")]
    Form {
        /// The whole text.
        given: String,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_parts_of_the_program_are_filters() {
        for text in ["info", "WARN", "off", "info,gritmesh_core=debug", "gritmesh=trace", "[span]"] {
            assert_eq!(text.parse::<LogFilter>().map(|filter| filter.to_string()), Ok(text.to_owned()));
        }
        let spaced = " warn , a::b=info,".parse::<LogFilter>().map(|filter| filter.to_string());
        assert_eq!(spaced, Ok("warn,a::b=info".to_owned()));
    }

    #[test]
    fn what_would_silence_the_node_is_refused_with_the_list_of_levels() {
        for text in
            ["warning", "INFOO", "gritmesh_core", "info,debgu", "gritmesh=loud", "a=b=c", "", ",", "3"]
        {
            let error = text.parse::<LogFilter>().unwrap_err().to_string();
            assert!(error.contains("off, error, warn, info, debug, trace"), "{text}: {error}");
        }
    }
}
