//! A snapshot: one short read transaction and the tables of it that were looked at.
//!
//! Made and dropped within one blocking call: none crosses an await, as a snapshot that lives on keeps the
//! database from reusing the pages that were freed since. Only an export may take long, and is bounded by its callers.

use std::cell::OnceCell;
use std::ops::Bound;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata as _};
use serde::de::DeserializeOwned;

use super::table::Table;
use super::trouble::{failure_of, table_failure_of, transaction_failure_of};
use super::{codec, key};
use crate::store::StoreFailure;

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Keys from `.0` to `.1`.
pub(super) type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

pub(super) struct Snapshot {
    transaction: redb::ReadTransaction,
    tables: [OnceCell<Rows>; Table::COUNT],
}

impl Snapshot {
    /// Sees every transaction that was committed before this call.
    pub fn of(database: &Database) -> Result<Self, StoreFailure> {
        let transaction = database.begin_read().map_err(transaction_failure_of)?;
        Ok(Self { transaction, tables: [const { OnceCell::new() }; Table::COUNT] })
    }

    fn rows(&self, table: Table) -> Result<&Rows, StoreFailure> {
        let cell = &self.tables[table as usize];
        if cell.get().is_none() {
            let rows = self.transaction.open_table(table.definition()).map_err(table_failure_of)?;
            return Ok(cell.get_or_init(|| rows));
        }
        cell.get().ok_or_else(|| StoreFailure::Down(format!("table {} did not open", table.name())))
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailure> {
        let value = self.rows(table)?.get(key).map_err(failure_of)?;
        Ok(value.map(|guard| guard.value().to_vec()))
    }

    pub fn row<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreFailure> {
        let value = self.rows(table)?.get(key).map_err(failure_of)?;
        value.map(|guard| codec::decode(table, key, guard.value())).transpose()
    }

    /// Visits rows in order until `visit` says false.
    pub fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreFailure>,
    ) -> Result<(), StoreFailure> {
        for row in self.rows(table)?.range::<&[u8]>(range).map_err(failure_of)? {
            let (key, value) = row.map_err(failure_of)?;
            if !visit(key.value(), value.value())? {
                break;
            }
        }
        Ok(())
    }

    /// As `scan`, the last row first.
    pub fn scan_back(
        &self,
        table: Table,
        range: KeyRange<'_>,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreFailure>,
    ) -> Result<(), StoreFailure> {
        for row in self.rows(table)?.range::<&[u8]>(range).map_err(failure_of)?.rev() {
            let (key, value) = row.map_err(failure_of)?;
            if !visit(key.value(), value.value())? {
                break;
            }
        }
        Ok(())
    }

    /// Visits the rows whose key begins with `prefix`.
    pub fn scan_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreFailure>,
    ) -> Result<(), StoreFailure> {
        let end = key::after_prefix(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.scan(table, (Bound::Included(prefix), upper), visit)
    }

    /// How many rows a table has.
    pub fn rows_in(&self, table: Table) -> Result<u64, StoreFailure> {
        self.rows(table)?.len().map_err(failure_of)
    }

    /// The number of the last transaction.
    pub fn batch(&self) -> Result<u64, StoreFailure> {
        let bytes = self.get(Table::Meta, key::META_BATCH)?;
        bytes.map_or(Ok(0), |bytes| number(Table::Meta, key::META_BATCH, &bytes))
    }
}

/// A row that is one number.
pub(super) fn number(table: Table, key: &[u8], bytes: &[u8]) -> Result<u64, StoreFailure> {
    let bytes = bytes.try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| codec::corrupt(table, key, format_args!("it is not a number")))
}
