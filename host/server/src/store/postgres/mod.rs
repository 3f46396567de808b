//! The store on PostgreSQL, and on what speaks its protocol.
//!
//! One task writes (see `writer`): commits queue for it and share its transactions. Reads are single statements on
//! connections of their own. Invariants: one process has the database, and every transaction of another is refused;
//! what was acknowledged is committed; a read sees what was acknowledged before it began.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use uuid::Uuid;
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, HostId, JobId};
use windlass_core::instance::InstanceName;
use windlass_core::job::Job;

use self::connection::{Connector, Readers};
use self::session::Session;
use self::settings::QUEUE_MAX;
use self::writer::{Work, Writer, WriterState};
use crate::store::check::Finding;
use crate::store::flows::Flows;
use crate::store::{
    CommitError, Cursor, Due, Exported, JobFilter, JobPage, Record, RecordKey, RecordKind, Reference, Store,
    StoreFailure, UniqueKey, Unit,
};

mod address;
mod batch;
mod blob;
mod check;
mod columns;
mod connection;
mod export;
mod failure;
mod job;
mod load;
mod logbook;
mod open;
mod page;
mod record;
mod row;
mod session;
mod settings;
mod statement;
mod tls;
mod write;
mod writer;

pub use open::DatabaseError;
pub use session::Ousted;
pub use settings::PostgresSettings;

/// The store on PostgreSQL. Dropping it finishes what was asked for and leaves the database.
pub struct PostgresStore {
    readers: Readers,
    flows: Flows,
    /// None once it is closed.
    works: RwLock<Option<mpsc::Sender<Work>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    ousted: watch::Receiver<Option<Ousted>>,
    /// Where a reader keeps hosts away: the session that has the lock.
    lock: Mutex<Option<Client>>,
}

/// Whether a host may have the database while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    Welcome,
    /// What is read must stay as it is.
    Refused,
}

