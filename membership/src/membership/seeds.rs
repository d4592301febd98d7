//! The addresses that the operator gave, dialled for as long as nobody is known to be there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use gritmesh_runtime::{Instant, Rng};

use super::names::Name;

/// The longest pause between two looks at a name, while there are no other members: short against the time for which it
/// has to show the same.
const NAME_RETRY_MAX: Duration = Duration::from_secs(1);

/// One entry of the seed list.
#[derive(Debug)]
struct Seed {
    text: String,
    kind: Kind,
    own: bool,
    failed: bool,
    dialled: bool,
    pause: Duration,
}

#[derive(Debug)]
enum Kind {
    Address(SocketAddr),
    Name(Name),
}

#[derive(Debug)]
pub(super) struct Seeds {
    list: Vec<Seed>,
    retry: (Duration, Duration),
    own: BTreeSet<SocketAddr>,
}

/// What the machine knows about who is there.
pub(super) struct Reach<'a> {
    pub(super) connected: &'a dyn Fn(SocketAddr) -> bool,
    pub(super) has_members: bool,
}

impl Seeds {
    pub(super) fn new(texts: &[String], own: &[String], retry: (Duration, Duration)) -> Self {
        let seed = |text: &String| {
            let kind = text.parse().map_or_else(|_| Kind::Name(Name::default()), Kind::Address);
            // A name may stand for others too, whoever else it stands for; this one never does.
            let nobody_else = matches!(kind, Kind::Address(_)) || text.starts_with("localhost:");
            Seed {
                text: text.clone(),
                kind,
                own: nobody_else && own.contains(text),
                failed: false,
                dialled: false,
                pause: retry.0,
            }
        };
        let own = own.iter().filter_map(|text| text.parse().ok()).collect();
        Self { list: texts.iter().map(seed).collect(), retry, own }
    }

    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether this node is the one that may found a cluster: it has no seeds, or stands first among them. Who founds
    /// behind a name is decided elsewhere.
    pub(super) fn may_found(&self) -> bool {
        self.list.first().is_none_or(|first| first.own)
    }

    /// The first seed, if it is a name, and the addresses that are this node's own.
    pub(super) fn first_name(&self) -> Option<(&Name, &BTreeSet<SocketAddr>)> {
        match self.list.first() {
            Some(Seed { kind: Kind::Name(name), own: false, .. }) => Some((name, &self.own)),
            _ => None,
        }
    }

    /// Notes what a name shows, and returns the addresses to be called.
    pub(super) fn resolved(
        &mut self,
        now: Instant,
        text: &str,
        found: &[SocketAddr],
        settle: Duration,
    ) -> Vec<SocketAddr> {
        let seed = self.list.iter_mut().find(|seed| seed.text == text);
        let Some(Seed { kind: Kind::Name(name), .. }) = seed else { return Vec::new() };
        name.show(now, found, settle);
        name.addresses().filter(|address| !self.own.contains(address)).collect()
    }

    /// Whether every seed but this node itself satisfies a condition on its address. A host name never does.
    pub(super) fn all_others(&self, mut holds: impl FnMut(SocketAddr) -> bool) -> bool {
        self.list.iter().filter(|seed| !seed.own).all(|seed| match seed.kind {
            Kind::Address(address) => holds(address),
            Kind::Name(_) => false,
        })
    }

    /// Marks an address as this node's own.
    pub(super) fn mark_own(&mut self, address: &str) {
        self.own.extend(address.parse::<SocketAddr>());
        self.find(address)
            .filter(|seed| matches!(seed.kind, Kind::Address(_)))
            .for_each(|seed| seed.own = true);
    }

    /// Marks the last dial of a seed as failed.
    pub(super) fn mark_failed(&mut self, address: &str) {
        self.find(address).for_each(|seed| seed.failed = true);
    }

    fn find(&mut self, address: &str) -> impl Iterator<Item = &mut Seed> {
        self.list.iter_mut().filter(move |seed| seed.text == address)
    }

    /// Decides about one seed: whom to dial now, and how long to wait until it is looked at again. `None` if
    /// never again. A name is resolved again and again until there are other members.
    pub(super) fn visit(
        &mut self,
        index: usize,
        rng: &mut Rng,
        reach: &Reach<'_>,
    ) -> Option<(Option<String>, Duration)> {
        let (first, longest) = self.retry;
        let seed = self.list.get_mut(index).filter(|seed| !seed.own)?;
        let (reached, longest_pause) = match seed.kind {
            Kind::Address(address) => ((reach.connected)(address), longest),
            Kind::Name(_) => (reach.has_members && seed.dialled && !seed.failed, longest.min(NAME_RETRY_MAX)),
        };
        if reached {
            seed.pause = first;
            return Some((None, longest));
        }
        (seed.dialled, seed.failed) = (true, false);
        // A tenth of jitter keeps restarted clusters from dialling in step.
        let wait = seed.pause + seed.pause.mul_f64(rng.below(100) as f64 / 1000.0);
        seed.pause = (seed.pause * 2).min(longest_pause);
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
        let (one, two) = ("10.0.0.1:1", "10.0.0.2:1");
        assert!(seeds(&[], &[one]).may_found());
        assert!(seeds(&[one, two], &[one]).may_found());
        assert!(!seeds(&[two, one], &[one]).may_found());
        let mut named = seeds(&["host:1", two], &["host:1", one]);
        assert!(!named.may_found());
        named.mark_own("host:1");
        assert!(!named.may_found(), "a name is nobody's own");
        assert!(named.first_name().is_some());
        assert!(seeds(&["localhost:1"], &["localhost:1"]).may_found());
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
