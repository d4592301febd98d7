//! A durable actor that refuses and panics half way through.

use std::time::Duration;

use gritmesh_actor::{Context, actor, handlers};
use serde::{Deserialize, Serialize};

use super::{Answer, Ran, Refusal, count, panic_quietly};
use crate::history::Mood;

/// Does as it feels.
#[actor(crate = gritmesh_actor)]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Fickle {
    ran: Ran,
}

#[handlers(crate = gritmesh_actor)]
impl Fickle {
    /// Changes its state, and then perhaps thinks better of it.
    async fn attempt(
        &mut self,
        number: u64,
        mood: Mood,
        millis: u64,
        ctx: &mut Context<'_>,
    ) -> Result<Answer, Refusal> {
        count(&mut self.ran, number);
        if millis > 0 {
            ctx.sleep(Duration::from_millis(millis)).await;
        }
        match mood {
            Mood::Good => Ok((number, self.ran.len() as u64)),
            Mood::Bad => Err(Refusal::Mood),
            Mood::Furious => panic_quietly("as it was asked to"),
        }
    }

    #[query]
    fn ran(&self) -> Ran {
        self.ran.clone()
    }
}
