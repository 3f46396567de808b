//! The store: everything durable, behind one trait.
//!
//! Nothing durable changes except by a [`Unit`]: expectations, then rows and entries, all or nothing. Units of
//! many jobs share one transaction; a refused unit never hurts its neighbours. `commit` returns after the
//! transaction was fsynced, and not before.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use tokio::sync::mpsc;
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, HostId, JobId, TriggerId};
use windlass_core::instance::InstanceName;
use windlass_core::job::Job;

mod admit;
pub mod canonical;
pub mod check;

mod exported;
mod failure;
mod filter;
mod flows;
mod place;
mod postgres;
mod record;
mod redb;
mod unit;

pub use exported::{Exported, JobRank, KeyRank, Rank};
pub use failure::{CommitError, Conflict, StoreFailure};
pub use filter::{JobFilter, JobPage};
pub use place::{Opened, Place, PlaceError};
pub use postgres::{Company, DatabaseError, Ousted, PostgresSettings, PostgresStore};
pub use record::{HostRecord, HostState, ImportRecord, Record, RecordKey, RecordKind};
pub use redb::{OpenError, QUICK_REPAIR_FROM_BYTES, RedbSettings, RedbStore, Reserve, WalPlace};
pub use unit::{Birth, Change, Expected, JobChange, UniqueKey, Unit};

/// Where everything durable is. Two implementations: redb, and PostgreSQL.
#[async_trait]
pub trait Store: Send + Sync {
    /// Applies a unit or refuses it. A crash before it returns leaves all of the unit or nothing.
    async fn commit(&self, unit: Unit) -> Result<(), CommitError>;

    /// Each of these units as `commit` does it, for itself; what came of each, in their order.
    async fn commit_each(&self, units: Vec<Unit>) -> Vec<Result<(), CommitError>> {
        join_all(units.into_iter().map(|unit| self.commit(unit))).await
    }

    /// A job with its flow, status and every touched instance.
    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreFailure>;

    /// Jobs that match, newest first. Looks at a bounded number of rows: a page may be short and still name
    /// a next one.
    async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<JobPage, StoreFailure>;

    /// Ready jobs, highest priority first, then oldest first.
    async fn board(&self, limit: usize) -> Result<Vec<JobId>, StoreFailure>;

    /// Every claim there is.
    async fn claims(&self) -> Result<Vec<(HostId, JobId)>, StoreFailure>;

    /// Jobs that wait for events of this type, in the order of their ids, behind `after`.
    async fn awaiting(
        &self,
        event_type: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, StoreFailure>;

    /// Jobs that have something to tell another job, ended ones too, in the order of their ids, behind `after`.
    async fn untold(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, StoreFailure>;

    /// What wants to be looked at by `now`, oldest first.
    async fn due(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>, StoreFailure>;

    /// When the next thing is due.
    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreFailure>;

    /// Entries of one job with a sequence number above `after`, in order.
    async fn entries(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFailure>;

    /// Entries of all jobs behind an opaque cursor, or from the oldest on; in order for each job. Less than
    /// `limit` of them where there are no more.
    async fn tail(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure>;

    /// The cursor behind everything that is committed.
    async fn tail_end(&self) -> Result<Cursor, StoreFailure>;

    async fn record(&self, key: RecordKey) -> Result<Option<Record>, StoreFailure>;

    /// Records of one kind, in the order of their keys.
    async fn records(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreFailure>;

    /// What holds a unique key.
    async fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure>;

    /// A checkpoint of a task instance.
    async fn note(
        &self,
        job: JobId,
        task: &InstanceName,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreFailure>;

    /// Jobs (not ended, or ended and revertable), operations and revisions of flows that need a plugin's bytes, up to
    /// `limit`.
    async fn references(&self, plugin: Digest, limit: usize) -> Result<Vec<Reference>, StoreFailure>;

    /// Writes a blob in chunks over many transactions. Durable when it returns; harmless when repeated.
    async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), StoreFailure>;

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure>;

    /// Only for blobs that nothing refers to.
    async fn remove_blob(&self, digest: Digest) -> Result<(), StoreFailure>;

    /// Sends everything that is stored, as of one moment, in the order of [`Rank`], while commits go on. What
    /// cannot be read is sent as [`Exported::Broken`], and the rest goes on. A slow receiver makes it wait, and
    /// keeps the snapshot open; one that is dropped ends it, well.
    async fn export(&self, items: mpsc::Sender<Exported>) -> Result<(), StoreFailure>;
}

/// Something that wants to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub at: DateTime<Utc>,
    pub subject: Subject,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Job(JobId),
    Trigger(TriggerId),
}

/// A place in the logbook of all jobs. Opaque to clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The transaction.
    pub batch: u64,
    /// Entries of it that were seen.
    pub seen: u32,
}

/// Something that needs a plugin's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Job(JobId),
    Operation(windlass_core::id::OperationId),
    FlowRevision(windlass_core::revision::RevisionName),
}
