//! What waits for a commit: proposals with their gates, and those who only want to know that all before them is
//! decided and that this node still leads.
//!
//! Both stand in one queue per shard, in the order in which they came. The log commits in that order too, so the
//! front of the queue is always what is decided next.

use gritmesh_actor::{Gate, Outgoing};
use gritmesh_runtime::{Failure, FailureCode, Instant, ShardId};
use gritmesh_shard::{ActorKey, Command, Commands};
use gritmesh_sharding::ProposeError;

use super::Engine;
use super::event::{Commit, Effect};
use super::groups::{Group, Queued};
use super::room::disk_full;
use crate::options::Sabotage;

/// An entry of the log, or somebody who waits behind one.
pub(super) enum Waiting {
    /// Commands that were proposed together, each with what waits for it.
    Proposed(Vec<Proposed>),
    /// Somebody who wants to know that everything before is committed.
    Observer(Gate),
}

/// A command that was proposed.
#[derive(Default)]
pub(super) struct Proposed {
    /// Whose step it is.
    pub(super) actor: Option<ActorKey>,
    pub(super) volatile: Vec<Outgoing>,
    pub(super) gate: Option<Gate>,
}

impl Waiting {
    pub(super) fn end(self, failure: &Failure, out: &mut Vec<Effect>) {
        match self {
            Self::Proposed(commands) => {
                for proposed in commands {
                    open(proposed.gate, Err(failure.clone()), out);
                }
            }
            Self::Observer(gate) => open(Some(gate), Err(failure.clone()), out),
        }
    }
}

impl Engine {
    pub(super) fn queue_commit(
        &mut self,
        now: Instant,
        shard: ShardId,
        mut commit: Commit,
        out: &mut Vec<Effect>,
    ) {
        self.date_answer(now, shard, &mut commit.command);
        let room = self.lacks_room(now, shard);
        let Some(group) = self.groups.get_mut(&shard) else {
            return open(commit.gate, Err(not_led(shard)), out);
        };
        if let Some(failure) = refusal(shard, group, self.limits.engine.waiting).or(room) {
            return open(commit.gate, Err(failure), out);
        }
        if let Some(actor) = stepping(&commit.command) {
            group.unsettled.entry(actor.clone()).or_default().undecided += 1;
        }
        group.queued.push(Queued::Commit(commit));
        self.dirty.insert(shard);
    }

    /// A change that nobody waits for. What is refused comes again by itself.
    pub(super) fn queue_quietly(&mut self, shard: ShardId, command: Command) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        // It makes room, and may use what is left for what is under way.
        if refusal(shard, group, self.limits.engine.waiting).is_none() && !self.writer.is_full() {
            group.queued.push(Queued::Commit(Commit { command, volatile: Vec::new(), gate: None }));
            self.dirty.insert(shard);
        }
    }

    pub(super) fn queue_observer(&mut self, shard: ShardId, gate: Gate, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else {
            return open(Some(gate), Err(not_led(shard)), out);
        };
        // Reading needs no room on the disk.
        if let Some(failure) = refusal(shard, group, self.limits.engine.waiting) {
            return open(Some(gate), Err(failure), out);
        }
        match group.queued.is_empty() {
            // All before it is proposed, so it need not wait for the disk to be free.
            true => group.waiting.push_back(Waiting::Observer(gate)),
            false => group.queued.push(Queued::Observer(gate)),
        }
        self.dirty.insert(shard);
    }

    /// Proposes what is queued: as few entries as possible. Whoever only observes stands behind the entry that has
    /// the last command before it.
    pub(super) fn propose_queued(&mut self, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        if group.queued.is_empty() {
            return;
        }
        let entry_bytes = self.limits.engine.entry_bytes;
        let early = self.sabotage == Sabotage::ReleaseBeforeCommit;
        let mut entry = Entry::default();
        for queued in std::mem::take(&mut group.queued) {
            match queued {
                Queued::Commit(Commit { command, volatile, gate }) => {
                    if entry.bytes > 0 && entry.bytes + command.size_hint() > entry_bytes {
                        std::mem::take(&mut entry).propose(shard, group, out);
                    }
                    let (volatile, gate) = match early {
                        true => {
                            open(gate, Ok(()), out);
                            out.extend(volatile.into_iter().map(Effect::Forward));
                            (Vec::new(), None)
                        }
                        false => (volatile, gate),
                    };
                    entry.push(command, volatile, gate);
                }
                Queued::Observer(gate) => entry.observers.push(gate),
            }
        }
        entry.propose(shard, group, out);
    }

    /// The disk is full: what is not proposed yet need not wait until there is room.
    pub(super) fn refuse_queued(&mut self, out: &mut Vec<Effect>) {
        for group in self.groups.values_mut() {
            for queued in std::mem::take(&mut group.queued) {
                match queued {
                    Queued::Commit(Commit { command, gate, .. }) => {
                        group.decided(stepping(&command), 0);
                        open(gate, Err(disk_full("the disk of the node that leads the shard is full")), out);
                    }
                    Queued::Observer(gate) => group.waiting.push_back(Waiting::Observer(gate)),
                }
            }
        }
    }

    /// Lets those go who have nothing before them any more, if this node surely leads.
    pub(super) fn release_observers(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard).filter(|group| group.leads) else { return };
        let holds = group.replica.lease().is_some_and(|until| until > now);
        while let Some(Waiting::Observer(_)) = group.waiting.front() {
            if !holds {
                group.replica.confirm(now);
                return;
            }
            if let Some(Waiting::Observer(gate)) = group.waiting.pop_front() {
                open(Some(gate), Ok(()), out);
            }
        }
    }
}

