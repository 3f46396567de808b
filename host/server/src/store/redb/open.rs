//! Opening: what a store is made of, and why it cannot be opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, TableHandle, WriteTransaction,
};

use super::batch::{Batch, Tables};
use super::blob;
use super::key;
use super::reserve::Reserve;
use super::snapshot::Snapshot;
use super::table::Table;
use super::trouble::{
    Seen, Watched, commit_failure_of, failure_of, io_failure_of, table_failure_of, transaction_failure_of,
};
use super::wal::{self, WalFile, WalId, WalPlace};
use crate::store::StoreFailure;

/// The layout of tables, keys and rows that this program reads and writes. 2: jobs wait for events, and entries tell of
/// waits and observations, which programs of schema 1 do not know. 3: jobs have something to tell others, and flows, specs
/// and entries tell of child jobs. 4: what was committed last may be in a write-ahead log.
const SCHEMA_VERSION: u32 = 4;

/// The oldest layout that this program brings to its own. What it wrote is read as it is: only tables are added.
const SCHEMA_VERSION_MIN: u32 = 1;

/// Part of the file that one step of a rewrite holds.
const REWRITE_BYTES: usize = 1024 * 1024;

/// A page: the unit in which a rewrite leaves holes alone.
const PAGE_BYTES: usize = 4096;

/// Why a store cannot be opened. Nothing that is in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store {} is in use by another process: stop that one, or choose another data directory", path.display())]
    InUse { path: PathBuf },
    #[error("the store {} is not writable: {reason}; let this user write there, or choose another data directory", path.display())]
    NotWritable { path: PathBuf, reason: String },
    #[error("the disk of the store {} is full: free some space", path.display())]
    Full { path: PathBuf },
    #[error("the store {} is corrupt: {reason}; restore a backup, or move it away, with what is beside it, to begin anew", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("the store {} has schema {found}, and this program knows {known}: run a newer windlass", path.display())]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    #[error("the store {} cannot be opened: {reason}; check the disk", path.display())]
    Unreadable { path: PathBuf, reason: String },
}

/// Makes the storage anew, each time the database is opened.
pub(super) type MakeStorage = Box<dyn Fn() -> io::Result<Arc<dyn StorageBackend>> + Send + Sync>;

/// All that is needed to open the database, again and again.
pub(super) struct Opener {
    /// For messages.
    pub path: PathBuf,
    pub make: MakeStorage,
    pub cache_bytes: usize,
    pub quick_repair_from_bytes: u64,
    /// None: each transaction is written to the database's file.
    pub wal: Option<WalSettings>,
    /// A sync failed, and nothing has made good for it yet: see `rewrite`.
    owes_rewrite: AtomicBool,
    /// Held until the store is closed, also while the database is reopened.
    lock: Option<File>,
}

/// The write-ahead log that a store may have.
pub(super) struct WalSettings {
    pub place: Box<dyn WalPlace>,
    /// Bytes. 0: it is only taken in.
    pub len_max: u64,
}

/// Where a transaction is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// In the database's file; `quick_repair`: with what a restart after a crash needs.
    InFile { quick_repair: bool },
    /// In the log, where it is already.
    InLog,
}

/// Why the database did not open.
pub(super) enum Closed {
    Failed(StoreFailure),
    InUse,
    Denied(String),
    Newer(u32),
}

impl Opener {
    pub fn new(
        path: impl Into<PathBuf>,
        make: MakeStorage,
        cache_bytes: usize,
        quick_repair_from_bytes: u64,
        wal: Option<WalSettings>,
    ) -> Self {
        let path = path.into();
        let owes_rewrite = AtomicBool::new(false);
        Self { path, make, cache_bytes, quick_repair_from_bytes, wal, owes_rewrite, lock: None }
    }

