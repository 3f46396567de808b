//! Importing: a canonical form becomes a store, by ordinary units.
//!
//! Invariant: a record says from the first unit to the last that the store is not whole. Every job that is written
//! is what its entries make of it, and is what the form tells.

use std::io::BufRead;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, JobId};

use super::line::Counts;
use super::read::{Read, ReadError, Reader};
use super::replay::Replay;
use super::{export::unfinished, line};
use crate::store::{
    Change, CommitError, Conflict, Expected, Exported, ImportRecord, JobFilter, Record, RecordKey,
    RecordKind, Store, StoreFailure, UniqueKey, Unit,
};

/// Bytes of lines that one unit takes: a quarter of a transaction of redb, and a few hundred jobs.
const UNIT_BYTES: usize = 1 << 20;

/// Changes of one unit, which PostgreSQL may make one after the other.
const UNIT_CHANGES_MAX: usize = 500;

/// Items that are read ahead.
const READ_AHEAD_MAX: usize = 64;

/// The largest blob: a plugin has at most 64 MiB, and the store is given a blob whole.
const BLOB_BYTES_MAX: u64 = 256 << 20;

/// Things of a kind that are counted to say what is in a store already.
const COUNTED_MAX: usize = 1_000;

/// Why an import was not made.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing was changed.
    #[error("the store is not empty: it has {0}; import into an empty one")]
    NotEmpty(String),
    /// Nothing was changed.
    #[error(
        "the store has an import that began at {0} and has not ended: what is in it is not whole; import into an \
         empty one"
    )]
    Unfinished(DateTime<Utc>),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("line {line}: the store refused it: {source}")]
    Refused { line: u64, source: CommitError },
    #[error(transparent)]
    Store(#[from] StoreFailure),
}

/// Imports everything into an empty store. Where it fails the store stays marked as one that is not whole.
pub async fn import(
    store: &dyn Store,
    now: DateTime<Utc>,
    input: impl BufRead + Send + 'static,
) -> Result<Counts, ImportError> {
    if let Some(import) = unfinished(store).await? {
        return Err(ImportError::Unfinished(import.began));
    }
    if let Some(found) = contents(store).await? {
        return Err(ImportError::NotEmpty(found));
    }
    let (ahead, mut items) = mpsc::channel(READ_AHEAD_MAX);
    let reading = tokio::task::spawn_blocking(move || read(input, &ahead));
    let mut importer = Importer::new(store, now);
    // A foreign file leaves the store as it was.
    match items.recv().await {
        Some(Ok(Step::Begun)) => begin(store, now).await?,
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(Step::Item(_) | Step::End(_))) | None => return Err(reader_stopped().into()),
    }
    let counts = loop {
        match items.recv().await {
            Some(Ok(Step::Item(read))) => importer.take(*read).await?,
            Some(Ok(Step::End(counts))) => break counts,
            Some(Ok(Step::Begun)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err(reader_stopped().into()),
        }
    };
    drop(reading);
    importer.end().await?;
    Ok(counts)
}

/// What is in a store, in words; none where it is empty.
pub async fn contents(store: &dyn Store) -> Result<Option<String>, StoreFailure> {
    let (items, mut exported) = mpsc::channel(1);
    let first = async move { exported.recv().await };
    let (sent, first) = tokio::join!(store.export(items), first);
    sent?;
    let Some(first) = first else { return Ok(None) };
    let mut found = Vec::new();
    let mut count = |count: usize, noun: &str| match count {
        0 => {}
        1 => found.push(format!("1 {noun}")),
        COUNTED_MAX => found.push(format!("{COUNTED_MAX} or more {noun}s")),
        count => found.push(format!("{count} {noun}s")),
    };
    for (kind, noun) in [
        (RecordKind::Plugin, "plugin"),
        (RecordKind::Trigger, "trigger"),
        (RecordKind::Operation, "operation"),
        (RecordKind::Host, "host"),
        (RecordKind::Flow, "flow"),
    ] {
        count(store.records(kind, None, COUNTED_MAX).await?.len(), noun);
    }
    count(store.jobs(&JobFilter::default(), None, COUNTED_MAX).await?.jobs.len(), "job");
    if found.is_empty() {
        found.push(match first {
            Exported::Blob { .. } => "a blob".to_owned(),
            Exported::Key { .. } => "a unique key".to_owned(),
            other => format!("something that cannot be read: {other:?}"),
        });
    }
    Ok(Some(found.join(", ")))
}

