//! Which values a setting may have. What no node can work with is refused before one is started.

use std::fmt;
use std::time::Duration;

use gritmesh_core::{ANSWERS_KEPT_MIN, ENGINES_MAX, SHARDS_MAX};
use gritmesh_runtime::{NAME_BYTES_MAX, is_unprintable};

use super::secrets::check_secrets;
use super::{Confidential, MemoryLimit, Settings, Size};

const ZERO: Duration = Duration::ZERO;
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers kept for longer only fill the disks.
const ANSWERS_KEPT_MAX: Duration = Duration::from_secs(31_557_600);
/// Connections of one node that are served at once are fewer.
const HTTP_REQUESTS_MAX: usize = 1_000_000;
/// A node that does nothing uses as much; no machine has more.
const MEMORY_MIN: Size = Size(16 << 20);
const MEMORY_MAX: Size = Size(1 << 50);

/// A value that its setting must not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is outside of the range.
    #[error("`{key}` is {value}: {least} to {most} are allowed")]
    Outside {
        /// The setting.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// Its lowest value.
        least: String,
        /// Its highest value.
        most: String,
    },
    /// It is a name with a character that is not seen, or that changes how others are seen.
    #[error("`{key}` has the character {letter:?}: names may have only what can be printed")]
    Letter {
        /// The setting.
        key: &'static str,
        /// The first such character.
        letter: char,
    },
}

impl RangeError {
    /// The setting.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Outside { key, .. } | Self::Letter { key, .. } => key,
        }
    }
}

impl Settings {
    /// Whether every value lies in the range of its setting.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), RangeError> {
        let (times, limits) = (&self.timeouts, &self.limits);
        within("engines", self.engines, 0, ENGINES_MAX)?;
        within("shards", self.shards, 1, SHARDS_MAX as u32)?;
        for (key, name) in [("cluster", &self.cluster), ("name", &self.name), ("zone", &self.zone)] {
            check_name(key, name)?;
        }
        check_secrets(self.secret.iter().filter_map(Confidential::inline))?;
        for (key, value, least, most) in [
            ("timeouts.call", times.call, MILLISECOND, DAY),
            ("timeouts.drain", times.drain, ZERO, DAY),
            ("timeouts.lame_duck", times.lame_duck, ZERO, HOUR),
            ("timeouts.shutdown", times.shutdown, MILLISECOND, DAY),
            ("timeouts.found_after", times.found_after, ZERO, HOUR),
            ("timeouts.answers_kept", times.answers_kept, ANSWERS_KEPT_MIN, ANSWERS_KEPT_MAX),
        ] {
            within(key, Time(value), Time(least), Time(most))?;
        }
        within("limits.http_requests", limits.http_requests, 1, HTTP_REQUESTS_MAX)?;
        match limits.memory {
            MemoryLimit::Bytes(bytes) => within("limits.memory", bytes, MEMORY_MIN, MEMORY_MAX),
            MemoryLimit::Detected | MemoryLimit::Off => Ok(()),
        }
    }
}

/// Whether peers take a name; see the admission of connections.
fn check_name(key: &'static str, name: &str) -> Result<(), RangeError> {
    let bytes = |number| Counted(number, "bytes");
    within(key, bytes(name.len()), bytes(0), bytes(NAME_BYTES_MAX))?;
    match name.chars().find(|c| is_unprintable(*c)) {
        Some(letter) => Err(RangeError::Letter { key, letter }),
        None => Ok(()),
    }
}

pub(super) fn within<T: PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), RangeError> {
    match least <= value && value <= most {
        true => Ok(()),
        false => {
            let [value, least, most] = [value, least, most].map(|value| value.to_string());
            Err(RangeError::Outside { key, value, least, most })
        }
    }
}

/// So many of something, where the thing itself is not shown.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Counted(pub(super) usize, pub(super) &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// A time as people write it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}
