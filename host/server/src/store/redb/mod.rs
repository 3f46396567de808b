//! The store on redb: an embedded, transactional file of one process.
//!
//! One thread writes (see `owner`): commits queue for it and share its transactions. Reads are short snapshots on
//! blocking threads. Invariants: one process has the file; what was acknowledged is on the disk; a read sees what
//! was acknowledged before it began.

use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tokio::sync::mpsc;
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, HostId, JobId};
use windlass_core::instance::InstanceName;
use windlass_core::job::Job;

use self::blob::BlobChange;
use self::committer::Committer;
use self::handle::{Handle, Opening};
use self::job::Found;
use self::open::{Opener, WalSettings};
use self::owner::{Command, Owner, Work, WorkChange};
use self::reserve::ReserveFile;
use self::settings::QUEUE_MAX;
use self::snapshot::Snapshot;
use crate::store::flows::Flows;
use crate::store::{
    CommitError, Cursor, Due, Exported, JobFilter, JobPage, Record, RecordKey, RecordKind, Reference, Store,
    StoreFailure, UniqueKey, Unit,
};

mod apply;
mod batch;
mod blob;
mod check;
mod codec;
mod committer;
mod export;
mod handle;
mod job;
mod key;
mod logbook;
mod open;
mod owner;
mod record;
pub(super) mod replace;
mod reserve;
mod settings;
mod snapshot;
mod stored;
mod table;
mod trouble;
mod wal;

pub(super) use check::check_file;
pub use open::OpenError;
pub use reserve::Reserve;
use settings::CACHE_BYTES;
pub use settings::QUICK_REPAIR_FROM_BYTES;
pub use settings::RedbSettings;
pub use wal::WalPlace;

/// The store on redb. Dropping it finishes what was asked for and closes the file.
pub struct RedbStore {
    handle: Arc<Handle>,
    flows: Arc<Flows>,
    /// None once it is closed.
    commands: RwLock<Option<mpsc::Sender<Command>>>,
    owner: Mutex<Option<JoinHandle<()>>>,
}

impl RedbStore {
    /// Opens the store, or creates it. After a crash the file is verified and repaired first.
    pub fn open(settings: RedbSettings) -> Result<Self, OpenError> {
        let reserve = ReserveFile::new(open::beside(&settings.path, "reserve"), settings.reserve_bytes);
        let RedbSettings { path, cache_bytes, quick_repair_from_bytes, wal_bytes_max, .. } = &settings;
        let opener = Opener::of_file(path, *cache_bytes, *quick_repair_from_bytes, *wal_bytes_max)?;
        Self::start(opener, Some(Box::new(reserve)))
    }

