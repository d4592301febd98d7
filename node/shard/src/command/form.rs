//! The byte form of an entry: see the parent module.

use bytes::Bytes;
use gritmesh_actor::SENDS_PER_STEP_MAX;
use gritmesh_store::ObjectId;

use super::{
    COMMANDS_BYTES_MAX, COMMANDS_MAX, Command, Commands, FORGET_MAX, LOCATED_MAX, LetterEntry, OutboxEntry,
    REMINDER_CHANGES_MAX, ReminderEntry, StepCommand,
};
use crate::StateError;
use crate::flat::{Reader, Write};
use crate::keys::{ACTOR_KEY_BYTES_MAX, ActorKey, PLAIN_ANSWER_KEY_BYTES_MAX};
use crate::rows::{AnswerRow, LetterRow, OutboxRow, PausedRow, ReminderRow};

/// The version of the form of an entry.
pub(crate) const VERSION: u8 = 1;
pub(crate) const STEP: u8 = 1;
const ACKNOWLEDGED: u8 = 2;
const PAUSE: u8 = 3;
const RESUME: u8 = 4;
const FORGET: u8 = 5;
const DROP_LETTER: u8 = 6;

impl Commands {
    /// The bytes of an entry. Whoever collects commands keeps to [`COMMANDS_BYTES_MAX`] and [`COMMANDS_MAX`].
    pub fn encode(commands: &[Command]) -> Vec<u8> {
        let size: usize = commands.iter().map(Command::size_hint).sum();
        let mut entry = Vec::with_capacity(1 + size);
        entry.u8(VERSION);
        for command in commands {
            command.write(&mut entry);
        }
        entry
    }

    /// Reads an entry, with or without packs. An empty one has no commands, as the log writes some of its own.
    ///
    /// # Errors
    /// If it has another form, or breaks a limit.
    pub fn decode(entry: &Bytes) -> Result<Vec<Command>, StateError> {
        let mut commands = Vec::new();
        for body in bodies(entry)? {
            let (tag, body) = body?;
            if commands.len() == COMMANDS_MAX {
                return Err(MALFORMED);
            }
            commands.push(Command::read(tag, body)?);
        }
        Ok(commands)
    }
}

const MALFORMED: StateError = StateError::Malformed { what: "an entry of the log" };

/// The tags and bodies of an entry's commands.
pub(crate) fn bodies(
    entry: &Bytes,
) -> Result<impl Iterator<Item = Result<(u8, Bytes), StateError>> + use<>, StateError> {
    if entry.len() > COMMANDS_BYTES_MAX {
        let (what, bytes) = ("an entry of the log", entry.len());
        return Err(StateError::TooLarge { what, bytes, limit: COMMANDS_BYTES_MAX });
    }
    let mut reader = Reader::new(entry.clone(), "an entry of the log");
    if !reader.is_empty() {
        reader.version(VERSION)?;
    }
    Ok(std::iter::from_fn(move || {
        let next = |reader: &mut Reader| Ok((reader.u8()?, reader.long()?));
        (!reader.is_empty()).then(|| next(&mut reader))
    }))
}

impl Command {
    /// How many bytes it takes in an entry, about.
    pub fn size_hint(&self) -> usize {
        const ACTOR: usize = 64;
        match self {
            Self::Step(step) => step.size_hint(),
            Self::Acknowledged { .. } | Self::DropLetter { .. } => 2 * ACTOR,
            Self::Pause { row, .. } => 2 * ACTOR + row.reason.len(),
            Self::Resume { .. } => ACTOR,
            Self::Forget { answers } => answers.iter().map(|key| key.len() + 2).sum::<usize>() + 8,
        }
    }

