//! A shard's state: what its committed commands make of its rows.
//!
//! **Problem.** All replicas apply the same commands to the same rows and must end with the same rows, although
//! each writes at its own pace, and a command must see what those before it did that is not on the disk yet.
//!
//! **Design.** [`ShardState`] turns an entry into changes of tables, and says what happened. The one thing that a
//! command depends on is the head of an actor: a step is compared and set. Heads are kept in memory until the engine
//! says that they are on the disk, and a bounded number of them longer, which saves reading them again.
//!
//! **Deliberately absent.** Writing: the changes of an entry are for one batch with the replica's record of how far
//! the log is applied. It needs no sync of its own, since what is lost is applied again.

use std::collections::{BTreeMap, VecDeque};

use gritmesh_runtime::{Change, Reads, Table, limits};
use gritmesh_store::ObjectId;

use crate::StateError;
use crate::command::{Command, StepCommand};
use crate::keys::{self, ActorKey};
use crate::rows::{HeadRow, PausedRow};

limits! {
    /// Limits of a shard's state.
    pub struct StateLimits in "state" {
        /// Heads that a shard keeps in memory beside those that are not on the disk yet. At about 200 bytes each, 64
        /// shards keep 13 MB.
        heads_kept: usize = 1024, small ["0", "1", "3"];
        /// Pairs whose last acknowledgement is remembered, so that the next can delete rows one by one.
        pairs_kept: usize = 1024, small ["1", "2"];
        /// Rows that an acknowledgement deletes one by one; more are deleted as a range, which costs readers more.
        point_deletes: u64 = 64, small ["0", "1"];
    }
}

/// The state of one shard, of which only what is not on the disk lies in memory.
#[derive(Debug)]
pub struct ShardState {
    limits: StateLimits,
    /// The last entry that was applied.
    applied: u64,
    persisted: u64,
    heads: BTreeMap<ActorKey, KnownHead>,
    /// Who was set when, oldest first, to find what may be dropped.
    set: VecDeque<(u64, ActorKey)>,
    /// Whether steps are compared with the head before they set it.
    compares: bool,
    /// The last acknowledged sequence of sender and receiver.
    acknowledged: BTreeMap<(ActorKey, ActorKey), u64>,
}

#[derive(Clone, Copy, Debug)]
struct KnownHead {
    head: Option<HeadRow>,
    /// The entry that set it; zero if it was read from the disk.
    index: u64,
}

/// What an entry did.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// For one batch, in this order.
    pub changes: Vec<Change>,
    /// One for each command, in their order.
    pub outcomes: Vec<Outcome>,
}

/// What became of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step is committed: its outputs may leave. The command says which these are.
    Stepped(Box<StepCommand>),
    /// The step is refused: the head is another one. Nothing was changed.
    Refused {
        /// Whose step.
        actor: ActorKey,
        /// The refused step.
        step: ObjectId,
        /// The head as it is.
        current: Option<HeadRow>,
    },
    /// Messages left the outbox.
    Acknowledged {
        /// Who sent them.
        sender: ActorKey,
        /// Who read them.
        receiver: ActorKey,
        /// The last of them.
        up_to: u64,
    },
    /// An actor is paused.
    Paused {
        /// Which.
        actor: ActorKey,
        /// Since when and why.
        row: PausedRow,
    },
    /// An actor goes on.
    Resumed {
        /// Which.
        actor: ActorKey,
    },
    /// Answers are forgotten.
    Forgot {
        /// How many were named.
        answers: usize,
    },
    /// A letter is gone.
    LetterDropped {
        /// Who could not read it.
        receiver: ActorKey,
        /// Who sent it.
        sender: ActorKey,
        /// Which of that sender's messages.
        sequence: u64,
    },
}

