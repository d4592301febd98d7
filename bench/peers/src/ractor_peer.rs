//! Ractor: calls of one actor in one process.

use anyhow::Result;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{CALLERS, CALLS, load};

struct Counter;

enum Order {
    Add(u64, RpcReplyPort<u64>),
}

impl Actor for Counter {
    type Msg = Order;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Order>,
        Order::Add(n, reply): Order,
        value: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        *value += n;
        Ok(reply.send(*value)?)
    }
}

pub(crate) async fn measure() -> Result<()> {
    let (counter, _ended) = Actor::spawn(None, Counter, ()).await?;
    let rate = load::throughput(CALLERS, CALLS, |_, rounds| {
        let counter = counter.clone();
        async move {
            for _ in 0..rounds {
                ractor::call!(counter, |reply| Order::Add(1, reply))?;
            }
            Ok(())
        }
    });
    println!("peer_ractor_local_64={} calls/s", rate.await?);
    Ok(())
}
