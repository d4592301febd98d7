use gritmesh_runtime::NodeInfo;

use super::record::Change;
use super::*;

const ME: NodeId = NodeId([1; 32]);
const TWO: NodeId = NodeId([2; 32]);
const THREE: NodeId = NodeId([3; 32]);
const SHARDS: u32 = 8;

/// A node that looks around every second, in virtual time.
struct Watch {
    outages: Outages,
    now: Instant,
    sight: Sight,
}

impl Watch {
    /// A node of a cluster of three in which all is well: it leads every third shard.
    fn new() -> Self {
        let leader = |shard: u32| [ME, TWO, THREE][shard as usize % 3];
        let shard = |shard| ShardSight {
            shard: ShardId(shard),
            leader: Some(leader(shard)),
            cut_off: false,
            serves: leader(shard) == ME,
        };
        let sight = Sight {
            me: ME,
            waits_for: None,
            going: false,
            active: [ME, TWO, THREE].into(),
            left: BTreeSet::new(),
            shards: (0..SHARDS).map(shard).collect(),
        };
        Self { outages: Outages::default(), now: Instant::ZERO, sight }
    }

    /// Looks around for some seconds, and returns what was told.
    fn seconds(&mut self, seconds: u64) -> Vec<Record> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.outages.handle(self.now, Event::Look(self.sight.clone()), &mut told);
        }
        told
    }

    fn member(&mut self, event: &ClusterEvent) -> Vec<Record> {
        let mut told = Vec::new();
        self.outages.handle(self.now, Event::Member(event), &mut told);
        told
    }

    fn led_by(&mut self, from: NodeId, to: Option<NodeId>) {
        for shard in self.sight.shards.iter_mut().filter(|shard| shard.leader == Some(from)) {
            shard.leader = to;
            shard.serves = to == Some(ME);
        }
    }

    fn cut_off(&mut self, shards: usize) {
        for (index, shard) in self.sight.shards.iter_mut().enumerate() {
            shard.cut_off = index < shards;
        }
    }
}

fn info(node: NodeId) -> NodeInfo {
    NodeInfo {
        node_id: node,
        incarnation: gritmesh_runtime::Incarnation(1),
        peer_address: "127.0.0.1:7946".parse().unwrap(),
        http_address: None,
        name: "two".into(),
        zone: String::new(),
        weight: 1,
        wire_version: gritmesh_runtime::WIRE_VERSION,
        types: gritmesh_runtime::TypesDigest::of(std::iter::empty::<&str>()),
    }
}

