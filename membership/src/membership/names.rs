//! Names among the seeds, and who founds behind one.
//!
//! **Problem.** One name may stand for all nodes: a headless service, a round-robin entry. Every node finds itself behind
//! it, often first, and each of them would take the whole name for its own and found a cluster.
//!
//! **Design.** A name is nobody's own; the addresses that it shows are. All of them are called, again and again, for a
//! name may show more tomorrow. If the first seed is a name, the node with the lowest of its addresses founds, once the
//! name has shown the same addresses for [`Options::found_after`](crate::Options::found_after), they are as many as
//! [`Options::expect`](crate::Options::expect) says, and each of the others has answered since then that it has no
//! cluster. What the name has not shown for as long does not count any more: a node that moved answers no more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use gritmesh_runtime::Instant;

use super::cluster::{ACQUAINT_RETRY, Standing};
use super::{Alarm, Membership};
use crate::event::Effect;

/// Addresses of one name that are called. A name shows all nodes of a cluster, or as many as the answer of a resolver
/// holds.
pub(super) const ADDRESSES_MAX: usize = 1024;

/// How old the answers may be on which a cluster is founded: some rounds of asking.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(2);

/// What a name has shown.
#[derive(Debug, Default)]
pub(super) struct Name {
    /// When each address was shown for the last time.
    shown: BTreeMap<SocketAddr, Instant>,
    /// Since when it has shown what it shows now.
    since: Instant,
}

impl Name {
    pub(super) fn show(&mut self, now: Instant, found: &[SocketAddr], settle: Duration) {
        let before: BTreeSet<SocketAddr> = self.shown.keys().copied().collect();
        for address in found {
            if self.shown.len() < ADDRESSES_MAX || self.shown.contains_key(address) {
                self.shown.insert(*address, now);
            }
        }
        self.shown.retain(|_, at| now - *at < settle);
        if !before.iter().eq(self.shown.keys()) {
            self.since = now;
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.shown.keys().copied()
    }

    /// The others that have to answer before the node with one of these addresses may found, and since when; `None` if
    /// it may not.
    fn others(
        &self,
        now: Instant,
        own: &BTreeSet<SocketAddr>,
        settle: Duration,
        expect: usize,
    ) -> Option<(Vec<SocketAddr>, Instant)> {
        let lowest = self.shown.keys().next()?;
        let settled = now - self.since >= settle && self.shown.len() >= expect.max(1);
        (settled && own.contains(lowest))
            .then(|| (self.addresses().filter(|address| !own.contains(address)).collect(), self.since))
    }
}

impl Membership {
    /// A name among the seeds has these addresses now.
    pub(super) fn on_resolved(
        &mut self,
        now: Instant,
        name: &str,
        found: &[SocketAddr],
        out: &mut Vec<Effect>,
    ) {
        for address in self.seeds.resolved(now, name, found, self.options.found_after) {
            let connected = self.peers.values().any(|peer| peer.address == address);
            if !connected {
                out.push(Effect::Dial { address: address.to_string() });
            }
        }
        self.found_by_name(now, out);
    }

    /// Looks again at a name, and asks those behind it again: what one said before it founded may be old.
    pub(super) fn watch_name(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if !matches!(self.standing, Standing::Searching) {
            return;
        }
        let clusterless = self.peers.iter().filter(|(_, peer)| peer.cluster.is_none());
        let clusterless: Vec<_> = clusterless.map(|(node, _)| *node).collect();
        clusterless.into_iter().for_each(|node| self.introduce(node, true, out));
        self.found_by_name(now, out);
        self.alarms.insert(now + ACQUAINT_RETRY, Alarm::Name);
    }

    /// Founds, if this node stands lowest behind the name that is the first seed, and all others have answered.
    pub(super) fn found_by_name(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if !matches!(self.standing, Standing::Searching) {
            return;
        }
        let Some((name, own)) = self.seeds.first_name() else { return };
        let Some((others, since)) = name.others(now, own, self.options.found_after, self.options.expect)
        else {
            return;
        };
        let peers = &self.peers;
        let said_none = |address: &SocketAddr| {
            let recent = |at: Instant| at >= since && now - at <= ANSWER_AGE_MAX;
            let says = |peer: &super::Peer| peer.cluster.is_none() && recent(peer.said_none);
            peers.values().any(|peer| peer.address == *address && says(peer))
        };
        if others.iter().all(said_none) {
            self.found_now(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(3);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(100 + seconds)
    }

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|last| SocketAddr::from(([10, 0, 0, *last], 7946))).collect()
    }

    fn others(name: &Name, now: Instant, own: u8, expect: usize) -> Option<Vec<SocketAddr>> {
        let own = addresses(&[own]).into_iter().collect();
        name.others(now, &own, SETTLE, expect).map(|(others, _)| others)
    }

    #[test]
    fn the_lowest_founds_once_the_name_has_settled() {
        let mut name = Name::default();
        name.show(at(0), &addresses(&[2, 1, 3]), SETTLE);
        assert_eq!(others(&name, at(2), 1, 0), None);
        name.show(at(2), &addresses(&[3, 2, 1]), SETTLE);
        assert_eq!(others(&name, at(3), 1, 0), Some(addresses(&[2, 3])));
        assert_eq!(others(&name, at(3), 2, 0), None);
        assert_eq!(others(&name, at(3), 9, 0), None, "it does not stand behind the name");
        assert_eq!(others(&name, at(3), 1, 4), None, "one more is expected");
    }

    #[test]
    fn a_name_that_shows_one_more_settles_anew_and_what_it_shows_no_more_counts_for_a_while() {
        let mut name = Name::default();
        name.show(at(0), &addresses(&[1]), SETTLE);
        name.show(at(2), &addresses(&[1, 2]), SETTLE);
        assert_eq!(others(&name, at(4), 1, 0), None);
        name.show(at(4), &addresses(&[1]), SETTLE);
        assert_eq!(others(&name, at(5), 1, 0), Some(addresses(&[2])));
        name.show(at(6), &addresses(&[1]), SETTLE);
        assert_eq!(others(&name, at(6), 1, 0), None);
        name.show(at(8), &addresses(&[1]), SETTLE);
        name.show(at(9), &addresses(&[1]), SETTLE);
        assert_eq!(others(&name, at(9), 1, 0), Some(vec![]));
    }

    #[test]
    fn a_name_that_was_never_resolved_lets_nobody_found() {
        assert_eq!(others(&Name::default(), at(1000), 1, 0), None);
    }
}
