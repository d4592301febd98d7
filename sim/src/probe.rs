//! The actor that the load calls: it writes down that it ran.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{ActivationError, CallError, Context, Registry, actor, handlers};
use parking_lot::Mutex;

use crate::history::{History, Run};
use crate::world::{NodeIndex, Notes};

/// Where the actors of one node write down what they did.
#[derive(Debug)]
pub(crate) struct Observer {
    history: Arc<Mutex<History>>,
    node: NodeIndex,
    notes: Notes,
}

/// The types of a node, with the way to the history and to the trace.
pub(crate) fn registry(history: &Arc<Mutex<History>>, node: NodeIndex, notes: Notes) -> Registry {
    let mut registry = Registry::new();
    registry.register::<Probe>().expect("one type has one name");
    registry.provide(Arc::new(Observer { history: Arc::clone(history), node, notes }));
    registry
}

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
        let observer = ctx.resource::<Observer>();
        let observer = observer.ok_or_else(|| ActivationError::new("nobody observes this node"))?;
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
