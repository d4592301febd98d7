//! At no instant do two processes believe that they lead a shard alone.
//!
//! Who holds a lease answers queries and lets observers see what is committed without asking anybody. Time is the
//! world's here, whatever the clocks of the nodes show.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Found;
use crate::history::{History, LeaseSpan};

const CODE: &str = "one_lease";

/// Instants are translated from clock to clock with rounding.
const ROUNDING: Duration = Duration::from_micros(1);

pub(crate) fn check(history: &History, found: Found<'_>) {
    let mut of_shard: BTreeMap<u32, Vec<&LeaseSpan>> = BTreeMap::new();
    for span in &history.leases {
        of_shard.entry(span.shard).or_default().push(span);
    }
    for (shard, mut spans) in of_shard {
        spans.sort_by_key(|span| span.from);
        let mut last: Option<&LeaseSpan> = None;
        for span in spans {
            if let Some(last) = last.filter(|last| last.until > span.from + ROUNDING) {
                let (one, other) = (last.node, span.node);
                let (since, until) = (span.from, last.until);
                let detail = format!(
                    "{other} holds the lease of shard {shard} since {since}, and {one} until {until}"
                );
                found(CODE, since, detail);
            }
            last = last.filter(|last| last.until > span.until).or(Some(span));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::world::NodeIndex;

    fn story(spans: &[(u32, u16, u64, u64)]) -> Story {
        let mut story = Story::new();
        story.history.leases = spans
            .iter()
            .map(|(shard, node, from, until)| LeaseSpan {
                shard: *shard,
                node: NodeIndex(*node),
                from: at(*from),
                until: at(*until),
            })
            .collect();
        story
    }

    #[test]
    fn leases_that_follow_each_other_or_are_of_two_shards_are_clean() {
        story(&[(1, 0, 100, 200), (1, 2, 200, 300), (2, 1, 150, 250)]).is_clean(check);
    }

    #[test]
    fn leases_that_overlap_are_found_also_under_a_longer_one() {
        story(&[(1, 0, 100, 200), (1, 2, 199, 300)])
            .is_broken(check, "n2 holds the lease of shard 1 since 0.199000s, and n0 until 0.200000s");
        story(&[(1, 0, 100, 900), (1, 0, 150, 160), (1, 2, 500, 600)])
            .is_broken(check, "and n0 until 0.900000s");
    }
}
