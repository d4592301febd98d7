use std::time::Duration;

use gritmesh_runtime::{Failure, FailureCode, Instant, ShardId};

use super::scenario::{Defect, World, address, message};
use super::*;
use crate::ATTEMPTS_BEFORE_PAUSE;

const SHARD: ShardId = ShardId(3);
const LIMITS: DeliveryLimits = DeliveryLimits::PRODUCTION;
const NOTHING: [u64; 0] = [];

#[test]
fn everything_arrives_once_and_in_order_however_bad_the_link() {
    for seed in 0..200 {
        if let Err(violation) = World::new(seed, Defect::None).run() {
            panic!("seed {seed}: {violation}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_effects() {
    let trace = |seed| {
        let mut world = World::new(seed, Defect::None);
        world.run().unwrap();
        world.trace
    };
    let first = trace(5);
    assert!(first.len() > 1_000, "{} effects", first.len());
    assert_eq!(first, trace(5));
    assert_ne!(first, trace(6));
}

#[test]
fn worlds_with_a_defect_are_caught() {
    for defect in [Defect::ForgetsCursor, Defect::ReadsEarly, Defect::SkipsOne, Defect::PrunesTooMuch] {
        let caught = (0..20).find_map(|seed| World::new(seed, defect).run().err());
        assert!(caught.is_some(), "{defect:?} goes unnoticed");
    }
}

/// One machine, one pair, and what came out.
struct Bench {
    delivery: Delivery,
    now: Instant,
    pair: PairName,
    out: Vec<DeliveryEffect>,
}

impl Bench {
    fn new() -> Self {
        let pair = PairName { sender: address("a", 1), receiver: address("b", 1) };
        let mut bench = Self { delivery: Delivery::default(), now: Instant::ZERO, pair, out: Vec::new() };
        bench.delivery.lead(SHARD);
        bench
    }

    fn commit(&mut self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            self.delivery.committed(self.now, SHARD, message(&self.pair, sequence), &mut self.out);
        }
    }

    fn acknowledge(&mut self, sequence: u64) {
        self.delivery.acknowledged(self.now, SHARD, &self.pair, sequence, &mut self.out);
    }

    fn prune(&mut self, up_to: u64) {
        self.delivery.pruned(self.now, SHARD, &self.pair, up_to, &mut self.out);
    }

    fn refuse(&mut self, sequence: u64, code: FailureCode) {
        let failure = Failure::new(code, "");
        self.delivery.refused(self.now, SHARD, &self.pair, sequence, failure, &mut self.out);
    }

    fn early(&mut self, sequence: u64) {
        self.refuse(sequence, FailureCode::Early);
    }

    /// Answers loads from an outbox that has everything up to `last`.
    fn load(&mut self, last: u64) {
        for effect in std::mem::take(&mut self.out) {
            match effect {
                DeliveryEffect::Load { pair, from_sequence, limit, .. } => {
                    let rows = (from_sequence..=last).take(limit).map(|sequence| message(&pair, sequence));
                    self.delivery.loaded(self.now, SHARD, &pair, rows.collect(), &mut self.out);
                }
                other => self.out.push(other),
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.delivery.next_deadline().filter(|due| *due <= end) {
            self.now = due;
            self.delivery.tick(due, &mut self.out);
        }
        self.now = end;
    }

    /// Sequences sent since the last look.
    fn sent(&mut self) -> Vec<u64> {
        let sequence = |effect| match effect {
            DeliveryEffect::Send { message, .. } => Some(message.sequence),
            _ => None,
        };
        std::mem::take(&mut self.out).into_iter().filter_map(sequence).collect()
    }
}

#[test]
fn a_window_is_in_flight_and_moves_with_acknowledgements() {
    let mut bench = Bench::new();
    bench.commit(1..=80);
    assert_eq!(bench.sent(), (1..=50).collect::<Vec<_>>());
    bench.acknowledge(10);
    assert_eq!(bench.sent(), (51..=60).collect::<Vec<_>>());
    bench.acknowledge(10);
    bench.acknowledge(3);
    assert_eq!(bench.sent(), NOTHING);
    assert_eq!(bench.delivery.pending(SHARD), 70);
    bench.acknowledge(1_000);
    assert_eq!(bench.delivery.pending(SHARD), 0);
    assert_eq!(bench.delivery.counters().acknowledged, 80);
}

#[test]
fn prunes_are_gathered() {
    let mut bench = Bench::new();
    bench.commit(1..=70);
    for sequence in 1..=63 {
        bench.acknowledge(sequence);
    }
    assert!(!bench.out.iter().any(|effect| matches!(effect, DeliveryEffect::Prune { .. })));
    bench.acknowledge(64);
    bench.acknowledge(70);
    bench.wait(199);
    bench.wait(2);
    let prunes: Vec<u64> = bench
        .out
        .iter()
        .filter_map(|effect| match effect {
            DeliveryEffect::Prune { up_to, .. } => Some(*up_to),
            _ => None,
        })
        .collect();
    assert_eq!(prunes, [64, 70]);
    bench.prune(70);
    assert_eq!(bench.delivery.next_deadline(), None, "a pair that is done leaves nothing behind");
}

#[test]
fn a_prune_that_is_not_heard_of_is_said_again() {
    let mut bench = Bench::new();
    bench.commit(1..=3);
    bench.acknowledge(3);
    bench.wait(200);
    let said = |bench: &Bench| {
        bench.out.iter().filter(|effect| matches!(effect, DeliveryEffect::Prune { up_to: 3, .. })).count()
    };
    assert_eq!(said(&bench), 1);
    bench.wait(4_999);
    assert_eq!(said(&bench), 1);
    bench.wait(1);
    assert_eq!(said(&bench), 2);
    bench.prune(3);
    assert_eq!(bench.delivery.next_deadline(), None);
}

#[test]
fn an_early_one_brings_all_again_and_its_followers_bring_nothing_more() {
    let mut bench = Bench::new();
    bench.commit(1..=5);
    bench.sent();
    for sequence in 2..=5 {
        bench.early(sequence);
    }
    assert_eq!(bench.sent(), NOTHING);
    bench.wait(10);
    assert_eq!(bench.sent(), [1, 2, 3, 4, 5]);
    assert_eq!(bench.delivery.counters().resent, 5);
}

#[test]
fn a_failure_of_all_in_flight_is_one_attempt_and_then_one_is_tried() {
    let mut bench = Bench::new();
    bench.commit(1..=5);
    bench.sent();
    for sequence in (1..=5).rev() {
        bench.refuse(sequence, FailureCode::Overloaded);
    }
    bench.wait(499);
    assert_eq!(bench.sent(), NOTHING);
    bench.wait(64);
    bench.load(5);
    assert_eq!(bench.sent(), [1], "it probes");
    bench.refuse(1, FailureCode::Overloaded);
    bench.wait(999);
    assert_eq!(bench.sent(), NOTHING);
    bench.wait(126);
    bench.load(5);
    assert_eq!(bench.sent(), [1]);
    bench.acknowledge(1);
    bench.load(5);
    assert_eq!(bench.sent(), [2, 3, 4, 5], "it flows again");
    assert_eq!(bench.delivery.counters().refused[&FailureCode::Overloaded], 6);
}

#[test]
fn what_was_sent_before_the_refused_one_goes_on() {
    let mut bench = Bench::new();
    bench.commit(1..=5);
    bench.sent();
    bench.refuse(3, FailureCode::Overloaded);
    bench.early(4);
    bench.early(5);
    bench.acknowledge(2);
    bench.wait(600);
    bench.load(5);
    assert_eq!(bench.sent(), [3, 4, 5]);
}

#[test]
fn a_new_route_is_tried_at_once_but_a_paused_receiver_is_not() {
    let mut bench = Bench::new();
    bench.commit([1]);
    bench.sent();
    bench.refuse(1, FailureCode::Paused);
    bench.delivery.routes_changed(bench.now, &mut bench.out);
    bench.load(1);
    assert_eq!(bench.sent(), NOTHING);
    bench.wait(600);
    bench.load(1);
    assert_eq!(bench.sent(), [1]);
    bench.refuse(1, FailureCode::NotDelivered);
    bench.delivery.routes_changed(bench.now, &mut bench.out);
    bench.load(1);
    assert_eq!(bench.sent(), [1]);
    assert_eq!((bench.delivery.counters().paused, bench.delivery.counters().refused.len()), (1, 1));
}

#[test]
fn a_long_partition_does_not_make_one_panic_wait_longer() {
    let mut bench = Bench::new();
    bench.commit([1]);
    // Each try waits for its route until its deadline, and the pause before the next stays short.
    for attempt in 1..40 {
        assert_eq!(bench.sent(), [1], "{attempt}");
        bench.refuse(1, FailureCode::NotDelivered);
        bench.wait(5_625);
        bench.load(1);
    }
    assert_eq!(bench.sent(), [1]);
    bench.refuse(1, FailureCode::Panicked);
    assert!(matches!(&bench.out[..], [DeliveryEffect::Failing { attempts: 1, .. }]));
    bench.wait(563);
    bench.load(1);
    assert_eq!(bench.sent(), [1], "the first panic waits half a second");
}

#[test]
fn panics_grow_through_partitions_and_news_of_routes() {
    let mut bench = Bench::new();
    bench.commit([1]);
    for attempt in 0..7 {
        bench.sent();
        bench.refuse(1, FailureCode::Panicked);
        bench.sent();
        bench.delivery.routes_changed(bench.now, &mut bench.out);
        bench.wait(500 * (1 << attempt) - 1);
        bench.load(1);
        assert_eq!(bench.sent(), NOTHING, "{attempt}");
        bench.wait(500 * (1 << attempt) / 8 + 1);
        bench.load(1);
        assert_eq!(bench.sent(), [1], "{attempt}");
        bench.refuse(1, FailureCode::Unknown);
        bench.wait(563);
        bench.load(1);
    }
}

#[test]
fn news_of_routes_let_a_pair_begin_anew() {
    let mut bench = Bench::new();
    bench.commit([1]);
    for _ in 0..6 {
        bench.sent();
        bench.refuse(1, FailureCode::NoQuorum);
        bench.wait(5_625);
        bench.load(1);
    }
    assert_eq!(bench.sent(), [1]);
    // It is under way when the news come, and fails after that.
    bench.delivery.routes_changed(bench.now, &mut bench.out);
    bench.refuse(1, FailureCode::NoQuorum);
    bench.wait(563);
    bench.load(1);
    assert_eq!(bench.sent(), [1]);
}

#[test]
fn silence_is_broken_by_one_message_at_growing_intervals() {
    let mut bench = Bench::new();
    bench.commit(1..=3);
    bench.sent();
    for silence in [2, 4, 8, 16, 30, 30] {
        bench.wait(silence * 1_000 - 1);
        assert_eq!(bench.sent(), NOTHING, "{silence}");
        bench.wait(1);
        bench.load(3);
        assert_eq!(bench.sent(), [1], "{silence}");
    }
    assert_eq!(bench.delivery.oldest_age(bench.now), Duration::from_secs(90));
    bench.acknowledge(1);
    bench.load(3);
    assert_eq!(bench.sent(), [2, 3]);
    assert_eq!(bench.delivery.counters().unanswered, 6);
}

#[test]
fn every_panic_is_reported_with_its_count() {
    let mut bench = Bench::new();
    bench.commit([1]);
    for attempt in 1..=ATTEMPTS_BEFORE_PAUSE {
        bench.sent();
        bench.refuse(1, FailureCode::Panicked);
        assert!(
            matches!(&bench.out[..], [DeliveryEffect::Failing { attempts, .. }] if *attempts == attempt),
            "{attempt}: {:?}",
            bench.out
        );
        bench.wait(70_000);
        bench.load(1);
    }
    bench.refuse(1, FailureCode::Paused);
    bench.wait(70_000);
    bench.load(1);
    bench.sent();
    bench.refuse(1, FailureCode::Panicked);
    assert!(matches!(&bench.out[..], [DeliveryEffect::Failing { attempts: 1, .. }]), "counted anew");
}

#[test]
fn a_backlog_is_read_from_disk_in_portions() {
    let mut bench = Bench::new();
    let last = 1_000;
    bench.commit(1..=last);
    assert_eq!(bench.delivery.bodies_held(SHARD), LIMITS.bodies_per_pair);
    let mut read = 0;
    while read < last {
        bench.load(last);
        for sequence in bench.sent() {
            assert_eq!(sequence, read + 1);
            read = sequence;
            bench.acknowledge(sequence);
        }
        assert!(bench.delivery.bodies_held(SHARD) <= LIMITS.bodies_per_pair);
    }
    assert_eq!(bench.delivery.pending(SHARD), 0);
    assert!(bench.delivery.counters().loads <= 20, "{:?}", bench.delivery.counters());
}

#[test]
fn a_backlog_may_be_told_by_its_numbers_only() {
    let mut bench = Bench::new();
    bench.delivery.found(bench.now, SHARD, [(bench.pair.clone(), 7..=9)], &mut bench.out);
    bench.commit([10]);
    assert_eq!((bench.delivery.pending(SHARD), bench.delivery.bodies_held(SHARD)), (4, 0));
    // The first load was asked for before the tenth was known.
    bench.load(10);
    bench.load(10);
    assert_eq!(bench.sent(), [7, 8, 9, 10]);
}

#[test]
fn what_is_found_late_of_a_pair_that_is_known_changes_nothing() {
    let mut bench = Bench::new();
    assert!(!bench.delivery.knows(SHARD, &bench.pair));
    bench.delivery.found(bench.now, SHARD, [(bench.pair.clone(), 7..=9)], &mut bench.out);
    bench.commit([10]);
    bench.load(9);
    bench.acknowledge(8);
    assert!(bench.delivery.knows(SHARD, &bench.pair));
    bench.delivery.found(bench.now, SHARD, [(bench.pair.clone(), 7..=9)], &mut bench.out);
    assert_eq!(bench.delivery.pending(SHARD), 2);
}

#[test]
fn pairs_that_do_not_fit_take_turns() {
    let mut bench = Bench::new();
    let receivers = LIMITS.bodies_per_shard as u64 / LIMITS.window as u64 * 2;
    let pairs: Vec<PairName> = (0..receivers)
        .map(|n| PairName { sender: bench.pair.sender.clone(), receiver: address("b", n) })
        .collect();
    for pair in &pairs {
        for sequence in 1..=LIMITS.window as u64 {
            bench.delivery.committed(bench.now, SHARD, message(pair, sequence), &mut bench.out);
        }
    }
    assert_eq!(bench.delivery.bodies_held(SHARD), LIMITS.bodies_per_shard);
    // Nobody answers. Still each pair gets its turn.
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..4 {
        while !bench.out.is_empty() {
            reached.extend(bench.out.iter().filter_map(|effect| match effect {
                DeliveryEffect::Send { message, .. } => Some(message.receiver.clone()),
                _ => None,
            }));
            bench.out.retain(|effect| matches!(effect, DeliveryEffect::Load { .. }));
            bench.load(LIMITS.window as u64);
        }
        bench.wait(1_000);
    }
    assert_eq!(reached.len() as u64, receivers);
}

#[test]
fn a_row_that_cannot_be_read_is_tried_again() {
    let mut bench = Bench::new();
    bench.commit([1]);
    bench.sent();
    bench.refuse(1, FailureCode::Overloaded);
    bench.wait(600);
    bench.load(0);
    assert_eq!(bench.delivery.counters().missing, 1);
    bench.wait(1_200);
    bench.load(1);
    assert_eq!(bench.sent(), [1]);
}

#[test]
fn what_is_not_led_here_is_nobodys_business() {
    let mut bench = Bench::new();
    bench.commit(1..=3);
    bench.sent();
    bench.delivery.stop(SHARD);
    bench.acknowledge(1);
    bench.early(2);
    bench.commit([4]);
    bench.wait(100_000);
    assert_eq!((bench.out.len(), bench.delivery.pending(SHARD)), (0, 0));
}
