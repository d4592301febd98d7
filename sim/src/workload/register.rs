//! A durable register.

use std::time::Duration;

use gritmesh_actor::{Context, actor, handlers};
use serde::{Deserialize, Serialize};

use super::{Answer, Ran, count};
use crate::history::Operation;

/// Holds one value.
#[actor(crate = gritmesh_actor)]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Register {
    value: u64,
    ran: Ran,
}

#[handlers(crate = gritmesh_actor)]
impl Register {
    #[query]
    fn read(&self, number: u64) -> Answer {
        (number, self.value)
    }

    /// Changes nothing, although it might have: no step, but it waits for those before it.
    async fn fetch(&mut self, number: u64) -> Answer {
        (number, self.value)
    }

    async fn write(&mut self, number: u64, millis: u64, ctx: &mut Context<'_>) -> Answer {
        if millis > 0 {
            ctx.sleep(Duration::from_millis(millis)).await;
        }
        self.set(number);
        (number, 0)
    }

    async fn swap(&mut self, number: u64) -> Answer {
        (number, self.set(number))
    }

    async fn compare_and_set(&mut self, number: u64, expected: u64) -> Answer {
        let held = self.value;
        if held == expected {
            self.set(number);
        }
        (number, held)
    }

    #[query]
    fn ran(&self) -> Ran {
        self.ran.clone()
    }
}

impl Register {
    /// Gives what was held before.
    fn set(&mut self, number: u64) -> u64 {
        count(&mut self.ran, number);
        std::mem::replace(&mut self.value, Operation::written(number))
    }
}
