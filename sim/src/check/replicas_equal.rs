//! When nothing moves any more, all replicas of a shard hold the same rows.

use std::collections::BTreeMap;

use gritmesh_runtime::Instant;

use super::Found;
use crate::history::{History, ReplicaRows, Rows};

const CODE: &str = "replicas_equal";

pub(crate) fn check(history: &History, found: Found<'_>) {
    let Some(remains) = &history.remains else { return };
    let mut shards: BTreeMap<u32, Vec<&ReplicaRows>> = BTreeMap::new();
    for replica in &remains.replicas {
        shards.entry(replica.shard).or_default().push(replica);
    }
    for replicas in shards.values() {
        for other in &replicas[1..] {
            compare(remains.at, replicas[0], other, found);
        }
    }
}

/// Names the first row of each table in which two replicas differ.
fn compare(at: Instant, one: &ReplicaRows, other: &ReplicaRows, found: Found<'_>) {
    let none = Rows::new();
    for table in
        one.tables.keys().chain(other.tables.keys()).copied().collect::<std::collections::BTreeSet<_>>()
    {
        let here = one.tables.get(&table).unwrap_or(&none);
        let there = other.tables.get(&table).unwrap_or(&none);
        let differs = |key: &&Vec<u8>| here.get(*key) != there.get(*key);
        let keys = here.keys().chain(there.keys());
        let Some(key) = keys.filter(differs).min() else { continue };
        let show = |rows: &Rows| rows.get(key).map_or_else(|| "nothing".to_owned(), |value| text(value));
        let (shard, table) = (one.shard, table.as_str());
        let detail = format!(
            "shard {shard}, table {table}, key {}: {} holds {}, {} holds {}",
            text(key),
            one.node,
            show(here),
            other.node,
            show(there)
        );
        found(CODE, at, detail);
    }
}

/// Bytes as a person reads them.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use gritmesh_runtime::Table;

    use super::super::testing::Story;
    use super::*;
    use crate::world::NodeIndex;

    fn replica(story: &mut Story, shard: u32, node: u16, table: Table, rows: &[(&str, &str)]) {
        story.left("v0");
        let rows =
            rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        let replica = ReplicaRows { shard, node: NodeIndex(node), tables: [(table, rows)].into() };
        story.history.remains.as_mut().unwrap().replicas.push(replica);
    }

    #[test]
    fn equal_rows_are_clean_and_shards_are_apart() {
        let mut story = Story::new();
        for node in 0..3 {
            replica(&mut story, 0, node, Table::Head, &[("a", "1"), ("b", "2")]);
        }
        replica(&mut story, 1, 3, Table::Head, &[("c", "3")]);
        replica(&mut story, 1, 4, Table::Head, &[("c", "3")]);
        story.is_clean(check);
    }

    #[test]
    fn another_value_and_a_missing_row_are_found() {
        let mut story = Story::new();
        replica(&mut story, 0, 0, Table::Head, &[("a", "1"), ("b", "2")]);
        replica(&mut story, 0, 1, Table::Head, &[("a", "1"), ("b", "3")]);
        replica(&mut story, 0, 2, Table::Head, &[("a", "1")]);
        story.is_broken(check, "table head, key b: n0 holds 2, n1 holds 3");
        story.is_broken(check, "table head, key b: n0 holds 2, n2 holds nothing");
    }

    #[test]
    fn a_row_in_a_table_that_the_other_has_not_is_found() {
        let mut story = Story::new();
        replica(&mut story, 0, 0, Table::Head, &[]);
        replica(&mut story, 0, 1, Table::Outbox, &[("a", "1")]);
        story.is_broken(check, "table outbox, key a: n0 holds nothing, n1 holds 1");
    }
}
