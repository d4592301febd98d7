use gritmesh_actor::{Context, ReminderError, Schedule, actor, handlers};
use serde::{Deserialize, Serialize};

#[actor(crate = gritmesh_actor)]
#[derive(Default, Serialize)]
struct NotRead;

#[handlers(crate = gritmesh_actor)]
impl NotRead {}

#[actor(crate = gritmesh_actor)]
#[derive(Default, Serialize, Deserialize)]
struct Activated;

#[handlers(crate = gritmesh_actor)]
impl Activated {
    fn activate() -> Result<Self, gritmesh_actor::ActivationError> {
        Ok(Self)
    }
}

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Forgetful;

#[handlers(crate = gritmesh_actor)]
impl Forgetful {
    async fn wake(&mut self, ctx: &mut Context<'_>) -> Result<(), ReminderError> {
        let soon = Schedule::after(std::time::Duration::ZERO);
        ctx.this::<Self>().wake().remind(ctx, "wake", soon)
    }
}

async fn keyed(forgetful: ForgetfulRef) {
    forgetful.wake().key("k").await.ok();
}

fn main() {}
