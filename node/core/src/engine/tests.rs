//! Each rule of the engine as a list of effects.

use std::collections::BTreeMap;
use std::sync::Arc;

use gritmesh_actor::{AnyActivation, Chain, Header, Payload};
use gritmesh_runtime::ActorAddress;
use gritmesh_sharding::{Descriptor, Host, Hosting, Routing, ShardTable};
use parking_lot::Mutex;

use super::pending::PENDING_MAX;
use super::sending::HOPS_MAX;
use super::*;

const ME: NodeId = NodeId([1; 32]);
const OTHER: NodeId = NodeId([2; 32]);
const THIRD: NodeId = NodeId([3; 32]);

type Answers = Arc<Mutex<Vec<Result<Vec<u8>, Failure>>>>;

struct Recorder(Answers);

impl Payload for Recorder {
    fn encode(&self) -> Result<Vec<u8>, Failure> {
        Ok(vec![0x90])
    }

    fn deliver(self: Box<Self>, _: Header, _: Arc<dyn AnyActivation>) {
        unreachable!("the engine delivers by an effect");
    }

    fn answer(self: Box<Self>, result: Result<Vec<u8>, Failure>) {
        self.0.lock().push(result);
    }
}

struct Bench {
    engine: Engine,
    now: Instant,
    answers: Answers,
    table: ShardTable,
}

/// What an effect comes to, for comparing.
#[derive(Debug, PartialEq)]
enum Seen {
    Sent(NodeId, u64),
    Redirected(NodeId, u64, Option<NodeId>),
    Delivered,
    Passed(ShardId),
    Ended(Result<Vec<u8>, FailureCode>),
    Evict(ShardId),
    Released(ShardId),
    Learn(Epoch, Option<NodeId>),
}

impl Bench {
    fn new() -> Self {
        let table = ShardTable::initial(1).unwrap();
        Self {
            engine: Engine::new(ME, Incarnation(1), (0, 1), Sabotage::None),
            now: Instant::from_nanos(1),
            answers: Answers::default(),
            table,
        }
    }

    /// A bench whose only shard is led by `leader` in epoch 1.
    fn led_by(leader: NodeId) -> Self {
        let mut bench = Self::new();
        bench.lead(1, leader);
        bench
    }

    fn lead(&mut self, epoch: u64, leader: NodeId) -> Vec<Seen> {
        self.table.adopt(Descriptor::led_by(ShardId(0), Epoch(epoch), leader));
        let host = |node| Host { node, weight: 1, alive: true, types: Some(Arc::from(["t".to_owned()])) };
        let hosting = Arc::new(Hosting::new([ME, OTHER, THIRD].map(host)));
        let routing = Routing::new(&self.table, hosting);
        let mut seen = self.handle(Event::Routes(Arc::new(Routes { routing, table: self.table.clone() })));
        if leader == ME {
            seen.extend(self.handle(Event::Serve(ShardId(0))));
        }
        seen
    }

    fn submission(&self, timeout_ms: u64, one_way: bool, actor_type: &str) -> Submission {
        let address = ActorAddress::new(actor_type, "x").unwrap();
        let header = Header {
            token: address.token(),
            address,
            method: "m".into(),
            deadline: self.now + Duration::from_millis(timeout_ms),
            chain: Chain::EMPTY,
            one_way,
        };
        Submission { header, payload: Box::new(Recorder(self.answers.clone())) }
    }

    fn submit(&mut self, timeout_ms: u64) -> Vec<Seen> {
        let submission = self.submission(timeout_ms, false, "t");
        self.handle(Event::Submit(submission))
    }

    fn receive(&mut self, epoch: u64, one_way: bool, hops: u8) -> Vec<Seen> {
        let submission = self.submission(1000, one_way, "t");
        let (shard, epoch) = (ShardId(0), Epoch(epoch));
        self.handle(Event::Received {
            from: Caller { peer: OTHER, slot: 77, incarnation: Incarnation(1) },
            submission,
            shard,
            epoch,
            hops,
        })
    }

    fn pass(&mut self, ms: u64) -> Vec<Seen> {
        self.now += Duration::from_millis(ms);
        self.handle(Event::Tick)
    }

    fn handle(&mut self, event: Event) -> Vec<Seen> {
        let mut effects = Vec::new();
        self.engine.handle(self.now, event, &mut effects);
        effects.into_iter().filter_map(seen).collect()
    }
}

fn seen(effect: Effect) -> Option<Seen> {
    Some(match effect {
        Effect::Send { to, slot, .. } => Seen::Sent(to, slot),
        Effect::Redirect { to, place } => Seen::Redirected(to.peer, to.slot, place.names()),
        Effect::Deliver(_) => Seen::Delivered,
        Effect::Answer(_, result) => Seen::Ended(result.map_err(|failure| failure.code)),
        Effect::Pass { shard, .. } => Seen::Passed(shard),
        Effect::Evict(shard) => Seen::Evict(shard),
        Effect::Released(shard) => Seen::Released(shard),
        Effect::Learn { epoch, leader, .. } => Seen::Learn(epoch, leader),
        Effect::Count(_) => return None,
    })
}