    /// A store that is gone with the process.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        let memory: Arc<dyn StorageBackend> = Arc::new(InMemoryBackend::new());
        Self::open_with_backend(move || Ok(Arc::clone(&memory)), QUICK_REPAIR_FROM_BYTES, None, None)
    }

    /// A store on any storage, such as one that fails. `make` is called each time the database is opened; `wal`: where its
    /// log is, and of how many bytes at most; `quick_repair_from_bytes`: as in [`RedbSettings`].
    pub fn open_with_backend(
        make: impl Fn() -> io::Result<Arc<dyn StorageBackend>> + Send + Sync + 'static,
        quick_repair_from_bytes: u64,
        wal: Option<(Box<dyn WalPlace>, u64)>,
        reserve: Option<Box<dyn Reserve>>,
    ) -> Result<Self, OpenError> {
        let path = PathBuf::from("(in memory)");
        let wal = wal.map(|(place, len_max)| WalSettings { place, len_max });
        let opener = Opener::new(path, Box::new(make), CACHE_BYTES, quick_repair_from_bytes, wal);
        Self::start(opener, reserve)
    }

    fn start(opener: Opener, reserve: Option<Box<dyn Reserve>>) -> Result<Self, OpenError> {
        let opened = opener.open_at_last(reserve.as_deref());
        let (database, seen) = opened.map_err(|closed| opener.explain(closed))?;
        // What is left of uploads stays until there is room to remove it.
        if let Err(failure) = open::sweep(&database) {
            tracing::warn!(%failure, "the remains of interrupted uploads were not removed");
        }
        let is_full = reserve.as_ref().and_then(|reserve| reserve.refill().err());
        if let Some(error) = &is_full {
            tracing::warn!(%error, "no room for the reserve: the store takes only what ends or removes things");
        }
        let path = opener.path.clone();
        let handle = Arc::new(Handle::new(opener, database, seen));
        let (commands, receiver) = mpsc::channel(QUEUE_MAX);
        let full = is_full.map(|_| std::time::Instant::now());
        let committer = Committer::new(Arc::clone(&handle));
        let owner = Owner {
            handle: Arc::clone(&handle),
            commands: receiver,
            taken: VecDeque::new(),
            reserve,
            full,
            last: None,
            committer,
        };
        let owner = thread::Builder::new().name("windlass-store".to_owned()).spawn(move || owner.run());
        let owner = owner.map_err(|error| OpenError::Unreadable { path, reason: error.to_string() })?;
        let (commands, owner) = (RwLock::new(Some(commands)), Mutex::new(Some(owner)));
        Ok(Self { handle, flows: Arc::default(), commands, owner })
    }

    async fn write(&self, change: WorkChange) -> Result<(), CommitError> {
        let (work, answered) = Work::of(change);
        let commands = self.commands().ok_or_else(stopped)?;
        commands.send(Command::Write(work)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    async fn write_blob(&self, change: BlobChange) -> Result<(), StoreFailure> {
        self.write(WorkChange::Blob(change)).await.map_err(|error| match error {
            CommitError::Storage(failure) => failure,
            other => StoreFailure::Down(other.to_string()),
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Snapshot) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        self.read_by(move |handle| handle.read(call)).await
    }

    async fn read_by<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Handle) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        let opening = self.handle.opening();
        let handle = Arc::clone(&self.handle);
        let read = tokio::task::spawn_blocking(move || {
            let result = call(&handle);
            let is_failing = result.is_err() && handle.trouble().is_some();
            (result, is_failing)
        });
        match read.await {
            Ok((result, is_failing)) => {
                self.heed(opening, is_failing);
                result
            }
            Err(error) if error.is_panic() => Err(contradiction()),
            Err(_) => Err(StoreFailure::Down("the program stops".to_owned())),
        }
    }

    /// Reads a few small rows on the thread that asks: giving them to another takes longer than most such reads do. Where
    /// the database is being reopened, which takes a while, another thread waits for it.
    async fn read_few<T: Send + 'static>(
        &self,
        call: impl Fn(&Snapshot) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        let opening = self.handle.opening();
        let read = panic::catch_unwind(AssertUnwindSafe(|| self.handle.try_read(&call)));
        match read {
            Ok(Some((result, is_failing))) => {
                self.heed(opening, is_failing);
                result
            }
            Ok(None) => self.read(call).await,
            Err(_) => Err(contradiction()),
        }
    }

    /// A read that failed on the storage has the database opened anew.
    fn heed(&self, opening: Opening, is_failing: bool) {
        if is_failing && let Some(commands) = self.commands() {
            // Where the queue is full, what is in it finds out by itself.
            drop(commands.try_send(Command::Reopen(opening)));
        }
    }
}

impl RedbStore {
    /// Finishes what was asked for and closes the file, whoever else still holds the store: another may open it
    /// then. Afterwards the store answers that it is closed.
    pub async fn close(&self) {
        let owner = self.stop();
        let joined = tokio::task::spawn_blocking(move || join(owner)).await;
        if let Err(error) = joined {
            tracing::error!(%error, "the store was not closed cleanly; the next start repairs it");
        }
    }

