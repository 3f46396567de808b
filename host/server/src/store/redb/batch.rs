//! A batch: the rows of one transaction before they are written, over a snapshot of what is stored.
//!
//! Invariant: a unit that is refused leaves no trace; the units after it see what those before it did. Rows are
//! kept by key, so that they are written in order.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;
use windlass_core::id::JobId;

use super::snapshot::Snapshot;
use super::table::Table;
use super::{codec, key, stored};
use crate::store::StoreFailure;

/// A row to be written, or none to be removed.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The rows of every table, in the order of their keys.
pub(super) type Tables = [Rows; Table::COUNT];

/// None of any table.
pub(super) fn no_rows() -> Tables {
    [const { BTreeMap::new() }; Table::COUNT]
}

/// Entries of one change, within the tail: job, first and last sequence number.
pub(super) type TailRange = (JobId, u64, u64);

/// Stands in the tail for a job that was purged, so that cursors within its transaction stay right.
pub(super) const PURGED: JobId = JobId(uuid::Uuid::nil());

pub(super) struct Batch {
    snapshot: Snapshot,
    /// The number of the transaction that these rows will be.
    pub number: u64,
    rows: Tables,
    pub tail: Vec<TailRange>,
    bytes: usize,
    undo: Undo,
    /// Generations of records that units expected, as they are stored: many jobs of a batch name the same plugin.
    generations: RefCell<HashMap<Vec<u8>, Option<u64>>>,
}

/// What the batch had under a key: nothing, a row to be removed, or a row to be written.
type Before = Option<Option<Vec<u8>>>;

/// What brings back the state before the current unit.
#[derive(Default)]
struct Undo {
    rows: Vec<(Table, Vec<u8>, Before)>,
    tail_len: usize,
    bytes: usize,
}

impl Batch {
    pub fn over(snapshot: Snapshot) -> Result<Self, StoreFailure> {
        let number = snapshot.batch()? + 1;
        Ok(Self {
            snapshot,
            number,
            rows: no_rows(),
            tail: Vec::new(),
            bytes: 0,
            undo: Undo::default(),
            generations: RefCell::default(),
        })
    }

    /// Bytes to be written so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(BTreeMap::is_empty)
    }

    /// A unit begins.
    pub fn mark(&mut self) {
        self.undo = Undo { rows: Vec::new(), tail_len: self.tail.len(), bytes: self.bytes };
    }

    /// The unit is refused.
    pub fn roll_back(&mut self) {
        let undo = std::mem::take(&mut self.undo);
        for (table, key, before) in undo.rows.into_iter().rev() {
            let rows = &mut self.rows[table as usize];
            match before {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
        self.tail.truncate(undo.tail_len);
        self.bytes = undo.bytes;
        self.mark();
    }

    fn set(&mut self, table: Table, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.bytes += key.len() + row.as_ref().map_or(0, Vec::len);
        let before = self.rows[table as usize].insert(key.clone(), row);
        self.undo.rows.push((table, key, before));
    }

    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.set(table, key, Some(value));
    }

    pub fn put_row<T: Serialize>(&mut self, table: Table, key: Vec<u8>, row: &T) -> Result<(), StoreFailure> {
        let value = codec::encode(row)?;
        self.put(table, key, value);
        Ok(())
    }

    pub fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.set(table, key, None);
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailure> {
        match self.rows[table as usize].get(key) {
            Some(row) => Ok(row.clone()),
            None => self.snapshot.get(table, key),
        }
    }

    pub fn row<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreFailure> {
        match self.rows[table as usize].get(key) {
            Some(row) => row.as_ref().map(|value| codec::decode(table, key, value)).transpose(),
            None => self.snapshot.row(table, key),
        }
    }

    /// The generation of a record, of which no more is decoded, and once for each batch.
    pub fn generation(&self, row: Vec<u8>) -> Result<Option<u64>, StoreFailure> {
        if let Some(fresh) = self.rows[Table::Record as usize].get(&row) {
            return fresh.as_ref().map(|bytes| stored::generation_of(&row, bytes)).transpose();
        }
        if let Some(known) = self.generations.borrow().get(&row) {
            return Ok(*known);
        }
        let stored = self.snapshot.get(Table::Record, &row)?;
        let generation = stored.map(|bytes| stored::generation_of(&row, &bytes)).transpose()?;
        self.generations.borrow_mut().insert(row, generation);
        Ok(generation)
    }

    /// Keys that begin with `prefix` and are below `end`, in order, stored ones and those of this batch; at
    /// most about `limit` of them.
    pub fn keys(
        &self,
        table: Table,
        prefix: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreFailure> {
        let after = key::after_prefix(prefix);
        let upper = end.or(after.as_deref()).map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(prefix), upper);
        let staged = &self.rows[table as usize];
        let mut keys = Vec::new();
        self.snapshot.scan(table, range, |key, _| {
            if !staged.contains_key(key) {
                keys.push(key.to_vec());
            }
            Ok(keys.len() < limit)
        })?;
        let fresh = staged.range::<[u8], _>(range).filter(|(_, row)| row.is_some());
        keys.extend(fresh.map(|(key, _)| key.clone()));
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }

    /// What is to be written. What the tail says of jobs that this very batch
    /// purged is left out.
    pub fn into_rows(mut self) -> Result<Tables, StoreFailure> {
        let entries = &self.rows[Table::Entry as usize];
        self.tail.retain(|(job, from, _)| matches!(entries.get(&key::entries(*job, *from)), Some(Some(_))));
        if !self.tail.is_empty() {
            let value = codec::encode(&self.tail)?;
            self.rows[Table::Tail as usize].insert(key::tail(self.number), Some(value));
        }
        let number = self.number.to_be_bytes().to_vec();
        self.rows[Table::Meta as usize].insert(key::META_BATCH.to_vec(), Some(number));
        Ok(self.rows)
    }
}
