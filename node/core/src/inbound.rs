//! Recognises calls that arrive twice.
//!
//! A stream delivers every envelope at most once, but the network seam does not promise that, and a call must not
//! run twice whatever the network does. Each engine numbers its calls to each peer; the receiver keeps a window
//! of the last numbers (the anti-replay window of RFC 4303, section 3.4.3).

use std::collections::BTreeMap;

use gritmesh_runtime::{Incarnation, NodeId};

/// Numbers that may arrive out of order. What is older than the window is taken for a repetition.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Peers that are remembered. Peers that were forgotten start a new window, as restarted ones do.
const PEERS_MAX: usize = 4096;

/// The windows of all peers.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    incarnation: Incarnation,
    windows: BTreeMap<u8, Window>,
}

#[derive(Debug)]
struct Window {
    highest: u64,
    /// Bit `n % WINDOW` tells whether number `n` was seen, for the numbers of the window.
    seen: [u64; WORDS],
}

impl Inbound {
    /// A peer connected; a new incarnation counts from one.
    pub(crate) fn connected(&mut self, peer: NodeId, incarnation: Incarnation) {
        if self.peers.get(&peer).is_some_and(|known| known.incarnation == incarnation) {
            return;
        }
        if self.peers.len() >= PEERS_MAX {
            self.peers.pop_first();
        }
        self.peers.insert(peer, Peer { incarnation, windows: BTreeMap::new() });
    }

    /// Whether a call arrives for the first time, as far as that can be told.
    pub(crate) fn is_new(&mut self, peer: NodeId, engine: u8, number: u64) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else { return true };
        let window = peer.windows.entry(engine).or_insert(Window { highest: 0, seen: [0; WORDS] });
        window.is_new(number)
    }
}

impl Window {
    fn is_new(&mut self, number: u64) -> bool {
        if number > self.highest {
            let fresh = (number - self.highest).min(WINDOW);
            for skipped in number - fresh + 1..=number {
                self.set(skipped, false);
            }
            self.highest = number;
        } else if self.highest - number >= WINDOW || self.get(number) {
            return false;
        }
        self.set(number, true);
        true
    }

    const fn get(&self, number: u64) -> bool {
        let at = number % WINDOW;
        self.seen[(at / 64) as usize] & (1 << (at % 64)) != 0
    }

    const fn set(&mut self, number: u64, seen: bool) {
        let at = number % WINDOW;
        let (word, bit) = ((at / 64) as usize, 1 << (at % 64));
        match seen {
            true => self.seen[word] |= bit,
            false => self.seen[word] &= !bit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_new_incarnation_counts_anew() {
        let (peer, mut inbound) = (NodeId([1; 32]), Inbound::default());
        inbound.connected(peer, Incarnation(1));
        assert!(inbound.is_new(peer, 0, 1));
        assert!(!inbound.is_new(peer, 0, 1));
        assert!(inbound.is_new(peer, 1, 1), "engines count apart");
        inbound.connected(peer, Incarnation(1));
        assert!(!inbound.is_new(peer, 0, 1), "a reconnection is no restart");
        inbound.connected(peer, Incarnation(2));
        assert!(inbound.is_new(peer, 0, 1));
    }

    proptest! {
        #[test]
        fn no_number_passes_twice(numbers in prop::collection::vec(1u64..5000, 0..400)) {
            let mut window = Window { highest: 0, seen: [0; WORDS] };
            let mut passed = BTreeSet::new();
            let mut highest = 0;
            for number in numbers {
                let new = window.is_new(number);
                let expected = !passed.contains(&number) && (number > highest || highest - number < WINDOW);
                prop_assert_eq!(new, expected);
                highest = highest.max(number);
                if new {
                    passed.insert(number);
                }
            }
        }
    }
}