    fn commands(&self) -> Option<mpsc::Sender<Command>> {
        self.commands.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes no further command. The owner ends when it has done what was asked before.
    fn stop(&self) -> Option<JoinHandle<()>> {
        drop(self.commands.write().unwrap_or_else(PoisonError::into_inner).take());
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn stopped() -> StoreFailure {
    StoreFailure::Down("it was closed".to_owned())
}

/// What redb panics for.
fn contradiction() -> StoreFailure {
    StoreFailure::Corrupt("a page contradicts another".to_owned())
}

fn join(owner: Option<JoinHandle<()>>) {
    if owner.is_some_and(|owner| owner.join().is_err()) {
        tracing::error!("the store's thread panicked; the next start repairs the store");
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        join(self.stop());
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn commit(&self, unit: Unit) -> Result<(), CommitError> {
        self.write(WorkChange::Unit(unit)).await
    }

    async fn commit_each(&self, units: Vec<Unit>) -> Vec<Result<(), CommitError>> {
        let (works, answers): (Vec<_>, Vec<_>) =
            units.into_iter().map(|unit| Work::of(WorkChange::Unit(unit))).unzip();
        // Where nobody takes them they are dropped, and their answers say so.
        match self.commands() {
            Some(commands) => drop(commands.send(Command::WriteEach(works)).await),
            None => drop(works),
        }
        let mut results = Vec::with_capacity(answers.len());
        for answered in answers {
            results.push(answered.await.unwrap_or_else(|_| Err(stopped().into())));
        }
        results
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreFailure> {
        let flows = Arc::clone(&self.flows);
        if let Found::Job(job) = self.read_few(move |snapshot| job::small(snapshot, &flows, id)).await? {
            return Ok(job.map(|job| *job));
        }
        let flows = Arc::clone(&self.flows);
        self.read(move |snapshot| job::job(snapshot, &flows, id)).await
    }

    async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<JobPage, StoreFailure> {
        let filter = filter.clone();
        self.read(move |snapshot| job::jobs(snapshot, &filter, after, limit)).await
    }

    async fn board(&self, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        self.read_few(move |snapshot| job::board(snapshot, limit)).await
    }

    async fn claims(&self) -> Result<Vec<(HostId, JobId)>, StoreFailure> {
        self.read(job::claims).await
    }

    async fn awaiting(
        &self,
        event_type: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, StoreFailure> {
        let event_type = event_type.to_owned();
        self.read(move |snapshot| job::awaiting(snapshot, &event_type, after, limit)).await
    }

    async fn untold(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        self.read_few(move |snapshot| job::untold(snapshot, after, limit)).await
    }

    async fn due(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>, StoreFailure> {
        self.read_few(move |snapshot| job::due(snapshot, now, limit)).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreFailure> {
        self.read_few(job::next_due).await
    }

    async fn entries(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFailure> {
        self.read(move |snapshot| logbook::entries(snapshot, job, after, limit)).await
    }

    async fn tail(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure> {
        self.read(move |snapshot| logbook::tail(snapshot, cursor, limit)).await
    }

    async fn tail_end(&self) -> Result<Cursor, StoreFailure> {
        self.read(logbook::tail_end).await
    }

    async fn record(&self, key: RecordKey) -> Result<Option<Record>, StoreFailure> {
        self.read(move |snapshot| record::record(snapshot, &key)).await
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreFailure> {
        self.read(move |snapshot| record::records(snapshot, kind, after.as_ref(), limit)).await
    }

    async fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
        let key = key.clone();
        self.read_few(move |snapshot| record::holder(snapshot, &key)).await
    }

    async fn note(
        &self,
        job: JobId,
        task: &InstanceName,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreFailure> {
        let (task, name) = (task.clone(), name.to_owned());
        self.read(move |snapshot| job::note(snapshot, job, &task, &name)).await
    }

    async fn references(&self, plugin: Digest, limit: usize) -> Result<Vec<Reference>, StoreFailure> {
        self.read(move |snapshot| record::references(snapshot, plugin, limit)).await
    }

    async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), StoreFailure> {
        let bytes = Arc::new(bytes);
        let checked = Arc::clone(&bytes);
        let is_stored = self.read(move |snapshot| {
            if Digest::of(&checked) != digest {
                return Err(StoreFailure::Corrupt(format!("the bytes to be stored are not blob {digest}")));
            }
            blob::is_stored(snapshot, digest)
        });
        if is_stored.await? {
            return Ok(());
        }
        let (chunks, head) = blob::parts(&bytes)?;
        for (number, chunk) in chunks {
            // One after the other: other commits go between them.
            self.write_blob(BlobChange::Chunk { digest, number, bytes: chunk.to_vec() }).await?;
        }
        self.write_blob(BlobChange::Head { digest, head }).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.read(move |snapshot| blob::read(snapshot, digest)).await
    }

    async fn remove_blob(&self, digest: Digest) -> Result<(), StoreFailure> {
        while !self.read(move |snapshot| blob::is_gone(snapshot, digest)).await? {
            self.write_blob(BlobChange::Remove { digest }).await?;
        }
        Ok(())
    }

    async fn export(&self, items: mpsc::Sender<Exported>) -> Result<(), StoreFailure> {
        // The handle is let go at once: neither closing nor reopening the file waits for a slow receiver.
        self.read_by(move |handle| export::all(&handle.snapshot()?, &items)).await
    }
}
