//! The values of a shard's tables, but for objects.
//!
//! Each is flat and begins with the version of its form. A row of another version is refused, not guessed at.

use bytes::Bytes;
use gritmesh_actor::Late;
use gritmesh_runtime::{Failure, FailureCode};
use gritmesh_store::ObjectId;

use crate::StateError;
use crate::flat::{Reader, Write};

/// The version of the form of every row.
const VERSION: u8 = 1;
/// Longest detail of a failure that is kept. It is for people, who read no more.
pub const DETAIL_BYTES_MAX: usize = 4 * 1024;

/// The newest committed step of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// The step.
    pub id: ObjectId,
    /// Its number in the chain, from 1.
    pub number: u64,
    /// The shard's epoch when it was made.
    pub epoch: u64,
}

impl HeadRow {
    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(49);
        row.u8(VERSION);
        row.extend_from_slice(self.id.as_bytes());
        row.u64(self.number);
        row.u64(self.epoch);
        row
    }

    /// Reads the row.
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, StateError> {
        let mut row = Reader::new(bytes.into(), "a head");
        row.version(VERSION)?;
        let head = Self { id: ObjectId::from_bytes(row.array()?), number: row.u64()?, epoch: row.u64()? };
        row.end()?;
        Ok(head)
    }
}

/// A message that is not acknowledged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The message's id.
    pub id: ObjectId,
    /// Its canonical bytes.
    pub message: Bytes,
    /// Its content, if that is too long to lie in the message.
    pub content: Option<Bytes>,
}

impl OutboxRow {
    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let content = self.content.as_deref().unwrap_or_default();
        let mut row = Vec::with_capacity(43 + self.message.len() + content.len());
        row.u8(VERSION);
        row.extend_from_slice(self.id.as_bytes());
        row.long(&self.message);
        row.u8(u8::from(self.content.is_some()));
        row.extend_from_slice(content);
        row
    }

    /// Reads the row. Whether the message has that id is left to whoever sends it.
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, StateError> {
        let mut row = Reader::new(bytes.into(), "a row of the outbox");
        row.version(VERSION)?;
        let id = ObjectId::from_bytes(row.array()?);
        let message = row.long()?;
        let content = row.flag()?.then(|| row.rest());
        row.end()?;
        Ok(Self { id, message, content })
    }
}

/// A reminder that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReminderRow {
    /// When it is due next.
    pub due_unix_ms: u64,
    /// How often after that; `None` for once.
    pub every_ms: Option<u64>,
    /// What happens to times that were missed.
    pub late: Late,
    /// The step that set it or moved it on.
    pub set_by: ObjectId,
    /// The method it calls.
    pub method: String,
    /// That method's arguments.
    pub arguments: Bytes,
}

impl ReminderRow {
    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(52 + self.method.len() + self.arguments.len());
        row.u8(VERSION);
        row.u64(self.due_unix_ms);
        row.u64(self.every_ms.unwrap_or(0));
        row.u8(match self.late {
            Late::Skip => 0,
            Late::Once => 1,
            Late::CatchUp => 2,
        });
        row.extend_from_slice(self.set_by.as_bytes());
        row.short(self.method.as_bytes());
        row.extend_from_slice(&self.arguments);
        row
    }

    /// Reads the row.
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, StateError> {
        let mut row = Reader::new(bytes.into(), "a reminder");
        row.version(VERSION)?;
        let (due_unix_ms, every_ms) = (row.u64()?, row.u64()?);
        let late = match row.u8()? {
            0 => Late::Skip,
            1 => Late::Once,
            2 => Late::CatchUp,
            _ => return Err(row.malformed()),
        };
        let set_by = ObjectId::from_bytes(row.array()?);
        let method = row.short()?;
        Ok(Self {
            due_unix_ms,
            every_ms: (every_ms != 0).then_some(every_ms),
            late,
            set_by,
            method: row.text(method)?,
            arguments: row.rest(),
        })
    }
}

/// An answer that was given under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    /// When it was given by the time of the shard, which decides how long it is kept.
    pub time_unix_ms: u64,
    /// The answer.
    pub answer: Result<Vec<u8>, Failure>,
}

impl AnswerRow {
    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode_answer(self.time_unix_ms, &self.answer)
    }

    /// Reads the row.
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, StateError> {
        let mut row = Reader::new(bytes.into(), "an answer");
        row.version(VERSION)?;
        let time_unix_ms = row.u64()?;
        let answer = if row.flag()? { Ok(row.rest().into()) } else { Err(read_failure(&mut row)?) };
        row.end()?;
        Ok(Self { time_unix_ms, answer })
    }

    /// When an answer was given, without reading it.
    pub fn time_of(bytes: &[u8]) -> Option<u64> {
        Some(u64::from_le_bytes(*bytes.get(1..)?.first_chunk()?))
    }

    /// The bytes of a row with another time.
    pub fn dated(bytes: &[u8], time_unix_ms: u64) -> Vec<u8> {
        let mut row = bytes.to_vec();
        if let Some(time) = row.get_mut(1..).and_then(|rest| rest.first_chunk_mut()) {
            *time = time_unix_ms.to_le_bytes();
        }
        row
    }
}

/// The bytes of an [`AnswerRow`] whose answer stays where it is.
pub(crate) fn encode_answer(time_unix_ms: u64, answer: &Result<Vec<u8>, Failure>) -> Vec<u8> {
    let mut row = Vec::with_capacity(10 + answer.as_ref().map_or(64, Vec::len));
    row.u8(VERSION);
    row.u64(time_unix_ms);
    match answer {
        Ok(answer) => {
            row.u8(1);
            row.extend_from_slice(answer);
        }
        Err(failure) => {
            row.u8(0);
            write_failure(&mut row, failure);
        }
    }
    row
}

