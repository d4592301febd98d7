//! One rule each: events in, exactly these effects out.

use gritmesh_runtime::{Epoch, Seed};

use super::*;
use crate::proposal::propose_replicas;
use crate::ring::RingMember;
use crate::table::Version;

const SHARDS: u32 = 4;

fn node(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

fn nodes(bytes: &[u8]) -> Vec<NodeId> {
    bytes.iter().map(|byte| node(*byte)).collect()
}

fn candidate(byte: u8) -> Candidate {
    Candidate { node: node(byte), weight: 1, zone: String::new(), alive: true }
}

fn dead(byte: u8) -> Candidate {
    Candidate { alive: false, ..candidate(byte) }
}

fn draining(byte: u8) -> Candidate {
    Candidate { weight: 0, ..candidate(byte) }
}

fn view(bytes: &[u8]) -> Event {
    Event::Candidates(bytes.iter().map(|byte| candidate(*byte)).collect())
}

fn described(shard: u32, term: u64, epoch: u64, leader: u8, replicas: &[u8]) -> Descriptor {
    let version = Version { term, epoch: Epoch(epoch) };
    Descriptor { shard: ShardId(shard), version, leader: Some(node(leader)), replicas: nodes(replicas) }
}

/// What the ring proposes where these nodes are members: the voters of each shard, leader first.
fn proposed(bytes: &[u8]) -> Vec<Vec<NodeId>> {
    let table = ShardTable::initial(SHARDS).unwrap();
    let members = bytes.iter().map(|byte| RingMember { node: node(*byte), weight: 1, zone: String::new() });
    let shards = table.shards().iter().map(|shard| (shard.id, shard.start));
    propose_replicas(shards, members, 3).into_values().collect()
}

fn want(shard: u32, voters: &[u8], leader: u8) -> Effect {
    Effect::Want { shard: ShardId(shard), voters: nodes(voters), leader: node(leader) }
}

fn byte(node: NodeId) -> u8 {
    node.0[0]
}

/// A machine and its clock.
struct Fixture {
    machine: Placement,
    now: Instant,
}

impl Fixture {
    fn new(me: u8) -> Self {
        Self::with(me, Options::default())
    }

    fn with(me: u8, options: Options) -> Self {
        let options = Options { summary_period: Duration::from_secs(36_000), ..options };
        let rng = Seed::from_number(1).rng();
        Self { machine: Placement::new(node(me), options, rng), now: Instant::ZERO }
    }

    /// A member whose replicas lead all shards, with these voters, in a view of these that has settled.
    fn leading(me: u8, replicas: &[u8], members: &[u8]) -> Self {
        let mut fixture = Self::new(me);
        fixture.handle(Event::Table(ShardTable::initial(SHARDS).unwrap()));
        for shard in 0..SHARDS {
            fixture.handle(Event::Holds { shard: ShardId(shard), holds: true });
            fixture.handle(Event::Own(described(shard, 1, 1, me, replicas)));
        }
        fixture.handle(view(members));
        fixture
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.machine.handle(self.now, event, &mut out);
        assert!(self.machine.next_deadline().is_none_or(|due| due > self.now), "a deadline in the past");
        out.retain(|effect| !matches!(effect, Effect::SendSummary { .. }));
        out
    }

    /// Ticks at every deadline until then.
    fn after(&mut self, millis: u64) -> Vec<Effect> {
        let end = self.now + Duration::from_millis(millis);
        let mut effects = Vec::new();
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= end) {
            self.now = due;
            effects.extend(self.handle(Event::Tick));
        }
        self.now = end;
        effects
    }

    fn shard(&self, shard: u32) -> &crate::table::Shard {
        self.machine.table().unwrap().shard(ShardId(shard)).unwrap()
    }
}

fn wants(effects: Vec<Effect>) -> BTreeMap<u32, (Vec<u8>, u8)> {
    let of = |effect| match effect {
        Effect::Want { shard, voters, leader } => {
            (shard.0, (voters.into_iter().map(byte).collect(), byte(leader)))
        }
        other => panic!("{other:?}"),
    };
    effects.into_iter().map(of).collect()
}

