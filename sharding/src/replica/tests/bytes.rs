//! Bytes from peers and from the disk, in every state of decay.

use std::sync::Arc;

use gritmesh_runtime::{Epoch, Instant, Reads, ShardId};
use proptest::prelude::*;

use super::super::member::{Reconfiguration, ReconfigureStep};
use super::super::message::{Body, Forced, LogEntry, Message};
use super::super::world::{Image, SHARD, node};
use super::super::{
    Config, Member, MemberRole, MessageError, MessageHeader, Replica, ReplicaId, ReplicaLimits,
    ReplicaOptions, ReplicaSetup, RestoreError, WholeCommands,
};

fn setup() -> ReplicaSetup {
    ReplicaSetup {
        shard: SHARD,
        me: node(0),
        options: ReplicaOptions::default(),
        limits: ReplicaLimits::default(),
        seed: gritmesh_runtime::Seed::from_number(1),
        codec: Arc::new(WholeCommands),
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// Runs a replica against a disk that is always done.
fn pump(replica: &mut Replica, disk: &mut Image, now: Instant) {
    while let Some(progress) = replica.advance(now) {
        disk.apply(&progress.changes);
        disk.apply(progress.applied.as_slice());
        if let Some(number) = progress.number {
            replica.persisted(now, number);
        }
    }
}

/// A leader with a learner, and its disk.
fn leading() -> (Replica, Image) {
    let (mut replica, mut disk) = (Replica::found(setup(), at(1)), Image::default());
    pump(&mut replica, &mut disk, at(1));
    for number in 0..20 {
        replica.propose(vec![number; 40].into()).unwrap();
    }
    pump(&mut replica, &mut disk, at(1));
    replica.reconfigure(at(2), &[node(0), node(1)]).unwrap();
    pump(&mut replica, &mut disk, at(2));
    (replica, disk)
}

/// A replica that has just been invited.
fn joined() -> Replica {
    Replica::join(setup(), ReplicaId(9), at(1))
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..40, any::<u64>().prop_map(|it| it >> 8), any::<u64>()]
}

fn configs() -> impl Strategy<Value = Config> {
    let role = prop_oneof![
        Just(MemberRole::Voter),
        Just(MemberRole::Learner),
        Just(MemberRole::Entering),
        Just(MemberRole::Leaving)
    ];
    let member = (0usize..9, 1u64..12, role).prop_map(|(at, replica, role)| Member {
        node: node(at),
        replica: ReplicaId(replica),
        role,
    });
    (0u64..20, prop::collection::vec(member, 0..6), any::<bool>()).prop_map(|(epoch, mut members, joint)| {
        members.sort_unstable();
        Config { epoch: Epoch(epoch), members, joint }
    })
}

fn steps() -> impl Strategy<Value = ReconfigureStep> {
    let ids = || prop::collection::vec((1u64..12).prop_map(ReplicaId), 0..4);
    prop_oneof![
        (0usize..9, 1u64..12)
            .prop_map(|(at, id)| ReconfigureStep::AddLearner { node: node(at), replica: ReplicaId(id) }),
        (1u64..12).prop_map(|id| ReconfigureStep::RemoveLearner { replica: ReplicaId(id) }),
        (ids(), ids()).prop_map(|(promote, remove)| ReconfigureStep::EnterJoint { promote, remove }),
        Just(ReconfigureStep::LeaveJoint),
    ]
}

fn entries() -> impl Strategy<Value = Vec<LogEntry>> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| (false, bytes)),
        (0u64..9, steps())
            .prop_map(|(epoch, step)| (true, Reconfiguration { epoch: Epoch(epoch), step }.encode())),
    ];
    let entry = (0u64..9, bytes).prop_map(|(term, (is_change, bytes))| LogEntry { term, is_change, bytes });
    prop::collection::vec(entry, 0..5)
}

