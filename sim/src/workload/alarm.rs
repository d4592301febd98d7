//! A durable actor that reminds itself.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_actor::{Context, Schedule, actor, handlers};
use gritmesh_runtime::UnixTime;
use serde::{Deserialize, Serialize};

use super::{Answer, Ran, Refusal, Witness, count};
use crate::history::Ring;

/// Sets reminders, and writes down when they ring. A reminder has the number of the operation that set it.
#[actor(crate = gritmesh_actor)]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Alarm {
    rings: BTreeMap<u64, Ring>,
    ran: Ran,
}

/// What an alarm says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AlarmStatement {
    pub(crate) now_unix_ms: u64,
    pub(crate) rings: BTreeMap<u64, Ring>,
    /// What is set, and when it is due.
    pub(crate) pending: BTreeMap<u64, u64>,
    pub(crate) ran: Ran,
}

#[handlers(crate = gritmesh_actor)]
impl Alarm {
    /// Sets a reminder, whose time counts from now.
    async fn set(&mut self, number: u64, ring: Ring, ctx: &mut Context<'_>) -> Result<Answer, Refusal> {
        let due_unix_ms = ctx.unix_time().0 + ring.due_unix_ms;
        let schedule = Schedule::at(UnixTime(due_unix_ms)).late(ring.late);
        let schedule = match ring.every_ms {
            Some(every) => schedule.every(Duration::from_millis(every)),
            None => schedule,
        };
        ctx.this::<Self>().ring(number).remind(ctx, &number.to_string(), schedule)?;
        count(&mut self.ran, number);
        self.rings.insert(number, Ring { due_unix_ms, ..ring });
        Ok((number, due_unix_ms))
    }

    /// A reminder rings.
    async fn ring(&mut self, number: u64, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        let now = ctx.unix_time().0;
        if let Some(ring) = self.rings.get_mut(&number) {
            ring.count += 1;
            ring.last_unix_ms = now;
            ring.early += u32::from(ring.count > ring.times_due(now));
            ring.after_cancel += u32::from(ring.cancelled_unix_ms.is_some());
        }
        ctx.actor::<Witness>("w").hear(ctx.address().id().to_owned(), number).send().await?;
        Ok(())
    }

    async fn cancel(&mut self, number: u64, reminder: u64, ctx: &mut Context<'_>) -> Result<Answer, Refusal> {
        count(&mut self.ran, number);
        self.silence(reminder, ctx)?;
        Ok((number, 0))
    }

    /// Cancels everything that recurs, so that all comes to rest.
    async fn rest(&mut self, ctx: &mut Context<'_>) -> Result<(), Refusal> {
        let recurs = |(number, ring): (&u64, &Ring)| ring.every_ms.map(|_| *number);
        let recurring: Vec<u64> = self.rings.iter().filter_map(recurs).collect();
        recurring.into_iter().try_for_each(|number| self.silence(number, ctx))
    }

    #[query]
    fn statement(&self, ctx: &mut Context<'_>) -> Result<AlarmStatement, Refusal> {
        let pending = ctx.reminders()?.into_iter();
        let pending = pending.filter_map(|info| Some((info.name.parse().ok()?, info.due_unix_ms))).collect();
        let now_unix_ms = ctx.unix_time().0;
        Ok(AlarmStatement { now_unix_ms, rings: self.rings.clone(), pending, ran: self.ran.clone() })
    }
}

impl Alarm {
    fn silence(&mut self, reminder: u64, ctx: &Context<'_>) -> Result<(), Refusal> {
        ctx.cancel_reminder(&reminder.to_string())?;
        if let Some(ring) = self.rings.get_mut(&reminder) {
            ring.cancelled_unix_ms.get_or_insert_with(|| ctx.unix_time().0);
        }
        Ok(())
    }
}
