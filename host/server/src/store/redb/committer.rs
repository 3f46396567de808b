//! The committer: brings transactions to the disk, by way of the log where that is possible.
//!
//! Invariants:
//! - What it has committed is on the disk. Where the log fails, the transaction is written to the database's file, which
//!   needs no log then: what a failed write left in it is not believed.
//! - Only what the database has taken is in the log: rows that it refuses would be refused again at every start.
//! - A log is made only where the database names none.

use std::sync::Arc;
use std::time::Instant;

use redb::WriteTransaction;

use super::batch::{Batch, no_rows};
use super::handle::Handle;
use super::open::{Kept, begin, commit, name_log};
use super::settings::WAL_PAUSE;
use super::trouble::Seen;
use super::wal::Wal;
use crate::store::StoreFailure;

/// See the module.
pub(super) struct Committer {
    handle: Arc<Handle>,
    /// The log that is written.
    wal: Option<Wal>,
    /// The database's file names a log.
    is_named: bool,
    /// When a log could not be written.
    failed: Option<Instant>,
}

impl Committer {
    pub fn new(handle: Arc<Handle>) -> Self {
        Self { handle, wal: None, is_named: false, failed: None }
    }

    /// Durable when it returns. `may_log`: where the disk is full, the database's file is the better place.
    pub fn commit(&mut self, batch: Batch, may_log: bool) -> Result<(), StoreFailure> {
        if batch.is_empty() {
            return Ok(());
        }
        let (number, bytes) = (batch.number, batch.bytes());
        let tables = batch.into_rows()?;
        let fits = may_log && self.wal.as_mut().is_some_and(|wal| wal.stage(number, &tables, bytes));
        let handle = Arc::clone(&self.handle);
        handle.with(|database, seen| {
            let transaction = begin(database, tables)?;
            if fits && self.is_logged() {
                return commit(transaction, Kept::InLog);
            }
            if !may_log {
                self.wal = None;
            } else if self.wal.is_none() && !self.is_named {
                self.wal = self.make_log();
            }
            self.checkpoint(transaction, seen)
        })
    }

    /// The database is reopened, which takes in what is in the log, and names none then.
    pub fn forget_log(&mut self) {
        self.wal = None;
        self.is_named = false;
    }

    /// Leaves nothing in the log, so that the database's file is whole without it.
    pub fn settle(&mut self) -> Result<(), StoreFailure> {
        self.wal = None;
        if !self.is_named {
            return Ok(());
        }
        let handle = Arc::clone(&self.handle);
        handle.with(|database, seen| self.checkpoint(begin(database, no_rows())?, seen))
    }

    /// Writes what is staged to the log.
    fn is_logged(&mut self) -> bool {
        let Some(wal) = &mut self.wal else { return false };
        match wal.append() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log failed: for a while the store does without");
                self.wal = None;
                self.failed = Some(Instant::now());
                false
            }
        }
    }

    /// Writes all that is in the log to the database's file, with this transaction. A log that is not written any more is
    /// needed no longer then, and on a full disk its room is.
    fn checkpoint(&mut self, transaction: WriteTransaction, seen: &Seen) -> Result<(), StoreFailure> {
        name_log(&transaction, self.wal.as_ref().map(|wal| wal.id))?;
        commit(transaction, Kept::InFile { quick_repair: self.handle.opener.is_quick(seen) })?;
        let was_named = std::mem::replace(&mut self.is_named, self.wal.is_some());
        match &mut self.wal {
            Some(wal) => wal.restart(),
            None if was_named => self.handle.opener.remove_log(),
            None => {}
        }
        Ok(())
    }

    fn make_log(&mut self) -> Option<Wal> {
        let settings = self.handle.opener.wal.as_ref().filter(|settings| settings.len_max > 0)?;
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
}
