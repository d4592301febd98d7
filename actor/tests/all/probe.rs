//! The actor that most tests call.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{ActivationError, CallError, Context, Registry, actor, handlers};
use serde::{Deserialize, Serialize};

use crate::host::LocalHost;
use crate::virtual_time::World;

/// Messages that wait for one probe.
pub(crate) const CAPACITY: usize = 4;

#[actor(volatile, mailbox_capacity = 4, idle_after = "2m", crate = gritmesh_actor)]
#[derive(Debug)]
pub(crate) struct Probe {
    seen: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{number} is odd")]
pub(crate) struct Odd {
    pub(crate) number: u64,
}

/// What the ids of probes do to their activation and deactivation.
pub(crate) mod ids {
    pub(crate) const UNLOADABLE: &str = "unloadable";
    /// Fails at the first activation, succeeds at the second, and so on.
    pub(crate) const MOODY: &str = "moody";
    pub(crate) const BAD_START: &str = "bad_start";
    pub(crate) const BAD_END: &str = "bad_end";
    pub(crate) const SLOW_START: &str = "slow_start";
    pub(crate) const SLOW_END: &str = "slow_end";
    /// Calls its successor, `endless_1` and so on, while it is activated.
    pub(crate) const ENDLESS: &str = "endless";
    /// Calls `a` while it is activated.
    pub(crate) const CALLS_A: &str = "calls_a";
}

#[handlers(crate = gritmesh_actor)]
impl Probe {
    pub(crate) async fn activate(ctx: &mut Context<'_>) -> Result<Self, ActivationError> {
        let refused = |error: CallError| ActivationError::new(error.to_string());
        match ctx.address().id() {
            ids::UNLOADABLE => return Err(ActivationError::new("it never loads")),
            ids::MOODY if ctx.random().is_multiple_of(2) => return Err(ActivationError::new("not today")),
            ids::BAD_START => panic!("no start"),
            ids::SLOW_START => ctx.sleep(Duration::from_secs(1)).await,
            ids::CALLS_A => drop(ctx.actor::<Self>("a").seen().await.map_err(refused)?),
            id if id.starts_with(ids::ENDLESS) => {
                let next = format!("{}_{}", ids::ENDLESS, id.len());
                drop(ctx.actor::<Self>(&format!("{id}{next}")).seen().await.map_err(refused)?);
            }
            _ => {}
        }
        Ok(Self { seen: Vec::new() })
    }

    pub(crate) async fn deactivate(&mut self, ctx: &mut Context<'_>) {
        match ctx.address().id() {
            ids::BAD_END => panic!("no end"),
            ids::SLOW_END => ctx.sleep(Duration::from_secs(1)).await,
            _ => {}
        }
    }

    /// Notes a number at once.
    pub(crate) async fn note(&mut self, number: u64) {
        self.seen.push(number);
    }

    /// Notes a number when some milliseconds have passed.
    pub(crate) async fn slow(&mut self, number: u64, ms: u64, ctx: &mut Context<'_>) -> u64 {
        ctx.sleep(Duration::from_millis(ms)).await;
        self.seen.push(number);
        number
    }

    pub(crate) async fn only_even(&mut self, number: u64) -> Result<u64, Odd> {
        if number.is_multiple_of(2) { Ok(number / 2) } else { Err(Odd { number }) }
    }

    pub(crate) async fn panic_after(&mut self, ms: u64, ctx: &mut Context<'_>) {
        self.seen.push(13);
        if ms > 0 {
            ctx.sleep(Duration::from_millis(ms)).await;
        }
        panic!("a bug");
    }

    /// Calls the first id with the rest; the last one answers how many actors wait for it.
    pub(crate) async fn relay(
        &mut self,
        mut ids: Vec<String>,
        ctx: &mut Context<'_>,
    ) -> Result<String, Relayed> {
        if ids.is_empty() {
            return Ok("arrived".into());
        }
        let next = ids.remove(0);
        match ctx.actor::<Self>(&next).relay(ids).await {
            Ok(answer) => Ok(answer),
            Err(CallError::Failed(relayed)) => Err(relayed),
            Err(error) => Err(Relayed { code: error.code().as_str().into(), detail: error.to_string() }),
        }
    }

    /// Sends a number to another, and does not wait.
    pub(crate) async fn pass_on(&mut self, number: u64, to: String, ctx: &mut Context<'_>) {
        ctx.actor::<Self>(&to).note(number).send().await.expect("the mailbox has room");
    }

    #[query]
    pub(crate) fn seen(&self) -> Vec<u64> {
        self.seen.clone()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub(crate) struct Relayed {
    pub(crate) code: String,
    pub(crate) detail: String,
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.register::<Probe>().unwrap();
    registry.register::<crate::handwritten::Holder>().unwrap();
    registry
}

/// A host in virtual time.
pub(crate) fn world() -> (World, Arc<LocalHost>) {
    let world = World::default();
    let host = LocalHost::new(world.clone(), world.clone(), registry());
    (world, host)
}