#[test]
fn what_a_local_replica_says_is_taken_in_and_broadcast() {
    let mut fixture = Fixture::new(1);
    let early = described(2, 1, 0, 1, &[1]);
    assert_eq!(fixture.handle(Event::Own(early.clone())), [Effect::Broadcast(early)]);
    fixture.handle(Event::Table(ShardTable::initial(SHARDS).unwrap()));
    assert_eq!(fixture.shard(2).leader, Some(node(1)), "it spoke before there was a table");
    let own = described(0, 1, 0, 1, &[1]);
    let expected = [Effect::Broadcast(own.clone()), Effect::TableChanged];
    assert_eq!(fixture.handle(Event::Own(own.clone())), expected);
    assert_eq!(fixture.handle(Event::Own(own)), []);
    assert_eq!(fixture.shard(0).replicas, [node(1)]);
    // Gossip knows a later leader: what comes now is old news, if it is not repeated for long.
    fixture.handle(Event::Lost(ShardId(0)));
    assert_eq!(fixture.handle(Event::Descriptor(described(0, 3, 0, 2, &[1, 2]))), [Effect::TableChanged]);
    assert_eq!(fixture.handle(Event::Own(described(0, 2, 0, 1, &[1, 2]))), [Effect::Doubt(ShardId(0))]);
    assert_eq!(fixture.shard(0).leader, Some(node(2)));
    assert_eq!(fixture.handle(Event::Lost(ShardId(0))), []);
    assert_eq!(fixture.after(10_000), []);
    assert_eq!(fixture.handle(Event::Own(described(99, 2, 0, 1, &[1, 2]))), []);
}

#[test]
fn a_founder_alone_is_settled_and_wants_nothing() {
    let mut fixture = Fixture::leading(1, &[1], &[1]);
    assert_eq!(fixture.after(100_000), []);
    assert!(fixture.machine.is_settled());
    fixture.handle(Event::Lost(ShardId(3)));
    let missing: Vec<_> = fixture.machine.moves().map(|shard| (shard.shard.0, shard.missing)).collect();
    assert_eq!(missing, [(3, Missing::Leader)]);
}

#[test]
fn shards_grow_once_the_view_has_settled_and_then_change_leaders() {
    let mut fixture = Fixture::leading(1, &[1], &[1, 2, 3]);
    assert_eq!(fixture.after(199), []);
    let expected: Vec<Effect> = (0..SHARDS).map(|shard| want(shard, &[1, 2, 3], 1)).collect();
    assert_eq!(fixture.after(1), expected);
    assert!(!fixture.machine.is_settled());
    assert_eq!(fixture.after(999), []);
    assert_eq!(fixture.after(1), expected, "what is not reached is asked for again");
    for (shard, voters) in (0..SHARDS).zip(proposed(&[1, 2, 3])) {
        let grown = described(shard, 1, 2, 1, &[1, 2, 3]);
        let mut expected = vec![Effect::Broadcast(grown.clone()), Effect::TableChanged];
        if voters[0] != node(1) {
            expected.insert(1, want(shard, &[1, 2, 3], byte(voters[0])));
        }
        assert_eq!(fixture.handle(Event::Own(grown)), expected);
        // The proposed node is elected.
        if voters[0] != node(1) {
            fixture.handle(Event::Lost(ShardId(shard)));
        }
        fixture.handle(Event::Descriptor(described(shard, 2, 2, byte(voters[0]), &[1, 2, 3])));
    }
    assert_eq!(fixture.after(10_000), []);
    assert!(fixture.machine.is_settled());
}

