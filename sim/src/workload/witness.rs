//! An outsider: a volatile actor whom durable ones tell what they have done.

use std::sync::Arc;

use gritmesh_actor::{ActivationError, Context, actor, handlers};

use super::Observer;
use crate::history::Witnessed;

/// Writes down what it is told.
#[actor(volatile, crate = gritmesh_actor)]
pub(crate) struct Witness {
    observer: Arc<Observer>,
}

#[handlers(crate = gritmesh_actor)]
impl Witness {
    async fn activate(ctx: &mut Context<'_>) -> Result<Self, ActivationError> {
        Ok(Self { observer: super::observer(ctx)? })
    }

    /// An actor has done something.
    async fn hear(&mut self, actor: String, operation: u64) {
        let at = self.observer.notes.note(&format!("{actor} tells of operation {operation}"));
        self.observer.history.lock().witnessed.push(Witnessed { at, actor, operation });
    }
}