fn sent_slot(seen: &[Seen]) -> u64 {
    match seen {
        [Seen::Sent(_, slot)] => *slot,
        other => panic!("expected one envelope, got {other:?}"),
    }
}

fn ended(code: FailureCode) -> Vec<Seen> {
    vec![Seen::Ended(Err(code))]
}

#[test]
fn a_call_for_an_own_shard_is_delivered() {
    assert_eq!(Bench::led_by(ME).submit(1000), [Seen::Delivered]);
}

#[test]
fn a_call_for_another_node_is_sent_and_answered_once() {
    let mut bench = Bench::led_by(OTHER);
    let slot = sent_slot(&bench.submit(1000));
    assert_eq!(bench.handle(Event::Reply { slot, result: Ok(vec![5]) }), [Seen::Ended(Ok(vec![5]))]);
    assert_eq!(bench.handle(Event::Reply { slot, result: Ok(vec![5]) }), []);
    assert_eq!(bench.pass(2000), []);
}

#[test]
fn slots_are_not_reused_with_the_same_number() {
    let mut bench = Bench::led_by(OTHER);
    let first = sent_slot(&bench.submit(1000));
    bench.handle(Event::Reply { slot: first, result: Ok(vec![]) });
    let second = sent_slot(&bench.submit(1000));
    assert_ne!(first, second);
    assert_eq!(bench.handle(Event::Reply { slot: first, result: Ok(vec![]) }), []);
}

#[test]
fn no_answer_by_the_deadline_is_unknown() {
    let mut bench = Bench::led_by(OTHER);
    bench.submit(1000);
    assert_eq!(bench.pass(999), []);
    assert_eq!(bench.pass(1), ended(FailureCode::Unknown));
}

#[test]
fn nobody_to_send_to_by_the_deadline_is_not_delivered() {
    let mut bench = Bench::new();
    assert_eq!(bench.submit(50), []);
    assert_eq!(bench.pass(50), ended(FailureCode::NotDelivered));
}

#[test]
fn a_call_waits_for_the_cluster_and_then_goes() {
    let mut bench = Bench::new();
    assert_eq!(bench.submit(1000), []);
    assert_eq!(bench.lead(1, ME), [Seen::Delivered]);
}

#[test]
fn a_broken_connection_tells_what_was_sent_and_what_was_not() {
    let mut bench = Bench::led_by(OTHER);
    bench.submit(10_000);
    let unsent = sent_slot(&bench.submit(10_000));
    assert_eq!(
        bench.handle(Event::Lost { peer: OTHER, unsent: vec![unsent] }),
        ended(FailureCode::Unknown),
        "the one that was sent may have run; the other one looks for a new way"
    );
    assert_eq!(bench.lead(2, ME), [Seen::Delivered]);
}

#[test]
fn an_envelope_that_the_network_did_not_take_is_tried_again() {
    let mut bench = Bench::led_by(OTHER);
    let slot = sent_slot(&bench.submit(10_000));
    assert_eq!(bench.handle(Event::NotSent { slot, failure: None }), []);
    assert_eq!(bench.pass(39), []);
    assert!(matches!(bench.pass(1)[..], [Seen::Sent(OTHER, _)]));
}

#[test]
fn a_redirect_is_followed_and_told_to_control() {
    let mut bench = Bench::led_by(OTHER);
    let slot = sent_slot(&bench.submit(10_000));
    let place = Place { shard: 0, epoch: 2, leader: Some(THIRD), node: Some(THIRD) };
    let seen = bench.handle(Event::Redirect { slot, place });
    assert!(matches!(seen[..], [Seen::Learn(Epoch(2), Some(THIRD)), Seen::Sent(THIRD, _)]), "{seen:?}");
}

#[test]
fn redirects_in_a_circle_end_in_waiting() {
    let mut bench = Bench::led_by(OTHER);
    let mut slot = sent_slot(&bench.submit(10_000));
    for round in 0..=REDIRECTS_MAX {
        let node = if round % 2 == 0 { THIRD } else { OTHER };
        let place = Place { shard: 0, epoch: 1, leader: Some(node), node: Some(node) };
        let seen = bench.handle(Event::Redirect { slot, place });
        match &seen[..] {
            [Seen::Learn(..), Seen::Sent(_, next)] if round < REDIRECTS_MAX => slot = *next,
            [Seen::Learn(..)] if round == REDIRECTS_MAX => return,
            other => panic!("round {round}: {other:?}"),
        }
    }
    panic!("the circle never ended");
}

