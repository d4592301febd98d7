//! Tasks, timers and clocks.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use gritmesh_runtime::{Environment, Instant, Table, Tag, TrafficClass};
use gritmesh_sim::{BlockError, NodeIndex, PANIC, SPIN, SchedulingFaults, WorldOptions};
use parking_lot::Mutex;

use crate::cluster::Cluster;

const SECOND: Duration = Duration::from_secs(1);

fn cluster(seed: u64, scheduling: SchedulingFaults) -> (Cluster, Environment) {
    let options = WorldOptions { scheduling, drift_ppm_max: 500, ..Default::default() };
    let cluster = Cluster::new(seed, 1, options);
    let environment = cluster.nodes[0].environment.clone();
    (cluster, environment)
}

/// Twenty tasks that sleep and say so; the order in which they did.
fn order(seed: u64) -> Vec<u64> {
    let (mut cluster, environment) = cluster(seed, SchedulingFaults::default());
    let said = Arc::new(Mutex::new(Vec::new()));
    let due = environment.clock.now() + SECOND;
    for number in 0..20 {
        let (said, env) = (Arc::clone(&said), environment.clone());
        environment.spawn.spawn(Box::pin(async move {
            env.spawn.sleep_until(due).await;
            said.lock().push(number);
        }));
    }
    cluster.world.advance(SECOND * 2);
    let said = said.lock().clone();
    assert_eq!(said.len(), 20);
    said
}

#[test]
fn the_seed_decides_the_order_of_tasks() {
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_ne!(order(1), (0..20).collect::<Vec<_>>(), "not the order of wake-ups");
}

#[test]
fn no_sleep_is_early_by_the_clock_of_its_node() {
    for seed in 0..50 {
        let late =
            SchedulingFaults { timers_late_micros_max: 1000, late: 0.5, late_micros_max: 500, yields: true };
        for scheduling in [SchedulingFaults::default(), late] {
            let (mut cluster, environment) = cluster(seed, scheduling);
            let clock = Arc::clone(&environment.clock);
            let due = clock.now() + Duration::from_millis(1234);
            let woken_at = cluster.world.block_on(
                async {
                    environment.spawn.sleep_until(due).await;
                    clock.now()
                },
                SECOND * 2,
            );
            let late_by = woken_at.unwrap() - due;
            assert!(clock.now() >= due && late_by < Duration::from_millis(2), "{late_by:?}");
        }
    }
}

#[test]
fn clocks_drift_apart_and_wall_clocks_jump() {
    let mut cluster = Cluster::new(5, 2, WorldOptions { drift_ppm_max: 500, ..Default::default() });
    let clocks = [0, 1].map(|node| Arc::clone(&cluster.nodes[node].environment.clock));
    let before = clocks.clone().map(|clock| (clock.now(), clock.unix_time()));
    cluster.world.jump_wall_clock(cluster.index(0), -3_600_000);
    cluster.world.advance(SECOND * 1000);
    let passed = [0, 1].map(|node| clocks[node].now() - before[node].0);
    assert_ne!(passed[0], passed[1]);
    for duration in passed {
        assert!(duration.abs_diff(SECOND * 1000) <= Duration::from_millis(500));
    }
    assert!(clocks[0].unix_time() < before[0].1 && clocks[1].unix_time() > before[1].1);
}

#[test]
fn a_panic_is_a_finding_and_nothing_else() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let (mut cluster, environment) = cluster(1, SchedulingFaults::default());
    environment.spawn.spawn(Box::pin(async { panic!("in task {}", 1) }));
    environment.spawn.spawn(Box::pin(async {
        let _bomb = PanicsInDrop;
        std::future::pending::<()>().await;
    }));
    cluster.advance(1);
    assert_eq!(cluster.world.tasks(NodeIndex(0)), 1);
    cluster.world.kill(NodeIndex(0));
    let findings = cluster.world.findings();
    let details: Vec<&str> = findings.iter().map(|finding| finding.detail.as_str()).collect();
    assert_eq!(details, ["in task 1", "in drop"]);
    assert!(findings.iter().all(|finding| finding.code == PANIC && finding.node == Some(NodeIndex(0))));
}

