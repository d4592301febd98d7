//! Durable actors on many threads, with a store that refuses and nodes that lose actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gritmesh_actor::Registry;
use gritmesh_runtime::FailureCode;
use gritmesh_runtime::tokio::{SystemClock, TokioSpawn};
use tokio::runtime::Builder;

use super::ledger::Ledger;
use crate::host::LocalHost;
use crate::probe::Probe;

const THREADS: usize = 8;
const TASKS: u64 = 16;
const CALLS: u64 = 30;
/// An actor that nobody undoes refuses for ever. A full mailbox refuses often.
const ATTEMPTS_MAX: u32 = 1_000_000;

#[test]
fn keyed_calls_take_effect_once_whatever_is_refused_meanwhile() {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    let clock = SystemClock::start();
    let mut registry = Registry::new();
    registry.register::<Ledger>().unwrap();
    registry.register::<Probe>().unwrap();
    let host = LocalHost::new(clock, TokioSpawn::new(runtime.handle().clone(), clock), registry);
    host.keep();
    host.store().hold();
    let done = Arc::new(AtomicBool::new(false));
    let (disk, ended) = (Arc::clone(&host), Arc::clone(&done));
    let disk = runtime.spawn(async move {
        let mut turns = 0u64;
        while !ended.load(Ordering::SeqCst) || disk.store().is_pending() {
            turns += 1;
            match turns {
                _ if !disk.store().is_pending() => {}
                turns if turns.is_multiple_of(23) => disk.store().refuse(FailureCode::Unknown),
                turns if turns.is_multiple_of(37) => {
                    if let Some(activation) = disk.activation("ledger/one") {
                        activation.close(None);
                    }
                    disk.store().release();
                }
                _ => disk.store().release(),
            }
            tokio::task::yield_now().await;
        }
    });
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let ledger = host.actor::<Ledger>("one");
            runtime.spawn(async move {
                for call in 0..CALLS {
                    // However it ended, the same key may be tried again.
                    let mut attempts = 0;
                    while let Err(error) = ledger.add(1).key(format!("{task}/{call}")).await {
                        attempts += 1;
                        assert!(attempts < ATTEMPTS_MAX, "{error}");
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
        disk.await.unwrap();
    });
    let state = host.store().committed("ledger/one").state.unwrap();
    assert_eq!(gritmesh_actor::codec::decode::<Ledger>(&state).unwrap().total, TASKS * CALLS);
    assert!(host.panics.lock().unwrap().is_empty());
}
