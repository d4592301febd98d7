//! Kameo: calls of one actor in one process, with its default mailbox.

use anyhow::{Result, anyhow};
use kameo::Actor;
use kameo::actor::Spawn;
use kameo::message::{Context, Message};

use crate::{CALLERS, CALLS, load};

#[derive(Actor, Default)]
struct Counter {
    value: u64,
}

struct Add(u64);

impl Message<Add> for Counter {
    type Reply = u64;

    async fn handle(&mut self, Add(n): Add, _ctx: &mut Context<Self, Self::Reply>) -> u64 {
        self.value += n;
        self.value
    }
}

pub(crate) async fn measure() -> Result<()> {
    let counter = Counter::spawn(Counter::default());
    let rate = load::throughput(CALLERS, CALLS, |_, rounds| {
        let counter = counter.clone();
        async move {
            for _ in 0..rounds {
                counter.ask(Add(1)).await.map_err(|error| anyhow!("{error}"))?;
            }
            Ok(())
        }
    });
    println!("peer_kameo_local_64={} calls/s", rate.await?);
    Ok(())
}
