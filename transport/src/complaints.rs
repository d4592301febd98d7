//! Which refused connections the log warns of.
//!
//! A node with a wrong secret tries again every few seconds, for as long as nobody mends it: the first line says it
//! all, and a line now and then says that it goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often one refusal of one address is a warning. Often enough to be seen in the last lines of a log, and seldom
/// enough to leave others there.
const WARNED_PERIOD: Duration = Duration::from_mins(1);

/// Pairs of address and refusal that are remembered. More than that are no nodes that somebody forgot to set up, and
/// are only held back by the gate for strangers.
const REMEMBERED_MAX: usize = 256;

/// What was warned of lately.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    warned: Mutex<BTreeMap<(String, &'static str), Warned>>,
}

#[derive(Debug)]
struct Warned {
    at: Instant,
    /// How many there were since.
    unsaid: u64,
}

impl Complaints {
    /// Whether to warn of a refusal now, and how many of the same kind were passed over since the last warning.
    /// `is_free` tells whether the log may have one more line of strangers.
    pub(crate) fn warn(
        &self,
        now: Instant,
        address: String,
        code: &'static str,
        is_free: impl FnOnce() -> bool,
    ) -> Option<u64> {
        let mut warned = self.warned.lock();
        let key = (address, code);
        if let Some(before) = warned.get_mut(&key) {
            if now.saturating_duration_since(before.at) < WARNED_PERIOD || !is_free() {
                before.unsaid += 1;
                return None;
            }
            before.at = now;
            return Some(std::mem::take(&mut before.unsaid));
        }
        if !is_free() {
            return None;
        }
        if warned.len() >= REMEMBERED_MAX {
            warned.retain(|_, before| now.saturating_duration_since(before.at) < WARNED_PERIOD);
        }
        if warned.len() < REMEMBERED_MAX {
            warned.insert(key, Warned { at: now, unsaid: 0 });
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warn(complaints: &Complaints, now: Instant, address: &str, code: &'static str) -> Option<u64> {
        complaints.warn(now, address.to_owned(), code, || true)
    }

    #[test]
    fn one_refusal_of_one_address_is_a_warning_once_a_minute_with_how_often_it_came() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        let every_five_seconds = (0..=24).map(|round| begun + Duration::from_secs(5 * round));
        let warned = every_five_seconds.map(|now| warn(&complaints, now, "seed:7946", "wrong_secret"));
        let warned: Vec<(usize, u64)> =
            warned.enumerate().filter_map(|(round, unsaid)| Some((round, unsaid?))).collect();
        assert_eq!(warned, [(0, 0), (12, 11), (24, 11)]);
    }

    #[test]
    fn another_address_and_another_reason_are_told_at_once() {
        let (complaints, now) = (Complaints::default(), Instant::now());
        for (address, code) in [("a:1", "wrong_secret"), ("b:1", "wrong_secret"), ("a:1", "wire_version")] {
            assert_eq!(warn(&complaints, now, address, code), Some(0), "{address} {code}");
            assert_eq!(warn(&complaints, now, address, code), None, "{address} {code}");
        }
    }

    #[test]
    fn strangers_fill_neither_the_log_nor_the_memory() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.warn(begun, "seed:7946".into(), "wrong_secret", || false), None);
        assert_eq!(warn(&complaints, begun, "seed:7946", "wrong_secret"), Some(0), "it was not told yet");
        for stranger in 0..4 * REMEMBERED_MAX {
            warn(&complaints, begun, &stranger.to_string(), "wrong_secret");
        }
        assert_eq!(complaints.warned.lock().len(), REMEMBERED_MAX);
        warn(&complaints, begun + WARNED_PERIOD, "another", "wrong_secret");
        assert_eq!(complaints.warned.lock().len(), 1, "those of the last minute make room");
    }
}
