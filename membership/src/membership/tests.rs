//! Every rule through [`Membership::handle`], as lists of effects.

use std::time::Duration;

use foca::State;
use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{ClusterId, Instant, LossReason, NodeId, NodeInfo, Seed};
use proptest::prelude::*;

use crate::identity::Identity;
use crate::message::{CHUNK_MEMBERS_MAX, Member as SwimMember, Message};
use crate::testing::info;
use crate::testing::world::{address, millis};
use crate::*;

const CLUSTER: ClusterId = ClusterId([7; 16]);

/// One machine, its time and what it wanted last.
struct Bench {
    machine: Membership,
    now: Instant,
}

impl Bench {
    fn new(number: u16, cluster: Option<ClusterId>, seeds: &[u16]) -> Self {
        let start = Start {
            info: info(number),
            types: vec!["b".into(), "a".into()],
            cluster,
            seeds: seeds.iter().copied().map(address).collect(),
            own_addresses: vec![address(number)],
        };
        let rng = Seed::from_number(1).rng();
        let machine = Membership::new(Instant::ZERO, rng, Options::default(), start).unwrap();
        Self { machine, now: Instant::ZERO }
    }

    /// A member of the cluster, connected to nodes 2 and up, all of whom it knows.
    fn member(others: u16) -> Self {
        let mut bench = Self::new(1, Some(CLUSTER), &[]);
        bench.tick();
        for number in 2..2 + others {
            bench.handle(Event::Connected(&hello(number, Some(CLUSTER))));
            bench.receive(number, &introduce(info(number)));
        }
        assert_eq!(bench.machine.view().members.len(), usize::from(others) + 1);
        bench
    }

    fn handle(&mut self, event: Event<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        self.machine.handle(self.now, event, &mut out);
        out
    }

    fn tick(&mut self) -> Vec<Effect> {
        self.handle(Event::Tick)
    }

    fn receive(&mut self, from: u16, message: &Message<'_>) -> Vec<Effect> {
        self.handle(Event::Received { from: info(from).node_id, body: &message.encode() })
    }

    /// Ticks at every deadline for some time.
    fn run(&mut self, duration: Duration) -> Vec<Effect> {
        let end = self.now + duration;
        let mut out = Vec::new();
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            out.extend(self.tick());
        }
        self.now = end;
        out
    }

    fn state(&self, number: u16) -> Option<MemberState> {
        self.machine.view().members.get(&info(number).node_id).map(|member| member.state)
    }
}

fn hello(number: u16, cluster: Option<ClusterId>) -> Hello {
    Hello { cluster, ..Hello::new(info(number)) }
}

fn introduce(info: NodeInfo) -> Message<'static> {
    Message::Introduce { cluster: Some(CLUSTER), asks: false, member: SwimMember::alive(Identity::new(info)) }
}

fn sent(effects: &[Effect]) -> Vec<(NodeId, Message<'_>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { to, body } => Some((*to, Message::decode(body).unwrap())),
            _ => None,
        })
        .collect()
}

fn dialled(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Dial { address } => Some(address.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn it_starts_by_saying_hello_and_dialling_every_seed_but_itself() {
    let mut bench = Bench::new(1, None, &[2, 1, 3]);
    assert_eq!(bench.machine.next_deadline(), Some(Instant::ZERO));
    let expected = [
        Effect::SetHello(bench.machine.hello()),
        Effect::Dial { address: address(2) },
        Effect::Dial { address: address(3) },
    ];
    assert_eq!(bench.tick(), expected);
    assert_eq!(bench.machine.hello().types, ["a", "b"]);
}

#[test]
fn a_lone_founder_persists_before_it_says_anything() {
    let mut bench = Bench::new(1, None, &[]);
    let effects = bench.tick();
    let Effect::PersistCluster { cluster, founded: true } = effects[1] else { panic!("{effects:?}") };
    assert_eq!(bench.machine.cluster(), None);
    let effects = bench.handle(Event::ClusterPersisted);
    assert_eq!(effects, [Effect::SetHello(bench.machine.hello()), Effect::Founded(cluster)]);
    assert_eq!(bench.machine.hello().cluster, Some(cluster));
    assert_eq!(bench.handle(Event::ClusterPersisted), [], "one confirmation is enough");
}

#[test]
fn a_founder_waits_for_what_every_seed_says() {
    let mut bench = Bench::new(1, None, &[1, 2, 3]);
    bench.tick();
    let persists = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::PersistCluster { .. }));
    assert!(!persists(&bench.handle(Event::Connected(&hello(2, None)))));
    assert!(!persists(&bench.handle(Event::Connected(&hello(4, None)))), "not a seed");
    assert!(persists(&bench.handle(Event::Connected(&hello(3, None)))));
}

