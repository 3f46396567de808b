//! The handle: the database as readers and its owner share it.
//!
//! Readers hold it for one short blocking call. Only the owner takes the database out, to reopen it after an
//! error; readers wait while it tries for the first time, and are told that the store is down after that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use redb::Database;

use super::open::{Closed, Opener};
use super::snapshot::Snapshot;
use super::trouble::{Seen, Trouble};
use crate::store::StoreFailure;

pub(super) struct Handle {
    pub opener: Opener,
    slot: RwLock<Slot>,
    /// How often the database was reopened.
    reopened: AtomicU64,
}

enum Slot {
    Open { database: Database, seen: Arc<Seen> },
    Closed(StoreFailure),
}

/// What a read that failed on the storage tells the owner: which opening of the database it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening(u64);

impl Handle {
    pub fn new(opener: Opener, database: Database, seen: Arc<Seen>) -> Self {
        Self { opener, slot: RwLock::new(Slot::Open { database, seen }), reopened: AtomicU64::new(0) }
    }

    pub fn opening(&self) -> Opening {
        Opening(self.reopened.load(Ordering::Acquire))
    }

    fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls with the open database.
    pub fn with<T>(
        &self,
        call: impl FnOnce(&Database, &Seen) -> Result<T, StoreFailure>,
    ) -> Result<T, StoreFailure> {
        match &*self.slot() {
            Slot::Open { database, seen } => call(database, seen),
            Slot::Closed(failure) => Err(failure.clone()),
        }
    }

    /// A snapshot that may outlive this opening of the database: its reads fail when that is closed.
    pub fn snapshot(&self) -> Result<Snapshot, StoreFailure> {
        self.with(|database, _| Snapshot::of(database))
    }

    /// Reads what was committed before this call.
    pub fn read<T>(
        &self,
        call: impl FnOnce(&Snapshot) -> Result<T, StoreFailure>,
    ) -> Result<T, StoreFailure> {
        self.with(|database, _| call(&Snapshot::of(database)?))
    }

    /// Likewise, and whether the storage has failed; none where the database is just being reopened, which takes a while.
    pub fn try_read<T>(
        &self,
        call: impl FnOnce(&Snapshot) -> Result<T, StoreFailure>,
    ) -> Option<(Result<T, StoreFailure>, bool)> {
        let slot = match self.slot.try_read() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(match &*slot {
            Slot::Open { database, seen } => {
                let result = Snapshot::of(database).and_then(|snapshot| call(&snapshot));
                let is_failing = result.is_err() && seen.trouble().is_some();
                (result, is_failing)
            }
            Slot::Closed(failure) => (Err(failure.clone()), false),
        })
    }

    /// What failed first since the database was opened.
    pub fn trouble(&self) -> Option<Trouble> {
        match &*self.slot() {
            Slot::Open { seen, .. } => seen.trouble(),
            Slot::Closed(_) => None,
        }
    }

    /// Drops the database and opens it again, which verifies or repairs it; readers wait meanwhile.
    pub fn reopen(&self) -> Result<(), StoreFailure> {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        let closed = Slot::Closed(StoreFailure::Down("it is being reopened".to_owned()));
        if let Slot::Open { database, seen } = std::mem::replace(&mut *slot, closed) {
            // It holds the file, and may still write what it only has in memory.
            drop(database);
            self.opener.heed(&seen);
        }
        let opened = self.open();
        match opened {
            Ok(open) => {
                *slot = open;
                self.reopened.fetch_add(1, Ordering::AcqRel);
                Ok(())
            }
            Err(failure) => {
                *slot = Slot::Closed(failure.clone());
                Err(failure)
            }
        }
    }

    fn open(&self) -> Result<Slot, StoreFailure> {
        match self.opener.open() {
            Ok((database, seen)) => Ok(Slot::Open { database, seen }),
            Err(Closed::Failed(failure)) => Err(failure),
            Err(closed) => Err(StoreFailure::Down(self.opener.explain(closed).to_string())),
        }
    }

    /// Closes the database for good, so that the next start has nothing to repair.
    pub fn close(&self) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        let closed = Slot::Closed(StoreFailure::Down("it was closed".to_owned()));
        if let Slot::Open { database, .. } = std::mem::replace(&mut *slot, closed)
            && let Err(error) = database.close()
        {
            tracing::warn!(%error, "the store was not closed cleanly; the next start repairs it");
        }
        self.opener.unlock();
    }
}
