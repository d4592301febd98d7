//! Randomness that can be repeated.

use std::fmt;

use rand::TryRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

/// The root of all randomness of one node or one simulated world.
///
/// Generators are split off by label, so that one more draw in one place does not shift the draws of another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed from all of its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A seed from a number, as given on a command line.
    pub fn from_number(number: u64) -> Self {
        Self(blake3::derive_key("gritmesh 2026 seed from number", &number.to_le_bytes()))
    }

    /// The seed of a part of this seed's world.
    pub fn child(&self, label: &str) -> Self {
        Self(*blake3::keyed_hash(&self.0, label.as_bytes()).as_bytes())
    }

    /// A generator that starts from this seed.
    pub fn rng(&self) -> Rng {
        Rng(Xoshiro256PlusPlus::from_seed(self.0))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A production seed also feeds nonces, so it must not end in a log.
        f.write_str("Seed(..)")
    }
}

/// A deterministic random generator; never a source of keys.
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        let Ok(bits) = self.0.try_next_u64();
        bits
    }

    /// A number in `0..bound`; zero if `bound` is zero.
    ///
    /// Lemire's multiply-shift without rejection: the bias is below 2^-32 for every bound used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        const BITS: u64 = 1 << 53;
        ((self.next_u64() >> 11) as f64) < probability * BITS as f64
    }

    /// Swaps the items of a slice into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// Fills a buffer with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let Ok(()) = self.0.try_fill_bytes(bytes);
    }
}

/// Lets libraries that draw from the `rand` traits, as foca does, draw from ours.
impl TryRng for Rng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.try_fill_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers_and_labels_differ() {
        let draw = |seed: Seed| (0..4).map(|_| seed.rng().next_u64()).collect::<Vec<_>>();
        let seed = Seed::from_number(7);
        assert_eq!(draw(seed.child("a")), draw(seed.child("a")));
        assert_ne!(draw(seed.child("a")), draw(seed.child("b")));
    }

    #[test]
    fn first_numbers_are_pinned() {
        // A change here changes the meaning of every committed simulator seed.
        let mut rng = Seed::from_number(1).rng();
        let drawn: Vec<u64> = (0..3).map(|_| rng.below(1_000_000)).collect();
        assert_eq!(drawn, PINNED);
    }

    const PINNED: [u64; 3] = [2866, 934_447, 528_531];

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = Seed::from_number(3).rng();
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[rng.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn chance_respects_its_ends() {
        let mut rng = Seed::from_number(4).rng();
        assert!((0..1000).all(|_| !rng.chance(0.0)));
        assert!((0..1000).all(|_| rng.chance(1.0)));
    }
}
