//! What one peer can claim, and how those who know better bring it right.

use super::*;
use crate::table::{EPOCH_MAX, TERM_MAX};

/// Every kind of lie about shard 0, which node 1 leads with the voters 1, 2 and 3, in term 1 and epoch 1.
fn lies() -> Vec<Descriptor> {
    let version = |term, epoch| Version { term, epoch };
    let say = |version, leader: Option<u8>, replicas: &[u8]| Descriptor {
        shard: ShardId(0),
        version,
        leader: leader.map(node),
        replicas: nodes(replicas),
    };
    vec![
        say(version(2, Epoch(1)), Some(9), &[1, 2, 3]),
        say(version(TERM_MAX, Epoch(1)), Some(9), &[9]),
        say(version(TERM_MAX, EPOCH_MAX), Some(2), &[1, 2, 3]),
        say(version(1, EPOCH_MAX), Some(1), &[7, 8, 9]),
        say(version(1, Epoch(2)), None, &[]),
        say(version(1, Epoch(1)), Some(1), &[4, 5, 6]),
        Descriptor::led_by(ShardId(0), version(TERM_MAX, EPOCH_MAX), node(9)),
    ]
}

/// Node 2, which keeps replicas of what node 1 leads.
fn follower() -> Fixture {
    let mut fixture = Fixture::new(2);
    let mut table = ShardTable::initial(SHARDS).unwrap();
    (0..SHARDS).for_each(|shard| drop(table.adopt(described(shard, 1, 1, 1, &[1, 2, 3]))));
    fixture.handle(Event::Table(table));
    fixture.handle(view(&[1, 2, 3]));
    fixture
}

fn broadcasts(effects: Vec<Effect>) -> Vec<Descriptor> {
    let said = |effect| match effect {
        Effect::Broadcast(descriptor) => Some(descriptor),
        _ => None,
    };
    effects.into_iter().filter_map(said).collect()
}

#[test]
fn a_leader_is_not_overruled_and_everybody_believes_its_correction() {
    for lie in lies() {
        let mut leader = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
        leader.after(10_000);
        let before = leader.shard(0).clone();
        assert_eq!(leader.handle(Event::Descriptor(lie.clone())), [Effect::Doubt(ShardId(0))], "{lie:?}");
        assert_eq!(*leader.shard(0), before, "{lie:?}");
        let said = broadcasts(leader.after(1_500));
        let [correction] = said.as_slice() else { panic!("{lie:?}: {said:?}") };
        assert_eq!(correction.leader, Some(node(1)));
        assert_eq!(correction.replicas, nodes(&[1, 2, 3]));

        for deceived in [true, false] {
            let mut follower = follower();
            if deceived {
                follower.handle(Event::Descriptor(lie.clone()));
            }
            follower.handle(Event::Descriptor(correction.clone()));
            let is = follower.shard(0);
            let is = (is.leader, is.replicas.clone(), is.epoch);
            assert_eq!(is, (Some(node(1)), nodes(&[1, 2, 3]), Epoch(1)), "{lie:?}");
        }
        assert_eq!(broadcasts(leader.after(60_000)), [], "one correction is enough");
    }
}

#[test]
fn whoever_is_deceived_tells_the_leader() {
    let mut follower = follower();
    let lie = lies().remove(1);
    let effects = follower.handle(Event::Descriptor(lie.clone()));
    assert_eq!(effects, [Effect::Tell { to: node(1), descriptor: lie }, Effect::TableChanged]);
}

#[test]
fn a_whole_table_of_lies_is_corrected_shard_by_shard() {
    let mut leader = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    leader.after(10_000);
    let mut table = ShardTable::initial(SHARDS).unwrap();
    for shard in 0..SHARDS {
        table.adopt_own(described(shard, TERM_MAX, EPOCH_MAX.0, 9, &[9]));
    }
    leader.handle(Event::TableFrom { from: node(3), table: table.clone() });
    let corrections = broadcasts(leader.after(1_500));
    assert_eq!(corrections.len(), SHARDS as usize);

    // A newcomer has only the liar's table, and then the truth.
    let mut newcomer = Fixture::new(4);
    newcomer.handle(Event::Table(table));
    corrections.into_iter().for_each(|correction| drop(newcomer.handle(Event::Descriptor(correction))));
    assert!((0..SHARDS).all(|shard| newcomer.shard(shard).leader == Some(node(1))));
}

#[test]
fn a_leader_that_is_elected_after_a_lie_goes_beyond_it_at_once() {
    let mut other = follower();
    other.handle(Event::Descriptor(described(0, 1 << 30, 7, 1, &[1, 2, 3])));
    let said = broadcasts(other.handle(Event::Own(described(0, 2, 1, 2, &[1, 2, 3]))));
    assert!(said[0].version.term > 1 << 30 && said[0].leader == Some(node(2)), "{said:?}");
    assert_eq!(other.shard(0).leader, Some(node(2)));
    // What it says later goes beyond it too.
    let said = broadcasts(other.handle(Event::Own(described(0, 2, 2, 2, &[2, 3]))));
    assert_eq!(said[0].replicas, nodes(&[2, 3]));
    assert_eq!((other.shard(0).replicas.clone(), other.shard(0).epoch), (nodes(&[2, 3]), Epoch(2)));
}

#[test]
fn a_leader_that_was_deposed_contradicts_nobody() {
    let mut leader = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    leader.after(10_000);
    leader.handle(Event::Descriptor(described(0, 2, 1, 2, &[1, 2, 3])));
    leader.after(1_000);
    assert_eq!(leader.handle(Event::Lost(ShardId(0)))[..], [Effect::TableChanged]);
    assert_eq!(leader.shard(0).leader, Some(node(2)));
    assert_eq!(broadcasts(leader.after(60_000)), []);
}

#[test]
fn lies_without_end_are_answered_at_a_bounded_rate_and_leave_terms_for_the_truth() {
    let mut leader = Fixture::leading(1, &[1, 2, 3], &[1, 2, 3]);
    leader.after(10_000);
    let mut said = 0;
    for _ in 0..3_000 {
        leader.handle(Event::Descriptor(described(0, TERM_MAX, EPOCH_MAX.0, 9, &[9])));
        said += broadcasts(leader.after(10)).len();
    }
    assert!((10..=30).contains(&said), "{said} corrections in thirty seconds");
    assert_eq!(leader.shard(0).leader, Some(node(1)));
    assert!(leader.shard(0).term < TERM_MAX / (1 << 16), "{}", leader.shard(0).term);
}