#[test]
fn a_founder_joins_if_a_seed_knows_a_cluster() {
    let mut bench = Bench::new(1, None, &[1, 2, 3]);
    bench.tick();
    bench.handle(Event::Connected(&hello(2, None)));
    let effects = bench.handle(Event::Connected(&hello(3, Some(CLUSTER))));
    assert!(effects.contains(&Effect::PersistCluster { cluster: CLUSTER, founded: false }));
    let effects = bench.handle(Event::ClusterPersisted);
    assert_eq!(effects[1], Effect::Joined(CLUSTER));
    let told: Vec<NodeId> = sent(&effects).iter().map(|(to, _)| *to).collect();
    assert_eq!(told, [info(2).node_id, info(3).node_id], "the clusterless peer hears of it too");
    let effects = bench.tick();
    assert!(sent(&effects).contains(&(info(3).node_id, Message::Pull)), "{effects:?}");
}

#[test]
fn a_founder_changes_its_mind_as_long_as_nobody_knows() {
    let mut bench = Bench::new(1, None, &[]);
    bench.tick();
    let effects = bench.handle(Event::Connected(&hello(2, Some(CLUSTER))));
    assert!(effects.contains(&Effect::PersistCluster { cluster: CLUSTER, founded: false }));
    assert_eq!(bench.handle(Event::ClusterPersisted), [], "that was its own");
    assert!(bench.handle(Event::ClusterPersisted).contains(&Effect::Joined(CLUSTER)));
}

#[test]
fn peers_of_another_cluster_are_ignored() {
    let mut bench = Bench::new(1, Some(CLUSTER), &[]);
    bench.tick();
    assert_eq!(bench.handle(Event::Connected(&hello(2, Some(ClusterId([8; 16]))))), []);
    assert_eq!(bench.receive(2, &introduce(info(2))), []);
    assert_eq!(bench.machine.counters().unexpected, 2);
}

#[test]
fn a_peer_does_not_lose_its_cluster_by_a_late_copy() {
    let mut bench = Bench::new(1, Some(CLUSTER), &[]);
    bench.tick();
    bench.handle(Event::Connected(&hello(2, None)));
    bench.receive(2, &introduce(info(2)));
    let earlier =
        Message::Introduce { cluster: None, asks: false, member: SwimMember::alive(Identity::new(info(2))) };
    bench.receive(2, &earlier);
    bench.receive(2, &Message::Digest(1));
    assert_eq!(bench.machine.counters().unexpected, 0, "what the peer says is listened to");
}

#[test]
fn a_peer_that_did_not_say_its_cluster_is_asked() {
    let mut bench = Bench::new(1, Some(CLUSTER), &[]);
    bench.tick();
    bench.handle(Event::Connected(&hello(2, None)));
    let asked = |effects: &[Effect]| {
        let asks = |message: &Message<'_>| matches!(message, Message::Introduce { asks: true, .. });
        sent(effects).iter().filter(|(_, message)| asks(message)).count()
    };
    assert_eq!(asked(&bench.run(millis(1200))), 2, "again and again");
    let Message::Introduce { cluster, member, .. } = introduce(info(2)) else { unreachable!() };
    let effects = bench.receive(2, &Message::Introduce { cluster, asks: true, member });
    let answers = sent(&effects);
    assert!(answers.iter().any(|(_, message)| matches!(message, Message::Introduce { asks: false, .. })));
    assert_eq!(asked(&bench.run(millis(1200))), 0, "not once it is known");
}

#[test]
fn nobody_speaks_for_another() {
    let mut bench = Bench::member(1);
    let effects = bench.receive(2, &introduce(info(3)));
    assert_eq!((effects, bench.machine.counters().malformed), (vec![], 1));
    assert_eq!(bench.state(3), None);
}

