//! One rule each: events in, exactly these effects out.

use gritmesh_runtime::{Epoch, Seed};

use super::*;
use crate::proposal::propose;

const SHARDS: u32 = 4;

fn node(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

fn candidate(byte: u8) -> Candidate {
    Candidate { node: node(byte), weight: 1, zone: String::new(), alive: true }
}

fn dead(byte: u8) -> Candidate {
    Candidate { alive: false, ..candidate(byte) }
}

fn led(shard: u32, epoch: u64, leader: u8) -> Descriptor {
    Descriptor::led_by(ShardId(shard), Epoch(epoch), node(leader))
}

/// All shards led by one node in epoch 1.
fn table_of(leader: u8) -> ShardTable {
    let mut table = ShardTable::initial(SHARDS).unwrap();
    for shard in 0..SHARDS {
        table.adopt(led(shard, 1, leader));
    }
    table
}

/// Shards that the proposal gives to `to` where these nodes are candidates.
fn proposed(nodes: &[u8], to: u8) -> Vec<u32> {
    let table = table_of(1);
    let members = nodes.iter().map(|byte| RingMember { node: node(*byte), weight: 1, zone: String::new() });
    let proposal = propose(table.shards().iter().map(|shard| (shard.id, shard.start)), members);
    proposal.into_iter().filter(|(_, target)| *target == node(to)).map(|(shard, _)| shard.0).collect()
}

/// A machine and its clock, in milliseconds.
struct Fixture {
    machine: Assignment,
    now: Instant,
}

impl Fixture {
    fn new(me: u8) -> Self {
        let options = Options { summary_period: Duration::from_secs(3600), ..Options::default() };
        let rng = Seed::from_number(1).rng();
        Self { machine: Assignment::new(node(me), options, rng), now: Instant::ZERO }
    }

    /// A member that serves all shards, and whose view of itself alone has settled.
    fn alone(me: u8) -> Self {
        let mut fixture = Self::new(me);
        fixture.handle(Event::Candidates(vec![candidate(me)]));
        fixture.handle(Event::Table(table_of(me)));
        fixture.after(50);
        fixture.after(10_000);
        fixture
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.machine.handle(self.now, event, &mut out);
        assert!(self.machine.next_deadline().is_none_or(|due| due > self.now), "a deadline in the past");
        out
    }

    fn after(&mut self, millis: u64) -> Vec<Effect> {
        self.now += Duration::from_millis(millis);
        self.handle(Event::Tick)
    }

    fn serving(&self) -> Vec<u32> {
        self.machine.serving().map(|shard| shard.0).collect()
    }

    fn leader(&self, shard: u32) -> (u64, Option<NodeId>) {
        let shard = self.machine.table().unwrap().shard(ShardId(shard)).unwrap();
        (shard.epoch.0, shard.leader)
    }
}

fn without_summaries(effects: Vec<Effect>) -> Vec<Effect> {
    effects.into_iter().filter(|effect| !matches!(effect, Effect::SendSummary { .. })).collect()
}

#[test]
fn a_founder_claims_everything_once_it_is_a_member_and_its_view_has_settled() {
    let mut fixture = Fixture::new(1);
    let table = ShardTable::initial(SHARDS).unwrap();
    assert_eq!(fixture.handle(Event::Table(table)), [Effect::TableChanged]);
    assert_eq!(fixture.after(10_000), []);
    assert_eq!(fixture.handle(Event::Candidates(vec![candidate(1)])), []);
    assert_eq!(fixture.after(49), []);
    let mut expected = Vec::new();
    for shard in 0..SHARDS {
        expected.push(Effect::Serve(led(shard, 1, 1)));
        expected.push(Effect::Broadcast(led(shard, 1, 1)));
    }
    expected.push(Effect::TableChanged);
    assert_eq!(fixture.after(1), expected);
    assert_eq!(fixture.serving(), [0, 1, 2, 3]);
}

#[test]
fn a_leader_drains_and_then_names_its_successor() {
    let mut fixture = Fixture::alone(1);
    let table_hash = fixture.machine.table().unwrap().hash();
    let moving = proposed(&[1, 2], 2);
    assert_eq!(moving.len(), 2);
    let appeared = fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    assert_eq!(appeared, [Effect::SendSummary { to: node(2), hash: table_hash }]);
    assert_eq!(fixture.after(199), []);
    let releases: Vec<Effect> = moving.iter().map(|shard| Effect::Release(ShardId(*shard))).collect();
    assert_eq!(fixture.after(1), releases);
    assert_eq!(fixture.leader(moving[0]), (1, Some(node(1))));
    let descriptor = led(moving[0], 2, 2);
    assert_eq!(
        fixture.handle(Event::Released(ShardId(moving[0]))),
        [
            Effect::Tell { to: node(2), descriptor: descriptor.clone() },
            Effect::Broadcast(descriptor),
            Effect::TableChanged
        ]
    );
    assert_eq!(fixture.machine.releasing().collect::<Vec<_>>(), [ShardId(moving[1])]);
}

#[test]
fn a_successor_that_dies_meanwhile_is_replaced_or_the_shard_taken_back() {
    let mut fixture = Fixture::alone(1);
    let moving = proposed(&[1, 2], 2);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    fixture.after(200);
    fixture.handle(Event::Candidates(vec![candidate(1), dead(2)]));
    assert_eq!(fixture.handle(Event::Released(ShardId(moving[0]))), [Effect::Serve(led(moving[0], 1, 1))]);
    let third = proposed(&[1, 3], 3);
    fixture.handle(Event::Candidates(vec![candidate(1), dead(2), candidate(3)]));
    let effects = fixture.handle(Event::Released(ShardId(moving[1])));
    if third.contains(&moving[1]) {
        assert!(matches!(&effects[0], Effect::Tell { to, .. } if *to == node(3)));
    } else {
        assert_eq!(effects, [Effect::Serve(led(moving[1], 1, 1))]);
    }
}

#[test]
fn no_more_than_a_portion_is_drained_at_once() {
    let mut fixture = Fixture::new(1);
    fixture.handle(Event::Candidates(vec![candidate(1)]));
    fixture.handle(Event::Table(ShardTable::initial(64).unwrap()));
    fixture.after(50);
    fixture.after(10_000);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    let released: Vec<ShardId> = fixture
        .after(200)
        .into_iter()
        .map(|effect| match effect {
            Effect::Release(shard) => shard,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(released.len(), MOVES_AT_ONCE);
    let effects = fixture.handle(Event::Released(released[0]));
    assert!(matches!(effects[..], [Effect::Tell { .. }, Effect::Broadcast(_), Effect::Release(_), _]));
}

#[test]
fn shards_of_a_dead_leader_are_claimed_by_the_proposed_node() {
    let mut fixture = Fixture::new(1);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2), candidate(3)]));
    fixture.handle(Event::Table(table_of(2)));
    assert_eq!(fixture.after(10_000), []);
    fixture.handle(Event::Candidates(vec![candidate(1), dead(2), candidate(3)]));
    let mut expected = Vec::new();
    for shard in proposed(&[1, 3], 1) {
        expected.extend([Effect::Serve(led(shard, 2, 1)), Effect::Broadcast(led(shard, 2, 1))]);
    }
    expected.push(Effect::TableChanged);
    assert_eq!(fixture.after(50), expected);
}

