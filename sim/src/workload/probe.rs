//! A volatile actor: it writes down that it ran.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{ActivationError, CallError, Context, actor, handlers};

use super::Observer;
use crate::history::Run;

/// An actor that answers every call with the call's own number.
#[actor(volatile, crate = gritmesh_actor)]
pub(crate) struct Probe {
    observer: Arc<Observer>,
}

/// What a relayed call came to.
#[derive(Debug, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub(crate) struct Relayed {
    pub(crate) code: String,
    detail: String,
}

#[handlers(crate = gritmesh_actor)]
impl Probe {
    async fn activate(ctx: &mut Context<'_>) -> Result<Self, ActivationError> {
        let observer = super::observer(ctx)?;
        // Every fourth activation takes a moment, as one that loads something would.
        if ctx.random().is_multiple_of(4) {
            ctx.sleep(Duration::from_millis(ctx.random() % 20)).await;
        }
        Ok(Self { observer })
    }

    /// Runs call `number`, and takes so long for it.
    async fn run(&mut self, number: u64, millis: u64, ctx: &mut Context<'_>) -> u64 {
        self.note(number, ctx);
        if millis > 0 {
            ctx.sleep(Duration::from_millis(millis)).await;
        }
        number
    }

    /// Lets another actor run the call.
    async fn relay(&mut self, number: u64, to: String, ctx: &mut Context<'_>) -> Result<u64, Relayed> {
        ctx.actor::<Self>(&to).run(number, 0).await.map_err(|error| relayed(&error))
    }

    /// Calls another actor that calls this one, which must be refused.
    async fn circle(&mut self, number: u64, over: String, ctx: &mut Context<'_>) -> Result<u64, Relayed> {
        let back = ctx.address().id().to_owned();
        match ctx.actor::<Self>(&over).relay(number, back).await {
            Err(CallError::Failed(inner)) => Err(inner),
            other => other
                .map_err(|error| Relayed { code: error.code().as_str().into(), detail: error.to_string() }),
        }
    }
}

impl Probe {
    fn note(&self, call: u64, ctx: &Context<'_>) {
        let observer = &self.observer;
        let at = observer.notes.note(&format!("{} runs call {call}", ctx.address().id()));
        observer.history.lock().runs.push(Run { at, call, node: observer.node });
    }
}

fn relayed(error: &CallError) -> Relayed {
    Relayed { code: error.code().as_str().into(), detail: error.to_string() }
}