#[test]
fn a_shard_in_release_holds_its_calls_until_it_has_moved() {
    let mut bench = Bench::led_by(ME);
    assert_eq!(bench.handle(Event::Release(ShardId(0))), [Seen::Evict(ShardId(0))]);
    assert_eq!(bench.submit(10_000), []);
    assert_eq!(bench.receive(1, false, 1), []);
    assert_eq!(bench.handle(Event::Evicted(ShardId(0))), [Seen::Released(ShardId(0))]);
    let seen = bench.lead(2, OTHER);
    assert!(
        matches!(seen[..], [Seen::Sent(OTHER, _), Seen::Redirected(OTHER, 77, Some(OTHER))]),
        "a call from here follows the shard, one from a peer is sent back: {seen:?}"
    );
}

#[test]
fn a_call_from_a_peer_that_knows_more_is_news() {
    let mut bench = Bench::led_by(OTHER);
    assert_eq!(bench.receive(1, false, 1), [Seen::Redirected(OTHER, 77, Some(OTHER))]);
    assert_eq!(bench.receive(2, false, 1), [Seen::Learn(Epoch(2), Some(ME))]);
    assert_eq!(bench.lead(2, ME), [Seen::Delivered]);
}

#[test]
fn a_message_without_a_caller_is_passed_on_a_few_times() {
    let mut bench = Bench::led_by(THIRD);
    assert!(matches!(bench.receive(1, true, 1)[..], [Seen::Sent(THIRD, 0)]));
    assert_eq!(bench.receive(1, true, HOPS_MAX), ended(FailureCode::NotDelivered));
}

#[test]
fn an_unhosted_type_is_refused_at_once() {
    let mut bench = Bench::led_by(ME);
    let submission = bench.submission(1000, false, "nobody");
    assert_eq!(bench.handle(Event::Submit(submission)), ended(FailureCode::UnknownType));
}

#[test]
fn a_call_that_came_before_the_table_is_passed_to_the_engine_of_its_shard() {
    let mut bench = Bench::new();
    (bench.engine.index, bench.engine.engines) = (1, 2);
    assert_eq!(bench.submit(1000), []);
    assert_eq!(bench.lead(1, ME), [Seen::Passed(ShardId(0))]);
}

#[test]
fn queues_have_ends() {
    let mut bench = Bench::new();
    for _ in 0..PARKED_MAX {
        assert_eq!(bench.submit(1000), []);
    }
    assert_eq!(bench.submit(1000), ended(FailureCode::Overloaded));
    let mut bench = Bench::led_by(OTHER);
    for _ in 0..PENDING_MAX {
        bench.submit(1000);
    }
    assert_eq!(bench.submit(1000), ended(FailureCode::Overloaded));
    assert_eq!(bench.pass(1000).len(), PENDING_MAX);
    assert_eq!((bench.engine.pending(), bench.engine.next_deadline()), (0, None));
}

#[test]
fn every_call_ends_exactly_once_whatever_happens() {
    use proptest::prelude::*;
    proptest!(|(steps in prop::collection::vec((0u8..9, 0u64..40), 1..120))| {
        let mut bench = Bench::led_by(OTHER);
        let (mut made, mut finished, mut epoch) = (0usize, 0usize, 1);
        let mut slots: BTreeMap<u64, ()> = BTreeMap::new();
        for (step, number) in steps {
            let some_slot = slots.keys().nth(number as usize % slots.len().max(1)).copied().unwrap_or(0);
            let seen = match step {
                0 | 1 => { made += 1; bench.submit(number * 20) }
                2 => bench.handle(Event::Reply { slot: some_slot, result: Ok(vec![]) }),
                3 => bench.handle(Event::Lost { peer: OTHER, unsent: vec![some_slot] }),
                4 => bench.handle(Event::NotSent { slot: some_slot, failure: None }),
                5 => { epoch += 1; bench.lead(epoch, [ME, OTHER, THIRD][number as usize % 3]) }
                6 => {
                    let node = Some([OTHER, THIRD][number as usize % 2]);
                    let place = Place { shard: 0, epoch: number, leader: node, node };
                    bench.handle(Event::Redirect { slot: some_slot, place })
                }
                7 => bench.handle(Event::Release(ShardId(0))),
                _ => bench.pass(number * 10),
            };
            for effect in seen {
                match effect {
                    Seen::Sent(_, slot) => { slots.insert(slot, ()); }
                    Seen::Delivered | Seen::Ended(_) => finished += 1,
                    _ => {}
                }
            }
            prop_assert!(finished <= made);
        }
        bench.engine.serving.clear();
        finished += bench.pass(100_000).len();
        prop_assert_eq!(finished, made);
        prop_assert_eq!((bench.engine.pending(), bench.engine.parked()), (0, 0));
    });
}