    /// A store in a file, which is locked until it is closed; `wal_bytes_max`: of the log beside it.
    pub fn of_file(
        path: &Path,
        cache_bytes: usize,
        quick_repair_from_bytes: u64,
        wal_bytes_max: u64,
    ) -> Result<Self, OpenError> {
        let refused = |error: &io::Error| refused(path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| refused(&error))?;
        }
        let lock = OpenOptions::new().create(true).write(true).truncate(false).open(beside(path, "lock"));
        let lock = lock.map_err(|error| refused(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(refused(&error)),
        }
        let of = |path: &Path| {
            let wal = WalSettings { place: Box::new(WalFile(beside(path, "wal"))), len_max: wal_bytes_max };
            Self::new(path, storage_of(path), cache_bytes, quick_repair_from_bytes, Some(wal))
        };
        let opener = of(path);
        let is_missing = match fs::metadata(path) {
            // A file that was made and not filled is as good as none.
            Ok(found) => found.len() == 0,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_missing && beside(path, "wal").exists() {
            let reason = format!(
                "it is missing, and a write-ahead log is there, {}: put the store back that it is of, or move the log away \
                 as well",
                beside(path, "wal").display()
            );
            return Err(OpenError::Corrupt { path: path.to_owned(), reason });
        }
        if is_missing {
            opener.create_whole(&of(&beside(path, "new")))?;
        }
        Ok(Self { lock: Some(lock), ..opener })
    }

    /// What was seen of the storage when it was open last: after a failed sync the system's cache is not believed, until
    /// every page has been written again.
    pub fn heed(&self, seen: &Seen) {
        if seen.has_failed_sync() {
            self.owes_rewrite.store(true, Ordering::Relaxed);
        }
    }

    /// Makes the database under another name first: one whose making was interrupted, by a crash or a full disk, is
    /// never found under its own.
    fn create_whole(&self, aside: &Self) -> Result<(), OpenError> {
        let create = || {
            if let Err(error) = fs::remove_file(&aside.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(closed(&error));
            }
            drop(aside.open()?);
            let moved = fs::rename(&aside.path, &self.path).and_then(|()| sync_folder(&self.path));
            moved.map_err(|error| closed(&error))
        };
        create().map_err(|closed| {
            // What is left of it is only in the way, above all on a full disk.
            drop(fs::remove_file(&aside.path));
            self.explain(closed)
        })
    }

    /// Lets another open the file, though this still lives. Nothing may be opened by it any more.
    pub fn unlock(&self) {
        if let Some(lock) = &self.lock
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(path = %self.path.display(), %error, "the store's lock is kept until the program ends");
        }
    }

    /// Opens, verifies or repairs the database, brings its tables into being, and takes its log in.
    pub fn open(&self) -> Result<(Database, Arc<Seen>), Closed> {
        if self.owes_rewrite.load(Ordering::Relaxed) {
            self.rewrite().map_err(Closed::Failed)?;
            self.owes_rewrite.store(false, Ordering::Relaxed);
        }
        let seen = Arc::new(Seen::default());
        let opened = self.open_watched(&seen);
        if opened.is_err() {
            self.heed(&seen);
        }
        Ok((opened?, seen))
    }

    /// As `open`, once more where a sync failed, or where what is in the log needs the room of the reserve.
    pub fn open_at_last(&self, reserve: Option<&dyn Reserve>) -> Result<(Database, Arc<Seen>), Closed> {
        match (self.open(), reserve) {
            (Err(Closed::Failed(StoreFailure::Full)), Some(reserve)) => {
                reserve.release();
                self.open()
            }
            (Err(_), _) if self.owes_rewrite.load(Ordering::Relaxed) => self.open(),
            (opened, _) => opened,
        }
    }

