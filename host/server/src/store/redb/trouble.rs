//! Trouble: what the storage below the database answered when it failed.
//!
//! redb answers every call after an I/O error with "previous error" until the file is reopened. The error before, which
//! says whether the disk is full or broken, is kept here.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{BackendError, StorageBackend, StorageError};

use crate::store::StoreFailure;

/// The last failure since the database was opened: after one that it heeds, redb asks the storage for nothing more.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub failure: StoreFailure,
    /// A sync failed, first or later: what the system's cache shows may not be on the disk.
    pub sync_failed: bool,
}

/// Passes everything on to the storage, and keeps the last failure.
#[derive(Debug)]
pub(super) struct Watched {
    storage: Arc<dyn StorageBackend>,
    seen: Arc<Seen>,
}

/// What was seen of the storage.
#[derive(Debug, Default)]
pub(super) struct Seen {
    trouble: Mutex<Option<Trouble>>,
    len_bytes: AtomicU64,
}

impl Seen {
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the system's cache shows may not be on the disk.
    pub fn has_failed_sync(&self) -> bool {
        self.trouble().is_some_and(|trouble| trouble.sync_failed)
    }

    pub fn len_bytes(&self) -> u64 {
        self.len_bytes.load(Ordering::Relaxed)
    }

    fn note<T>(&self, is_sync: bool, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            let sync_failed = is_sync || trouble.as_ref().is_some_and(|before| before.sync_failed);
            *trouble = Some(Trouble { failure: io_failure_of(error), sync_failed });
        }
        result
    }
}

impl Watched {
    pub fn new(storage: Arc<dyn StorageBackend>, seen: Arc<Seen>) -> Self {
        Self { storage, seen }
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        let len = self.seen.note(false, self.storage.len())?;
        self.seen.len_bytes.store(len, Ordering::Relaxed);
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.seen.note(false, self.storage.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.seen.note(false, self.storage.set_len(len))?;
        self.seen.len_bytes.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.seen.note(true, self.storage.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.seen.note(false, self.storage.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(super) fn io_failure_of(error: &io::Error) -> StoreFailure {
    match error.kind() {
        _ if is_full(error) => StoreFailure::Full,
        // Not a database, or a part of one.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StoreFailure::Corrupt(error.to_string()),
        _ => StoreFailure::Down(error.to_string()),
    }
}

pub(super) fn failure_of(error: StorageError) -> StoreFailure {
    match error {
        StorageError::Io(error) => io_failure_of(&error),
        StorageError::Corrupted(reason) => StoreFailure::Corrupt(reason),
        other => StoreFailure::Down(other.to_string()),
    }
}

pub(super) fn transaction_failure_of(error: redb::TransactionError) -> StoreFailure {
    match error {
        redb::TransactionError::Storage(error) => failure_of(error),
        other => StoreFailure::Down(other.to_string()),
    }
}

pub(super) fn table_failure_of(error: redb::TableError) -> StoreFailure {
    match error {
        redb::TableError::Storage(error) => failure_of(error),
        // The tables were made when the store was: one that is not as expected was changed by somebody else.
        other => StoreFailure::Corrupt(other.to_string()),
    }
}

pub(super) fn commit_failure_of(error: redb::CommitError) -> StoreFailure {
    match error {
        redb::CommitError::Storage(error) => failure_of(error),
        other => StoreFailure::Down(other.to_string()),
    }
}
