//! The wires: how long anything takes from one computer to another, and whether it gets there at all.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Instant, Rng, Seed};

use crate::NodeIndex;
use crate::options::NetworkFaults;

/// Time on the wire per byte of a healthy link: one gigabit per second.
const NANOS_PER_BYTE: u64 = 8;

/// First retransmission timeout, as in Linux; it doubles with each further loss.
const RETRANSMIT_FIRST: Duration = Duration::from_millis(200);

/// Longest wait between two retransmissions that still matter here.
const RETRANSMIT_MAX: Duration = Duration::from_secs(3);

/// Longest that a slow link takes: what is on the way would else hold up all that comes later on its connection, long
/// after the link is fast again.
const SLOW_MAX: Duration = Duration::from_secs(3);

/// One direction between two computers.
pub(crate) type Link = (NodeIndex, NodeIndex);

/// All links.
#[derive(Debug)]
pub(crate) struct Links {
    rng: Rng,
    /// From which each link's own latency follows, without a table of all pairs.
    character: u64,
    /// Links that swallow everything, with the time since when.
    blocked: BTreeMap<Link, Instant>,
    /// Links of pairs that are cut, whatever partitions come and go.
    cut: BTreeMap<Link, Instant>,
    /// Links that are slower by a factor.
    slowed: BTreeMap<Link, u32>,
}

impl Links {
    pub(crate) fn new(seed: &Seed) -> Self {
        let mut rng = seed.child("links").rng();
        let character = rng.next_u64();
        Self { rng, character, blocked: BTreeMap::new(), cut: BTreeMap::new(), slowed: BTreeMap::new() }
    }

    pub(crate) fn block(&mut self, link: Link, now: Instant) {
        self.blocked.entry(link).or_insert(now);
    }

    pub(crate) fn cut(&mut self, link: Link, now: Instant) {
        self.cut.entry(link).or_insert(now);
    }

    pub(crate) fn is_blocked(&self, link: Link) -> bool {
        let of = |links: &BTreeMap<Link, Instant>| !links.is_empty() && links.contains_key(&link);
        of(&self.blocked) || of(&self.cut)
    }

    /// Unblocks all links and returns them, with the time since when they were blocked.
    pub(crate) fn unblock_all(&mut self) -> BTreeMap<Link, Instant> {
        let mut unblocked = std::mem::take(&mut self.cut);
        unblocked.append(&mut self.blocked);
        unblocked
    }

    /// Lets a pair's link carry again, if no partition blocks it; returns it with the time since when it was cut.
    pub(crate) fn mend(&mut self, link: Link) -> Option<(Link, Instant)> {
        let since = self.cut.remove(&link)?;
        (!self.blocked.contains_key(&link)).then_some((link, since))
    }

    pub(crate) fn slow(&mut self, link: Link, factor: u32) {
        match factor {
            0 | 1 => self.slowed.remove(&link),
            _ => self.slowed.insert(link, factor),
        };
    }

    pub(crate) fn restore_all(&mut self) {
        self.slowed.clear();
    }

    fn factor(&self, link: Link) -> u64 {
        match self.slowed.is_empty() {
            true => 1,
            false => u64::from(self.slowed.get(&link).copied().unwrap_or(1)),
        }
    }

    /// How long the next thing takes on the way.
    pub(crate) fn draw_latency(&mut self, link: Link, faults: &NetworkFaults) -> Duration {
        let least = u64::from(faults.latency_micros_min) * 1000;
        let span = u64::from(faults.latency_micros_max).saturating_mul(1000).saturating_sub(least) + 1;
        let name = u64::from(link.0.0) << 16 | u64::from(link.1.0);
        let own = mix(self.character ^ name) % span;
        // Halving probability for doubling scale: a long tail from integers only, the same on every machine.
        let bits = self.rng.next_u64();
        let scale = (u64::from(faults.jitter_micros) * 1000) << (bits | 1 << 5).trailing_zeros();
        let jitter = ((u128::from(bits >> 6) * u128::from(scale)) >> 58) as u64;
        let healthy = Duration::from_nanos(least + own + jitter);
        let slow = Duration::from_nanos((least + own + jitter).saturating_mul(self.factor(link)));
        slow.min(SLOW_MAX).max(healthy)
    }

    /// How long the wire is busy with so many bytes.
    pub(crate) fn transmission(&self, link: Link, bytes: usize) -> Duration {
        Duration::from_nanos(bytes as u64 * NANOS_PER_BYTE * self.factor(link))
    }

    /// Whether something happens, by the network's generator.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.chance(probability)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    pub(crate) fn nonce(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// How long a lost write waits for its retransmission.
    pub(crate) fn draw_retransmission(&mut self) -> Duration {
        let doublings = (self.rng.next_u64() | 1 << 3).trailing_zeros();
        RETRANSMIT_FIRST * (1 << doublings)
    }

    /// How long after the end of a blockade the other side's next retransmission comes: it was backing off.
    pub(crate) fn draw_recovery(&mut self, blocked: Duration) -> Duration {
        let most = blocked.min(RETRANSMIT_MAX).as_nanos() as u64;
        Duration::from_nanos(self.rng.below(most + 1))
    }
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = (NodeIndex(0), NodeIndex(1));

    #[test]
    fn a_pair_is_mended_for_itself_and_not_within_a_partition() {
        let (mut links, now) = (Links::new(&Seed::from_number(1)), Instant::ZERO);
        links.cut(LINK, now);
        assert!(links.is_blocked(LINK) && !links.is_blocked((LINK.1, LINK.0)));
        assert_eq!(links.mend(LINK), Some((LINK, now)));
        assert!(!links.is_blocked(LINK));
        links.cut(LINK, now);
        links.block(LINK, now);
        assert_eq!(links.mend(LINK), None);
        assert!(links.is_blocked(LINK));
        links.cut(LINK, now);
        assert_eq!(links.unblock_all(), [(LINK, now)].into());
        assert!(!links.is_blocked(LINK));
    }

    #[test]
    fn latency_stays_in_its_bounds_and_a_factor_scales_it() {
        let faults = NetworkFaults {
            latency_micros_min: 100,
            latency_micros_max: 300,
            jitter_micros: 10,
            ..Default::default()
        };
        let mut links = Links::new(&Seed::from_number(1));
        let bounds = Duration::from_micros(100)..=Duration::from_micros(300 + 320);
        assert!((0..1000).all(|_| bounds.contains(&links.draw_latency(LINK, &faults))));
        links.slow(LINK, 50);
        assert!(links.draw_latency(LINK, &faults) >= Duration::from_millis(5));
        assert_eq!(links.transmission(LINK, 1000), Duration::from_micros(400));
        links.restore_all();
        assert!(bounds.contains(&links.draw_latency(LINK, &faults)));
    }
}
