//! A portion of a table: so many rows that whoever reads them is not held up for long, however large they are.

use std::ops::Range;

use gritmesh_runtime::{DiskError, KeyValue, Reads, Table};

/// Rows that are read at first: they tell how large the next ones may be.
pub(crate) const ROWS_AT_FIRST: usize = 8;

/// Bytes after which a portion ends, however few rows it has: a disk brings them in a fraction of a millisecond.
pub(crate) const PORTION_BYTES: usize = 256 * 1024;

/// The first rows of a range, at most `limit`, and from which key on to go on, `None` at the end.
pub(crate) fn portion(
    reads: &dyn Reads,
    table: Table,
    range: Range<&[u8]>,
    limit: usize,
) -> Result<(Vec<KeyValue>, Option<Vec<u8>>), DiskError> {
    let mut from = range.start.to_vec();
    let (mut at_once, mut bytes, mut found) = (ROWS_AT_FIRST, 0, Vec::new());
    loop {
        let wanted = at_once.min(limit - found.len());
        let rows = reads.scan(table, &from[..]..range.end, wanted)?;
        let next = rows.last().filter(|_| rows.len() == wanted).map(|(key, _)| right_behind(key));
        bytes += bytes_of(&rows);
        found.extend(rows);
        match next {
            Some(next) if found.len() < limit && bytes < PORTION_BYTES => from = next,
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
