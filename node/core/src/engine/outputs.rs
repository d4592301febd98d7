//! What committed steps say: messages to other actors, and reminders.
//!
//! Nothing of it leaves before the step is committed, because it is learnt from the committed step itself.

use gritmesh_runtime::{Failure, Instant, ShardId, UnixTime};
use gritmesh_shard::{
    ATTEMPTS_BEFORE_PAUSE, ActorKey, Command, DeliveryEffect, Outcome, PairName, PendingMessage,
    PendingReminder, ReminderEffect, ReminderName, StateError, StepCommand, pending_messages,
    pending_of_pair, pending_reminders,
};
use gritmesh_sharding::Shard;

use super::Engine;
use super::event::{Counted, Effect};

impl Engine {
    /// A new leader takes up what is pending, and nothing else is read.
    pub(super) fn load_outputs(&mut self, now: Instant, range: &Shard) -> Result<(), StateError> {
        let messages = pending_messages(range.start, range.end, &*self.disk)?;
        let reminders = pending_reminders(range.start, range.end, &*self.disk)?;
        self.delivery.lead(now, range.id, messages, &mut self.delivering);
        self.reminders.lead(now, range.id, reminders, &mut self.reminding);
        Ok(())
    }

    /// What a committed command lets out. Only the leader lets it out; the others have written it down.
    pub(super) fn output(
        &mut self,
        now: Instant,
        shard: ShardId,
        outcome: &Outcome,
        out: &mut Vec<Effect>,
    ) -> Result<(), StateError> {
        match outcome {
            Outcome::Stepped(step) => self.step_outputs(now, shard, step)?,
            Outcome::Paused { actor, .. } => out.push(Effect::EvictActor(actor.address()?)),
            Outcome::Acknowledged { sender, receiver, up_to } => {
                let pair = PairName { sender: sender.address()?, receiver: receiver.address()? };
                self.delivery.pruned(now, shard, &pair, *up_to, &mut self.delivering);
            }
            Outcome::Forgot { answers } => out.push(Effect::Count(Counted::Forgotten(*answers as u64))),
            Outcome::Refused { .. } | Outcome::Resumed { .. } | Outcome::LetterDropped { .. } => {}
        }
        Ok(())
    }

    fn step_outputs(&mut self, now: Instant, shard: ShardId, step: &StepCommand) -> Result<(), StateError> {
        for sent in &step.outbox {
            self.delivery.committed(now, shard, sent.pending(&step.actor)?, &mut self.delivering);
        }
        for changed in &step.reminders {
            match changed.pending(&step.actor)? {
                Some(reminder) => self.reminders.set(now, shard, reminder, &mut self.reminding),
                None => {
                    let name = ReminderName { actor: step.actor.address()?, name: changed.name_text()? };
                    self.reminders.cancelled(now, shard, &name, &mut self.reminding);
                }
            }
        }
        Ok(())
    }

    /// Does what delivery and reminders want.
    pub(super) fn run_outputs(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while !self.delivering.is_empty() || !self.reminding.is_empty() {
            for effect in std::mem::take(&mut self.delivering) {
                self.delivery_effect(now, effect, out);
            }
            for effect in std::mem::take(&mut self.reminding) {
                self.reminder_effect(effect, out);
            }
        }
    }

    fn delivery_effect(&mut self, now: Instant, effect: DeliveryEffect, out: &mut Vec<Effect>) {
        match effect {
            DeliveryEffect::Send { shard, message } => out.push(Effect::Message { shard, message }),
            DeliveryEffect::Prune { shard, pair, up_to } => {
                let (sender, receiver) = (ActorKey::of(&pair.sender), ActorKey::of(&pair.receiver));
                self.queue_quietly(shard, Command::Acknowledged { sender, receiver, up_to });
            }
            DeliveryEffect::Load { shard, pair, from_sequence, limit } => {
                // A row that is not there yet is looked for again.
                self.writer.hurry();
                let (sender, receiver) = (ActorKey::of(&pair.sender), ActorKey::of(&pair.receiver));
                let rows = pending_of_pair(&sender, &receiver, from_sequence, limit, &*self.disk);
                let rows = rows.unwrap_or_else(|error| {
                    tracing::error!(%shard, %error, "messages that wait to be delivered cannot be read");
                    Vec::new()
                });
                self.delivery.loaded(now, shard, &pair, rows, &mut self.delivering);
            }
            DeliveryEffect::Failing { pair, attempts, failure, .. } => {
                if attempts >= ATTEMPTS_BEFORE_PAUSE {
                    out.push(Effect::Pause { actor: pair.receiver, reason: failure.detail });
                }
            }
        }
    }

    fn reminder_effect(&self, effect: ReminderEffect, out: &mut Vec<Effect>) {
        match effect {
            ReminderEffect::Fire { shard, reminder, skip, .. } => {
                out.push(Effect::Fire { shard, reminder, skip });
            }
            ReminderEffect::Failing { reminder, attempts, failure, .. } => {
                if attempts >= ATTEMPTS_BEFORE_PAUSE {
                    out.push(Effect::Pause { actor: reminder.actor, reason: failure.detail });
                }
            }
        }
    }

    pub(super) fn delivered(
        &mut self,
        now: Instant,
        shard: ShardId,
        message: &PendingMessage,
        result: Result<(), Failure>,
    ) {
        let pair: PairName = message.pair();
        let out = &mut self.delivering;
        match result {
            Ok(()) => self.delivery.acknowledged(now, shard, &pair, message.sequence, out),
            Err(failure) => self.delivery.refused(now, shard, &pair, message.sequence, failure, out),
        }
    }

    pub(super) fn reminder_fired(
        &mut self,
        now: Instant,
        shard: ShardId,
        reminder: &PendingReminder,
        result: Result<(), Failure>,
    ) {
        let (name, due) = (reminder.key(), reminder.due_unix_ms);
        match result {
            Ok(()) => self.reminders.fired(now, shard, &name, due, &mut self.reminding),
            Err(failure) => self.reminders.refused(now, shard, &name, due, failure, &mut self.reminding),
        }
    }

    pub(super) fn wall_clock(&mut self, now: Instant, unix: UnixTime) {
        self.reminders.wall_clock(now, unix.0, &mut self.reminding);
    }

    pub(super) fn outputs_tick(&mut self, now: Instant) {
        self.delivery.tick(now, &mut self.delivering);
        self.reminders.tick(now, &mut self.reminding);
    }
}
