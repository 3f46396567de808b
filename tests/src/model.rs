//! A store that is obviously right: plain maps behind one lock, written from what the `Store` trait promises.
//!
//! Traces compare every other store with it. It keeps no index: whatever is asked is worked out anew from the jobs,
//! the records and the logbook. Invariant: a unit is made on a copy, which replaces the state where all of it was
//! taken in; so a refused unit cannot leave anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, HostId, JobId};
use windlass_core::instance::InstanceName;
use windlass_core::job::Job;
use windlass_host::store::{
    CommitError, Cursor, Due, Exported, JobFilter, JobPage, Record, RecordKey, RecordKind, Reference, Store,
    StoreFailure, UniqueKey, Unit,
};

mod change;
mod export;
mod reading;
mod state;

pub use state::State;

/// See the module.
#[derive(Debug, Default)]
pub struct Model {
    state: Mutex<State>,
}

impl Model {
    /// A store that holds this.
    pub fn of(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Model {
    async fn commit(&self, unit: Unit) -> Result<(), CommitError> {
        let mut state = self.state();
        *state = state.after(&unit)?;
        Ok(())
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreFailure> {
        Ok(self.state().jobs.get(&id).map(|job| Job::clone(job)))
    }

    async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<JobPage, StoreFailure> {
        Ok(self.state().page(filter, after, limit))
    }

    async fn board(&self, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        Ok(self.state().board(limit))
    }

    async fn claims(&self) -> Result<Vec<(HostId, JobId)>, StoreFailure> {
        Ok(self.state().claims())
    }

    async fn awaiting(
        &self,
        event_type: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, StoreFailure> {
        Ok(self.state().awaiting(event_type, after, limit))
    }

    async fn untold(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        Ok(self.state().untold(after, limit))
    }

    async fn due(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>, StoreFailure> {
        let mut due = self.state().due();
        due.retain(|due| due.at <= now);
        due.truncate(limit);
        Ok(due)
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreFailure> {
        Ok(self.state().due().first().map(|due| due.at))
    }

    async fn entries(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFailure> {
        Ok(self.state().entries(job, after, limit))
    }

    async fn tail(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure> {
        Ok(self.state().tail(cursor.unwrap_or_default(), limit))
    }

    async fn tail_end(&self) -> Result<Cursor, StoreFailure> {
        Ok(self.state().tail_end())
    }

    async fn record(&self, key: RecordKey) -> Result<Option<Record>, StoreFailure> {
        Ok(self.state().records.get(&key).cloned())
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreFailure> {
        Ok(self.state().records_of(kind, after, limit))
    }

    async fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
        Ok(self.state().keys.get(key).map(|held| held.by))
    }

    async fn note(
        &self,
        job: JobId,
        task: &InstanceName,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreFailure> {
        Ok(self.state().notes.get(&(job, task.clone(), name.to_owned())).cloned())
    }

    async fn references(&self, plugin: Digest, limit: usize) -> Result<Vec<Reference>, StoreFailure> {
        Ok(self.state().references(plugin, limit))
    }

    async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), StoreFailure> {
        if Digest::of(&bytes) != digest {
            return Err(StoreFailure::Corrupt(format!("the bytes to be stored are not blob {digest}")));
        }
        self.state().blobs.insert(digest, Arc::new(bytes));
        Ok(())
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure> {
        Ok(self.state().blobs.get(&digest).map(|bytes| bytes.to_vec()))
    }

    async fn remove_blob(&self, digest: Digest) -> Result<(), StoreFailure> {
        self.state().blobs.remove(&digest);
        Ok(())
    }

    async fn export(&self, items: mpsc::Sender<Exported>) -> Result<(), StoreFailure> {
        let exported = self.state().exported();
        for item in exported {
            if items.send(item).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}
