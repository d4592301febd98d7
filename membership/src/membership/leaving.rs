//! Good-bye: the node takes its last identity, one that says it is leaving, and declares that one gone. Whoever
//! learns of its end by any way, be it gossip, a list or a failed probe, knows that it left.

use foca::State;
use gritmesh_runtime::Instant;

use super::cluster::Standing;
use super::{Alarm, Membership};
use crate::event::Effect;
use crate::message::Member as SwimMember;
use crate::view::MemberState;

impl Membership {
    pub(super) fn on_leave(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let cluster = self.cluster();
        if cluster.is_some() {
            self.swim.leave();
            self.settle(now, out);
            let gone = SwimMember::new(self.swim.own().clone(), 0, State::Down);
            self.tell(gone, out);
        }
        self.standing = Standing::Leaving(cluster);
        let own = self.own_id();
        let member = self.view.members.get_mut(&own).expect("a view holds its own node");
        (member.state, member.since) = (MemberState::Left, now);
        self.after_change(now, out);
        self.alarms.insert(now + self.options.leave_linger, Alarm::Left);
    }
}
