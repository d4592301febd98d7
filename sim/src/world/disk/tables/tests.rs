use super::*;

fn put(key: &[u8], value: u8) -> Change {
    Change::put(Table::Log, key, vec![value])
}

fn all(tables: &Tables) -> Vec<KeyValue> {
    tables.now().scan(Table::Log, &[]..&[0xff], usize::MAX).unwrap()
}

#[test]
fn a_crash_takes_back_the_last_batches_whole() {
    let mut tables = Tables::default();
    tables.write(vec![put(b"a", 1), put(b"b", 1)], &[]);
    tables.sync();
    let batches = [
        vec![put(b"a", 2), put(b"c", 2), put(b"a", 3)],
        vec![Change::DeleteRange { table: Table::Log, from: b"a".to_vec(), to: b"c".to_vec() }, put(b"b", 4)],
        vec![Change::delete(Table::Log, *b"c"), Change::delete(Table::Log, *b"never there")],
    ];
    let mut states = vec![all(&tables)];
    for batch in &batches {
        tables.write(batch.clone(), &[]);
        states.push(all(&tables));
    }
    for kept in (0..=3).rev() {
        let mut crashed = Tables { now: Arc::clone(&tables.now), unsynced: tables.unsynced.clone() };
        crashed.crash(kept);
        assert_eq!(all(&crashed), states[kept], "{kept} of 3 batches survive");
        crashed.crash(0);
        assert_eq!(all(&crashed), states[kept], "what survived a crash survives the next");
    }
}

#[test]
fn what_nobody_ever_syncs_is_written_back_in_the_end() {
    let mut tables = Tables::default();
    let count = UNSYNCED_MAX as u64 + 10;
    (0..count).for_each(|number| tables.write(vec![put(&number.to_be_bytes(), 0)], &[]));
    assert_eq!(tables.unsynced(), UNSYNCED_MAX);
    tables.crash(0);
    assert_eq!(all(&tables).len(), 10);
}

#[test]
fn a_flipped_bit_shows_in_an_object_and_is_told_of_any_other_record() {
    let mut tables = Tables::default();
    let changes = vec![
        Change::put(Table::Object, *b"o", vec![0, 0, 0]),
        Change::put(Table::Object, *b"p", vec![0]),
        put(b"l", 0),
        put(b"m", 0),
    ];
    tables.write(changes, &[Flip { change: 0, bit: 17 }, Flip { change: 2, bit: 1 }]);
    let records = tables.now();
    assert_eq!(records.get(Table::Object, b"o"), Ok(Some(vec![0, 0, 2])));
    assert_eq!(records.get(Table::Object, b"p"), Ok(Some(vec![0])));
    let damaged = Damaged { table: Table::Log, key: b"l".to_vec() };
    assert_eq!(records.get(Table::Log, b"l"), Err(damaged));
    assert!(records.scan(Table::Log, &[]..b"z", 10).is_err());
    assert_eq!(records.scan(Table::Log, b"m"..b"z", 10), Ok(vec![(b"m".to_vec(), vec![0])]));
    tables.write(vec![put(b"l", 7)], &[]);
    assert_eq!(tables.now().get(Table::Log, b"l"), Ok(Some(vec![7])), "writing it again mends it");
}

#[test]
fn a_snapshot_stands_still() {
    let mut tables = Tables::default();
    tables.write(vec![put(b"a", 1)], &[]);
    let snapshot = Arc::clone(tables.now());
    tables.write(vec![put(b"a", 2)], &[]);
    assert_eq!(snapshot.get(Table::Log, b"a"), Ok(Some(vec![1])));
    assert_eq!(tables.now().get(Table::Log, b"a"), Ok(Some(vec![2])));
}
