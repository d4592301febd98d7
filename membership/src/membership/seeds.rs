//! The addresses that the operator gave, dialled for as long as nobody is known to be there.

use std::net::SocketAddr;
use std::time::Duration;

use gritmesh_runtime::Rng;

/// One address of the seed list.
#[derive(Debug)]
struct Seed {
    text: String,
    // `None` if the text holds a host name; who answers there is then not known by address.
    address: Option<SocketAddr>,
    own: bool,
    failed: bool,
    dialled: bool,
    pause: Duration,
}

#[derive(Debug)]
pub(super) struct Seeds {
    list: Vec<Seed>,
    retry: (Duration, Duration),
}

/// What the machine knows about who is there.
pub(super) struct Reach<'a> {
    pub(super) connected: &'a dyn Fn(SocketAddr) -> bool,
    pub(super) has_members: bool,
}

impl Seeds {
    pub(super) fn new(texts: &[String], own: &[String], retry: (Duration, Duration)) -> Self {
        let seed = |text: &String| Seed {
            text: text.clone(),
            address: text.parse().ok(),
            own: own.contains(text),
            failed: false,
            dialled: false,
            pause: retry.0,
        };
        Self { list: texts.iter().map(seed).collect(), retry }
    }

    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether this node is the one that may found a cluster: it has no seeds, or stands first among them.
    pub(super) fn may_found(&self) -> bool {
        self.list.first().is_none_or(|first| first.own)
    }

    /// Whether every seed but this node itself satisfies a condition on its address. A host name never does.
    pub(super) fn all_others(&self, mut holds: impl FnMut(SocketAddr) -> bool) -> bool {
        self.list.iter().filter(|seed| !seed.own).all(|seed| seed.address.is_some_and(&mut holds))
    }

    /// Marks a seed as this node itself.
    pub(super) fn mark_own(&mut self, address: &str) {
        self.find(address).for_each(|seed| seed.own = true);
    }

    /// Marks the last dial of a seed as failed.
    pub(super) fn mark_failed(&mut self, address: &str) {
        self.find(address).for_each(|seed| seed.failed = true);
    }

    fn find(&mut self, address: &str) -> impl Iterator<Item = &mut Seed> {
        self.list.iter_mut().filter(move |seed| seed.text == address)
    }

    /// Decides about one seed: whom to dial now, and how long to wait until it is looked at again. `None` if
    /// never again.
    pub(super) fn visit(
        &mut self,
        index: usize,
        rng: &mut Rng,
        reach: &Reach<'_>,
    ) -> Option<(Option<String>, Duration)> {
        let (first, longest) = self.retry;
        let seed = self.list.get_mut(index).filter(|seed| !seed.own)?;
        let reached = match seed.address {
            Some(address) => (reach.connected)(address),
            None => reach.has_members && seed.dialled && !seed.failed,
        };
        if reached {
            seed.pause = first;
            return Some((None, longest));
        }
        (seed.dialled, seed.failed) = (true, false);
        // A tenth of jitter keeps restarted clusters from dialling in step.
        let wait = seed.pause + seed.pause.mul_f64(rng.below(100) as f64 / 1000.0);
        seed.pause = (seed.pause * 2).min(longest);
        Some((Some(seed.text.clone()), wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gritmesh_runtime::Seed as RandomSeed;

    fn seeds(texts: &[&str], own: &[&str]) -> Seeds {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let retry = (Duration::from_millis(250), Duration::from_secs(5));
        Seeds::new(&owned(texts), &owned(own), retry)
    }

    #[test]
    fn the_first_may_found() {
        assert!(seeds(&[], &["a:1"]).may_found());
        assert!(seeds(&["a:1", "b:1"], &["a:1"]).may_found());
        assert!(!seeds(&["b:1", "a:1"], &["a:1"]).may_found());
        let mut named = seeds(&["host:1", "b:1"], &["a:1"]);
        assert!(!named.may_found());
        named.mark_own("host:1");
        assert!(named.may_found());
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again() {
        let mut rng = RandomSeed::from_number(1).rng();
        let mut list = seeds(&["127.0.0.1:1"], &[]);
        let away = Reach { connected: &|_| false, has_members: false };
        let pauses: Vec<u128> = (0..7)
            .map(|_| {
                let (dial, pause) = list.visit(0, &mut rng, &away).unwrap();
                assert_eq!(dial.as_deref(), Some("127.0.0.1:1"));
                pause.as_millis()
            })
            .collect();
        let expected = [250, 500, 1000, 2000, 4000, 5000, 5000];
        assert!(
            pauses.iter().zip(expected).all(|(is, base)| (base..=base * 11 / 10).contains(is)),
            "{pauses:?}"
        );
        let there = Reach { connected: &|_| true, has_members: true };
        assert_eq!(list.visit(0, &mut rng, &there), Some((None, Duration::from_secs(5))));
        assert!(list.visit(0, &mut rng, &away).unwrap().1 < Duration::from_millis(300));
        assert_eq!(list.visit(1, &mut rng, &away), None);
    }

    #[test]
    fn a_named_seed_is_left_alone_once_a_dial_did_not_fail() {
        let mut rng = RandomSeed::from_number(1).rng();
        let mut list = seeds(&["host:1"], &[]);
        let member = Reach { connected: &|_| false, has_members: true };
        assert!(list.visit(0, &mut rng, &member).unwrap().0.is_some());
        assert!(list.visit(0, &mut rng, &member).unwrap().0.is_none());
        list.mark_failed("host:1");
        assert!(list.visit(0, &mut rng, &member).unwrap().0.is_some());
    }
}
