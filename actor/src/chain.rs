//! The chain of calls that led to a call, and how a cycle in it is found.

use std::fmt;
use std::sync::Arc;

use gritmesh_runtime::ActorAddress;

/// Longest chain of calls that wait for each other. A longer one is almost surely endless recursion through
/// ever new actors.
pub(crate) const CHAIN_LINKS_MAX: usize = 64;

/// The actors that wait, each for the next, while a call runs. Empty for a call from outside.
///
/// A call to an actor that is already in its own chain would wait for itself for ever, so it is refused at once,
/// wherever the links of the chain are. Two *different* chains that wait for each other are not seen; they end
/// by their deadlines.
#[derive(Clone, Default)]
pub struct Chain {
    last: Option<Arc<Link>>,
}

struct Link {
    address: ActorAddress,
    before: Chain,
    length: usize,
}

impl Chain {
    /// The chain of a call from outside.
    pub const EMPTY: Self = Self { last: None };

    /// This chain, and then `address` waiting too.
    #[must_use]
    pub fn then(&self, address: ActorAddress) -> Self {
        let length = self.len() + 1;
        Self { last: Some(Arc::new(Link { address, before: self.clone(), length })) }
    }

    /// How many actors wait.
    pub fn len(&self) -> usize {
        self.last.as_ref().map_or(0, |link| link.length)
    }

    /// Whether the call came from outside.
    pub const fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The waiting actors, the first caller first.
    pub fn to_vec(&self) -> Vec<ActorAddress> {
        let mut links: Vec<ActorAddress> = self.newest_first().cloned().collect();
        links.reverse();
        links
    }

    /// The cycle that a call to `target` would close, as `a -> b -> a`.
    pub fn cycle_to(&self, target: &ActorAddress) -> Option<String> {
        if !self.newest_first().any(|address| address == target) {
            return None;
        }
        let mut text = String::new();
        for address in self.to_vec().iter().skip_while(|address| *address != target) {
            text.push_str(&format!("{address} -> "));
        }
        Some(format!("{text}{target}"))
    }

    /// Whether no further link may be added.
    pub fn is_full(&self) -> bool {
        self.len() >= CHAIN_LINKS_MAX
    }

    fn newest_first(&self) -> impl Iterator<Item = &ActorAddress> {
        let mut next = self.last.as_deref();
        std::iter::from_fn(move || {
            let link = next?;
            next = link.before.last.as_deref();
            Some(&link.address)
        })
    }
}

/// From the first caller on. What exceeds the longest chain is left out: it may come from a peer, and a chain that
/// is full gets no further anyway.
impl FromIterator<ActorAddress> for Chain {
    fn from_iter<I: IntoIterator<Item = ActorAddress>>(addresses: I) -> Self {
        addresses.into_iter().take(CHAIN_LINKS_MAX).fold(Self::EMPTY, |chain, address| chain.then(address))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.to_vec()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(id: &str) -> ActorAddress {
        ActorAddress::new("t", id).unwrap()
    }

    #[test]
    fn finds_the_cycle_and_only_the_cycle() {
        let chain: Chain = ["a", "b", "c"].into_iter().map(address).collect();
        assert_eq!(chain.cycle_to(&address("b")).as_deref(), Some("t/b -> t/c -> t/b"));
        assert_eq!(chain.cycle_to(&address("d")), None);
        assert_eq!(Chain::EMPTY.cycle_to(&address("a")), None);
        assert_eq!(chain.len(), 3);
    }

    #[test]
    fn a_chain_has_an_end() {
        let chain: Chain = std::iter::repeat_n(address("a"), 1_000_000).collect();
        assert!(chain.is_full());
        assert_eq!(chain.len(), CHAIN_LINKS_MAX);
    }
}