fn bodies() -> impl Strategy<Value = Body> {
    prop_oneof![
        (numbers(), numbers(), numbers(), entries())
            .prop_map(|(index, log_term, commit, entries)| Body::Append { index, log_term, commit, entries }),
        (numbers(), numbers(), any::<bool>(), numbers(), numbers()).prop_map(
            |(index, commit, reject, hint, log_term)| {
                Body::AppendAnswer { index, commit, reject, hint, log_term }
            }
        ),
        (numbers(), numbers(), numbers(), any::<bool>())
            .prop_map(|(commit, round, settled, sleep)| Body::Heartbeat { commit, round, settled, sleep }),
        (numbers(), numbers(), any::<bool>()).prop_map(|(commit, round, asleep)| Body::HeartbeatAnswer {
            commit,
            round,
            asleep
        }),
        (any::<bool>(), numbers(), numbers(), numbers(), numbers(), prop::option::of((numbers(), numbers())))
            .prop_map(|(pre, index, log_term, commit, commit_term, forced)| Body::Vote {
                pre,
                index,
                log_term,
                commit,
                commit_term,
                forced: forced.map(|(term, round)| Forced { term, round }),
            }),
        (any::<bool>(), any::<bool>(), numbers(), numbers()).prop_map(
            |(pre, reject, commit, commit_term)| Body::VoteAnswer { pre, reject, commit, commit_term }
        ),
        (numbers(), numbers(), configs()).prop_map(|(index, log_term, config)| Body::Snapshot {
            index,
            log_term,
            config
        }),
        numbers().prop_map(|round| Body::TimeoutNow { round }),
        Just(Body::Ask),
        Just(Body::Gone),
        Just(Body::Lost),
    ]
}

/// A well-formed message that may say anything.
fn lies() -> impl Strategy<Value = (usize, u64, u64, u64, Body)> {
    (0usize..4, 0u64..9, 0u64..12, prop_oneof![1u64..12, numbers()], bodies())
}