#[test]
fn a_new_member_is_learned_before_it_is_written_to() {
    let mut bench = Bench::member(0);
    bench.handle(Event::Connected(&hello(2, Some(CLUSTER))));
    let effects = bench.receive(2, &introduce(info(2)));
    let expected = [
        Effect::Notify(ClusterEvent::NodeUp(info(2))),
        Effect::Learn(info(2)),
        Effect::ViewChanged,
        Effect::Notify(ClusterEvent::MembershipChanged { version: 1, members: 2 }),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn a_reset_and_two_refused_dials_are_a_death() {
    let mut bench = Bench::member(4);
    let lost = Event::Lost { peer: info(3).node_id, reason: LossReason::Reset };
    assert_eq!(dialled(&bench.handle(lost)), [address(3)]);
    assert_eq!(bench.handle(Event::DialFailed { address: &address(3) }), []);
    let effects = bench.run(millis(160));
    assert_eq!(dialled(&effects), [address(3)]);
    bench.handle(Event::DialFailed { address: &address(3) });
    let effects = bench.run(millis(1));
    assert_eq!(bench.state(3), Some(MemberState::Down));
    assert!(effects.contains(&Effect::Notify(ClusterEvent::NodeDown(info(3)))));
    let told = sent(&effects).iter().filter(|(_, m)| matches!(m, Message::Verdict { .. })).count();
    assert_eq!(told, 3, "all others hear of it");
}

#[test]
fn two_failed_dials_at_once_are_one() {
    let mut bench = Bench::member(4);
    bench.handle(Event::Lost { peer: info(3).node_id, reason: LossReason::Reset });
    bench.handle(Event::DialFailed { address: &address(3) });
    bench.handle(Event::DialFailed { address: &address(3) });
    bench.run(millis(10));
    assert_eq!(bench.state(3), Some(MemberState::Alive));
}

#[test]
fn lists_are_exchanged_only_if_they_differ() {
    let (mut bench, other) = (Bench::member(2), Bench::member(1));
    let own = bench.machine.list_hash();
    assert_eq!(bench.receive(2, &Message::Digest(own)), []);
    let effects = bench.receive(2, &Message::Digest(other.machine.list_hash()));
    let kinds: Vec<bool> = sent(&effects).iter().map(|(_, m)| matches!(m, Message::Members { .. })).collect();
    assert_eq!(kinds, [false, true], "a pull and this node's list");
    let effects = Bench::member(2).run(Duration::from_secs(6));
    let compared = sent(&effects).iter().any(|(_, m)| matches!(m, Message::Digest(_)));
    assert!(compared, "lists are compared soon after a change");
}

#[test]
fn a_reset_that_reconnects_is_nothing() {
    let mut bench = Bench::member(4);
    bench.handle(Event::Lost { peer: info(3).node_id, reason: LossReason::Reset });
    bench.handle(Event::DialFailed { address: &address(3) });
    bench.handle(Event::Connected(&hello(3, Some(CLUSTER))));
    bench.handle(Event::DialFailed { address: &address(3) });
    bench.run(millis(100));
    assert_eq!(bench.state(3), Some(MemberState::Alive));
}

#[test]
fn resets_by_most_members_at_once_prove_nothing() {
    let mut bench = Bench::member(4);
    for number in [2, 3, 4] {
        bench.handle(Event::Lost { peer: info(number).node_id, reason: LossReason::Reset });
    }
    for _ in 0..2 {
        for number in [2, 3, 4] {
            bench.handle(Event::DialFailed { address: &address(number) });
        }
        bench.run(millis(160));
    }
    assert!([2, 3, 4].iter().all(|number| bench.state(*number) == Some(MemberState::Alive)));
}

#[test]
fn a_stall_shifts_every_deadline() {
    let mut bench = Bench::member(4);
    bench.run(millis(50));
    let due = bench.machine.next_deadline().unwrap();
    bench.now = due + Duration::from_secs(2);
    let effects = bench.tick();
    assert_eq!(effects, [], "nothing strikes before what was queued is read");
    let grace = Options::default().stall_grace;
    assert_eq!(bench.machine.next_deadline(), Some(bench.now + grace));
    assert_eq!(bench.machine.counters().stalls, 1);
}

#[test]
fn a_second_process_with_this_identity_gives_up_after_some_patience() {
    let mut bench = Bench::new(1, Some(CLUSTER), &[2]);
    let refused = |bench: &mut Bench, address| {
        bench.handle(Event::Refused { address, by_us: false, refusal: &Refusal::DuplicateIdentity })
    };
    let seed = address(2);
    assert_eq!(refused(&mut bench, Some(&seed)), []);
    bench.run(millis(2900));
    assert_eq!(refused(&mut bench, Some(&seed)), []);
    bench.run(millis(200));
    assert_eq!(refused(&mut bench, None), [], "the other one called, which may be the newer");
    assert_eq!(refused(&mut bench, Some(&seed)), [Effect::Fatal(Fatal::DuplicateIdentity)]);
    bench.run(Duration::from_secs(60));
    assert_eq!(refused(&mut bench, Some(&seed)), [], "this one was here first");
}

#[test]
fn a_later_start_of_this_node_ends_the_earlier_one_if_it_is_met() {
    let mut later = info(1);
    later.incarnation.0 = 2;
    later.peer_address = "10.9.9.9:1".parse().unwrap();
    let members = vec![SwimMember::alive(Identity::new(later.clone()))];
    let mut bench = Bench::member(2);
    let effects = bench.receive(2, &Message::Verdict { members });
    assert_eq!(effects, [Effect::Dial { address: "10.9.9.9:1".into() }]);
    let (address, refusal) = (Some("10.9.9.9:1"), &Refusal::DuplicateIdentity);
    let effects = bench.handle(Event::Refused { address, by_us: true, refusal });
    assert_eq!(effects, [Effect::Fatal(Fatal::Superseded { address: later.peer_address })]);
}

#[test]
fn an_old_copy_of_a_data_directory_ends_if_most_peers_know_better() {
    let mut later = info(1);
    later.incarnation.0 = 2;
    let verdict = Message::Verdict { members: vec![SwimMember::alive(Identity::new(later.clone()))] };
    let fatal = Fatal::StaleIncarnation { ours: info(1).incarnation, seen: later.incarnation };
    let mut bench = Bench::member(2);
    assert_eq!(bench.receive(2, &verdict), []);
    assert_eq!(bench.receive(2, &verdict), [], "one peer may lie as often as it likes");
    assert_eq!(bench.receive(3, &verdict), [Effect::Fatal(fatal.clone())]);
    let mut bench = Bench::member(1);
    assert_eq!(bench.receive(2, &verdict), [Effect::Fatal(fatal)], "there is nobody else to ask");
    let mut bench = Bench::member(2);
    bench.run(Duration::from_secs(31));
    let is_fatal = |effects: Vec<Effect>| effects.iter().any(|effect| matches!(effect, Effect::Fatal(_)));
    for number in [2, 3] {
        assert!(!is_fatal(bench.receive(number, &verdict)), "it has run for long");
    }
    let mut bench = Bench::member(2);
    for number in [2, 3, 2, 3] {
        assert!(!is_fatal(bench.receive(number, &verdict)), "what each makes up in its turn does not add up");
        bench.run(Duration::from_secs(6));
    }
}

#[test]
fn an_earlier_start_that_introduces_itself_is_told_of_the_later_one() {
    let mut bench = Bench::member(2);
    let mut later = info(3);
    later.incarnation.0 = 5;
    bench.handle(Event::Connected(&Hello { info: later.clone(), ..hello(3, Some(CLUSTER)) }));
    bench.receive(3, &introduce(later.clone()));
    bench.handle(Event::Connected(&hello(3, Some(CLUSTER))));
    let effects = bench.receive(3, &introduce(info(3)));
    let members = vec![SwimMember::alive(Identity::new(later))];
    assert_eq!(sent(&effects), [(info(3).node_id, Message::Verdict { members })]);
}

#[test]
fn hearsay_of_a_death_only_makes_a_suspect() {
    let mut bench = Bench::member(3);
    let dead = SwimMember::down(Identity::new(info(3)));
    bench.receive(2, &Message::Members { members: vec![dead.clone()], last: true });
    assert_eq!(bench.state(3), Some(MemberState::Unreachable));
    bench.receive(2, &Message::Verdict { members: vec![dead] });
    assert_eq!(bench.state(3), Some(MemberState::Down), "an eyewitness is believed");
}

#[test]
fn a_false_death_is_answered_with_a_new_identity() {
    let mut bench = Bench::member(3);
    let own = bench.machine.swim.own().clone();
    bench.receive(2, &Message::Verdict { members: vec![SwimMember::down(own.clone())] });
    assert_ne!(bench.machine.swim.own(), &own);
    assert_eq!(bench.machine.counters().rejoins, 1);
    assert_eq!(bench.state(1), Some(MemberState::Alive));
}

#[test]
fn a_list_is_served_in_chunks_and_not_too_often() {
    let mut bench = Bench::member(600);
    let effects = bench.receive(2, &Message::Pull);
    let sizes: Vec<(usize, bool)> = sent(&effects)
        .iter()
        .map(|(_, message)| match message {
            Message::Members { members, last } => (members.len(), *last),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [(CHUNK_MEMBERS_MAX, false), (CHUNK_MEMBERS_MAX, false), (88, true)]);
    assert_eq!(bench.receive(2, &Message::Pull), []);
    assert_eq!(bench.machine.counters().throttled, 1);
}

#[test]
fn the_member_table_has_an_end() {
    let mut bench = Bench::member(1);
    let all: Vec<SwimMember> =
        (2..=5000).map(|number| SwimMember::alive(Identity::new(info(number)))).collect();
    for chunk in all.chunks(CHUNK_MEMBERS_MAX) {
        bench.receive(2, &Message::Members { members: chunk.to_vec(), last: true });
    }
    let members = bench.machine.view().members.len();
    assert!(members <= 1024 + 2, "{members} members, of whom two were met");
    assert!(bench.machine.counters().overflowed > 3000);
}

#[test]
fn an_oversized_broadcast_is_refused_and_an_old_one_ignored() {
    let mut bench = Bench::member(1);
    let big = vec![0; BROADCAST_BYTES_MAX + 1];
    bench.handle(Event::Broadcast(Broadcast { key: 1, version: 1, bytes: &big }));
    bench.handle(Event::Broadcast(Broadcast { key: 1, version: 3, bytes: b"new" }));
    bench.handle(Event::Broadcast(Broadcast { key: 1, version: 2, bytes: b"old" }));
    assert_eq!(bench.machine.counters().overflowed, 2);
}

#[test]
fn the_dead_are_forgotten_after_a_day() {
    let mut bench = Bench::member(2);
    let dead = SwimMember::down(Identity::new(info(3)));
    bench.receive(2, &Message::Verdict { members: vec![dead] });
    bench.machine.options.remove_down_after = Duration::from_secs(5);
    let effects = bench.run(Duration::from_secs(8));
    assert!(effects.contains(&Effect::Forget(info(3).node_id)));
    assert_eq!(bench.state(3), None);
}

#[test]
fn after_a_leave_nothing_happens() {
    let mut bench = Bench::member(2);
    let effects = bench.handle(Event::Leave);
    let told = sent(&effects).iter().filter(|(_, m)| matches!(m, Message::Verdict { .. })).count();
    assert_eq!((told, bench.state(1)), (2, Some(MemberState::Left)));
    assert_eq!(bench.run(Duration::from_secs(1)), [Effect::Left]);
    assert_eq!(bench.receive(2, &Message::Pull), []);
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn bad_options_are_named() {
    let start = Start { info: info(1), types: vec![], cluster: None, seeds: vec![], own_addresses: vec![] };
    let new = |options, start| {
        Membership::new(Instant::ZERO, Seed::from_number(1).rng(), options, start).unwrap_err()
    };
    let options = Options { probe_timeout: millis(150), ..Options::default() };
    assert!(new(options, start.clone()).to_string().contains("probe_timeout"));
    let mut named = start;
    named.info.name = "n".repeat(65);
    assert!(new(Options::default(), named).to_string().contains("name"));
}

fn visible(bench: &Bench) -> (View, Option<ClusterId>) {
    (bench.machine.view().clone(), bench.machine.cluster())
}

proptest! {
    #[test]
    fn random_bytes_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..12) {
        let mut bench = Bench::member(3);
        let before = visible(&bench);
        let from = info(2).node_id;
        for body in [&bytes[..], &[&[kind][..], &bytes].concat()] {
            for effect in bench.handle(Event::Received { from, body }) {
                let harmless = matches!(effect, Effect::Send { .. });
                prop_assert!(harmless, "{:?}", effect);
            }
        }
        prop_assert_eq!(visible(&bench), before);
    }

    #[test]
    fn damaged_messages_never_panic(
        which in 0usize..6,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bench = Bench::member(3);
        let packets = bench.run(millis(250));
        let (ping, own) = (&packets, bench.machine.swim.own().clone());
        let member = SwimMember::new(own, 0, State::Suspect);
        let mut body = match which {
            0 => introduce(info(2)).encode(),
            1 => Message::Members { members: vec![member], last: true }.encode(),
            2 => Message::Verdict { members: vec![member] }.encode(),
            3 => Message::Types(vec!["x".into()]).encode(),
            4 => Message::Heard { node: info(3).node_id, age_ms: 4 }.encode(),
            _ => ping.iter().find_map(|effect| match effect {
                Effect::Send { body, .. } => Some(body.clone()),
                _ => None,
            }).unwrap(),
        };
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] ^= byte;
        }
        body.truncate(cut.index(body.len() + 1).max(1));
        bench.handle(Event::Received { from: info(2).node_id, body: &body });
        bench.run(millis(500));
    }
}

mod hearsay;
mod names;