impl PostgresStore {
    /// Opens the store in the first schema of the connection, or makes it there. The database is this process's from
    /// then on. Must be called within a runtime, which the store needs as long as it is open.
    ///
    /// Boxed: an async function is compiled by whoever awaits it, and with this one the whole store, in every program.
    pub fn open(settings: PostgresSettings) -> BoxFuture<'static, Result<Self, DatabaseError>> {
        Box::pin(Self::begin(settings))
    }

    async fn begin(settings: PostgresSettings) -> Result<Self, DatabaseError> {
        let connector = Connector::new(&settings)?;
        let mut client = connector.connect().await?;
        connector.warn_of_settings(&client).await;
        open::prepare(&connector, &mut client).await?;
        let holder = Uuid::now_v7();
        open::take(&connector, &client, holder).await?;
        let session = Session::over(client).await.map_err(|error| DatabaseError::NotPrepared {
            place: connector.place.clone(),
            reason: failure::text(&error),
        })?;
        let readers = Readers::new(&connector, settings.readers)?;
        let (works, receiver) = mpsc::channel(QUEUE_MAX);
        let (told, ousted) = watch::channel(None);
        let state = WriterState::default();
        let writer = Writer {
            connector,
            holder,
            works: receiver,
            ousted: told,
            session: Some(Arc::new(session)),
            state,
        };
        let writer = tokio::spawn(writer.run());
        Ok(Self {
            readers,
            flows: Flows::default(),
            works: RwLock::new(Some(works)),
            writer: Mutex::new(Some(writer)),
            ousted,
            lock: Mutex::new(None),
        })
    }

    /// Opens a store that must be there, only to read it.
    pub async fn open_to_read(settings: PostgresSettings, company: Company) -> Result<Self, DatabaseError> {
        let connector = Connector::new(&settings)?;
        let client = connector.connect().await?;
        open::expect(&connector, &client).await?;
        let lock = match company {
            Company::Welcome => None,
            Company::Refused => {
                open::wait_for_lock(&connector, &client).await?;
                Some(client)
            }
        };
        let readers = Readers::new(&connector, settings.readers)?;
        let (_, ousted) = watch::channel(None);
        Ok(Self {
            readers,
            flows: Flows::default(),
            works: RwLock::new(None),
            writer: Mutex::new(None),
            ousted,
            lock: Mutex::new(lock),
        })
    }

    /// Tells of what only this store can see of its damage.
    pub async fn check(&self, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), StoreFailure> {
        check::rows(&self.readers, tell).await
    }

    /// Removes everything where an import says that it began and never ended: what is there is not whole. Does
    /// nothing where there is no such import.
    pub async fn remove_unfinished_import(&self) -> Result<(), StoreFailure> {
        let tables = [
            "entry",
            "task_instance",
            "note",
            "job_await",
            "job_status",
            "job",
            "flow_plugin",
            "flow",
            "unique_key",
            "blob_chunk",
            "blob",
            "record",
        ];
        let is_marked = "EXISTS (SELECT 1 FROM record WHERE kind = 'import')";
        let removals: String =
            tables.iter().map(|table| format!("DELETE FROM {table} WHERE {is_marked}; ")).collect();
        let client = self.readers.lend().await?;
        let removed = client.batch_execute(&format!("BEGIN; {removals} COMMIT")).await;
        if removed.is_err() {
            drop(deadpool_postgres::Object::take(client));
        }
        removed.map_err(|error| failure::failure(&error))
    }

    /// Finishes what was asked for and leaves the database, whoever else still holds the store: another process may
    /// open it then. Afterwards the store answers that it is closed.
    pub async fn close(&self) {
        drop(self.works.write().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the store's writer failed; what it was asked for last may be missing");
        }
        self.readers.close();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Returns when this process may not write any more, with the reason. Waits for ever where that never happens.
    pub async fn ousted(&self) -> Ousted {
        let mut ousted = self.ousted.clone();
        loop {
            if let Some(reason) = ousted.borrow_and_update().clone() {
                return reason;
            }
            if ousted.changed().await.is_err() {
                // The writer has ended, as the store was closed.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, unit: Unit) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        let closed = || StoreFailure::Down("it was closed, or opened only to be read".to_owned());
        let works = self.works.read().unwrap_or_else(PoisonError::into_inner).clone();
        works.ok_or_else(closed)?.send(Work { unit, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreFailure> {
        job::job(&self.readers, &self.flows, id).await
    }

    async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<JobPage, StoreFailure> {
        job::jobs(&self.readers, filter, after, limit).await
    }

    async fn board(&self, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        job::board(&self.readers, limit).await
    }

    async fn claims(&self) -> Result<Vec<(HostId, JobId)>, StoreFailure> {
        job::claims(&self.readers).await
    }

    async fn awaiting(
        &self,
        event_type: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, StoreFailure> {
        job::awaiting(&self.readers, event_type, after, limit).await
    }

    async fn untold(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        job::untold(&self.readers, after, limit).await
    }

    async fn due(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>, StoreFailure> {
        job::due(&self.readers, now, limit).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreFailure> {
        job::next_due(&self.readers).await
    }

    async fn entries(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFailure> {
        logbook::entries(&self.readers, job, after, limit).await
    }

    async fn tail(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure> {
        logbook::tail(&self.readers, cursor, limit).await
    }

    async fn tail_end(&self) -> Result<Cursor, StoreFailure> {
        logbook::tail_end(&self.readers).await
    }

    async fn record(&self, key: RecordKey) -> Result<Option<Record>, StoreFailure> {
        record::record(&self.readers, &key).await
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreFailure> {
        record::records(&self.readers, kind, after.as_ref(), limit).await
    }

    async fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
        record::holder(&self.readers, key).await
    }

    async fn note(
        &self,
        job: JobId,
        task: &InstanceName,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreFailure> {
        job::note(&self.readers, job, task, name).await
    }

    async fn references(&self, plugin: Digest, limit: usize) -> Result<Vec<Reference>, StoreFailure> {
        record::references(&self.readers, plugin, limit).await
    }

    async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), StoreFailure> {
        blob::put(&self.readers, digest, bytes).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure> {
        blob::read(&self.readers, digest).await
    }

    async fn remove_blob(&self, digest: Digest) -> Result<(), StoreFailure> {
        blob::remove(&self.readers, digest).await
    }

    async fn export(&self, items: mpsc::Sender<Exported>) -> Result<(), StoreFailure> {
        export::all(&self.readers, &items).await
    }
}