/// Marks the store as one that is not whole.
async fn begin(store: &dyn Store, now: DateTime<Utc>) -> Result<(), ImportError> {
    let record = Record::Import(ImportRecord { began: now, generation: 1 });
    let unit = Unit::of(vec![Change::Put { record, expected: Expected::Absent }]);
    store.commit(unit).await.map_err(|error| match error {
        CommitError::Conflict(Conflict::Exists { .. }) => ImportError::Unfinished(now),
        CommitError::Storage(failure) => failure.into(),
        source => ImportError::Refused { line: 1, source },
    })
}

/// What the reader hands over.
enum Step {
    /// It is a form.
    Begun,
    Item(Box<Read>),
    /// It was whole.
    End(line::Counts),
}

/// Reads on a thread that may block, until the end, the first error, or nobody listens.
fn read(input: impl BufRead, ahead: &mpsc::Sender<Result<Step, ReadError>>) {
    let run = || {
        let mut reader = Reader::begin(input)?;
        let mut is_heard = ahead.blocking_send(Ok(Step::Begun)).is_ok();
        while is_heard {
            let step = match reader.next()? {
                Some(read) => Step::Item(Box::new(read)),
                None => {
                    // Whoever imports may have failed: then nobody needs the end.
                    drop(ahead.blocking_send(Ok(Step::End(reader.counts()))));
                    return Ok(());
                }
            };
            is_heard = ahead.blocking_send(Ok(step)).is_ok();
        }
        Ok(())
    };
    if let Err(error) = run() {
        drop(ahead.blocking_send(Err(error)));
    }
}

fn reader_stopped() -> StoreFailure {
    StoreFailure::Down("the reader of the import stopped".to_owned())
}

/// What was taken of a form and is not yet stored.
struct Importer<'a> {
    store: &'a dyn Store,
    now: DateTime<Utc>,
    changes: Vec<Change>,
    bytes: usize,
    line: u64,
    blob: Option<(Digest, Vec<u8>)>,
    job: Option<Growing>,
}

/// A job whose entries are being read.
struct Growing {
    line: u64,
    replay: Replay,
    /// Entries that are in no change yet.
    entries: Vec<Entry>,
    entries_bytes: usize,
}

impl<'a> Importer<'a> {
    fn new(store: &'a dyn Store, now: DateTime<Utc>) -> Self {
        Self { store, now, changes: Vec::new(), bytes: 0, line: 0, blob: None, job: None }
    }

    async fn take(&mut self, read: Read) -> Result<(), ImportError> {
        let Read { line, bytes, item } = read;
        self.line = line;
        let error = |what: String| ImportError::from(ReadError { line, what });
        match item {
            Exported::Blob { digest, size_bytes } => {
                self.end_blob().await?;
                if size_bytes > BLOB_BYTES_MAX {
                    let what = format!(
                        "blob {digest} has {size_bytes} bytes, and at most {BLOB_BYTES_MAX} are taken"
                    );
                    return Err(error(what));
                }
                self.blob = Some((digest, Vec::new()));
            }
            Exported::Piece(piece) => {
                let blob = self.blob.as_mut().ok_or_else(|| error("a piece of no blob".to_owned()))?;
                blob.1.extend(piece);
            }
            Exported::Record(record) => {
                self.end_blob().await?;
                self.change(Change::Put { record: *record, expected: Expected::Absent }, bytes).await?;
            }
            Exported::Job { spec, flow, status } => {
                self.end_blob().await?;
                self.end_job().await?;
                let replay = Replay::begin(spec, flow, *status);
                self.job = Some(Growing { line, replay, entries: Vec::new(), entries_bytes: bytes });
            }
            Exported::Instance(instance) => self.growing()?.replay.instance(*instance),
            Exported::Entry(entry) => self.entry(*entry, bytes).await?,
            Exported::Note { task, name, value } => {
                let job = self.growing()?.replay.job.id();
                self.piece_of_job().await?;
                self.change(Change::Note { job, epoch: None, task, name, value }, bytes).await?;
            }
            Exported::Key { key, taken, job } => self.key(key, taken, job, bytes).await?,
            Exported::Broken(what) => return Err(error(what)),
        }
        Ok(())
    }