#[test]
fn a_leader_that_left_is_gone_but_one_never_seen_is_waited_for() {
    let mut left = Fixture::new(1);
    left.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    left.handle(Event::Table(table_of(2)));
    left.handle(Event::Candidates(vec![candidate(1)]));
    assert_eq!(left.after(50).len(), 2 * SHARDS as usize + 1);

    let mut stranger = Fixture::new(1);
    stranger.handle(Event::Candidates(vec![candidate(1)]));
    stranger.handle(Event::Table(table_of(2)));
    assert_eq!(stranger.after(1999), []);
    assert_eq!(stranger.after(1).len(), 2 * SHARDS as usize + 1);
}

#[test]
fn a_leader_that_drained_before_it_went_is_asked_for_first() {
    let mut fixture = Fixture::new(1);
    let draining = |alive| Candidate { weight: 0, alive, ..candidate(2) };
    fixture.handle(Event::Candidates(vec![candidate(1), draining(true), candidate(3)]));
    fixture.handle(Event::Table(table_of(2)));
    let hash = table_of(2).hash();
    let asked = [Effect::SendSummary { to: node(3), hash }];
    for view in [vec![candidate(1), candidate(3)], vec![candidate(1), draining(false), candidate(3)]] {
        fixture.handle(Event::Candidates(vec![candidate(1), draining(true), candidate(3)]));
        assert_eq!(fixture.handle(Event::Candidates(view)), asked);
        assert_eq!(fixture.after(1999), []);
    }
    assert_eq!(fixture.after(1).len(), 2 * proposed(&[1, 3], 1).len() + 1);
}

