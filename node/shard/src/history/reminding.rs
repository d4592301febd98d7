//! Reminders of one actor: what is set, and how a step that one caused moves it on.

use std::collections::BTreeMap;

use bytes::Bytes;
use gritmesh_actor::{REMINDERS_MAX, ReminderChange, ReminderInfo};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode, NAME_BYTES_MAX, Reads, Table};
use gritmesh_store::ObjectId;

use crate::command::{REMINDER_CHANGES_MAX, ReminderEntry};
use crate::keys::ActorKey;
use crate::rows::ReminderRow;
use crate::{PendingReminder, StateError, next_due};

/// By name.
pub(super) type Reminders = BTreeMap<String, ReminderRow>;

/// The reminders of an actor on the disk.
pub(super) fn load(reads: &dyn Reads, actor: &ActorKey) -> Result<Reminders, StateError> {
    let (from, to) = actor.rows();
    let prefix = from.len();
    let rows = reads.scan(Table::Reminder, &from..&to, REMINDERS_MAX)?;
    let named = |(key, row): (Vec<u8>, Vec<u8>)| {
        let name = String::from_utf8(key[prefix..].to_vec());
        let name = name.map_err(|_| StateError::Malformed { what: "the name of a reminder" })?;
        Ok((name, ReminderRow::decode(row)?))
    };
    rows.into_iter().map(named).collect()
}

/// What is shown of reminders.
pub(super) fn infos(reminders: &Reminders) -> Vec<ReminderInfo> {
    let info = |(name, row): (&String, &ReminderRow)| ReminderInfo {
        name: name.clone(),
        due_unix_ms: row.due_unix_ms,
        every_ms: row.every_ms,
        late: row.late,
        method: row.method.clone(),
    };
    reminders.iter().map(info).collect()
}

/// Whether a reminder that fires is still set so. Zero bytes stand for whichever step set it.
pub(super) fn is_due(reminders: &Reminders, name: &str, due_unix_ms: u64, set_by: &[u8; 32]) -> bool {
    reminders.get(name).is_some_and(|row| {
        let is_set_so = *set_by == [0; 32] || set_by == row.set_by.as_bytes();
        is_set_so && due_unix_ms == row.due_unix_ms
    })
}

/// What a step makes of reminders.
#[derive(Debug, Default)]
pub(super) struct Changed {
    rows: BTreeMap<String, Option<ReminderRow>>,
}

impl Changed {
    /// The reminder that caused the step has run for this time: it goes on to the next, or is gone.
    pub(super) fn fired(
        &mut self,
        actor: &ActorAddress,
        reminders: &Reminders,
        name: &str,
        now_unix_ms: u64,
    ) {
        let Some(row) = reminders.get(name) else { return };
        let pending = PendingReminder {
            actor: actor.clone(),
            name: name.into(),
            due_unix_ms: row.due_unix_ms,
            every_ms: row.every_ms,
            late: row.late,
            method: row.method.as_str().into(),
            arguments: row.arguments.as_ref().into(),
            set_by: *row.set_by.as_bytes(),
        };
        let next = next_due(&pending, row.due_unix_ms, now_unix_ms);
        let moved = next.map(|due_unix_ms| ReminderRow { due_unix_ms, ..row.clone() });
        self.rows.insert(name.to_owned(), moved);
    }

    /// The changes that the handler asked for, in their order.
    pub(super) fn ask(&mut self, changes: Vec<ReminderChange>) -> Result<(), Failure> {
        for change in changes {
            match change {
                ReminderChange::Cancel { name } => self.rows.insert(name, None),
                ReminderChange::Set { name, due_unix_ms, every_ms, late, method, arguments } => {
                    check(&name, &method, every_ms)?;
                    let set_by = ObjectId::from_bytes([0; 32]);
                    let arguments = Bytes::from(arguments);
                    let row = ReminderRow { due_unix_ms, every_ms, late, set_by, method, arguments };
                    self.rows.insert(name, Some(row))
                }
            };
        }
        let bad = |detail: String| Err(Failure::new(FailureCode::BadArguments, detail));
        if self.rows.len() > REMINDER_CHANGES_MAX {
            return bad(format!("a step changes at most {REMINDER_CHANGES_MAX} reminders"));
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether the actor would have too many.
    pub(super) fn check_count(&self, reminders: &Reminders) -> Result<(), Failure> {
        let new = self.rows.iter().filter(|(name, row)| row.is_some() && !reminders.contains_key(*name));
        let gone = self.rows.iter().filter(|(name, row)| row.is_none() && reminders.contains_key(*name));
        if reminders.len() + new.count() - gone.count() <= REMINDERS_MAX {
            return Ok(());
        }
        let detail = format!("an actor has at most {REMINDERS_MAX} reminders");
        Err(Failure::new(FailureCode::BadArguments, detail))
    }

    /// Carries the changes out, in the name of the step that makes them.
    pub(super) fn carry_out(self, step: ObjectId, reminders: &mut Reminders) -> Vec<ReminderEntry> {
        let mut entries = Vec::with_capacity(self.rows.len());
        for (name, row) in self.rows {
            let key = Bytes::copy_from_slice(name.as_bytes());
            let row = row.map(|row| ReminderRow { set_by: step, ..row });
            entries.push(ReminderEntry { name: key, row: row.as_ref().map(|row| row.encode().into()) });
            match row {
                Some(row) => reminders.insert(name, row),
                None => reminders.remove(&name),
            };
        }
        entries
    }
}

fn check(name: &str, method: &str, every_ms: Option<u64>) -> Result<(), Failure> {
    let fits = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES_MAX;
    let detail = match (fits(name), fits(method), every_ms) {
        (false, ..) => format!("a reminder's name has 1 to {NAME_BYTES_MAX} bytes"),
        (_, false, _) => format!("a reminder's method has 1 to {NAME_BYTES_MAX} bytes"),
        (.., Some(0)) => "a reminder cannot recur every 0 ms".to_owned(),
        _ => return Ok(()),
    };
    Err(Failure::new(FailureCode::BadArguments, detail))
}
