//! An actor has one history: all steps with one number that were ever found on any disk are one and the same, and the
//! chain behind every last head can be proven.

use std::collections::BTreeMap;

use super::Found;
use crate::history::{History, StepSeen};

const CODE: &str = "one_history";

pub(crate) fn check(history: &History, found: Found<'_>) {
    let mut known: BTreeMap<(&str, u64), &StepSeen> = BTreeMap::new();
    for step in &history.steps {
        let first = known.entry((&step.actor, step.number)).or_insert(step);
        if first.id != step.id {
            let detail = format!(
                "step {} of {} is {} on {} and {} on {}",
                step.number, step.actor, first.id, first.node, step.id, step.node
            );
            found(CODE, step.at, detail);
        }
    }
    let remains = history.remains.iter();
    for (at, broken) in
        remains.flat_map(|remains| remains.broken_chains.iter().map(|broken| (remains.at, broken)))
    {
        found(CODE, at, broken.clone());
    }
}

#[cfg(test)]
mod tests {
    use gritmesh_store::{ObjectId, ObjectKind};

    use super::super::testing::{Story, at};
    use super::*;
    use crate::world::NodeIndex;

    fn see(story: &mut Story, node: u16, actor: &str, number: u64, id: &[u8]) {
        let (node, actor, id) = (NodeIndex(node), actor.to_owned(), ObjectId::of(ObjectKind::Step, id));
        story.history.steps.push(StepSeen { at: at(1), node, actor, number, id });
    }

    #[test]
    fn one_chain_on_all_disks_is_clean() {
        let mut story = Story::new();
        for node in 0..3 {
            see(&mut story, node, "v0", 1, b"one");
            see(&mut story, node, "v0", 2, b"two");
        }
        see(&mut story, 0, "v1", 1, b"other");
        story.is_clean(check);
    }

    #[test]
    fn two_children_of_one_step_are_found() {
        let mut story = Story::new();
        see(&mut story, 0, "v0", 1, b"one");
        see(&mut story, 0, "v0", 2, b"two");
        see(&mut story, 4, "v0", 2, b"another");
        story.is_broken(check, "step 2 of v0 is ");
    }

    #[test]
    fn a_chain_that_breaks_is_found() {
        let mut story = Story::new();
        story.left("v0");
        let broken = "the chain of v0 on n1 breaks".to_owned();
        story.history.remains.as_mut().unwrap().broken_chains.push(broken);
        story.is_broken(check, "the chain of v0 on n1 breaks");
    }
}