#[test]
fn a_node_serves_what_names_it_and_yields_to_newer_descriptors() {
    let mut fixture = Fixture::new(1);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    fixture.handle(Event::Table(table_of(2)));
    let named = fixture.handle(Event::Descriptor(led(0, 2, 1)));
    assert_eq!(named, [Effect::Serve(led(0, 2, 1)), Effect::TableChanged]);
    assert_eq!(fixture.handle(Event::Descriptor(led(0, 2, 1))), []);
    let again = fixture.handle(Event::Descriptor(led(0, 3, 1)));
    assert_eq!(again, [Effect::Serve(led(0, 3, 1)), Effect::TableChanged]);
    let lost = fixture.handle(Event::Descriptor(led(0, 4, 2)));
    assert_eq!(lost, [Effect::Release(ShardId(0)), Effect::TableChanged]);
    // Named again while it still drains: it starts only after it has stopped.
    assert_eq!(fixture.handle(Event::Descriptor(led(0, 5, 1))), [Effect::TableChanged]);
    let released = fixture.handle(Event::Released(ShardId(0)));
    match proposed(&[1, 2], 1).contains(&0) {
        true => assert_eq!(released, [Effect::Serve(led(0, 5, 1))]),
        false => assert!(matches!(released[0], Effect::Tell { .. })),
    }
}

#[test]
fn one_epoch_and_two_leaders_the_greater_one_stays() {
    let mut lesser = Fixture::alone(1);
    lesser.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    let effects = lesser.handle(Event::Descriptor(led(0, 1, 2)));
    assert_eq!(effects, [Effect::Release(ShardId(0)), Effect::TableChanged]);
    assert_eq!(lesser.handle(Event::Released(ShardId(0))), []);

    let mut greater = Fixture::alone(2);
    greater.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    let effects = greater.handle(Event::Descriptor(led(0, 1, 1)));
    assert_eq!(effects, [Effect::Tell { to: node(1), descriptor: led(0, 1, 2) }]);
}

#[test]
fn a_restarted_node_serves_what_the_table_says_is_its() {
    let mut fixture = Fixture::new(1);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    assert_eq!(fixture.handle(Event::Table(table_of(1))), [Effect::TableChanged]);
    assert_eq!(fixture.after(49), []);
    // Unless the table was an old one, as a peer tells in time.
    let peers = fixture.handle(Event::Descriptor(led(3, 2, 2)));
    assert_eq!(peers, [Effect::TableChanged]);
    let expected: Vec<Effect> = (0..SHARDS - 1).map(|shard| Effect::Serve(led(shard, 1, 1))).collect();
    assert_eq!(fixture.after(1), expected);
}

#[test]
fn different_tables_are_exchanged_until_both_know_all() {
    let mut fixture = Fixture::alone(1);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    let hash = fixture.machine.table().unwrap().hash();
    assert_eq!(fixture.handle(Event::Summary { from: node(2), hash }), []);
    let asked = fixture.handle(Event::Summary { from: node(2), hash: 7 });
    assert_eq!(asked, [Effect::SendTable { to: node(2), table: table_of(1) }]);
    // A table is large, so a second question within 100 ms gets none, and a stranger never does.
    assert_eq!(fixture.handle(Event::Summary { from: node(2), hash: 7 }), []);
    assert_eq!(fixture.handle(Event::Summary { from: node(9), hash: 7 }), []);
    fixture.after(100);
    let mut theirs = ShardTable::initial(SHARDS).unwrap();
    theirs.adopt(led(2, 5, 2));
    let effects = fixture.handle(Event::TableFrom { from: node(2), table: theirs });
    let mut merged = table_of(1);
    merged.adopt(led(2, 5, 2));
    let send = Effect::SendTable { to: node(2), table: merged };
    assert_eq!(effects, [Effect::Release(ShardId(2)), send, Effect::TableChanged]);
}

