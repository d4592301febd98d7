//! A portion of a table: so many rows that whoever reads them is not held up for long, however large they are.

use std::ops::Range;

use gritmesh_runtime::{DiskError, KeyValue, Reads, Table, limits};

limits! {
    /// How much is read of a table at once.
    pub struct ReadLimits in "read" {
        /// Rows that are read at first: they tell how large the next ones may be.
        rows_at_first: usize = 8, small ["1", "2"];
        /// Bytes after which a portion ends, however few rows it has: a disk brings them in a fraction of a millisecond.
        portion_bytes: usize = 256 * 1024, small ["1", "300"];
        /// Rows of the outbox that are read at once, as long as each belongs to another pair.
        pairs_at_once: usize = 256, small ["1", "2"];
    }
}

/// The first rows of a range, at most `limit`, and from which key on to go on, `None` at the end.
pub(crate) fn portion(
    reads: &dyn Reads,
    table: Table,
    range: Range<&[u8]>,
    limit: usize,
    limits: &ReadLimits,
) -> Result<(Vec<KeyValue>, Option<Vec<u8>>), DiskError> {
    let mut from = range.start.to_vec();
    let (mut at_once, mut bytes, mut found) = (limits.rows_at_first, 0, Vec::new());
    loop {
        let wanted = at_once.min(limit - found.len());
        let rows = reads.scan(table, &from[..]..range.end, wanted)?;
        let next = rows.last().filter(|_| rows.len() == wanted).map(|(key, _)| right_behind(key));
        bytes += bytes_of(&rows);
        found.extend(rows);
        match next {
            Some(next) if found.len() < limit && bytes < limits.portion_bytes => from = next,
            next => return Ok((found, next)),
        }
        at_once *= 2;
    }
}

/// How much was read.
pub(crate) fn bytes_of(rows: &[KeyValue]) -> usize {
    rows.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// The first key after another: that one and a zero byte.
fn right_behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