/// An entry of the log while it is filled.
#[derive(Default)]
struct Entry {
    commands: Vec<Command>,
    waiting: Vec<Proposed>,
    /// Who wants to know when it is committed.
    observers: Vec<Gate>,
    bytes: usize,
}

impl Entry {
    fn push(&mut self, command: Command, volatile: Vec<Outgoing>, gate: Option<Gate>) {
        self.bytes += command.size_hint();
        self.waiting.push(Proposed { actor: stepping(&command).cloned(), volatile, gate });
        self.commands.push(command);
    }

    fn propose(self, shard: ShardId, group: &mut Group, out: &mut Vec<Effect>) {
        if !self.commands.is_empty() {
            match group.replica.propose(Commands::encode(&self.commands).into()) {
                Ok(()) => group.waiting.push_back(Waiting::Proposed(self.waiting)),
                Err(error) => refuse(shard, group, self.waiting, &error, out),
            }
        }
        group.waiting.extend(self.observers.into_iter().map(Waiting::Observer));
    }
}

/// What was not taken by the log surely did not happen.
fn refuse(
    shard: ShardId,
    group: &mut Group,
    refused: Vec<Proposed>,
    error: &ProposeError,
    out: &mut Vec<Effect>,
) {
    let failure = match error {
        ProposeError::Full => {
            let detail = format!("shard {shard} has as much to replicate as it may");
            Failure { retry_after_ms: 50, ..Failure::new(FailureCode::Overloaded, detail) }
        }
        ProposeError::Size { .. } => Failure::new(FailureCode::TooLarge, error.to_string()),
        ProposeError::NotLeader { .. } | ProposeError::Transferring => {
            Failure::new(FailureCode::NotDelivered, error.to_string())
        }
    };
    for proposed in refused {
        group.decided(proposed.actor.as_ref(), 0);
        open(proposed.gate, Err(failure.clone()), out);
    }
}

impl Group {
    /// The commands that were proposed together and are now committed. Who waits before them need not wait for a
    /// lease any more: a majority has taken an entry of this leader that was proposed after they came.
    pub(super) fn next_proposed(&mut self, out: &mut Vec<Effect>) -> Vec<Proposed> {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting {
                Waiting::Observer(gate) => open(Some(gate), Ok(()), out),
                Waiting::Proposed(commands) => return commands,
            }
        }
        Vec::new()
    }

    /// One step of an actor is decided; if it took effect, by the entry `applied_at`.
    pub(super) fn decided(&mut self, actor: Option<&ActorKey>, applied_at: u64) {
        let Some(unsettled) = actor.and_then(|actor| self.unsettled.get_mut(actor)) else { return };
        unsettled.undecided = unsettled.undecided.saturating_sub(1);
        unsettled.applied_at = unsettled.applied_at.max(applied_at);
        if let (0, true, Some(actor)) =
            (unsettled.undecided, unsettled.applied_at <= self.persisted_to, actor)
        {
            self.unsettled.remove(actor);
        }
    }
}

/// The actor whose rows a command changes, so that it must not be read from the disk before they are there.
fn stepping(command: &Command) -> Option<&ActorKey> {
    match command {
        Command::Step(step) => Some(&step.actor),
        Command::Pause { actor, .. } | Command::Resume { actor } => Some(actor),
        Command::DropLetter { receiver, .. } => Some(receiver),
        Command::Acknowledged { .. } | Command::Forget { .. } => None,
    }
}

fn refusal(shard: ShardId, group: &Group, waiting_max: usize) -> Option<Failure> {
    if !group.leads {
        return Some(not_led(shard));
    }
    (group.queued.len() + group.waiting.len() >= waiting_max).then(|| {
        let detail = format!("{waiting_max} changes of shard {shard} already wait to be committed");
        Failure { retry_after_ms: 50, ..Failure::new(FailureCode::Overloaded, detail) }
    })
}

fn not_led(shard: ShardId) -> Failure {
    Failure::new(FailureCode::NotDelivered, format!("this node does not lead shard {shard} any more"))
}

pub(super) fn open(gate: Option<Gate>, result: Result<(), Failure>, out: &mut Vec<Effect>) {
    if let Some(gate) = gate {
        out.push(Effect::Open { gate, result });
    }
}