#[test]
fn only_leaders_are_told() {
    let mut fixture = Fixture::new(1);
    let mut table = ShardTable::initial(SHARDS).unwrap();
    table.adopt(described(0, 1, 1, 2, &[1, 2]));
    // A leader by the table only, as after a restart, is none.
    table.adopt(described(1, 1, 1, 1, &[1, 2]));
    fixture.handle(Event::Table(table));
    fixture.handle(view(&[1, 2, 3]));
    assert_eq!(fixture.after(10_000), []);
    assert!(!fixture.machine.is_settled());
    let own = described(1, 2, 1, 1, &[1, 2]);
    // Node 3 is to lead once it is a voter.
    let leader = Some(byte(proposed(&[1, 2, 3])[1][0])).filter(|leader| *leader != 3).unwrap_or(1);
    let expected = [Effect::Broadcast(own.clone()), want(1, &[1, 2, 3], leader), Effect::TableChanged];
    assert_eq!(fixture.handle(Event::Own(own)), expected);
}

#[test]
fn a_dead_voter_is_replaced_after_a_while_if_somebody_can() {
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2), dead(3)]));
    let late = wants(fixture.after(100_000));
    assert!(
        late.values().all(|(voters, leader)| voters == &[1, 2, 3] && *leader != 3),
        "nobody else is there"
    );

    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    let view = vec![candidate(1), candidate(2), dead(3), candidate(4)];
    fixture.handle(Event::Candidates(view));
    let before = wants(fixture.after(29_999));
    assert!(before.values().all(|(voters, _)| voters.contains(&3)), "{before:?}");
    let replaced = wants(fixture.after(1_001));
    assert_eq!(replaced.len(), SHARDS as usize);
    assert!(replaced.values().all(|(voters, _)| voters == &[1, 2, 4]), "{replaced:?}");
}

#[test]
fn a_voter_that_comes_back_in_time_stays() {
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2), dead(3)]));
    fixture.after(29_000);
    fixture.handle(view(&[1, 2, 3]));
    fixture.after(10_000);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2), dead(3), candidate(4)]));
    let wants = wants(fixture.after(29_000));
    assert!(wants.values().all(|(voters, _)| voters.contains(&3)), "the time starts anew");
}

#[test]
fn a_voter_that_left_is_let_go_at_once_and_a_stranger_is_waited_for() {
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    fixture.handle(view(&[1, 2]));
    let left = wants(fixture.after(200));
    assert!(left.len() == SHARDS as usize && left.values().all(|(voters, _)| voters == &[1, 2]));

    let mut fixture = Fixture::leading(1, &[1, 2, 9], &[1, 2, 4]);
    let before = wants(fixture.after(29_999));
    assert!(before.values().all(|(voters, _)| voters.contains(&9)), "{before:?}");
    let after = wants(fixture.after(1_001));
    assert!(after.len() == SHARDS as usize && after.values().all(|(voters, _)| voters == &[1, 2, 4]));
}

#[test]
fn who_died_and_was_then_forgotten_by_the_view_did_not_leave() {
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2), dead(3)]));
    fixture.after(1_000);
    fixture.handle(view(&[1, 2]));
    assert!(wants(fixture.after(100_000)).values().all(|(voters, _)| voters == &[1, 2, 3]));
}

#[test]
fn nobody_waits_for_the_dead_that_keep_nothing() {
    let mut fixture = Fixture::leading(1, &[1], &[1]);
    let mut members: Vec<Candidate> = (100..130).map(dead).collect();
    members.insert(0, candidate(1));
    fixture.handle(Event::Candidates(members));
    assert!(fixture.machine.is_settled(), "a peer made them up");
    // One that keeps something is waited for.
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(1_000);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2), dead(3), candidate(4)]));
    assert!(fixture.after(20_000).iter().all(|effect| match effect {
        Effect::Want { voters, .. } => voters.contains(&node(3)),
        _ => true,
    }));
}

#[test]
fn nobody_who_is_dead_becomes_a_voter() {
    let mut fixture = Fixture::leading(1, &[1], &[1, 2, 3]);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2), dead(3)]));
    let wants = wants(fixture.after(20_000));
    assert!(wants.len() == SHARDS as usize && wants.values().all(|(voters, _)| voters == &[1, 2]));
}

#[test]
fn a_change_that_the_living_could_not_complete_is_not_asked_for() {
    // Node 3 drains while node 2 is dead: of 1 and 2 alone there is no majority.
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    fixture.handle(Event::Candidates(vec![candidate(1), dead(2), draining(3)]));
    assert!(wants(fixture.after(100_000)).values().all(|(voters, _)| voters == &[1, 2, 3]));
}

