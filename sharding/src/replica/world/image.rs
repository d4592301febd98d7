//! What the disk of a simulated node holds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use gritmesh_runtime::{Change, DiskError, KeyValue, Reads, Table};

/// Tables in memory.
#[derive(Clone, Debug, Default)]
pub(in crate::replica) struct Image(BTreeMap<(Table, Vec<u8>), Arc<[u8]>>);

impl Image {
    pub(in crate::replica) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put { table, key, value } => {
                    self.0.insert((*table, key.clone()), value.clone());
                }
                Change::Delete { table, key } => {
                    self.0.remove(&(*table, key.clone()));
                }
                Change::DeleteRange { table, from, to } => {
                    let range = (*table, from.clone())..(*table, to.clone());
                    let keys: Vec<_> = self.0.range(range).map(|(key, _)| key.clone()).collect();
                    keys.iter().for_each(|key| drop(self.0.remove(key)));
                }
            }
        }
    }

    /// Flips a bit of the record at a place in the order of keys.
    pub(in crate::replica) fn damage(&mut self, place: usize, bit: usize) {
        let records = self.0.len();
        let value = self.0.values_mut().nth(place % records).expect("the place is in the image");
        let mut bytes = value.to_vec();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        *value = bytes.into();
    }
}

impl Image {
    /// Flips a bit of one of the fields of a replica, by its place among them. Its tombstone is none of it.
    pub(in crate::replica) fn damage_field(&mut self, place: usize) {
        let keys = (0..).zip(self.0.keys());
        let fields: Vec<usize> = keys
            .filter(|(_, key)| key.0 == Table::Group && key.1.last() != Some(&6))
            .map(|(at, _)| at)
            .collect();
        if let Some(at) = fields.get(place % fields.len().max(1)) {
            self.damage(*at, 77);
        }
    }
}

impl Reads for Image {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.0.get(&(table, key.to_vec())).map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        let range = (table, range.start.to_vec())..(table, range.end.to_vec());
        Ok(self.0.range(range).take(limit).map(|((_, key), value)| (key.clone(), value.to_vec())).collect())
    }
}
