//! The durable actor that these tests call.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use gritmesh_actor::{
    CallError, Context, DynamicPayload, Host, List, Map, Origin, Registry, ReminderError, Schedule,
    StateError, Submission, WireReply, actor, codec, handlers,
};
use gritmesh_runtime::Failure;
use serde::{Deserialize, Serialize};

use crate::host::LocalHost;
use crate::probe::Probe;
use crate::virtual_time::World;

#[actor(mailbox_capacity = 4, crate = gritmesh_actor)]
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) total: u64,
    pub(crate) text: String,
    entries: Map<String, u64>,
    log: List<String>,
    #[serde(skip)]
    turns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there are only {total}")]
    Poor { total: u64 },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Reminder(#[from] ReminderError),
    #[error("{0}")]
    Call(String),
}

impl Refused {
    fn call<E: std::fmt::Display>(error: CallError<E>) -> Self {
        Self::Call(error.to_string())
    }
}

#[handlers(crate = gritmesh_actor)]
impl Ledger {
    pub(crate) async fn add(&mut self, number: u64) -> u64 {
        self.total += number;
        self.total
    }

    /// Spoils everything, and then refuses if there is too little.
    pub(crate) async fn take(&mut self, number: u64) -> Result<u64, Refused> {
        let before = self.total;
        self.total = self.total.wrapping_sub(number);
        self.entries.insert("take", &number)?;
        self.log.push(&"take".into())?;
        self.turns += 1;
        match before >= number {
            true => Ok(self.total),
            false => Err(Refused::Poor { total: before }),
        }
    }

    pub(crate) async fn slow(&mut self, number: u64, ms: u64, ctx: &mut Context<'_>) -> u64 {
        ctx.sleep(Duration::from_millis(ms)).await;
        self.total += number;
        self.total
    }

    pub(crate) async fn boom(&mut self, number: u64) {
        self.total += number;
        if number > 0 {
            panic!("a bug");
        }
    }

    /// Changes nothing.
    pub(crate) async fn idle(&mut self) -> u64 {
        self.total
    }

    pub(crate) async fn enter(&mut self, name: String, number: u64) -> Result<(), Refused> {
        self.log.push(&name)?;
        Ok(self.entries.insert(&name, &number)?)
    }

    /// Puts other collections in the place of these.
    pub(crate) async fn start_over(&mut self, name: String) -> Result<(), Refused> {
        *self = Self::default();
        Ok(self.entries.insert(&name, &1)?)
    }

    pub(crate) async fn write(&mut self, bytes: usize) {
        self.text = "x".repeat(bytes);
    }

    pub(crate) async fn invocation(&mut self, ctx: &mut Context<'_>) -> Vec<u8> {
        ctx.invocation().expect("it is durable").to_vec()
    }

    /// Sends to a durable and to a volatile actor.
    pub(crate) async fn tell(&mut self, times: u64, to: String, ctx: &mut Context<'_>) -> u64 {
        self.total += 1;
        let mut refused = 0;
        for number in 0..times {
            refused += u64::from(ctx.actor::<Self>(&to).add(number).send().await.is_err());
        }
        ctx.actor::<Probe>(&to).note(times).send().await.ok();
        refused
    }

    pub(crate) async fn tell_and_refuse(&mut self, to: String, ctx: &mut Context<'_>) -> Result<(), Refused> {
        ctx.actor::<Self>(&to).add(1).send().await.map_err(Refused::call)?;
        ctx.this::<Self>().add(1).remind(ctx, "never", Schedule::after(Duration::ZERO))?;
        Err(Refused::Call("no".into()))
    }

    /// Calls another twice, and counts what it heard.
    pub(crate) async fn ask(&mut self, to: String, ctx: &mut Context<'_>) -> Result<u64, Refused> {
        let other = ctx.actor::<Self>(&to);
        other.add(1).await.map_err(Refused::call)?;
        self.total += other.add(1).await.map_err(Refused::call)?;
        Ok(self.total)
    }

    #[query]
    pub(crate) async fn ask_and_tell(&self, to: String, ctx: &mut Context<'_>) -> Result<u64, Refused> {
        ctx.actor::<Probe>(&to).note(self.total).send().await.map_err(Refused::call)?;
        let refused = ctx.cancel_reminder("x").expect_err("a query changes nothing");
        assert_eq!(refused, ReminderError::Query);
        Ok(self.total)
    }

    pub(crate) async fn remind_me(&mut self, count: u64, ctx: &mut Context<'_>) -> Result<u64, Refused> {
        for number in 0..count {
            let schedule = Schedule::after(Duration::from_secs(1)).every(Duration::from_secs(60));
            ctx.this::<Self>().add(number).remind(ctx, &format!("r{number}"), schedule).ok();
        }
        Ok(ctx.reminders()?.len() as u64)
    }

    pub(crate) async fn forget_me(&mut self, name: String, ctx: &mut Context<'_>) -> Result<(), Refused> {
        Ok(ctx.cancel_reminder(&name)?)
    }

    #[query]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    #[query]
    pub(crate) fn entry(&self, name: String) -> Result<Option<u64>, StateError> {
        self.entries.get(&name)
    }

    #[query]
    pub(crate) async fn lines(&self) -> Result<Vec<String>, StateError> {
        self.log.page(0, 100)
    }

    #[query]
    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }

    pub(crate) fn deactivate(&mut self) {
        self.total += 1_000_000;
    }
}

/// A host in virtual time with a store.
pub(crate) fn world() -> (World, Arc<LocalHost>) {
    let world = World::default();
    let mut registry = Registry::new();
    registry.register::<Ledger>().unwrap();
    registry.register::<Probe>().unwrap();
    let host = LocalHost::new(world.clone(), world.clone(), registry);
    host.keep();
    (world, host)
}

pub(crate) type Answer = oneshot::Receiver<Result<Vec<u8>, Failure>>;

/// Calls with bytes, for a reason.
pub(crate) fn submit(
    host: &Arc<LocalHost>,
    address: &str,
    method: &'static str,
    arguments: &impl Serialize,
    origin: Origin,
) -> Answer {
    let (sender, answer) = oneshot::channel();
    let reply = WireReply::Told(Box::new(|result| drop(sender.send(result))));
    let host: Arc<LocalHost> = Arc::clone(host);
    let arguments = codec::encode(arguments).unwrap();
    let payload = DynamicPayload::new(arguments, reply, Arc::clone(&host) as Arc<dyn Host>);
    let mut header = host.header(address, method);
    header.origin = origin;
    host.submit(Submission { header, payload: Box::new(payload) });
    answer
}

pub(crate) fn message(sequence: u64) -> Origin {
    Origin::Message { from: "ledger/sender".parse().unwrap(), sequence, id: [0; 32] }
}

pub(crate) fn keyed(key: &str) -> Origin {
    Origin::Keyed { key: key.as_bytes().into() }
}

/// The answer, if it has come.
pub(crate) fn taken(answer: &mut Answer) -> Option<Result<Vec<u8>, Failure>> {
    answer.try_recv().expect("somebody is to answer")
}