    fn growing(&mut self) -> Result<&mut Growing, ImportError> {
        let line = self.line;
        self.job.as_mut().ok_or_else(|| ReadError { line, what: "it is of no job".to_owned() }.into())
    }

    async fn entry(&mut self, entry: Entry, bytes: usize) -> Result<(), ImportError> {
        let line = self.line;
        let growing = self.growing()?;
        let job = growing.replay.job.id();
        growing
            .replay
            .entry(&entry)
            .map_err(|what| ReadError { line, what: format!("job {job}: {what}") })?;
        growing.entries.push(entry);
        growing.entries_bytes += bytes;
        if growing.entries_bytes >= UNIT_BYTES {
            self.piece_of_job().await?;
        }
        Ok(())
    }

    /// What of the job was read since the last piece becomes a change.
    async fn piece_of_job(&mut self) -> Result<(), ImportError> {
        let growing = self.growing()?;
        if growing.entries.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut growing.entries);
        let bytes = std::mem::take(&mut growing.entries_bytes);
        let job = &growing.replay.job;
        let change = match entries.first().map(|first| first.sequence) {
            Some(1) => Change::birth(job, entries),
            _ => Change::recorded(job, entries, None),
        };
        self.change(change, bytes).await
    }

    async fn end_job(&mut self) -> Result<(), ImportError> {
        if self.job.is_none() {
            return Ok(());
        }
        self.piece_of_job().await?;
        let Some(Growing { line, replay, .. }) = self.job.take() else { return Ok(()) };
        match replay.differences().first() {
            None => Ok(()),
            Some(what) => Err(ReadError { line, what: format!("job {}: {what}", replay.job.id()) }.into()),
        }
    }

    async fn end_blob(&mut self) -> Result<(), ImportError> {
        let Some((digest, bytes)) = self.blob.take() else { return Ok(()) };
        Ok(self.store.put_blob(digest, bytes).await?)
    }

    async fn key(
        &mut self,
        key: UniqueKey,
        taken: Option<DateTime<Utc>>,
        job: JobId,
        bytes: usize,
    ) -> Result<(), ImportError> {
        self.end_blob().await?;
        self.end_job().await?;
        let at = taken.unwrap_or(self.now);
        self.change(Change::Take { key, at, job }, bytes).await
    }

    async fn change(&mut self, change: Change, bytes: usize) -> Result<(), ImportError> {
        self.changes.push(change);
        self.bytes += bytes;
        if self.bytes >= UNIT_BYTES || self.changes.len() >= UNIT_CHANGES_MAX {
            self.commit().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), ImportError> {
        self.bytes = 0;
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(());
        }
        let line = self.line;
        self.store.commit(Unit::of(changes)).await.map_err(|error| match error {
            CommitError::Storage(failure) => failure.into(),
            source => ImportError::Refused { line, source },
        })
    }

    /// The form was whole: so is the store.
    async fn end(mut self) -> Result<(), ImportError> {
        self.end_blob().await?;
        self.end_job().await?;
        self.commit().await?;
        self.changes.push(Change::Remove { key: RecordKey::Import, generation: 1 });
        self.commit().await
    }
}
