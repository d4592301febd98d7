//! Reminders as part of steps.

use std::time::Duration;

use gritmesh_actor::{
    CallError, Context, Late, REMINDERS_MAX, ReminderChange, ReminderError, Schedule, actor, codec, handlers,
};
use gritmesh_runtime::{FailureCode, UnixTime};

use super::ledger::{Ledger, world};
use crate::host::LocalHost;
use crate::virtual_time::World;

#[test]
fn reminders_are_set_listed_and_cancelled_with_steps() {
    let (world, host) = world();
    world.pass(Duration::from_millis(500));
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let set = world.begin(async move { ledger.remind_me(2).await });
    assert!(host.store().committed("ledger/a").reminders.is_empty());
    host.store().release();
    world.settle();
    assert_eq!(set.take(), Some(Ok(2)));
    let head = host.store().committed("ledger/a");
    let ReminderChange::Set { name, due_unix_ms, every_ms, late, method, arguments } =
        head.steps[0].reminders[1].clone()
    else {
        panic!("it is set")
    };
    assert_eq!((name.as_str(), due_unix_ms, every_ms, late), ("r1", 1_500, Some(60_000), Late::Once));
    assert_eq!((method.as_str(), codec::to_json(&arguments).unwrap()), ("add", serde_json::json!([1])));
    let ledger = host.actor::<Ledger>("a");
    let cancelled = world.begin(async move {
        ledger.forget_me("r1".into()).await?;
        ledger.forget_me("unknown".into()).await?;
        ledger.remind_me(1).await
    });
    host.store().release();
    world.settle();
    host.store().release();
    world.settle();
    assert_eq!(cancelled.take(), Some(Ok(1)), "r0 was set anew");
    let head = host.store().committed("ledger/a");
    assert_eq!(head.reminders.into_keys().collect::<Vec<_>>(), ["r0"]);
    assert_eq!(head.steps.len(), 3, "to cancel what is not set is no step");
}

#[test]
fn too_many_reminders_fail_the_turn() {
    let (world, host) = world();
    let most = REMINDERS_MAX as u64;
    let ledger = host.actor::<Ledger>("a");
    let (fits, fails) =
        world.run(async move { (ledger.remind_me(most).await, ledger.remind_me(most + 1).await) });
    assert_eq!(fits, Ok(most));
    let Err(CallError::AnswerLost { code, detail }) = fails else { panic!("there are too many") };
    assert_eq!(code, FailureCode::TooLarge);
    assert!(detail.contains("keep what is to come in a `Map`"), "{detail}");
    assert_eq!(host.store().steps("ledger/a"), 1);
}

#[actor(crate = gritmesh_actor)]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Strict;

#[handlers(crate = gritmesh_actor)]
impl Strict {
    async fn misuse(&mut self, ctx: &mut Context<'_>) -> Vec<ReminderError> {
        let soon = Schedule::at(UnixTime(5));
        let this = ctx.this::<Self>();
        let refused = [
            ctx.actor::<Self>("other").misuse().remind(ctx, "x", soon),
            this.misuse().remind(ctx, "", soon),
            this.misuse().remind(ctx, &"x".repeat(256), soon),
            this.misuse().remind(ctx, "x", soon.every(Duration::from_micros(999))),
        ];
        this.misuse().remind(ctx, "x", soon.every(Duration::MAX).late(Late::CatchUp)).unwrap();
        refused.into_iter().filter_map(Result::err).collect()
    }

    async fn awaits_itself(&mut self, ctx: &mut Context<'_>) -> String {
        ctx.this::<Self>().misuse().await.unwrap_err().to_string()
    }
}

/// Remembers nothing.
#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Forgetful;

#[handlers(crate = gritmesh_actor)]
impl Forgetful {
    async fn try_it(&mut self, ctx: &mut Context<'_>) -> Vec<ReminderError> {
        assert_eq!(ctx.invocation(), None);
        vec![ctx.cancel_reminder("x").unwrap_err(), ctx.reminders().unwrap_err()]
    }
}

#[test]
fn misuse_is_refused_with_a_reason() {
    let world = World::default();
    let mut registry = gritmesh_actor::Registry::new();
    registry.register::<Strict>().unwrap();
    registry.register::<Forgetful>().unwrap();
    let host = LocalHost::new(world.clone(), world.clone(), registry);
    host.keep();
    let strict = host.actor::<Strict>("a");
    let (refused, deadlock) =
        world.run(async move { (strict.misuse().await.unwrap(), strict.awaits_itself().await.unwrap()) });
    let texts: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "a reminder of strict/a cannot call strict/other: take the call from `ctx.this()`",
            "the name of a reminder has 1 to 255 bytes, not 0",
            "the name of a reminder has 1 to 255 bytes, not 256",
            "a reminder cannot be due more often than every millisecond",
        ]
    );
    assert_eq!(deadlock, "deadlock: strict/a -> strict/a");
    let info = &host.store().committed("strict/a").reminders["x"];
    assert_eq!((info.due_unix_ms, info.every_ms, info.late), (5, Some(u64::MAX), Late::CatchUp));
    let forgetful = host.actor::<Forgetful>("a");
    let refused = world.run(async move { forgetful.try_it().await.unwrap() });
    assert_eq!(refused, [ReminderError::NotDurable, ReminderError::NotDurable]);
}