fn changes(records: &[Record]) -> Vec<Change> {
    let change = |record: &Record| match record {
        Record::Member { change, .. } => Some(*change),
        _ => None,
    };
    records.iter().filter_map(change).collect()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_healthy_cluster_is_silent_though_shards_move() {
    let mut watch = Watch::new();
    assert_eq!(watch.seconds(100), []);
    watch.led_by(ME, Some(TWO));
    assert_eq!(watch.seconds(100), [], "handed over in good order");
    watch.led_by(TWO, Some(ME));
    assert_eq!(watch.seconds(100), [], "and back");
}

#[test]
fn a_lost_majority_is_told_with_how_many_shards_and_so_is_its_end() {
    let mut watch = Watch::new();
    watch.seconds(5);
    watch.cut_off(3);
    let of = SHARDS as usize;
    assert_eq!(watch.seconds(5), [Record::MajorityLost { shards: 3, of, lasted: secs(1) }]);
    watch.cut_off(5);
    assert_eq!(watch.seconds(8), [Record::MajorityLost { shards: 5, of, lasted: secs(11) }]);
    watch.cut_off(0);
    assert_eq!(watch.seconds(5), [Record::MajorityRegained { shards: 5, of, lasted: secs(13) }]);
    assert_eq!(watch.seconds(300), []);
}

#[test]
fn a_node_that_has_just_started_has_some_time_to_find_the_others() {
    let mut watch = Watch::new();
    watch.sight.waits_for = Some("a cluster".into());
    watch.cut_off(SHARDS as usize);
    assert_eq!(watch.seconds(30), []);
    watch.cut_off(0);
    watch.sight.waits_for = None;
    assert_eq!(watch.seconds(30), [], "it came up");
    let mut late = Watch::new();
    late.sight.waits_for = Some("a cluster".into());
    late.cut_off(2);
    let told = late.seconds(40);
    assert_eq!(told, [Record::MajorityLost { shards: 2, of: SHARDS as usize, lasted: STARTING_TIME }]);
}

#[test]
fn a_node_that_is_not_ready_says_why_and_when_it_is_again() {
    let mut watch = Watch::new();
    watch.seconds(5);
    watch.sight.waits_for = Some("leaders of 2 of 8 shards".into());
    assert_eq!(watch.seconds(2), [], "an election may take that long");
    let waits_for = "leaders of 2 of 8 shards".to_owned();
    assert_eq!(watch.seconds(2), [Record::NotReady { waits_for, lasted: secs(2) }]);
    watch.sight.waits_for = None;
    assert_eq!(watch.seconds(1), [Record::ReadyAgain { lasted: secs(4) }]);
}

#[test]
fn a_node_that_goes_has_nothing_to_complain_of() {
    let mut watch = Watch::new();
    watch.seconds(5);
    watch.sight.going = true;
    watch.sight.waits_for = Some("an order to take part again, or its end: the node is draining".into());
    watch.cut_off(SHARDS as usize);
    watch.led_by(ME, None);
    assert_eq!(watch.seconds(100), []);
}

#[test]
fn leadership_that_is_lost_or_taken_over_is_told_in_bulk() {
    let mut watch = Watch::new();
    watch.seconds(5);
    watch.led_by(ME, None);
    let of = SHARDS as usize;
    assert_eq!(watch.seconds(5), [Record::LeadershipLost { shards: 3, of }]);
    watch.led_by(TWO, None);
    watch.sight.active.remove(&TWO);
    for shard in &mut watch.sight.shards {
        if shard.leader.is_none() {
            (shard.leader, shard.serves) = (Some(ME), true);
        }
    }
    let won = [Record::LeadershipWon { shards: 3, of }, Record::LeadershipRegained { shards: 3, of }];
    assert_eq!(watch.seconds(5), won);
    assert_eq!(watch.seconds(100), []);
}

#[test]
fn who_takes_over_from_a_node_that_left_has_nothing_to_warn_of() {
    let mut watch = Watch::new();
    watch.seconds(5);
    watch.sight.active.remove(&TWO);
    watch.sight.left.insert(TWO);
    watch.led_by(TWO, Some(ME));
    watch.sight.active.remove(&THREE);
    watch.led_by(THREE, Some(ME));
    let of = SHARDS as usize;
    let told = [Record::LeadershipWon { shards: 2, of }, Record::LeadershipInherited { shards: 3, of }];
    assert_eq!(watch.seconds(5), told, "one of the two has died");
}

#[test]
fn one_shard_of_many_that_changes_its_leader_is_no_outage() {
    let mut bulk = Bulk::default();
    assert_eq!(bulk.add(Instant::ZERO, 1, 64), None);
    assert_eq!(bulk.add(Instant::ZERO + secs(3), 0, 64), None);
    assert_eq!(bulk.add(Instant::ZERO + secs(4), 0, 64), None, "it is forgotten");
    assert_eq!(bulk.add(Instant::ZERO + secs(5), 1, 1), None);
    assert_eq!(bulk.add(Instant::ZERO + secs(7), 0, 1), Some(1), "of one it is all");
}

#[test]
fn a_shard_that_nobody_serves_is_told_after_a_bound() {
    let mut watch = Watch::new();
    watch.seconds(5);
    // This node leads it, and does not come to serve it.
    watch.sight.shards[0].serves = false;
    assert_eq!(watch.seconds(20), []);
    let stuck = Record::Stuck { shards: 1, of: SHARDS as usize, named: vec![ShardId(0)], lasted: STUCK_TIME };
    assert_eq!(watch.seconds(5), [stuck]);
    watch.sight.shards[0].serves = true;
    let told = watch.seconds(5);
    assert!(matches!(told[..], [Record::Unstuck { shards: 1, .. }]), "{told:?}");
}

#[test]
fn a_member_that_is_down_is_told_and_so_is_its_return() {
    let mut watch = Watch::new();
    let told = [
        ClusterEvent::NodeUp(info(TWO)),
        ClusterEvent::NodeUnreachable(info(TWO)),
        ClusterEvent::NodeDown(info(TWO)),
        ClusterEvent::MembershipChanged { version: 3, members: 1 },
        ClusterEvent::NodeUp(info(TWO)),
        ClusterEvent::NodeLeft(info(TWO)),
        ClusterEvent::NodeUp(info(TWO)),
    ];
    let told: Vec<Record> = told.iter().flat_map(|event| watch.member(event)).collect();
    use Change::{Back, Down, Left, Unreachable, Up};
    assert_eq!(changes(&told), [Up, Unreachable, Down, Back, Left, Up]);
}

#[test]
fn members_that_come_and_go_all_the_time_do_not_fill_the_log() {
    let mut watch = Watch::new();
    let mut told = Vec::new();
    for _ in 0..100 {
        told.extend(watch.member(&ClusterEvent::NodeUnreachable(info(TWO))));
        told.extend(watch.member(&ClusterEvent::NodeReachable(info(TWO))));
    }
    assert_eq!(told.len(), 16);
    assert_eq!(watch.seconds(15), [Record::MembersUntold { changes: 184 }]);
    assert_eq!(watch.member(&ClusterEvent::NodeReachable(info(TWO))).len(), 1);
}

#[test]
fn nothing_that_happens_at_random_fills_the_log() {
    let mut rng = gritmesh_runtime::Seed::from_number(7).rng();
    let mut watch = Watch::new();
    let mut told = 0;
    for _ in 0..3600 {
        watch.sight.waits_for = (rng.below(2) == 0).then(|| "anything".into());
        watch.cut_off(rng.below(u64::from(SHARDS)) as usize);
        let nodes = [None, Some(ME), Some(TWO), Some(THREE)];
        for shard in &mut watch.sight.shards {
            shard.leader = nodes[rng.below(4) as usize];
        }
        told += watch.seconds(1).len();
    }
    // Five kinds at most every ten seconds, and the ends of three of them.
    assert!(told < 3600, "{told} lines in an hour");
}