/// A message that its receiver could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRow {
    /// The message.
    pub id: ObjectId,
    /// When that was found out.
    pub time_unix_ms: u64,
    /// The method it asked for.
    pub method: String,
    /// Why it cannot be read.
    pub failure: Failure,
}

impl LetterRow {
    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(128 + self.method.len() + self.failure.detail.len());
        row.u8(VERSION);
        row.extend_from_slice(self.id.as_bytes());
        row.u64(self.time_unix_ms);
        row.short(self.method.as_bytes());
        write_failure(&mut row, &self.failure);
        row
    }

    /// Reads the row.
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, StateError> {
        let mut row = Reader::new(bytes.into(), "a letter");
        row.version(VERSION)?;
        let (id, time_unix_ms) = (ObjectId::from_bytes(row.array()?), row.u64()?);
        let method = row.short()?;
        let method = row.text(method)?;
        let letter = Self { id, time_unix_ms, method, failure: read_failure(&mut row)? };
        row.end()?;
        Ok(letter)
    }
}

/// Why an actor is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedRow {
    /// Since when.
    pub time_unix_ms: u64,
    /// Why, in words for a person.
    pub reason: String,
}

impl PausedRow {
    /// The row's bytes. A reason that is too long loses its end.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(9 + self.reason.len());
        row.u8(VERSION);
        row.u64(self.time_unix_ms);
        row.extend_from_slice(clip(&self.reason).as_bytes());
        row
    }

    /// Reads the row.
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, StateError> {
        let mut row = Reader::new(bytes.into(), "the row of a paused actor");
        row.version(VERSION)?;
        let time_unix_ms = row.u64()?;
        let reason = row.rest();
        Ok(Self { time_unix_ms, reason: row.text(reason)? })
    }
}

/// A failure: its code, which never changes, as text, how long to wait, the detail, the data.
fn write_failure(row: &mut Vec<u8>, failure: &Failure) {
    row.short(failure.code.as_str().as_bytes());
    row.u32(failure.retry_after_ms);
    row.short(clip(&failure.detail).as_bytes());
    row.long(&failure.data);
}

fn read_failure(row: &mut Reader) -> Result<Failure, StateError> {
    let code = row.short()?;
    let known = FailureCode::ALL.into_iter().find(|known| known.as_str().as_bytes() == code);
    let code = known.ok_or_else(|| row.malformed())?;
    let retry_after_ms = row.u32()?;
    let detail = row.short()?;
    Ok(Failure { code, retry_after_ms, detail: row.text(detail)?, data: row.long()?.into() })
}

/// The beginning of a text, as much as is kept.
pub(crate) fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(DETAIL_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use gritmesh_store::ObjectKind;
    use proptest::prelude::*;

    fn id() -> ObjectId {
        ObjectId::of(ObjectKind::Step, b"x")
    }

    fn failure() -> Failure {
        Failure { data: vec![1, 2], retry_after_ms: 7, ..Failure::new(FailureCode::ActorError, "no money") }
    }

    #[test]
    fn rows_round_trip() {
        let head = HeadRow { id: id(), number: 9, epoch: 2 };
        assert_eq!(HeadRow::decode(head.encode()).unwrap(), head);
        for content in [None, Some(Bytes::from_static(b"long"))] {
            let row = OutboxRow { id: id(), message: Bytes::from_static(b"message"), content };
            assert_eq!(OutboxRow::decode(row.encode()).unwrap(), row);
        }
        let (method, arguments) = ("tick".to_owned(), Bytes::from_static(b"\x90"));
        for (every_ms, late) in [(None, Late::Skip), (Some(5), Late::Once), (Some(1), Late::CatchUp)] {
            let (method, arguments) = (method.clone(), arguments.clone());
            let row = ReminderRow { due_unix_ms: 1, every_ms, late, set_by: id(), method, arguments };
            assert_eq!(ReminderRow::decode(row.encode()).unwrap(), row);
        }
        for answer in [Ok(vec![3]), Err(failure())] {
            let row = AnswerRow { time_unix_ms: 77, answer };
            assert_eq!(AnswerRow::decode(row.encode()).unwrap(), row);
            assert_eq!(AnswerRow::time_of(&row.encode()), Some(77));
        }
        let row = LetterRow { id: id(), time_unix_ms: 4, method, failure: failure() };
        assert_eq!(LetterRow::decode(row.encode()).unwrap(), row);
        let row = PausedRow { time_unix_ms: 4, reason: "it panics".into() };
        assert_eq!(PausedRow::decode(row.encode()).unwrap(), row);
    }

    #[test]
    fn a_long_reason_loses_its_end() {
        let row = PausedRow { time_unix_ms: 4, reason: "é".repeat(DETAIL_BYTES_MAX) };
        assert_eq!(PausedRow::decode(row.encode()).unwrap().reason.len(), DETAIL_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..128), current in any::<bool>()) {
            if let (true, Some(version)) = (current, bytes.first_mut()) {
                *version = VERSION;
            }
            let _ = HeadRow::decode(bytes.clone());
            let _ = OutboxRow::decode(bytes.clone());
            let _ = ReminderRow::decode(bytes.clone());
            let _ = AnswerRow::decode(bytes.clone());
            let _ = LetterRow::decode(bytes.clone());
            let _ = PausedRow::decode(bytes);
        }
    }
}