impl ShardState {
    /// The state as the disk has it, with everything up to this entry.
    pub const fn at(applied: u64, limits: StateLimits) -> Self {
        Self {
            limits,
            applied,
            persisted: applied,
            heads: BTreeMap::new(),
            set: VecDeque::new(),
            compares: true,
            acknowledged: BTreeMap::new(),
        }
    }

    /// A bug to have on purpose, for tests of the checkers: any step becomes the head.
    #[doc(hidden)]
    pub const fn without_comparing(mut self) -> Self {
        self.compares = false;
        self
    }

    /// The last entry that was applied.
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// Applies the entry with this index. Either all of it happens, or nothing does.
    ///
    /// # Errors
    /// If the disk cannot be read. The entry is to be applied again when it can.
    ///
    /// # Panics
    /// If the entry is not newer than the last one.
    pub fn apply(
        &mut self,
        index: u64,
        commands: Vec<Command>,
        reads: &dyn Reads,
    ) -> Result<Applied, StateError> {
        assert!(index > self.applied, "entries are applied in the order of the log");
        // Whatever can fail comes first.
        for command in &commands {
            if let Command::Step(step) = command {
                self.learn(&step.actor, reads)?;
            }
        }
        self.applied = index;
        let mut applied = Applied::default();
        for command in commands {
            let outcome = self.command(command, &mut applied.changes);
            applied.outcomes.push(outcome);
        }
        self.drop_old();
        Ok(applied)
    }

    /// The batch with the changes of this entry is on the disk, and so are all before it.
    pub fn persisted(&mut self, index: u64) {
        self.persisted = self.persisted.max(index);
        self.drop_old();
    }

    /// Begins anew from the disk, after rows came from another replica that had applied this entry last.
    pub fn reload(&mut self, applied: u64) {
        *self = Self { compares: self.compares, ..Self::at(applied, self.limits) };
    }

