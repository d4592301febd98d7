//! What the node sees of itself and of its shards once a second, for whoever decides what an outage is.

use std::sync::atomic::Ordering;

use gritmesh_membership::MemberState;
use gritmesh_sharding::Shard;

use super::Node;
use crate::outages::{Event, ShardSight, Sight};

impl Node {
    /// Writes to the log what an operator has to hear of something that happened.
    pub(super) fn tell(&self, event: Event<'_>) {
        let mut records = Vec::new();
        self.outages.lock().handle(self.environment.clock.now(), event, &mut records);
        records.iter().for_each(crate::outages::Record::log);
    }

    /// Looks for outages.
    pub(super) fn look_around(&self) {
        let sight = self.sight();
        self.tell(Event::Look(sight));
    }

    fn sight(&self) -> Sight {
        let readiness = self.readiness();
        let here = self.shards_here();
        let routes = self.routes.load();
        let sight = |shard: &Shard| ShardSight {
            shard: shard.id,
            leader: shard.leader,
            cut_off: routes.as_ref().is_some_and(|routes| routes.cut_off.contains(&shard.id)),
            serves: here.get(&shard.id).is_some_and(|here| here.serves),
        };
        let shards = routes.as_ref().map_or(&[][..], |routes| routes.table.shards());
        let view = self.view.load();
        let left = view.members.iter().filter(|(_, member)| member.state == MemberState::Left);
        Sight {
            me: self.info.node_id,
            waits_for: (!readiness.ready).then(|| readiness.waits_for.join("; ")),
            going: self.drain.is_begun() || self.leaving.load(Ordering::Relaxed),
            active: view.active().map(|(node, _)| *node).collect(),
            left: left.map(|(node, _)| *node).collect(),
            shards: shards.iter().map(sight).collect(),
        }
    }
}