#[test]
fn the_turn_of_shards_comes_in_portions() {
    let mut fixture = Fixture::with(1, Options { moves_at_once: 2, ..Options::default() });
    fixture.handle(Event::Table(ShardTable::initial(SHARDS).unwrap()));
    for shard in 0..SHARDS {
        let replicas: &[u8] = if shard == 3 { &[1] } else { &[1, 2] };
        fixture.handle(Event::Own(described(shard, 1, 1, 1, replicas)));
    }
    fixture.handle(view(&[1, 2, 3]));
    let first: Vec<u32> = wants(fixture.after(200)).into_keys().collect();
    assert_eq!(first, [0, 3], "those with fewest replicas come first");
    fixture.handle(Event::Descriptor(described(3, 2, 2, 2, &[1, 2, 3])));
    let effects = fixture.handle(Event::Lost(ShardId(3)));
    assert!(matches!(&effects[0], Effect::Want { shard: ShardId(1), .. }), "the next one's turn has come");
    // One that never ends does not hold up the rest for ever.
    let asked: BTreeSet<u32> = wants(fixture.after(59_000)).into_keys().collect();
    assert_eq!(asked, BTreeSet::from([0, 1]));
    let asked: BTreeSet<u32> = wants(fixture.after(2_000)).into_keys().collect();
    assert_eq!(asked, BTreeSet::from([0, 1, 2]));
}

#[test]
fn a_move_is_called_off_when_its_reason_is_gone() {
    let mut fixture = Fixture::leading(1, &[1], &[1, 2]);
    assert_eq!(fixture.after(200).len(), SHARDS as usize);
    fixture.handle(Event::Candidates(vec![candidate(1), dead(2)]));
    let off = fixture.after(200);
    assert_eq!(off, (0..SHARDS).map(|shard| want(shard, &[1], 1)).collect::<Vec<_>>());
    assert_eq!(fixture.after(10_000), []);
}

#[test]
fn draining_gives_everything_away_and_ends_when_nothing_is_held() {
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    let effects = wants(fixture.handle(Event::Drain));
    assert!(effects.values().all(|(voters, leader)| voters == &[2, 3] && *leader != 1));
    assert_eq!(effects.len(), SHARDS as usize);
    for shard in 0..SHARDS {
        fixture.handle(Event::Lost(ShardId(shard)));
        let effects = fixture.handle(Event::Holds { shard: ShardId(shard), holds: false });
        assert_eq!(effects.contains(&Effect::Drained), shard == SHARDS - 1);
    }
    assert_eq!(fixture.handle(Event::Drain), []);
}

#[test]
fn a_drain_that_is_called_off_gives_nothing_away_and_can_begin_anew() {
    let mut fixture = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    fixture.after(10_000);
    let given = wants(fixture.handle(Event::Drain));
    assert_eq!(given.len(), SHARDS as usize);
    let kept = wants(fixture.handle(Event::Undrain));
    assert!(kept.values().all(|(voters, _)| voters.contains(&1)), "{kept:?}");
    assert_eq!(kept.len(), SHARDS as usize, "every leader is told that it stays");
    assert_eq!(fixture.handle(Event::Undrain), []);
    assert_eq!(wants(fixture.handle(Event::Drain)), given);
}

#[test]
fn draining_ends_at_once_where_nobody_can_take_over() {
    let mut alone = Fixture::leading(1, &[1], &[1]);
    assert_eq!(alone.handle(Event::Drain), [Effect::Drained]);
    let mut fresh = Fixture::new(1);
    assert_eq!(fresh.handle(Event::Drain), [Effect::Drained]);
    let mut all = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    all.after(10_000);
    all.handle(Event::Drain);
    let everybody = vec![draining(1), draining(2), draining(3)];
    let effects = all.handle(Event::Candidates(everybody));
    assert!(effects.contains(&Effect::Drained));
    let called_off = wants(effects.into_iter().filter(|effect| *effect != Effect::Drained).collect());
    assert!(called_off.values().all(|(voters, leader)| voters == &[1, 2, 3] && *leader == 1));
    assert_eq!(all.after(10_000), []);
}

