//! Which answers have been kept long enough.

use bytes::Bytes;
use gritmesh_runtime::{Reads, Table, Token};

use crate::command::FORGET_MAX;
use crate::portion::{ReadLimits, portion};
use crate::rows::AnswerRow;
use crate::{StateError, keys};

/// Answers of a range of tokens that were given before a time, among the next `limit` rows from a key on, at most
/// [`FORGET_MAX`]: their keys, for [`Command::Forget`](crate::Command::Forget), and from where to go on, `None` at the
/// end. Fewer rows are looked at if they are large.
///
/// A leader goes round and round its answers with this, slowly. Whatever it finds it has to propose before it hears of
/// anything else: then no key can be used anew between the look and the proposal.
///
/// # Errors
/// If they cannot be read.
pub fn expired_answers(
    reads: &dyn Reads,
    tokens: (Token, Token),
    from: Option<&[u8]>,
    before_unix_ms: u64,
    limit: usize,
    limits: &ReadLimits,
) -> Result<(Vec<Bytes>, Option<Vec<u8>>), StateError> {
    let range = keys::token_range(tokens.0, tokens.1);
    let rows = from.unwrap_or(&range.start)..&range.end[..];
    let (rows, next) = portion(reads, Table::Answer, rows, limit.clamp(1, FORGET_MAX), limits)?;
    let is_old = |row: &[u8]| AnswerRow::time_of(row).is_none_or(|time| time < before_unix_ms);
    let old = rows.into_iter().filter(|(_, row)| is_old(row)).map(|(key, _)| key.into());
    Ok((old.collect(), next))
}

#[cfg(test)]
mod tests {
    use gritmesh_runtime::Change;

    use super::*;
    use crate::ActorKey;
    use crate::scenario::{ALL, Tables};

    const LIMITS: ReadLimits = ReadLimits::PRODUCTION;

    fn tables(answers: u64, bytes: usize) -> Tables {
        let actor = ActorKey::of(&"t/a".parse().expect("an address"));
        let tables = Tables::default();
        let mut rows = Vec::new();
        for time_unix_ms in 0..answers {
            let suffix = keys::answer_suffix(&time_unix_ms.to_be_bytes());
            let row = AnswerRow { time_unix_ms, answer: Ok(vec![0; bytes]) };
            rows.push(Change::put(Table::Answer, actor.with(&suffix), row.encode()));
        }
        tables.write(&rows);
        tables
    }

    #[test]
    fn a_round_finds_every_old_answer_once() {
        let tables = tables(1_000, 10);
        let (mut found, mut from, mut looks) = (Vec::new(), None, 0);
        loop {
            let (old, next) = expired_answers(&tables, ALL, from.as_deref(), 700, 256, &LIMITS).unwrap();
            assert!(old.len() <= 256);
            found.extend(old);
            looks += 1;
            from = next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!((found.len(), looks), (700, 4));
        found.dedup();
        assert_eq!(found.len(), 700);
    }

    #[test]
    fn a_look_at_large_answers_ends_early() {
        let tables = tables(100, 100 * 1024);
        let (old, next) = expired_answers(&tables, ALL, None, 1_000, FORGET_MAX, &LIMITS).unwrap();
        assert_eq!(old.len(), LIMITS.rows_at_first);
        assert!(next.is_some());
    }
}