    fn open_watched(&self, seen: &Arc<Seen>) -> Result<Database, Closed> {
        let storage = (self.make)().map_err(|error| closed(&error))?;
        let watched = Watched::new(storage, Arc::clone(seen));
        let len_bytes = watched.len().map_err(|error| closed(&error))?;
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        // A big file is trusted: redb believes what it finds there only where its last commit to the file was in two
        // phases, and looks at all of it otherwise.
        builder.set_check_integrity_on_open(len_bytes > 0 && len_bytes < self.quick_repair_from_bytes);
        // redb panics on some files that were changed by somebody else.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = builder.create_with_backend(watched).map_err(|error| not_opened(error, seen))?;
            prepare(&database)?;
            self.take_log_in(&database, seen)?;
            Ok(database)
        }));
        let panicked = || StoreFailure::Corrupt("its pages contradict each other".to_owned());
        opened.unwrap_or_else(|_| Err(Closed::Failed(panicked())))
    }

    /// Whether what a restart after a crash needs is recorded with each transaction that is written to the file.
    pub fn is_quick(&self, seen: &Seen) -> bool {
        seen.len_bytes() >= self.quick_repair_from_bytes
    }

    /// Takes what is only in the log into the database, which needs none then.
    fn take_log_in(&self, database: &Database, seen: &Seen) -> Result<(), Closed> {
        let failed = Closed::Failed;
        let snapshot = Snapshot::of(database).map_err(failed)?;
        let Some(named) = snapshot.get(Table::Meta, key::META_WAL).map_err(failed)? else { return Ok(()) };
        let number = snapshot.batch().map_err(failed)?;
        drop(snapshot);
        let unknown =
            "it needs a write-ahead log, and says in no known form which: run the windlass that wrote it";
        let id = WalId::of_bytes(&named).ok_or_else(|| failed(StoreFailure::Corrupt(unknown.to_owned())))?;
        let Some(wal) = &self.wal else {
            let nowhere = "it needs a write-ahead log, and has no place for one".to_owned();
            return Err(failed(StoreFailure::Corrupt(nowhere)));
        };
        let name = wal.place.name();
        let storage = wal.place.find().map_err(|error| closed(&error))?;
        let storage = storage.ok_or_else(|| failed(wal::gone(&name, "is not there")))?;
        let rows = wal::rows_behind(storage.as_ref(), &name, id, number).map_err(failed)?;
        drop(storage);
        let transaction = begin(database, rows).map_err(failed)?;
        name_log(&transaction, None).map_err(failed)?;
        commit(transaction, Kept::InFile { quick_repair: self.is_quick(seen) }).map_err(failed)?;
        self.remove_log();
        Ok(())
    }

    /// Nobody needs the log any more.
    pub fn remove_log(&self) {
        if let Some(wal) = &self.wal
            && let Err(error) = wal.place.remove()
        {
            tracing::warn!(%error, log = wal.place.name(), "a write-ahead log that nobody needs was not removed");
        }
    }

    /// After a failed sync the system's cache may show what is not on the disk, and a later sync would not tell.
    /// Writing every page again makes it so, or fails.
    fn rewrite(&self) -> Result<(), StoreFailure> {
        let down = |error: io::Error| io_failure_of(&error);
        let storage = (self.make)().map_err(down)?;
        let written = rewrite_pages(storage.as_ref());
        let closed = storage.close();
        written.and(closed).map_err(down)
    }

    /// What a person is told.
    pub fn explain(&self, closed: Closed) -> OpenError {
        let path = self.path.clone();
        match closed {
            Closed::InUse => OpenError::InUse { path },
            Closed::Denied(reason) => OpenError::NotWritable { path, reason },
            Closed::Newer(found) => OpenError::NewerSchema { path, found, known: SCHEMA_VERSION },
            Closed::Failed(StoreFailure::Full) => OpenError::Full { path },
            Closed::Failed(StoreFailure::Corrupt(reason)) => OpenError::Corrupt { path, reason },
            Closed::Failed(StoreFailure::Down(reason)) => OpenError::Unreadable { path, reason },
        }
    }
}

fn storage_of(path: &Path) -> MakeStorage {
    let path = path.to_owned();
    Box::new(move || {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let backend = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Arc::new(backend))
    })
}

/// Makes a new name in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// A file beside the database, named after it.
pub(super) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

fn rewrite_pages(storage: &dyn StorageBackend) -> io::Result<()> {
    let len = storage.len()?;
    let mut buffer = vec![0; REWRITE_BYTES];
    let mut offset = 0;
    while offset < len {
        let part = usize::try_from(len - offset).map_or(REWRITE_BYTES, |left| left.min(REWRITE_BYTES));
        storage.read(offset, &mut buffer[..part])?;
        for (index, page) in buffer[..part].chunks(PAGE_BYTES).enumerate() {
            // A hole stays one. No page of a database is all zeros.
            if page.iter().any(|byte| *byte != 0) {
                storage.write(offset + (index * PAGE_BYTES) as u64, page)?;
            }
        }
        offset += part as u64;
    }
    storage.sync_data()
}

fn refused(path: &Path, error: &io::Error) -> OpenError {
    let path = path.to_owned();
    match closed(error) {
        Closed::Denied(reason) => OpenError::NotWritable { path, reason },
        Closed::Failed(StoreFailure::Full) => OpenError::Full { path },
        _ => OpenError::Unreadable { path, reason: error.to_string() },
    }
}

fn closed(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::IsADirectory => Closed::Denied(error.to_string()),
        _ => Closed::Failed(io_failure_of(error)),
    }
}

fn not_opened(error: DatabaseError, seen: &Seen) -> Closed {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Closed::InUse,
        DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() != io::ErrorKind::InvalidData =>
        {
            closed(&error)
        }
        DatabaseError::Storage(error) => {
            Closed::Failed(seen.trouble().map_or_else(|| failure_of(error), |trouble| trouble.failure))
        }
        other => Closed::Failed(StoreFailure::Corrupt(other.to_string())),
    }
}