#[test]
fn a_flapping_view_delays_moves_but_not_for_ever() {
    let mut fixture = Fixture::leading(1, &[1], &[1]);
    fixture.after(10_000);
    let start = fixture.now;
    let mut effects = Vec::new();
    while effects.is_empty() && fixture.now - start < Duration::from_secs(10) {
        let weight = 1 + u16::from((fixture.now.as_nanos() / 100_000_000).is_multiple_of(2));
        let other = Candidate { weight, ..candidate(2) };
        effects = fixture.handle(Event::Candidates(vec![candidate(1), other]));
        effects.extend(fixture.after(100));
    }
    assert!(matches!(effects[0], Effect::Want { .. }));
    let waited = fixture.now - start;
    assert!(waited >= Duration::from_millis(1000) && waited <= Duration::from_millis(1100), "{waited:?}");
}

#[test]
fn who_believes_to_lead_what_is_led_here_is_told() {
    let mut fixture = Fixture::leading(2, &[1, 2], &[1, 2]);
    let newer = described(0, 4, 1, 2, &[1, 2]);
    fixture.handle(Event::Own(newer.clone()));
    let told = fixture.handle(Event::Descriptor(described(0, 3, 1, 1, &[1, 2])));
    assert_eq!(told, [Effect::Tell { to: node(1), descriptor: newer }]);
    assert_eq!(fixture.handle(Event::Descriptor(described(0, 3, 1, 7, &[1, 2]))), []);
}

#[test]
fn different_tables_are_exchanged_until_both_know_all() {
    let mut fixture = Fixture::leading(1, &[1], &[1, 2]);
    let hash = fixture.machine.table().unwrap().hash();
    assert_eq!(fixture.handle(Event::Summary { from: node(2), hash }), []);
    let asked = fixture.handle(Event::Summary { from: node(2), hash: 7 });
    assert_eq!(asked, [Effect::SendTable { to: node(2), table: fixture.machine.table().unwrap().clone() }]);
    // A table is large, so a second question within 100 ms gets none, and a stranger never does.
    assert_eq!(fixture.handle(Event::Summary { from: node(2), hash: 7 }), []);
    assert_eq!(fixture.handle(Event::Summary { from: node(9), hash: 7 }), []);
    fixture.after(100);
    let mut theirs = ShardTable::initial(SHARDS).unwrap();
    theirs.adopt(described(2, 5, 1, 2, &[2]));
    let effects = fixture.handle(Event::TableFrom { from: node(2), table: theirs });
    let send = Effect::SendTable { to: node(2), table: fixture.machine.table().unwrap().clone() };
    assert_eq!(effects, [Effect::Doubt(ShardId(2)), send]);
    assert_eq!(fixture.handle(Event::Lost(ShardId(2))), [Effect::TableChanged]);
    assert_eq!(fixture.shard(2).leader, Some(node(2)));
}

#[test]
fn tables_with_other_ranges_and_unknown_shards_change_nothing() {
    let mut fixture = Fixture::leading(1, &[1], &[1, 2]);
    let table = ShardTable::initial(7).unwrap();
    assert_eq!(fixture.handle(Event::TableFrom { from: node(2), table: table.clone() }), []);
    assert_eq!(fixture.handle(Event::Table(table)), []);
    for event in [
        Event::Descriptor(described(6, 9, 1, 2, &[2])),
        Event::Lost(ShardId(77)),
        Event::Holds { shard: ShardId(77), holds: false },
    ] {
        assert_eq!(fixture.handle(event), []);
    }
    let mut fresh = Fixture::new(1);
    assert_eq!(fresh.handle(Event::Descriptor(described(0, 1, 1, 2, &[2]))), []);
    assert_eq!(fresh.handle(Event::Summary { from: node(2), hash: 1 }), []);
}

mod lies;