    /// The head of an actor after all that was applied.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn head(&self, actor: &ActorKey, reads: &dyn Reads) -> Result<Option<HeadRow>, StateError> {
        match self.heads.get(actor) {
            Some(known) => Ok(known.head),
            None => read_head(actor, reads),
        }
    }

    fn learn(&mut self, actor: &ActorKey, reads: &dyn Reads) -> Result<(), StateError> {
        if !self.heads.contains_key(actor) {
            let head = read_head(actor, reads)?;
            // The key lies in the entry's buffer, which should not stay for its sake.
            let actor = actor.detached();
            self.set.push_back((0, actor.clone()));
            self.heads.insert(actor, KnownHead { head, index: 0 });
        }
        Ok(())
    }

    fn command(&mut self, command: Command, changes: &mut Vec<Change>) -> Outcome {
        match command {
            Command::Step(step) => self.step(step, changes),
            Command::Acknowledged { sender, receiver, up_to } => {
                self.acknowledge(&sender, &receiver, up_to, changes);
                Outcome::Acknowledged { sender, receiver, up_to }
            }
            Command::Pause { actor, row } => {
                changes.push(Change::put(Table::Paused, actor.as_bytes(), row.encode()));
                Outcome::Paused { actor, row }
            }
            Command::Resume { actor } => {
                changes.push(Change::delete(Table::Paused, actor.as_bytes()));
                Outcome::Resumed { actor }
            }
            Command::Forget { answers } => {
                changes.extend(answers.iter().map(|key| Change::delete(Table::Answer, key.as_ref())));
                Outcome::Forgot { answers: answers.len() }
            }
            Command::DropLetter { receiver, sender, sequence } => {
                changes.push(Change::delete(Table::Letter, keys::letter(&receiver, &sender, sequence)));
                Outcome::LetterDropped { receiver, sender, sequence }
            }
        }
    }

    fn step(&mut self, step: Box<StepCommand>, changes: &mut Vec<Change>) -> Outcome {
        let known = self.heads.get_mut(&step.actor).expect("heads are learnt before commands happen");
        let current = known.head;
        let (id, number, epoch) =
            current.map_or((None, 0, 0), |head| (Some(head.id), head.number, head.epoch));
        if self.compares && (step.expected != id || step.number != number + 1 || step.epoch < epoch) {
            return Outcome::Refused { actor: step.actor, step: step.head, current };
        }
        let head = HeadRow { id: step.head, number: step.number, epoch: step.epoch };
        *known = KnownHead { head: Some(head), index: self.applied };
        self.set.push_back((self.applied, step.actor.detached()));
        changes.push(Change::put(Table::Head, step.actor.as_bytes(), head.encode()));
        self.forget_acknowledged(&step);
        outputs(&step, changes);
        Outcome::Stepped(step)
    }

    fn acknowledge(&mut self, sender: &ActorKey, receiver: &ActorKey, up_to: u64, changes: &mut Vec<Change>) {
        let pair = (sender.detached(), receiver.detached());
        let last = self.acknowledged.get(&pair).copied();
        match last {
            Some(last) if up_to <= last => return,
            Some(last) if up_to - last <= self.limits.point_deletes => {
                let row = |sequence| Change::delete(Table::Outbox, keys::outbox(sender, receiver, sequence));
                changes.extend((last + 1..=up_to).map(row));
            }
            _ => changes.push(Change::DeleteRange {
                table: Table::Outbox,
                from: keys::outbox(sender, receiver, 0),
                to: keys::outbox(sender, receiver, up_to.saturating_add(1)),
            }),
        }
        if self.acknowledged.len() >= self.limits.pairs_kept {
            self.acknowledged.pop_first();
        }
        self.acknowledged.insert(pair, up_to);
    }

    /// An acknowledgement of what was not sent yet says nothing about it: on all replicas the next one deletes it,
    /// whether they remember the first or not.
    fn forget_acknowledged(&mut self, step: &StepCommand) {
        for sent in &step.outbox {
            let pair = (step.actor.clone(), sent.receiver.clone());
            if self.acknowledged.get(&pair).is_some_and(|last| sent.sequence <= *last) {
                self.acknowledged.remove(&pair);
            }
        }
    }

    /// Drops heads that are on the disk until few enough are left.
    fn drop_old(&mut self) {
        let kept = self.limits.heads_kept;
        while self.heads.len() > kept || self.set.len() > 2 * kept {
            let Some((index, _)) = self.set.front() else { break };
            if *index > self.persisted {
                break;
            }
            let (index, actor) = self.set.pop_front().expect("there is a first");
            // One that was set again later stands further back once more.
            if self.heads.get(&actor).is_some_and(|known| known.index == index) {
                self.heads.remove(&actor);
            }
        }
    }
}

/// The rows of what a step lets out.
fn outputs(step: &StepCommand, changes: &mut Vec<Change>) {
    let actor = &step.actor;
    for sent in &step.outbox {
        let key = keys::outbox(actor, &sent.receiver, sent.sequence);
        changes.push(Change::put(Table::Outbox, key, sent.row.as_ref()));
    }
    for reminder in &step.reminders {
        let key = actor.with(&reminder.name);
        changes.push(match &reminder.row {
            Some(row) => Change::put(Table::Reminder, key, row.as_ref()),
            None => Change::delete(Table::Reminder, key),
        });
    }
    if let Some((key, row)) = &step.answer {
        changes.push(Change::put(Table::Answer, actor.with(key), row.as_ref()));
    }
    if let Some(letter) = &step.letter {
        let key = keys::letter(actor, &letter.sender, letter.sequence);
        changes.push(Change::put(Table::Letter, key, letter.row.as_ref()));
    }
}

/// The head of an actor on the disk.
pub(crate) fn read_head(actor: &ActorKey, reads: &dyn Reads) -> Result<Option<HeadRow>, StateError> {
    reads.get(Table::Head, actor.as_bytes())?.map(HeadRow::decode).transpose()
}

#[cfg(test)]
mod tests;
