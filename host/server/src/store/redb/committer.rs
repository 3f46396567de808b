//! The committer: brings transactions to the disk, by way of the log where that is possible.
//!
//! Invariant: what it has committed is on the disk. Where the log fails, the transaction is written to the database's file,
//! which needs no log then: what a failed write left in it is not believed.

use std::sync::Arc;
use std::time::Instant;

use super::batch::{Batch, Tables};
use super::handle::Handle;
use super::key;
use super::open::{Kept, write};
use super::settings::WAL_PAUSE;
use super::table::Table;
use super::wal::Wal;
use crate::store::StoreFailure;

/// See the module.
pub(super) struct Committer {
    handle: Arc<Handle>,
    /// The log that the database names.
    wal: Option<Wal>,
    /// When a log could not be written.
    failed: Option<Instant>,
}

impl Committer {
    pub fn new(handle: Arc<Handle>) -> Self {
        Self { handle, wal: None, failed: None }
    }

    /// Durable when it returns. `may_log`: where the disk is full, the database's file is the better place.
    pub fn commit(&mut self, batch: Batch, may_log: bool) -> Result<(), StoreFailure> {
        if batch.is_empty() {
            return Ok(());
        }
        let number = batch.number;
        let tables = batch.into_rows()?;
        if may_log && self.is_logged(number, &tables) {
            return self.handle.with(|database, _| write(database, tables, Kept::InLog));
        }
        if !may_log {
            self.wal = None;
        } else if self.wal.is_none() {
            self.wal = self.make_log();
        }
        self.checkpoint(tables)
    }

    /// The database was reopened, or is to be: it has all that was in the log, and names none.
    pub fn forget_log(&mut self) {
        self.wal = None;
    }

    /// Leaves nothing in the log, so that the database's file is whole without it.
    pub fn settle(&mut self) {
        if self.wal.take().is_none() {
            return;
        }
        match self.checkpoint([const { std::collections::BTreeMap::new() }; Table::COUNT]) {
            Ok(()) => self.remove_log(),
            Err(failure) => {
                tracing::warn!(%failure, "the write-ahead log is kept; the next start takes it in")
            }
        }
    }

    fn is_logged(&mut self, number: u64, tables: &Tables) -> bool {
        let Some(wal) = &mut self.wal else { return false };
        wal.append(number, tables).unwrap_or_else(|error| {
            tracing::warn!(%error, "the write-ahead log failed: for a while the store does without");
            self.wal = None;
            self.failed = Some(Instant::now());
            false
        })
    }

    /// Writes all that is in the log to the database's file, with these rows.
    fn checkpoint(&mut self, mut tables: Tables) -> Result<(), StoreFailure> {
        let named = self.wal.as_ref().map(|wal| wal.id.to_bytes());
        tables[Table::Meta as usize].insert(key::META_WAL.to_vec(), named);
        self.handle.with(|database, seen| {
            let quick_repair = self.handle.opener.is_quick(seen);
            write(database, tables, Kept::InFile { quick_repair })
        })?;
        if let Some(wal) = &mut self.wal {
            wal.restart();
        }
        Ok(())
    }

    fn make_log(&mut self) -> Option<Wal> {
        let settings = self.handle.opener.wal.as_ref()?;
        if self.failed.is_some_and(|failed| failed.elapsed() < WAL_PAUSE) {
            return None;
        }
        match Wal::make(settings.place.as_ref(), settings.len_max) {
            Ok(wal) => {
                self.failed = None;
                Some(wal)
            }
            Err(error) => {
                tracing::warn!(%error, "no write-ahead log can be made: for a while the store does without");
                self.failed = Some(Instant::now());
                None
            }
        }
    }

    fn remove_log(&self) {
        if let Some(settings) = &self.handle.opener.wal
            && let Err(error) = settings.place.remove()
        {
            tracing::warn!(%error, log = settings.place.name(), "an empty write-ahead log was not removed");
        }
    }
}
