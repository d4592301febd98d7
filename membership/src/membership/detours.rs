//! Members that answer others, and not this node.
//!
//! **Problem.** Where one pair of nodes is cut, and both reach a third, nobody is down: each of the two is told by the
//! third that the other one answers. But what the two send to each other is lost.
//!
//! **Design.** What counts is the way there and back: an answer to this node's own probe. If a member has given none
//! lately, while others have passed its answers on more than once, it is reached by a detour, over those who passed
//! them on. The next answer of its own ends that. That something arrives from it proves nothing: the link may be cut in
//! one direction only.
//!
//! One node in between is enough: a member that no third node reaches for this one is down for it.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId};

use super::Membership;
use crate::event::Effect;
use crate::view::View;

/// A member that answered by itself within this time is not reached by a detour: a probe that was slow once is asked
/// again by others although nothing is wrong.
const ANSWERED_LATELY: Duration = Duration::from_secs(1);

/// Probes in a row that were answered over others only.
const MISSES: u32 = 2;

/// Those who passed on a member's answers, the last ones first. More are of no use.
const RELAYS_MAX: usize = 3;

/// How the members are reached.
#[derive(Debug)]
pub(super) struct Detours {
    probe_period: Duration,
    members: BTreeMap<NodeId, Reach>,
    /// Which view was looked at last for members that are no more.
    version: u64,
}

#[derive(Debug, Default)]
struct Reach {
    answered: Instant,
    /// When a probe was last answered over others only, and how often since it last answered by itself.
    missed: Option<Instant>,
    misses: u32,
    relays: Vec<NodeId>,
}

impl Reach {
    const fn is_detour(&self) -> bool {
        self.misses >= MISSES
    }
}

impl Detours {
    pub(super) const fn new(probe_period: Duration) -> Self {
        Self { probe_period, members: BTreeMap::new(), version: 0 }
    }

    /// A member has answered a probe, by itself or over another one. Tells whether that changes how it is reached.
    fn answered(&mut self, now: Instant, member: NodeId, over: Option<NodeId>) -> bool {
        let reach = self.members.entry(member).or_default();
        let before = reach.is_detour();
        let Some(relay) = over else {
            *reach = Reach { answered: now, ..Reach::default() };
            return before;
        };
        if now - reach.answered < ANSWERED_LATELY && reach.answered > Instant::ZERO {
            return false;
        }
        if reach.missed.is_none_or(|missed| now - missed >= self.probe_period) {
            (reach.missed, reach.misses) = (Some(now), reach.misses.saturating_add(1));
        }
        let known = reach.relays.contains(&relay);
        if !known {
            reach.relays.insert(0, relay);
            reach.relays.truncate(RELAYS_MAX);
        }
        reach.is_detour() && (!before || !known)
    }

    /// Forgets members that are no more, and those who could pass something on and are no more.
    fn retain(&mut self, is_active: impl Fn(&NodeId) -> bool) -> bool {
        let mut changed = false;
        self.members.retain(|member, reach| {
            let before = reach.relays.len();
            reach.relays.retain(&is_active);
            let stays = is_active(member);
            changed |= reach.is_detour() && (!stays || reach.relays.len() < before);
            stays
        });
        changed
    }

    /// Members that are reached by a detour, and over whom.
    fn all(&self) -> BTreeMap<NodeId, Vec<NodeId>> {
        let detours = self.members.iter().filter(|(_, reach)| reach.is_detour() && !reach.relays.is_empty());
        detours.map(|(member, reach)| (*member, reach.relays.clone())).collect()
    }
}

impl Membership {
    /// Members that are active and do not answer this node itself, and over whom they are reached.
    pub fn detours(&self) -> BTreeMap<NodeId, Vec<NodeId>> {
        self.detours.all()
    }

    /// Takes note of the answers in the packets that were just read.
    pub(super) fn note_answers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let answers = std::mem::take(&mut self.swim.shared().lock().answers);
        let mut changed = false;
        for (member, over) in answers {
            if !is_active(&self.view, &member) {
                continue;
            }
            self.note_answer(now, member);
            changed |= self.detours.answered(now, member, over);
        }
        if self.detours.version != self.view.version {
            self.detours.version = self.view.version;
            changed |= self.detours.retain(|member| is_active(&self.view, member));
        }
        if changed {
            out.push(Effect::DetoursChanged);
        }
    }
}

fn is_active(view: &View, member: &NodeId) -> bool {
    view.members.get(member).is_some_and(|member| member.state.is_active())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);
    const C: NodeId = NodeId([3; 32]);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn detours() -> Detours {
        let mut detours = Detours::new(Duration::from_millis(200));
        assert!(!detours.answered(at(1_000), A, None));
        detours
    }

    #[test]
    fn a_member_that_only_others_reach_is_reached_over_them_until_it_answers() {
        let mut detours = detours();
        // Lately answered, then one probe, of which two others tell.
        assert!(!detours.answered(at(1_900), A, Some(B)));
        assert!(!detours.answered(at(2_000), A, Some(B)));
        assert!(!detours.answered(at(2_001), A, Some(C)));
        assert!(detours.all().is_empty());
        assert!(detours.answered(at(2_200), A, Some(B)));
        assert_eq!(detours.all(), [(A, vec![C, B])].into());
        assert!(!detours.answered(at(2_400), A, Some(B)), "nothing new");
        assert!(detours.answered(at(2_600), A, None));
        assert!(detours.all().is_empty());
        assert!(!detours.answered(at(2_800), A, Some(B)));
    }

    #[test]
    fn a_slow_member_that_answers_itself_is_not() {
        let mut detours = detours();
        for probe in 0..20 {
            let now = 1_000 + probe * 400;
            assert!(!detours.answered(at(now + 150), A, Some(B)));
            assert!(!detours.answered(at(now + 180), A, None));
        }
        assert!(detours.all().is_empty());
    }

    #[test]
    fn who_is_gone_is_no_detour_and_no_target() {
        let mut detours = detours();
        detours.answered(at(3_000), A, Some(B));
        detours.answered(at(3_200), A, Some(C));
        assert_eq!(detours.all(), [(A, vec![C, B])].into());
        assert!(detours.retain(|member| *member != C));
        assert_eq!(detours.all(), [(A, vec![B])].into());
        assert!(detours.retain(|member| *member == A), "nobody is left to go over");
        assert!(detours.all().is_empty());
        assert!(detours.retain(|_| false));
        assert!(detours.members.is_empty());
    }
}