    fn write(&self, entry: &mut Vec<u8>) {
        entry.u8(match self {
            Self::Step(_) => STEP,
            Self::Acknowledged { .. } => ACKNOWLEDGED,
            Self::Pause { .. } => PAUSE,
            Self::Resume { .. } => RESUME,
            Self::Forget { .. } => FORGET,
            Self::DropLetter { .. } => DROP_LETTER,
        });
        let length_at = entry.len();
        entry.u32(0);
        match self {
            Self::Step(step) => step.write(entry),
            Self::Acknowledged { sender: one, receiver: two, up_to: number }
            | Self::DropLetter { receiver: one, sender: two, sequence: number } => {
                entry.short(one.as_bytes());
                entry.short(two.as_bytes());
                entry.u64(*number);
            }
            Self::Pause { actor, row } => {
                entry.short(actor.as_bytes());
                entry.long(&row.encode());
            }
            Self::Resume { actor } => entry.short(actor.as_bytes()),
            Self::Forget { answers } => {
                entry.u16(u16::try_from(answers.len()).expect("whoever forgets keeps to the limit"));
                answers.iter().for_each(|key| entry.short(key));
            }
        }
        let length = u32::try_from(entry.len() - length_at - 4).expect("an entry is smaller than a frame");
        entry[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn read(tag: u8, body: Bytes) -> Result<Self, StateError> {
        let mut body = Reader::new(body, "a command");
        let command = match tag {
            STEP => Self::Step(Box::new(StepCommand::read(&mut body)?)),
            ACKNOWLEDGED => {
                Self::Acknowledged { sender: body.actor()?, receiver: body.actor()?, up_to: body.u64()? }
            }
            PAUSE => Self::Pause { actor: body.actor()?, row: PausedRow::decode(body.long()?)? },
            RESUME => Self::Resume { actor: body.actor()? },
            FORGET => {
                let count = body.count(FORGET_MAX)?;
                let mut key = || {
                    let key = body.short()?;
                    ActorKey::split(&key).map(|_| key)
                };
                Self::Forget { answers: (0..count).map(|_| key()).collect::<Result<_, _>>()? }
            }
            DROP_LETTER => {
                Self::DropLetter { receiver: body.actor()?, sender: body.actor()?, sequence: body.u64()? }
            }
            _ => return Err(MALFORMED),
        };
        body.end()?;
        Ok(command)
    }
}

impl StepCommand {
    pub(crate) fn size_hint(&self) -> usize {
        let actor = self.actor.as_bytes().len();
        let outbox: usize = self.outbox.iter().map(|sent| 14 + actor + sent.row.len()).sum();
        let reminders = self.reminders.iter().map(|one| 7 + one.name.len() + row_len(&one.row));
        let answer = self.answer.as_ref().map_or(0, |(key, row)| 6 + key.len() + row.len());
        let letter = self.letter.as_ref().map_or(0, |letter| 14 + actor + letter.row.len());
        let rows = outbox + reminders.sum::<usize>() + answer + letter;
        128 + actor + 32 * self.located.len() + rows + self.pack.len()
    }

    fn write(&self, body: &mut Vec<u8>) {
        body.u32(u32::try_from(self.pack.len()).expect("a pack is smaller than a frame"));
        body.extend_from_slice(self.head.as_bytes());
        body.short(self.actor.as_bytes());
        body.u16(u16::try_from(self.located.len()).expect("a pack has at most so many objects"));
        self.located.iter().for_each(|id| body.extend_from_slice(id.as_bytes()));
        body.u8(u8::from(self.expected.is_some()));
        if let Some(expected) = &self.expected {
            body.extend_from_slice(expected.as_bytes());
        }
        body.u64(self.number);
        body.u64(self.time_unix_ms);
        body.u64(self.epoch);
        body.u16(u16::try_from(self.outbox.len()).expect("a step sends at most so many messages"));
        for sent in &self.outbox {
            body.short(sent.receiver.as_bytes());
            body.u64(sent.sequence);
            body.long(&sent.row);
        }
        body.u16(u16::try_from(self.reminders.len()).expect("a step changes at most so many reminders"));
        for reminder in &self.reminders {
            body.short(&reminder.name);
            body.long(reminder.row.as_deref().unwrap_or_default());
        }
        body.u8(u8::from(self.answer.is_some()));
        if let Some((key, row)) = &self.answer {
            body.short(key);
            body.long(row);
        }
        body.u8(u8::from(self.letter.is_some()));
        if let Some(letter) = &self.letter {
            body.short(letter.sender.as_bytes());
            body.u64(letter.sequence);
            body.long(&letter.row);
        }
        body.extend_from_slice(&self.pack);
    }

    fn read(body: &mut Reader) -> Result<Self, StateError> {
        let pack_bytes = body.u32()? as usize;
        let head = body.id()?;
        let actor = body.actor()?;
        let located = body.count(LOCATED_MAX)?;
        let located = (0..located).map(|_| body.id()).collect::<Result<_, _>>()?;
        let expected = if body.flag()? { Some(body.id()?) } else { None };
        let (number, time_unix_ms, epoch) = (body.u64()?, body.u64()?, body.u64()?);
        if number == 0 || expected.is_some() != (number > 1) {
            return Err(body.malformed());
        }
        let sent = body.count(SENDS_PER_STEP_MAX)?;
        let outbox = (0..sent).map(|_| body.outbox()).collect::<Result<_, _>>()?;
        let changed = body.count(REMINDER_CHANGES_MAX)?;
        let reminders = (0..changed).map(|_| body.reminder()).collect::<Result<_, _>>()?;
        let answer = if body.flag()? { Some(body.answer()?) } else { None };
        let letter = if body.flag()? { Some(body.letter()?) } else { None };
        let pack = body.rest();
        if pack.len() != pack_bytes {
            return Err(body.malformed());
        }
        Ok(Self {
            actor,
            expected,
            number,
            head,
            time_unix_ms,
            epoch,
            located,
            outbox,
            reminders,
            answer,
            letter,
            pack,
        })
    }
}

fn row_len(row: &Option<Bytes>) -> usize {
    row.as_ref().map_or(0, Bytes::len)
}

/// The parts of a body. Rows are looked into, so that what is in a table can be read.
impl Reader {
    fn actor(&mut self) -> Result<ActorKey, StateError> {
        let key = self.short()?;
        if key.len() > ACTOR_KEY_BYTES_MAX { Err(self.malformed()) } else { ActorKey::read(key) }
    }

    fn id(&mut self) -> Result<ObjectId, StateError> {
        self.array().map(ObjectId::from_bytes)
    }

    fn count(&mut self, limit: usize) -> Result<usize, StateError> {
        let count = usize::from(self.u16()?);
        if count > limit { Err(self.malformed()) } else { Ok(count) }
    }

    fn outbox(&mut self) -> Result<OutboxEntry, StateError> {
        let entry = OutboxEntry { receiver: self.actor()?, sequence: self.u64()?, row: self.long()? };
        OutboxRow::decode(entry.row.clone())?;
        Ok(entry)
    }

    fn reminder(&mut self) -> Result<ReminderEntry, StateError> {
        let (name, row) = (self.short()?, self.long()?);
        if name.is_empty() || std::str::from_utf8(&name).is_err() {
            return Err(self.malformed());
        }
        if !row.is_empty() {
            ReminderRow::decode(row.clone())?;
        }
        Ok(ReminderEntry { name, row: (!row.is_empty()).then_some(row) })
    }

    fn answer(&mut self) -> Result<(Bytes, Bytes), StateError> {
        let (key, row) = (self.short()?, self.long()?);
        AnswerRow::decode(row.clone())?;
        if key.is_empty() || key.len() > PLAIN_ANSWER_KEY_BYTES_MAX + 1 {
            return Err(self.malformed());
        }
        Ok((key, row))
    }

    fn letter(&mut self) -> Result<LetterEntry, StateError> {
        let letter = LetterEntry { sender: self.actor()?, sequence: self.u64()?, row: self.long()? };
        LetterRow::decode(letter.row.clone())?;
        Ok(letter)
    }
}