/// Tells a replica many lies, letting time pass, and sees that it does not panic.
fn tell(replica: &mut Replica, lies: Vec<(usize, u64, u64, u64, Body)>) {
    let (mut disk, mut now) = (Image::default(), 10);
    for (sender, epoch, from, term, body) in lies {
        now += 70;
        let status = replica.status();
        let member = status.config.on(node(sender)).map(|member| member.replica);
        let from = member.unwrap_or_else(|| ReplicaId(from.max(1)));
        let message = Message::new(SHARD, Epoch(epoch), from, replica.id(), term, body);
        let _may_refuse = replica.receive(at(now), node(sender), &message.encode());
        replica.tick(at(now));
        while let Some(progress) = replica.advance(at(now)) {
            disk.apply(&progress.changes);
            disk.apply(progress.applied.as_slice());
            if let Some(number) = progress.number {
                replica.persisted(at(now), number);
            }
            if let Some((_, meta)) = progress.install {
                let _may_refuse = replica.install(at(now), meta);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _any = MessageHeader::read(&bytes);
        prop_assert!(joined().receive(at(5), node(1), &bytes).is_err());
    }

    #[test]
    fn damaged_messages_never_panic(
        (sender, epoch, from, term, body) in lies(),
        place in any::<prop::sample::Index>(),
        value in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let message = Message::new(SHARD, Epoch(epoch), ReplicaId(from + 20), ReplicaId(9), term, body);
        let mut bytes = message.encode();
        let place = place.index(bytes.len());
        bytes[place] = value;
        let _any = joined().receive(at(5), node(sender), &bytes);
        let cut = cut.index(bytes.len());
        prop_assert!(matches!(
            joined().receive(at(5), node(sender), &bytes[..cut]),
            Err(MessageError::Malformed(_) | MessageError::Misdirected)
        ));
    }

    #[test]
    fn a_joined_replica_survives_lies(told in prop::collection::vec(lies(), 0..40)) {
        tell(&mut joined(), told);
    }

    #[test]
    fn a_leader_survives_lies(told in prop::collection::vec(lies(), 0..40)) {
        tell(&mut leading().0, told);
    }

    #[test]
    fn messages_round_trip((_, epoch, from, term, body) in lies()) {
        let message = Message::new(SHARD, Epoch(epoch), ReplicaId(from + 20), ReplicaId(9), term, body);
        let bytes = message.encode();
        prop_assert_eq!(MessageHeader::read(&bytes), Ok(message.header));
        if let Ok(read) = Message::decode(&bytes) {
            prop_assert_eq!(read, message);
        }
    }

    #[test]
    fn changes_lead_from_one_whole_configuration_to_the_next(made in prop::collection::vec(steps(), 0..60)) {
        let mut config = Config::founded(node(0), SHARD);
        for step in made {
            let epoch = Epoch(config.epoch.0 + 1);
            let change = Reconfiguration { epoch, step };
            prop_assert_eq!(Reconfiguration::decode(&change.encode()), Ok(change.clone()));
            if let Some(next) = config.after(&change) {
                prop_assert_eq!(next.epoch, epoch);
                prop_assert!(next.voters().count() > 0);
                prop_assert!(next.after(&change).is_none(), "a change is made once");
                config = next;
            }
        }
    }

    #[test]
    fn a_flipped_bit_on_the_disk_is_found(place in 0usize..1000, bit in 0usize..100_000) {
        let (_, mut disk) = leading();
        let whole = Replica::read(&disk, SHARD, &WholeCommands).unwrap().unwrap();
        prop_assert_eq!(whole.applied(), whole.applied().max(25));
        disk.damage(place, bit);
        let damaged = matches!(
            Replica::read(&disk, SHARD, &WholeCommands),
            Err(RestoreError::Damaged { .. } | RestoreError::Inconsistent { .. })
        );
        prop_assert!(damaged);
    }
}

#[test]
fn what_a_replica_left_is_what_it_finds() {
    let (replica, disk) = leading();
    let stored = Replica::read(&disk, SHARD, &WholeCommands).unwrap().unwrap();
    let before = replica.status();
    assert_eq!(
        (stored.config(), stored.applied(), stored.replica()),
        (&before.config, before.applied, before.replica)
    );
    let restored = Replica::restore(setup(), stored, at(50)).status();
    assert_eq!(
        (before.config, before.applied, before.cut),
        (restored.config, restored.applied, restored.cut)
    );
    assert!(Replica::read(&disk, ShardId(8), &WholeCommands).unwrap().is_none());
}

#[test]
fn a_replica_that_was_buried_does_not_come_back() {
    let (replica, mut disk) = leading();
    let tombstone = replica.tombstone();
    disk.apply(&Replica::bury(SHARD, tombstone));
    assert!(Replica::read(&disk, SHARD, &WholeCommands).unwrap().is_none());
    let found = Replica::read_tombstone(&disk, SHARD).unwrap();
    assert_eq!(found, Some(tombstone));
    let heartbeat = Body::Heartbeat { commit: 0, round: 0, settled: 0, sleep: false };
    let header = |epoch: u64, to: ReplicaId, body: &Body| {
        let bytes = Message::new(SHARD, Epoch(epoch), ReplicaId(3), to, 4, body.clone()).encode();
        MessageHeader::read(&bytes).unwrap()
    };
    let newer = tombstone.epoch.0 + 1;
    assert!(header(newer, ReplicaId(5), &heartbeat).may_join(found));
    assert!(!header(newer - 1, ReplicaId(5), &heartbeat).may_join(found), "sent before");
    assert!(!header(newer, tombstone.replica, &heartbeat).may_join(found), "the same one");
    assert!(!header(newer, ReplicaId(5), &Body::Ask).may_join(found), "not from a leader");
}

#[test]
fn byte_forms_are_pinned() {
    // A change here is another format, and needs another version.
    let config = Config::founded(node(0), SHARD);
    let message = Message::new(
        SHARD,
        Epoch(3),
        ReplicaId(1),
        ReplicaId(2),
        4,
        Body::Snapshot { index: 5, log_term: 1, config },
    );
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..16].to_owned();
    assert_eq!(hash(&message.encode()), PINNED_MESSAGE);
    let (_, disk) = leading();
    let records = disk.scan(gritmesh_runtime::Table::Group, &[0][..]..&[255][..], 100).unwrap();
    let log = disk.scan(gritmesh_runtime::Table::Log, &[0][..]..&[255][..], 100).unwrap();
    let all: Vec<u8> =
        records.into_iter().chain(log).flat_map(|(key, value)| [key, value].concat()).collect();
    assert_eq!(hash(&all), PINNED_RECORDS);
}

const PINNED_MESSAGE: &str = "fe5cd33952bed5da";
const PINNED_RECORDS: &str = "8d6f90ed35f29a82";
