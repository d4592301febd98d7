//! Members that answer others, and not this node.
//!
//! **Problem.** Where one pair of nodes is cut, and both reach a third, nobody is down: each of the two is told by the
//! third that the other one answers. But what the two send to each other is lost.
//!
//! **Design.** What counts is the way there and back: an answer to this node's own probe. If others have passed a
//! member's answer on, and none of its own comes for some time, it is reached by a detour, over those who passed it on.
//! A stream loses nothing while it stands, so the answer of a member that is only slow comes within that time. The next
//! answer of its own ends the detour. That something arrives from it proves nothing: the link may be cut in one
//! direction only.
//!
//! One node in between is enough: a member that no third node reaches for this one is down for it.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId};

use super::{Alarm, Membership};
use crate::event::Effect;
use crate::view::View;

/// How many probe periods a member's own answer may take longer than one that others pass on.
const PATIENCE_PERIODS: u32 = 3;

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
    /// When the member last answered by itself.
    answered: Instant,
    /// Since when only others pass on its answers.
    missed: Option<Instant>,
    is_detour: bool,
    relays: Vec<NodeId>,
}

impl Detours {
    pub(super) const fn new(probe_period: Duration) -> Self {
        Self { probe_period, members: BTreeMap::new(), version: 0 }
    }

    fn patience(&self) -> Duration {
        self.probe_period * PATIENCE_PERIODS
    }

    /// A member has answered a probe itself. Tells whether that changes how it is reached.
    fn answered(&mut self, now: Instant, member: NodeId) -> bool {
        let before = self.members.insert(member, Reach { answered: now, ..Reach::default() });
        before.is_some_and(|reach| reach.is_detour)
    }

    /// A member has answered a probe over another one. Tells whether that changes how it is reached, and whether its own
    /// answer is to be waited for from now on.
    fn answered_over(&mut self, now: Instant, member: NodeId, relay: NodeId) -> (bool, bool) {
        let reach = self.members.entry(member).or_default();
        if now - reach.answered < self.probe_period && reach.answered > Instant::ZERO {
            // To the same probe.
            return (false, false);
        }
        let waits = reach.missed.is_none();
        reach.missed.get_or_insert(now);
        let is_new = !reach.relays.contains(&relay);
        if is_new {
            reach.relays.insert(0, relay);
            reach.relays.truncate(RELAYS_MAX);
        }
        (reach.is_detour && is_new, waits)
    }

    /// A member's own answer should have come by now. Tells whether it did not, and that changes how it is reached.
    fn is_missing(&mut self, now: Instant, member: NodeId) -> bool {
        let patience = self.patience();
        let Some(reach) = self.members.get_mut(&member) else { return false };
        let is_missing = reach.missed.is_some_and(|missed| now - missed >= patience);
        let changed = is_missing && !reach.is_detour;
        reach.is_detour |= is_missing;
        changed
    }

    /// Forgets members that are no more, and those who could pass something on and are no more.
    fn retain(&mut self, is_active: impl Fn(&NodeId) -> bool) -> bool {
        let mut changed = false;
        self.members.retain(|member, reach| {
            let before = reach.relays.len();
            reach.relays.retain(&is_active);
            let stays = is_active(member);
            changed |= reach.is_detour && (!stays || reach.relays.len() < before);
            stays
        });
        changed
    }

    /// Members that are reached by a detour, and over whom.
    fn all(&self) -> BTreeMap<NodeId, Vec<NodeId>> {
        let detours = self.members.iter().filter(|(_, reach)| reach.is_detour && !reach.relays.is_empty());
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
            let Some(relay) = over else {
                changed |= self.detours.answered(now, member);
                continue;
            };
            let (is_new, waits) = self.detours.answered_over(now, member, relay);
            changed |= is_new;
            if waits {
                self.alarms.insert(now + self.detours.patience(), Alarm::OwnAnswer(member));
            }
        }
        if self.detours.version != self.view.version {
            self.detours.version = self.view.version;
            changed |= self.detours.retain(|member| is_active(&self.view, member));
        }
        if changed {
            out.push(Effect::DetoursChanged);
        }
    }

    /// Looks whether a member has answered by itself since others passed its answer on.
    pub(super) fn await_own_answer(&mut self, now: Instant, member: NodeId, out: &mut Vec<Effect>) {
        if self.detours.is_missing(now, member) {
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
        assert!(!detours.answered(at(1_000), A));
        detours
    }

    #[test]
    fn a_member_that_only_others_reach_is_reached_over_them_until_it_answers() {
        let mut detours = detours();
        assert_eq!(detours.answered_over(at(1_800), A, B), (false, true));
        assert_eq!(detours.answered_over(at(1_801), A, C), (false, false), "the same probe");
        assert!(!detours.is_missing(at(2_399), A));
        assert!(detours.all().is_empty());
        assert!(detours.is_missing(at(2_400), A));
        assert_eq!(detours.all(), [(A, vec![C, B])].into());
        assert!(!detours.is_missing(at(2_401), A), "nothing new");
        assert_eq!(detours.answered_over(at(2_500), A, B), (false, false), "nothing new");
        assert!(detours.answered(at(2_600), A));
        assert!(detours.all().is_empty());
        assert_eq!(detours.answered_over(at(2_700), A, B), (false, false), "the same probe");
        assert_eq!(detours.answered_over(at(2_800), A, B), (false, true));
    }

    #[test]
    fn a_slow_member_that_answers_itself_is_not() {
        let mut detours = detours();
        for probe in 0..20 {
            let now = 2_000 + probe * 800;
            assert_eq!(detours.answered_over(at(now), A, B), (false, true));
            assert!(!detours.answered(at(now + 550), A));
            assert!(!detours.is_missing(at(now + 600), A));
        }
        // One who looks for the answer to an earlier probe says nothing of the last one.
        detours.answered_over(at(30_000), A, B);
        assert!(!detours.is_missing(at(30_500), A));
        assert!(detours.all().is_empty());
    }

    #[test]
    fn who_is_gone_is_no_detour_and_no_target() {
        let mut detours = detours();
        detours.answered_over(at(3_000), A, B);
        detours.answered_over(at(3_200), A, C);
        assert!(detours.is_missing(at(3_600), A));
        assert_eq!(detours.all(), [(A, vec![C, B])].into());
        assert!(detours.retain(|member| *member != C));
        assert_eq!(detours.all(), [(A, vec![B])].into());
        assert!(detours.retain(|member| *member == A), "nobody is left to go over");
        assert!(detours.all().is_empty());
        assert!(detours.retain(|_| false));
        assert!(detours.members.is_empty() && !detours.is_missing(at(9_000), A));
    }
}
