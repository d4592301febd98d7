//! Calls within one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use gritmesh::{Node, actor, handlers};
use tokio::sync::{mpsc, oneshot};

use crate::figures::Figures;
use crate::load;

/// Actors with a caller each.
const SPREAD: usize = 64;

#[actor(volatile)]
#[derive(Default)]
pub(crate) struct Counter {
    value: u64,
}

#[handlers]
impl Counter {
    async fn add(&mut self, n: u64) -> u64 {
        self.value += n;
        self.value
    }

    async fn echo(&mut self, payload: String) -> String {
        payload
    }
}

/// A node without peers, in a directory of its own.
pub(crate) async fn alone() -> Result<(Node, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    let node = Node::builder()
        .data(directory.path())
        .listen("127.0.0.1:0")
        .http("127.0.0.1:0")
        .register::<Counter>()
        .start()
        .await?;
    Ok((node, directory))
}

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..runs {
        load::runtime()?.block_on(run(&mut figures))?;
    }
    Ok(figures)
}

async fn run(figures: &mut Figures) -> Result<()> {
    const CALLS: usize = 2_000_000;
    figures.add("floor_tokio_channels_64", "calls/s", channels(64, CALLS / 2).await?);

    let (node, _directory) = alone().await?;
    let held = node.actor::<Counter>("held");
    held.add(1).await?;
    let calls_of = |actor: &CounterRef, rounds: usize| {
        let actor = actor.clone();
        async move {
            for _ in 0..rounds {
                actor.add(1).await?;
            }
            Ok(())
        }
    };
    let one = load::throughput(1, CALLS, |_, rounds| calls_of(&held, rounds)).await?;
    figures.add("local_call_held_1", "calls/s", one);
    let many = load::throughput(64, CALLS, |_, rounds| calls_of(&held, rounds)).await?;
    figures.add("local_call_held_64", "calls/s", many);
    let spread: Vec<_> =
        (0..SPREAD).map(|number| node.actor::<Counter>(&format!("spread-{number}"))).collect();
    for actor in &spread {
        actor.add(1).await?;
    }
    let each_its_own =
        load::throughput(SPREAD, CALLS, |caller, rounds| calls_of(&spread[caller], rounds)).await?;
    figures.add("local_call_spread_64", "calls/s", each_its_own);

    let lookups = load::throughput(64, CALLS, |_, rounds| {
        let node = node.clone();
        async move {
            for _ in 0..rounds {
                node.actor::<Counter>("held").add(1).await?;
            }
            Ok(())
        }
    });
    figures.add("local_call_lookup_64", "calls/s", lookups.await?);

    const ACTORS: usize = 300_000;
    let next = Arc::new(AtomicU64::new(0));
    let activations = load::throughput(64, ACTORS, |_, rounds| {
        let (node, next) = (node.clone(), Arc::clone(&next));
        async move {
            for _ in 0..rounds {
                let id = next.fetch_add(1, Ordering::Relaxed);
                node.actor::<Counter>(&format!("fresh-{id}")).add(1).await?;
            }
            Ok(())
        }
    });
    let activations = activations.await?;
    figures.add("activations", "actors/s", activations);
    node.shutdown().await;
    Ok(())
}

/// What tokio's own channels do: one task with a bounded mailbox, a oneshot for each answer.
async fn channels(callers: usize, calls: usize) -> Result<f64> {
    let (sender, mut mailbox) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(1000);
    tokio::spawn(async move {
        let mut value = 0;
        while let Some((n, caller)) = mailbox.recv().await {
            value += n;
            let _ = caller.send(value);
        }
    });
    let done = load::throughput(callers, calls, |_, rounds| {
        let sender = sender.clone();
        async move {
            for _ in 0..rounds {
                let (caller, answer) = oneshot::channel();
                sender.send((1, caller)).await?;
                answer.await?;
            }
            Ok(())
        }
    });
    let rate = done.await?;
    Ok(rate)
}
