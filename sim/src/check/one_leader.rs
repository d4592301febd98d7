//! A shard has one leader in each term.

use std::collections::BTreeMap;

use super::Found;
use crate::history::{History, Lead};

const CODE: &str = "one_leader";

pub(crate) fn check(history: &History, found: Found<'_>) {
    let mut leaders: BTreeMap<(u32, u64), &Lead> = BTreeMap::new();
    for lead in &history.leads {
        let first = *leaders.entry((lead.shard, lead.term)).or_insert(lead);
        if first.node != lead.node {
            let Lead { shard, term, node, at } = lead;
            let detail =
                format!("{node} leads shard {shard} in term {term}, as {} did at {}", first.node, first.at);
            found(CODE, *at, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::world::NodeIndex;

    fn story(leads: &[(u32, u64, u16)]) -> Story {
        let mut story = Story::new();
        story.history.leads = leads
            .iter()
            .map(|(shard, term, node)| Lead {
                shard: *shard,
                term: *term,
                node: NodeIndex(*node),
                at: at(*term),
            })
            .collect();
        story
    }

    #[test]
    fn one_after_the_other_is_clean_and_who_is_started_again_may_lead_on() {
        story(&[(1, 3, 0), (1, 4, 1), (2, 3, 1), (1, 4, 1)]).is_clean(check);
    }

    #[test]
    fn two_in_one_term_are_found() {
        story(&[(1, 3, 0), (1, 4, 1), (1, 3, 2)]).is_broken(check, "n2 leads shard 1 in term 3, as n0 did");
    }
}
