//! Which answers have been kept long enough.

use bytes::Bytes;
use gritmesh_runtime::{Reads, Table, Token};

use crate::command::FORGET_MAX;
use crate::rows::AnswerRow;
use crate::{StateError, keys};

/// Answers of a range of tokens that were given before a time, among the next `limit` rows behind a key, at most
/// [`FORGET_MAX`]: their keys, for [`Command::Forget`](crate::Command::Forget), and where to go on, `None` at the end.
///
/// A leader goes round and round its answers with this, slowly. It proposes the next `Forget` when the last one was
/// applied, so that no key is forgotten that was used anew meanwhile.
///
/// # Errors
/// If they cannot be read.
pub fn expired_answers(
    reads: &dyn Reads,
    tokens: (Token, Token),
    behind: Option<&[u8]>,
    before_unix_ms: u64,
    limit: usize,
) -> Result<(Vec<Bytes>, Option<Vec<u8>>), StateError> {
    let limit = limit.clamp(1, FORGET_MAX);
    let range = keys::token_range(tokens.0, tokens.1);
    // The key right behind another is that one and a zero byte.
    let from = behind.map_or(range.start, |key| [key, &[0]].concat());
    let rows = reads.scan(Table::Answer, &from..&range.end, limit)?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(key, _)| key.clone());
    let is_old = |row: &[u8]| AnswerRow::time_of(row).is_none_or(|time| time < before_unix_ms);
    let old = rows.into_iter().filter(|(_, row)| is_old(row)).map(|(key, _)| key.into());
    Ok((old.collect(), next))
}