/// Checks the schema, or makes it.
fn prepare(database: &Database) -> Result<(), Closed> {
    let failed = Closed::Failed;
    let reading = database.begin_read().map_err(|error| failed(transaction_failure_of(error)))?;
    let names = reading.list_tables().map_err(|error| failed(failure_of(error)))?;
    let names: Vec<String> = names.map(|table| table.name().to_owned()).collect();
    drop(reading);
    if names.is_empty() {
        return create(database).map_err(failed);
    }
    let meta = Table::Meta.name();
    if !names.contains(&meta) {
        return Err(failed(StoreFailure::Corrupt(
            "it is a database, but not a store of windlass".to_owned(),
        )));
    }
    let snapshot = Snapshot::of(database).map_err(failed)?;
    let version = snapshot.get(Table::Meta, key::META_SCHEMA).map_err(failed)?;
    let version = version.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    match version {
        Some(SCHEMA_VERSION) => Ok(()),
        Some(SCHEMA_VERSION_MIN..SCHEMA_VERSION) => move_on(database).map_err(failed),
        Some(found) if found > SCHEMA_VERSION => Err(Closed::Newer(found)),
        Some(found) => Err(failed(StoreFailure::Corrupt(format!("its schema is {found}, which never was")))),
        None => Err(failed(StoreFailure::Corrupt("its schema version is missing".to_owned()))),
    }
}

fn create(database: &Database) -> Result<(), StoreFailure> {
    let transaction = database.begin_write().map_err(transaction_failure_of)?;
    for table in Table::ALL {
        let mut rows = transaction.open_table(table.definition()).map_err(table_failure_of)?;
        if table == Table::Meta {
            rows.insert(key::META_SCHEMA, SCHEMA_VERSION.to_be_bytes().as_slice()).map_err(failure_of)?;
            rows.insert(key::META_BATCH, 0u64.to_be_bytes().as_slice()).map_err(failure_of)?;
        }
    }
    transaction.commit().map_err(commit_failure_of)
}

/// Brings an older layout to this one, in one transaction: a crash leaves the one or the other, and older programs
/// refuse what it leads to.
fn move_on(database: &Database) -> Result<(), StoreFailure> {
    let mut transaction = database.begin_write().map_err(transaction_failure_of)?;
    // A big file is trusted when it is opened: its every transaction must be one that can be.
    transaction.set_quick_repair(true);
    for table in Table::ALL {
        let mut rows = transaction.open_table(table.definition()).map_err(table_failure_of)?;
        if table == Table::Meta {
            rows.insert(key::META_SCHEMA, SCHEMA_VERSION.to_be_bytes().as_slice()).map_err(failure_of)?;
        }
    }
    transaction.commit().map_err(commit_failure_of)
}

/// Removes what interrupted uploads left. Only at the start: later, uploads are under way.
pub(super) fn sweep(database: &Database) -> Result<(), StoreFailure> {
    let snapshot = Snapshot::of(database)?;
    let orphans = blob::orphans(&snapshot)?;
    if orphans.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::over(snapshot)?;
    orphans.into_iter().for_each(|key| batch.remove(Table::BlobChunk, key));
    commit(begin(database, batch.into_rows()?)?, Kept::InFile { quick_repair: true })
}

/// A transaction with these rows, which is still to be committed.
pub(super) fn begin(database: &Database, tables: Tables) -> Result<WriteTransaction, StoreFailure> {
    let transaction = database.begin_write().map_err(transaction_failure_of)?;
    for (table, rows) in Table::ALL.into_iter().zip(tables) {
        if rows.is_empty() {
            continue;
        }
        let mut stored = transaction.open_table(table.definition()).map_err(table_failure_of)?;
        for (key, row) in rows {
            match row {
                Some(value) => stored.insert(key.as_slice(), value.as_slice()).map(drop),
                None => stored.remove(key.as_slice()).map(drop),
            }
            .map_err(failure_of)?;
        }
    }
    Ok(transaction)
}

/// Says in a transaction which log the database needs.
pub(super) fn name_log(transaction: &WriteTransaction, log: Option<WalId>) -> Result<(), StoreFailure> {
    let mut meta = transaction.open_table(Table::Meta.definition()).map_err(table_failure_of)?;
    let named = match log {
        Some(id) => meta.insert(key::META_WAL, id.to_bytes().as_slice()).map(drop),
        None => meta.remove(key::META_WAL).map(drop),
    };
    named.map_err(failure_of)
}

/// Commits a transaction. It is on the disk when this returns: in the file, or it is in the log already.
pub(super) fn commit(mut transaction: WriteTransaction, kept: Kept) -> Result<(), StoreFailure> {
    let (durability, quick_repair) = match kept {
        Kept::InFile { quick_repair } => (Durability::Immediate, quick_repair),
        Kept::InLog => (Durability::None, false),
    };
    let set = transaction.set_durability(durability);
    set.map_err(|error| StoreFailure::Down(error.to_string()))?;
    transaction.set_quick_repair(quick_repair);
    transaction.commit().map_err(commit_failure_of)
}
