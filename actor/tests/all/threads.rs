//! Many threads at once, on the real runtime: nothing is lost, nothing runs twice, nobody sleeps for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gritmesh_actor::{Context, Registry, actor, handlers};
use gritmesh_runtime::FailureCode;
use gritmesh_runtime::tokio::{SystemClock, TokioSpawn};
use tokio::runtime::{Builder, Runtime};

use crate::host::LocalHost;

const THREADS: usize = 8;
const TASKS: u64 = 64;

#[actor(volatile, mailbox_capacity = 100_000, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter {
    value: u64,
}

#[handlers(crate = gritmesh_actor)]
impl Counter {
    async fn add(&mut self, n: u64) -> u64 {
        self.value += n;
        self.value
    }

    /// Reads, lets others run, and writes: wrong if any of them ran this handler meanwhile.
    async fn add_slowly(&mut self, n: u64) -> u64 {
        let before = self.value;
        tokio::task::yield_now().await;
        self.value = before + n;
        self.value
    }

    async fn add_elsewhere(&mut self, to: String, n: u64, ctx: &mut Context<'_>) -> u64 {
        ctx.actor::<Self>(&to).add(n).await.expect("the other counter answers")
    }

    #[query]
    fn get(&self) -> u64 {
        self.value
    }
}

fn start() -> (Runtime, Arc<LocalHost>) {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    let clock = SystemClock::start();
    let mut registry = Registry::new();
    registry.register::<Counter>().unwrap();
    let host = LocalHost::new(clock, TokioSpawn::new(runtime.handle().clone(), clock), registry);
    (runtime, host)
}

fn join(runtime: &Runtime, tasks: Vec<tokio::task::JoinHandle<()>>) {
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_million_calls_to_one_actor_are_counted() {
    const CALLS: u64 = 1_000_000 / TASKS;
    let (runtime, host) = start();
    let tasks = (0..TASKS).map(|_| {
        let counter = host.actor::<Counter>("one");
        runtime.spawn(async move {
            let mut last = 0;
            for _ in 0..CALLS {
                let now = counter.add(1).await.unwrap();
                assert!(now > last, "one caller's calls run in order");
                last = now;
            }
        })
    });
    join(&runtime, tasks.collect());
    let counter = host.actor::<Counter>("one");
    assert_eq!(runtime.block_on(async { counter.get().await.unwrap() }), CALLS * TASKS);
    assert_eq!(host.activations.load(Ordering::SeqCst), 1);
}

#[test]
fn handlers_that_wait_do_not_interleave() {
    const CALLS: u64 = 1000;
    let (runtime, host) = start();
    let tasks = (0..TASKS).map(|task| {
        let counter = host.actor::<Counter>("one");
        runtime.spawn(async move {
            for call in 0..CALLS {
                if (call + task) % 2 == 0 {
                    counter.add_slowly(1).await.unwrap();
                } else {
                    counter.add(1).await.unwrap();
                }
            }
        })
    });
    join(&runtime, tasks.collect());
    let counter = host.actor::<Counter>("one");
    assert_eq!(runtime.block_on(async { counter.get().await.unwrap() }), CALLS * TASKS);
}

#[test]
fn one_way_messages_are_counted_too() {
    const MESSAGES: u64 = 1000;
    let (runtime, host) = start();
    let tasks = (0..TASKS).map(|_| {
        let counter = host.actor::<Counter>("one");
        runtime.spawn(async move {
            for _ in 0..MESSAGES {
                counter.add(1).send().await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    join(&runtime, tasks.collect());
    let counter = host.actor::<Counter>("one");
    // In order after all that this thread has seen sent.
    assert_eq!(runtime.block_on(async { counter.get().await.unwrap() }), MESSAGES * TASKS);
}

#[test]
fn actors_that_call_each_other_do_not_lose_calls() {
    const CALLS: u64 = 2000;
    let (runtime, host) = start();
    let tasks = (0..TASKS).map(|task| {
        let near = host.actor::<Counter>(&format!("near_{}", task % 8));
        runtime.spawn(async move {
            for call in 0..CALLS {
                near.add_elsewhere(format!("far_{}", call % 4), 1).await.unwrap();
            }
        })
    });
    join(&runtime, tasks.collect());
    let total: u64 = (0..4)
        .map(|number| {
            let far = host.actor::<Counter>(&format!("far_{number}"));
            runtime.block_on(async { far.get().await.unwrap() })
        })
        .sum();
    assert_eq!(total, CALLS * TASKS);
}

#[test]
fn calls_that_race_with_closing_all_run_once() {
    const CALLS: u64 = 5000;
    let (runtime, host) = start();
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let closer = {
        let (host, done) = (Arc::clone(&host), Arc::clone(&done));
        runtime.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                if let Some(activation) = host.activation("counter/one") {
                    activation.close(None);
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let tasks = (0..TASKS).map(|task| {
        let (counter, answered) = (host.actor::<Counter>("one"), Arc::clone(&answered));
        runtime.spawn(async move {
            for call in 0..CALLS {
                let outcome = match (call + task) % 16 {
                    0 => counter.add_slowly(1).await,
                    _ => counter.add(1).await,
                };
                outcome.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    join(&runtime, tasks.collect());
    done.store(true, Ordering::SeqCst);
    runtime.block_on(closer).unwrap();
    assert_eq!(answered.load(Ordering::SeqCst), CALLS * TASKS);
    assert!(host.activations.load(Ordering::SeqCst) > 1);
}

#[test]
fn a_runtime_that_is_shut_down_tells_callers_on_another() {
    let (runtime, host) = start();
    let outside = Builder::new_current_thread().enable_all().build().unwrap();
    let call = || {
        let counter = host.actor::<Counter>("one");
        outside.spawn(async move {
            // For ever, as far as the actor is concerned.
            loop {
                if let Err(error) = counter.add_slowly(1).await {
                    return error.code();
                }
            }
        })
    };
    let calls = [call(), call(), call()];
    outside.block_on(tokio::task::yield_now());
    runtime.shutdown_timeout(Duration::from_secs(5));
    for call in calls {
        let code = outside.block_on(call).unwrap();
        assert!(matches!(code, FailureCode::Unknown | FailureCode::NotDelivered), "{code:?}");
    }
}
