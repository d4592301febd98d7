//! Who gives way when there are more than there is room for.
//!
//! **Problem.** Whoever has a place and does nothing keeps it from others. A bound that turns newcomers away is kept full by a
//! stranger at no cost, and then he has locked out everybody.
//!
//! **Design.** A newcomer always gets a place. When there is none, one of the address that has most of them gives way, and of
//! those the one that came first: who means well is done in a moment, so what is oldest is idle, and a stranger with
//! one address crowds out nobody but himself.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Members of a crowd, by address and in the order in which they came.
#[derive(Debug)]
pub struct Crowd<T> {
    next: u64,
    members: BTreeMap<IpAddr, BTreeMap<u64, T>>,
    count: usize,
}

impl<T> Crowd<T> {
    /// A crowd of nobody.
    pub const fn new() -> Self {
        Self { next: 0, members: BTreeMap::new(), count: 0 }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody is there.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes one in. Returns its number, which no other ever has.
    pub fn enter(&mut self, from: IpAddr, member: T) -> u64 {
        let number = self.next;
        self.next += 1;
        self.members.entry(network(from)).or_default().insert(number, member);
        self.count += 1;
        number
    }

    /// Lets one go. `None` if it is not there any more.
    pub fn leave(&mut self, from: IpAddr, number: u64) -> Option<T> {
        let from = network(from);
        let members = self.members.get_mut(&from)?;
        let member = members.remove(&number)?;
        if members.is_empty() {
            self.members.remove(&from);
        }
        self.count -= 1;
        Some(member)
    }

    /// Has one give way.
    pub fn make_room(&mut self) -> Option<T> {
        // Of addresses that have the same number of members, the one whose first came first.
        let rank = |(_, members): &(&IpAddr, &BTreeMap<u64, T>)| {
            (members.len(), members.keys().next().copied().map(Reverse))
        };
        let (from, members) = self.members.iter().max_by_key(rank)?;
        let (from, number) = (*from, *members.keys().next()?);
        self.leave(from, number)
    }
}

impl<T> Default for Crowd<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What counts as one address. Whoever has one of version 6 has as many as he likes that begin with the same 64 bits.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crowd whose members are called by the order in which they came.
    fn crowd(from: &[&str]) -> Crowd<usize> {
        let mut crowd = Crowd::new();
        for (member, from) in from.iter().enumerate() {
            crowd.enter(from.parse().unwrap(), member);
        }
        crowd
    }

    fn leaving(mut crowd: Crowd<usize>) -> Vec<usize> {
        std::iter::from_fn(|| crowd.make_room()).collect()
    }

    #[test]
    fn the_oldest_of_whom_has_most_gives_way() {
        let crowd = crowd(&["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.1", "10.0.0.3"]);
        assert_eq!(crowd.len(), 6);
        assert_eq!(leaving(crowd), [1, 0, 2, 3, 4, 5]);
    }

    #[test]
    fn one_who_has_many_addresses_of_a_network_counts_once() {
        let mapped = ["10.0.0.1", "::ffff:10.0.0.2", "10.0.0.2"];
        assert_eq!(leaving(crowd(&mapped)), [1, 0, 2]);
        let same = ["10.0.0.1", "fd00:1:2:3::1", "fd00:1:2:4::1", "fd00:1:2:3::2"];
        assert_eq!(leaving(crowd(&same)), [1, 0, 2, 3]);
    }

    #[test]
    fn whoever_has_left_is_gone_once() {
        let mut crowd = crowd(&["10.0.0.1", "10.0.0.1"]);
        let from = "10.0.0.1".parse().unwrap();
        assert_eq!((crowd.leave(from, 0), crowd.leave(from, 0)), (Some(0), None));
        assert_eq!((crowd.make_room(), crowd.make_room()), (Some(1), None));
        assert!(crowd.is_empty() && crowd.members.is_empty());
        assert_eq!(crowd.enter(from, 7), 2, "numbers are not used again");
    }
}
