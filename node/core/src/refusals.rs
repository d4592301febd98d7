//! Why others turned this node away: the last refusal of each kind, for whoever wonders why it does not join.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::Instant;
use gritmesh_runtime::admission::Refusal;

/// How long a refusal is worth a note. A seed is tried again every few seconds: what did not come again was mended.
const NOTED_TIME: Duration = Duration::from_secs(2 * 60);

/// Letters of a refusal that are shown: the text may be the other side's, and a note is one line.
const NOTED_LETTERS_MAX: usize = 300;

/// The last refusal of each kind. There are few kinds, so this is small whatever others send.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    last: BTreeMap<&'static str, Noted>,
}

#[derive(Debug)]
struct Noted {
    at: Instant,
    address: String,
    reason: String,
}

impl Refusals {
    /// A connection that this node tried to make was turned down by one of the two sides. Those that others tried to
    /// make are no reason why this node does not join, and anybody may try.
    pub(crate) fn add(&mut self, now: Instant, address: &str, refusal: &Refusal) {
        let reason = refusal.to_string().chars().take(NOTED_LETTERS_MAX).collect();
        self.last.insert(refusal.as_str(), Noted { at: now, address: address.to_owned(), reason });
    }

    /// What is to be said of them, the latest first.
    pub(crate) fn notes(&self, now: Instant) -> Vec<String> {
        let age = |noted: &Noted| now.saturating_since(noted.at);
        let mut noted: Vec<&Noted> = self.last.values().filter(|noted| age(noted) <= NOTED_TIME).collect();
        noted.sort_by_key(|noted| age(noted));
        let note = |noted: &Noted| {
            let Noted { address, reason, .. } = noted;
            format!("no connection with {address}, {} s ago: {reason}", age(noted).as_secs())
        };
        noted.into_iter().map(note).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_last_refusal_of_each_kind_is_noted_and_the_latest_comes_first() {
        let mut refusals = Refusals::default();
        for second in 1..=20 {
            refusals.add(at(second), &format!("127.0.0.{second}:7946"), &Refusal::WrongSecret);
        }
        refusals.add(at(23), "seed:7946", &Refusal::WireVersion { ours: 3, theirs: 2 });
        let notes = refusals.notes(at(25));
        let wrong = "no connection with 127.0.0.20:7946, 5 s ago: the cluster secrets differ; give every node the \
                     same `--secret`";
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("no connection with seed:7946, 2 s ago: no wire version"), "{notes:?}");
        assert_eq!(notes[1], wrong);
    }

    #[test]
    fn what_does_not_come_again_is_noted_no_more() {
        let mut refusals = Refusals::default();
        refusals.add(at(1), "seed:7946", &Refusal::DuplicateIdentity);
        assert_eq!(refusals.notes(at(1) + NOTED_TIME).len(), 1);
        assert_eq!(refusals.notes(at(2) + NOTED_TIME), [""; 0]);
    }

    #[test]
    fn a_long_reason_of_a_stranger_is_cut() {
        let mut refusals = Refusals::default();
        refusals.add(at(1), "seed:7946", &Refusal::Malformed { detail: "é".repeat(5000) });
        assert!(refusals.notes(at(1))[0].chars().count() < NOTED_LETTERS_MAX + 60);
    }
}