#[test]
fn tables_with_other_ranges_change_nothing_and_are_not_answered() {
    let mut fixture = Fixture::alone(1);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    let table = ShardTable::initial(7).unwrap();
    assert_eq!(fixture.handle(Event::TableFrom { from: node(2), table: table.clone() }), []);
    assert_eq!(fixture.handle(Event::Table(table)), []);
    assert_eq!(fixture.handle(Event::Descriptor(led(6, 9, 2))), []);
}

#[test]
fn draining_gives_everything_away_at_once() {
    let mut fixture = Fixture::alone(1);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    let releases: Vec<Effect> = (0..SHARDS).map(|shard| Effect::Release(ShardId(shard))).collect();
    assert_eq!(fixture.handle(Event::Drain), releases);
    for shard in 0..SHARDS {
        let effects = fixture.handle(Event::Released(ShardId(shard)));
        assert!(matches!(&effects[0], Effect::Tell { to, .. } if *to == node(2)));
        assert_eq!(effects.contains(&Effect::Drained), shard == SHARDS - 1);
    }
    // A peer that has not heard of it yet hands a shard back, and gets it again.
    let back = fixture.handle(Event::Descriptor(led(0, 3, 1)));
    assert_eq!(back, [Effect::Serve(led(0, 3, 1)), Effect::Release(ShardId(0)), Effect::TableChanged]);
}

#[test]
fn draining_ends_at_once_where_nobody_can_take_over() {
    let mut alone = Fixture::alone(1);
    assert_eq!(alone.handle(Event::Drain), [Effect::Drained]);
    assert_eq!(alone.handle(Event::Drain), []);
    let mut tableless = Fixture::new(1);
    assert_eq!(tableless.handle(Event::Drain), [Effect::Drained]);
}

#[test]
fn a_flapping_view_delays_moves_but_not_for_ever() {
    let mut fixture = Fixture::alone(1);
    let start = fixture.now;
    let mut effects = Vec::new();
    while effects.is_empty() && fixture.now - start < Duration::from_secs(10) {
        let weight = 1 + u16::from((fixture.now.as_nanos() / 100_000_000).is_multiple_of(2));
        let other = Candidate { weight, ..candidate(2) };
        effects = without_summaries(fixture.handle(Event::Candidates(vec![candidate(1), other])));
        effects.extend(fixture.after(100));
    }
    assert!(matches!(effects[0], Effect::Release(_)));
    let waited = fixture.now - start;
    assert!(waited >= Duration::from_millis(1000) && waited <= Duration::from_millis(1100), "{waited:?}");
}

#[test]
fn unknown_and_repeated_reports_are_harmless() {
    let mut fixture = Fixture::alone(1);
    assert_eq!(fixture.handle(Event::Released(ShardId(0))), []);
    assert_eq!(fixture.handle(Event::Released(ShardId(99))), []);
    assert_eq!(fixture.handle(Event::Descriptor(led(99, 9, 2))), []);
    assert_eq!(fixture.handle(Event::Candidates(vec![candidate(1)])), []);
    let mut fresh = Fixture::new(1);
    assert_eq!(fresh.handle(Event::Descriptor(led(0, 1, 2))), []);
    assert_eq!(fresh.handle(Event::Summary { from: node(2), hash: 1 }), []);
}

#[test]
fn the_last_epoch_cannot_be_followed_and_nothing_breaks() {
    let mut fixture = Fixture::alone(1);
    fixture.handle(Event::Candidates(vec![candidate(1), candidate(2)]));
    let last = Descriptor { epoch: crate::EPOCH_MAX, ..led(0, 1, 1) };
    fixture.handle(Event::Descriptor(last.clone()));
    fixture.after(100);
    fixture.handle(Event::Drain);
    assert_eq!(
        fixture.handle(Event::Released(ShardId(0))),
        [Effect::Serve(last), Effect::Release(ShardId(0))]
    );
}
