//! Exporting: everything in one snapshot, item by item.
//!
//! Invariant: a row that cannot be read is told, and costs no other row. Memory holds one row of each table, and the
//! names of one job's notes.

use std::ops::Bound;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use windlass_core::flow::Flow;
use windlass_core::id::{Digest, JobId};
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::{JobSpec, JobStatus};

use super::blob::Head;
use super::codec::{self, corrupt};
use super::key;
use super::snapshot::{KeyRange, Snapshot};
use super::stored;
use super::table::Table;
use crate::store::{Exported, RecordKind, StoreFailure, UniqueKey};

/// All rows of a table.
const ALL: KeyRange<'static> = (Bound::Unbounded, Bound::Unbounded);

/// Sends everything. Must run on a thread that may block.
pub(super) fn all(snapshot: &Snapshot, items: &mpsc::Sender<Exported>) -> Result<(), StoreFailure> {
    match (Exporter { snapshot, items }).run() {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Why an export ends early.
enum Stop {
    /// Nobody receives any more.
    Gone,
    Failed(StoreFailure),
}

struct Exporter<'a> {
    snapshot: &'a Snapshot,
    items: &'a mpsc::Sender<Exported>,
}

impl Exporter<'_> {
    fn run(&self) -> Result<(), Stop> {
        self.blobs()?;
        self.records()?;
        self.jobs()?;
        self.keys()
    }

    fn give(&self, item: Exported) -> Result<(), Stop> {
        self.items.blocking_send(item).map_err(|_| Stop::Gone)
    }

    /// The value of a row, or none where the row is broken and that was told.
    fn readable<T>(&self, result: Result<T, StoreFailure>) -> Result<Option<T>, Stop> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(StoreFailure::Corrupt(what)) => self.give(Exported::Broken(what)).map(|()| None),
            Err(failure) => Err(Stop::Failed(failure)),
        }
    }

    /// Visits the rows of a range, as far as the pages of the table can be read.
    fn each(
        &self,
        table: Table,
        range: KeyRange<'_>,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut stopped = None;
        let scanned = self.snapshot.scan(table, range, |key, value| {
            stopped = visit(key, value).err();
            Ok(stopped.is_none())
        });
        match stopped {
            Some(stop) => Err(stop),
            None => self.readable(scanned.map_err(|failure| unread(table, failure))).map(drop),
        }
    }

    fn each_of(
        &self,
        table: Table,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let end = key::after_prefix(prefix);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.each(table, (Bound::Included(prefix), upper), visit)
    }

    fn blobs(&self) -> Result<(), Stop> {
        self.each(Table::BlobHead, ALL, |key, value| {
            let Some(head) = self.readable(codec::decode::<Head>(Table::BlobHead, key, value))? else {
                return Ok(());
            };
            match <[u8; 32]>::try_from(key) {
                Ok(digest) => self.blob(Digest(digest), head.size_bytes),
                Err(_) => self.broken(Table::BlobHead, key, "the key is no digest"),
            }
        })
    }

    fn blob(&self, digest: Digest, size_bytes: u64) -> Result<(), Stop> {
        self.give(Exported::Blob { digest, size_bytes })?;
        let mut hash = Sha256::new();
        self.each_of(Table::BlobChunk, &digest.0, |_, chunk| {
            hash.update(chunk);
            self.give(Exported::Piece(chunk.to_vec()))
        })?;
        if Digest(hash.finalize().into()) == digest {
            return Ok(());
        }
        let what = format!("the bytes of blob {digest} have another digest");
        self.broken(Table::BlobChunk, &digest.0, &what)
    }

    fn broken(&self, table: Table, key: &[u8], what: &str) -> Result<(), Stop> {
        let row: Result<(), _> = Err(corrupt(table, key, format_args!("{what}")));
        self.readable(row).map(drop)
    }

    fn records(&self) -> Result<(), Stop> {
        let import = key::record_kind(RecordKind::Import);
        self.each(Table::Record, ALL, |key, value| {
            if key.first() == Some(&import) {
                return Ok(());
            }
            match self.readable(stored::decode_record(key, value))? {
                Some(record) if key::record(&record.key()) == key => {
                    self.give(Exported::Record(Box::new(record)))
                }
                Some(_) => self.broken(Table::Record, key, "the record is one of another key"),
                None => Ok(()),
            }
        })
    }

    fn jobs(&self) -> Result<(), Stop> {
        // That of the job before is most often the next one's, too.
        let mut flow = None;
        self.each(Table::Status, ALL, |key, value| {
            let Some(id) = key::job_at(key, 0).filter(|_| key.len() == key::ID_BYTES) else {
                return self.broken(Table::Status, key, "the key is no job");
            };
            let status = codec::decode::<JobStatus>(Table::Status, key, value);
            let Some(status) = self.readable(status)? else { return Ok(()) };
            let Some(spec) = self.spec(id)? else { return Ok(()) };
            let Some(flow) = self.flow(&mut flow, id, spec.flow)? else { return Ok(()) };
            self.give(Exported::Job { spec: Arc::new(spec), flow, status: Box::new(status) })?;
            self.instances(id)?;
            self.entries(id)?;
            self.notes(id)
        })
    }

    fn spec(&self, id: JobId) -> Result<Option<JobSpec>, Stop> {
        let row = key::job(id);
        match self.readable(self.snapshot.row::<JobSpec>(Table::Spec, &row))? {
            Some(Some(spec)) if spec.id == id => Ok(Some(spec)),
            Some(Some(_)) => self.broken(Table::Spec, &row, "it is of another job").map(|()| None),
            Some(None) => {
                self.broken(Table::Spec, &row, "it is missing, and the job's status is there").map(|()| None)
            }
            None => Ok(None),
        }
    }

    fn flow(
        &self,
        last: &mut Option<(Digest, Arc<Flow>)>,
        id: JobId,
        digest: Digest,
    ) -> Result<Option<Arc<Flow>>, Stop> {
        if let Some((_, flow)) = last.as_ref().filter(|(last, _)| *last == digest) {
            return Ok(Some(flow.clone()));
        }
        match self.readable(self.snapshot.row::<Flow>(Table::Flow, &digest.0))? {
            Some(Some(flow)) => Ok(Some(last.insert((digest, Arc::new(flow))).1.clone())),
            Some(None) => {
                let what = format!("it is missing, and job {id} needs it");
                self.broken(Table::Flow, &digest.0, &what).map(|()| None)
            }
            None => Ok(None),
        }
    }

    fn instances(&self, id: JobId) -> Result<(), Stop> {
        self.each_of(Table::Instance, id.0.as_bytes(), |key, value| {
            match self.readable(codec::decode::<TaskInstance>(Table::Instance, key, value))? {
                Some(instance) if key::instance(id, &instance.name) == key => {
                    self.give(Exported::Instance(Box::new(instance)))
                }
                Some(_) => self.broken(Table::Instance, key, "it is another task's"),
                None => Ok(()),
            }
        })
    }

    fn entries(&self, id: JobId) -> Result<(), Stop> {
        self.each_of(Table::Entry, id.0.as_bytes(), |key, value| {
            let Some(entries) = self.readable(stored::entries_of(key, value))? else { return Ok(()) };
            if entries.first().is_none_or(|first| key::entries(id, first.sequence) != key) {
                return self.broken(Table::Entry, key, "its entries are not those of its key");
            }
            entries.into_iter().try_for_each(|entry| self.give(Exported::Entry(Box::new(entry))))
        })
    }

    /// The keys of notes are not in the order of their names.
    fn notes(&self, id: JobId) -> Result<(), Stop> {
        let mut notes: Vec<(InstanceName, String, Vec<u8>)> = Vec::new();
        self.each_of(Table::Note, id.0.as_bytes(), |key, _| match key::note_parts(key) {
            Some((task, name)) => {
                notes.push((task, name, key.to_vec()));
                Ok(())
            }
            None => self.broken(Table::Note, key, "the key is no note's"),
        })?;
        notes.sort_unstable();
        for (task, name, key) in notes {
            if let Some(Some(value)) = self.readable(self.snapshot.get(Table::Note, &key))? {
                self.give(Exported::Note { task, name, value })?;
            }
        }
        Ok(())
    }

    fn keys(&self) -> Result<(), Stop> {
        let mut known = 0;
        self.each(Table::UniqueAge, ALL, |age, _| {
            let row = age.get(key::TIME_BYTES..).unwrap_or_default();
            let (Some(taken), Some(_)) = (key::time_at(age), UniqueKey::of_bytes(row)) else {
                return self.broken(Table::UniqueAge, age, "it is no time and key");
            };
            known += 1;
            match self.readable(self.snapshot.get(Table::Unique, row))? {
                Some(Some(value)) => self.key(row, &value, Some(taken)),
                Some(None) => self.broken(Table::UniqueAge, age, "the key that it dates is missing"),
                None => Ok(()),
            }
        })?;
        self.each_of(Table::Unique, &UniqueKey::OCCURRENCE_PREFIX, |row, value| {
            known += 1;
            self.key(row, value, None)
        })?;
        let Some(rows) = self.readable(self.snapshot.rows_in(Table::Unique))? else { return Ok(()) };
        if rows == known {
            return Ok(());
        }
        let what =
            format!("table unique: it has {rows} keys, and {known} are occurrences or have their time");
        self.give(Exported::Broken(what))
    }

    fn key(
        &self,
        row: &[u8],
        value: &[u8],
        taken: Option<chrono::DateTime<chrono::Utc>>,
    ) -> Result<(), Stop> {
        let Some(key) = UniqueKey::of_bytes(row) else {
            return self.broken(Table::Unique, row, "it is no unique key");
        };
        match self.readable(stored::holder(row, value))? {
            Some(job) => self.give(Exported::Key { key, taken, job }),
            None => Ok(()),
        }
    }
}

/// Says of a table that some of its rows were not seen.
fn unread(table: Table, failure: StoreFailure) -> StoreFailure {
    match failure {
        StoreFailure::Corrupt(what) => {
            StoreFailure::Corrupt(format!("table {}: {what}; the rows behind were not read", table.name()))
        }
        failure => failure,
    }
}