#[test]
fn killing_drops_everything_and_silences_the_rest() {
    struct CallsBack(Environment, Arc<AtomicU64>);
    impl Drop for CallsBack {
        fn drop(&mut self) {
            // All of this must neither deadlock nor have an effect.
            self.0.spawn.spawn(Box::pin(async {}));
            self.0.network.dial("n0:7946");
            self.0.disk.write(Arc::default(), Box::new(|_| {}));
            assert!(self.0.disk.get(Table::Head, b"key").is_err());
            self.0.clock.now();
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut cluster = Cluster::connected_pair();
    let environment = cluster.nodes[0].environment.clone();
    let (dropped, ran) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for sleeps in [true, false] {
        let (guard, env) = (CallsBack(environment.clone(), Arc::clone(&dropped)), environment.clone());
        let ran = Arc::clone(&ran);
        environment.spawn.spawn(Box::pin(async move {
            let _guard = guard;
            if sleeps {
                env.spawn.sleep_until(env.clock.now() + SECOND).await;
            } else {
                std::future::pending::<()>().await;
            }
            ran.fetch_add(1, Ordering::Relaxed);
        }));
    }
    let guard = CallsBack(environment.clone(), Arc::clone(&dropped));
    environment.disk.write(Arc::default(), Box::new(move |_| drop(guard)));
    cluster.world.advance(Duration::from_micros(10));
    let due_before = environment.clock.now() + SECOND;
    cluster.world.kill(NodeIndex(0));
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
    assert_eq!((cluster.world.tasks(NodeIndex(0)), cluster.world.writes_waiting(NodeIndex(0))), (0, 0));
    cluster.restart(0);
    cluster.advance(5_000);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    assert_eq!(cluster.world.findings(), []);
    // Sleeps of a dead process never end, and it sends nothing although the node runs again.
    let id = cluster.id(1);
    assert!(environment.network.send(id, TrafficClass::Calls, Tag(1), b"x").is_err());
    let slept = cluster.world.block_on(environment.spawn.sleep_until(due_before), SECOND * 5);
    assert!(slept.is_err());
}

#[test]
fn a_stalled_process_stands_still_but_its_clock_does_not() {
    let (mut cluster, environment) = cluster(2, SchedulingFaults::default());
    let ticks = Arc::new(AtomicU64::new(0));
    let (count, env) = (Arc::clone(&ticks), environment.clone());
    environment.spawn.spawn(Box::pin(async move {
        let mut due = env.clock.now();
        loop {
            due += Duration::from_millis(100);
            env.spawn.sleep_until(due).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    }));
    cluster.advance(1_050);
    assert_eq!(ticks.load(Ordering::Relaxed), 10);
    cluster.world.stall(NodeIndex(0));
    let before = environment.clock.now();
    cluster.advance(2_000);
    assert_eq!(ticks.load(Ordering::Relaxed), 10);
    assert!(environment.clock.now() - before > Duration::from_millis(1_990));
    cluster.world.resume(NodeIndex(0));
    cluster.advance(1);
    assert_eq!(ticks.load(Ordering::Relaxed), 30, "missed ticks are caught up with at once");
}

#[test]
fn spinning_tasks_move_time_and_are_found() {
    let (mut cluster, environment) = cluster(3, SchedulingFaults::default());
    let env = environment.clone();
    let due = environment.clock.now() + Duration::from_millis(5);
    environment.spawn.spawn(Box::pin(async move {
        while env.clock.now() < due {
            poll_fn(|cx| env.spawn.poll_proceed(cx)).await;
        }
    }));
    cluster.advance(10);
    assert_eq!((cluster.world.tasks(NodeIndex(0)), cluster.world.findings().len()), (0, 0));
    environment.spawn.spawn(Box::pin(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })));
    cluster.advance(2_000);
    assert_eq!(cluster.world.findings()[0].code, SPIN);
}

#[test]
fn a_task_may_proceed_only_so_often() {
    for yields in [false, true] {
        let (mut cluster, environment) = cluster(4, SchedulingFaults { yields, ..Default::default() });
        let env = environment.clone();
        let (passed, stopped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counts = (Arc::clone(&passed), Arc::clone(&stopped));
        environment.spawn.spawn(Box::pin(poll_fn(move |cx| {
            while counts.0.load(Ordering::Relaxed) < 1000 {
                if env.spawn.poll_proceed(cx).is_pending() {
                    counts.1.fetch_add(1, Ordering::Relaxed);
                    return Poll::Pending;
                }
                counts.0.fetch_add(1, Ordering::Relaxed);
            }
            Poll::Ready(())
        })));
        cluster.advance(10);
        assert_eq!(passed.load(Ordering::Relaxed), 1000);
        let stopped = stopped.load(Ordering::Relaxed);
        assert!(if yields { stopped > 100 } else { stopped == 7 }, "{stopped}");
    }
}

#[test]
fn blocking_ends_with_the_future_the_deadline_or_the_world() {
    let (mut cluster, environment) = cluster(6, SchedulingFaults::default());
    assert_eq!(cluster.world.block_on(async { 7 }, SECOND), Ok(7));
    let never = cluster.world.block_on(std::future::pending::<()>(), SECOND);
    assert!(matches!(never, Err(BlockError::Idle { .. })));
    let late = environment.spawn.sleep_until(environment.clock.now() + SECOND * 3);
    let start = cluster.world.now();
    assert!(matches!(cluster.world.block_on(late, SECOND), Err(BlockError::Deadline { .. })));
    assert_eq!(cluster.world.now() - start, SECOND);
    assert!(cluster.world.run_until_idle(SECOND * 5));
    let forever = environment.spawn.sleep_until(Instant::MAX);
    assert!(cluster.world.block_on(forever, SECOND).is_err());
    assert!(!cluster.world.advance_to_next());
}

#[test]
fn advancing_to_the_next_event_stops_there() {
    let (mut cluster, environment) = cluster(7, SchedulingFaults::default());
    for seconds in [1, 2] {
        let sleep = environment.spawn.sleep_until(environment.clock.now() + SECOND * seconds);
        environment.spawn.spawn(sleep);
    }
    cluster.world.advance_to_next();
    for left in [1, 0] {
        assert!(cluster.world.advance_to_next());
        assert_eq!(cluster.world.tasks(NodeIndex(0)), left);
    }
    assert!(!cluster.world.advance_to_next());
}
