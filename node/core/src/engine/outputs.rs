//! What committed steps say: messages to other actors, and reminders.
//!
//! Nothing of it leaves before the step is committed, because it is learnt from the committed step itself.

use gritmesh_runtime::{Failure, Instant, ShardId, UnixTime};
use gritmesh_shard::{
    ATTEMPTS_BEFORE_PAUSE, ActorKey, Command, DeliveryEffect, Outcome, PairName, PendingMessage,
    PendingReminder, ReminderEffect, ReminderName, StateError, StepCommand,
};

use super::Engine;
use super::event::{Counted, Effect};
use super::takeover::Load;

impl Engine {
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
                self.pruned(now, shard, pair, *up_to);
            }
            Outcome::Forgot { answers } => out.push(Effect::Count(Counted::Forgotten(*answers as u64))),
            Outcome::Refused { .. } | Outcome::Resumed { .. } | Outcome::LetterDropped { .. } => {}
        }
        Ok(())
    }

    fn step_outputs(&mut self, now: Instant, shard: ShardId, step: &StepCommand) -> Result<(), StateError> {
        for sent in &step.outbox {
            let message = sent.pending(&step.actor)?;
            self.look_up_pair(now, shard, &message.pair(), message.sequence)?;
            self.delivery.committed(now, shard, message, &mut self.delivering);
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

    /// Does what delivery and reminders want, and takes up what they have to know.
    pub(super) fn run_outputs(&mut self, now: Instant, out: &mut Vec<Effect>) {
        loop {
            for effect in std::mem::take(&mut self.delivering) {
                self.delivery_effect(effect, out);
            }
            for effect in std::mem::take(&mut self.reminding) {
                self.reminder_effect(effect, out);
            }
            if !self.read_on(now, out) {
                return;
            }
        }
    }

    fn delivery_effect(&mut self, effect: DeliveryEffect, out: &mut Vec<Effect>) {
        match effect {
            DeliveryEffect::Send { shard, message } => out.push(Effect::Message { shard, message }),
            DeliveryEffect::Prune { shard, pair, up_to } => {
                let (sender, receiver) = (ActorKey::of(&pair.sender), ActorKey::of(&pair.receiver));
                self.queue_quietly(shard, Command::Acknowledged { sender, receiver, up_to });
            }
            DeliveryEffect::Load { shard, pair, from_sequence, limit } => {
                // A row that is not there yet is looked for again.
                self.writer.hurry();
                self.takeover.load(Load { shard, pair, from_sequence, limit });
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

    pub(super) fn reminder_early(
        &mut self,
        now: Instant,
        shard: ShardId,
        reminder: &PendingReminder,
        unix: UnixTime,
    ) {
        self.wall_clock(now, unix);
        self.reminders.early(now, shard, &reminder.key(), reminder.due_unix_ms, &mut self.reminding);
    }

    pub(super) fn wall_clock(&mut self, now: Instant, unix: UnixTime) {
        self.reminders.wall_clock(now, unix.0, &mut self.reminding);
    }

    pub(super) fn outputs_tick(&mut self, now: Instant) {
        self.delivery.tick(now, &mut self.delivering);
        self.reminders.tick(now, &mut self.reminding);
    }
}
