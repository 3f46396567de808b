//! A batch: the units of one transaction, checked against the rows that the transaction has locked.
//!
//! Invariant: a unit that is refused leaves no trace; the units after it see what those before it did. What a unit
//! changes is gathered apart, and joins the batch only when the unit was admitted as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use windlass_core::entry::Entry;
use windlass_core::id::JobId;
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::JobStatus;

use super::row;
use crate::store::admit::{EXPIRED_KEYS_MAX, Rows, Standing, admit};
use crate::store::{Birth, CommitError, JobChange, Record, RecordKey, StoreFailure, UniqueKey, Unit};

/// The rows that units of the batch name, as they were when they were locked.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub jobs: HashMap<JobId, Standing>,
    /// Those of the jobs that have rows of awaited events.
    pub awaiting: BTreeSet<JobId>,
    pub generations: HashMap<RecordKey, u64>,
    pub holders: HashMap<Vec<u8>, JobId>,
    /// Keys that may be forgotten by this batch: when they were taken, and which.
    pub ages: BTreeSet<(DateTime<Utc>, Vec<u8>)>,
}

/// A unique key that was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<'unit> {
    pub key: &'unit UniqueKey,
    /// None: it is kept for ever.
    pub at: Option<DateTime<Utc>>,
    pub job: JobId,
}

/// The name of a checkpoint: its task instance and its own.
type NoteName<'unit> = (&'unit InstanceName, &'unit str);

/// What becomes of one job.
#[derive(Debug, Default)]
pub(super) struct JobRows<'unit> {
    /// What was stored of it is removed, before anything is written.
    pub is_purged: bool,
    pub birth: Option<&'unit Birth>,
    /// None where it is only purged, or only noted.
    pub status: Option<&'unit JobStatus>,
    pub instances: BTreeMap<&'unit InstanceName, &'unit TaskInstance>,
    pub entries: Vec<&'unit Entry>,
    pub notes: BTreeMap<NoteName<'unit>, &'unit [u8]>,
}

/// Changed rows: none stands for a row that is gone.
#[derive(Debug, Default)]
pub(super) struct Changes<'unit> {
    pub jobs: BTreeMap<JobId, JobRows<'unit>>,
    pub records: BTreeMap<RecordKey, Option<&'unit Record>>,
    pub holders: BTreeMap<Vec<u8>, Option<Taken<'unit>>>,
}

impl<'unit> Changes<'unit> {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.records.is_empty() && self.holders.is_empty()
    }

    /// What of a later unit changes what of earlier ones.
    fn join(&mut self, later: Self) {
        for (job, rows) in later.jobs {
            let known = self.jobs.entry(job).or_default();
            if rows.is_purged {
                *known = JobRows { is_purged: true, ..JobRows::default() };
            }
            known.birth = rows.birth.or(known.birth);
            known.status = rows.status.or(known.status);
            known.instances.extend(rows.instances);
            known.entries.extend(rows.entries);
            known.notes.extend(rows.notes);
        }
        self.records.extend(later.records);
        self.holders.extend(later.holders);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Batch<'unit> {
    stored: Stored,
    pub changes: Changes<'unit>,
}

impl<'unit> Batch<'unit> {
    pub fn over(stored: Stored) -> Self {
        Self { stored, changes: Changes::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Takes the unit in, or leaves no trace of it.
    pub fn unit(&mut self, unit: &'unit Unit) -> Result<(), CommitError> {
        let mut stage = Stage { batch: self, changes: Changes::default() };
        admit(&mut stage, unit)?;
        let changes = stage.changes;
        self.changes.join(changes);
        Ok(())
    }

    pub fn is_stored(&self, key: &RecordKey) -> bool {
        self.stored.generations.contains_key(key)
    }

    pub fn is_awaiting(&self, job: JobId) -> bool {
        self.stored.awaiting.contains(&job)
    }

    pub fn is_taken(&self, key: &[u8]) -> bool {
        self.stored.holders.contains_key(key)
    }
}

/// One unit on top of the batch.
struct Stage<'batch, 'unit> {
    batch: &'batch Batch<'unit>,
    changes: Changes<'unit>,
}

impl<'unit> Stage<'_, 'unit> {
    /// Those of this unit, then those of the batch: the first that says something counts.
    fn layers(&self) -> [&Changes<'unit>; 2] {
        [&self.changes, &self.batch.changes]
    }

    fn holder_of(&self, key: &[u8]) -> Option<JobId> {
        let changed = self.layers().into_iter().find_map(|layer| layer.holders.get(key));
        match changed {
            Some(taken) => taken.map(|taken| taken.job),
            None => self.batch.stored.holders.get(key).copied(),
        }
    }
}

impl<'unit> Rows<'unit> for Stage<'_, 'unit> {
    type Before = ();

    fn job(&self, job: JobId) -> Result<Option<(Standing, ())>, StoreFailure> {
        for layer in self.layers() {
            let Some(rows) = layer.jobs.get(&job) else { continue };
            if let Some(status) = rows.status {
                return Ok(Some((Standing::of(status), ())));
            }
            if rows.is_purged {
                return Ok(None);
            }
        }
        Ok(self.batch.stored.jobs.get(&job).map(|standing| (*standing, ())))
    }

    fn generation(&self, key: &RecordKey) -> Result<Option<u64>, StoreFailure> {
        let changed = self.layers().into_iter().find_map(|layer| layer.records.get(key));
        Ok(match changed {
            Some(record) => record.map(Record::generation),
            None => self.batch.stored.generations.get(key).copied(),
        })
    }

    fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
        Ok(self.holder_of(&row::unique_key(key)))
    }

    fn put_job(&mut self, _: Option<()>, change: &'unit JobChange) -> Result<(), StoreFailure> {
        let rows = self.changes.jobs.entry(change.job).or_default();
        rows.birth = change.birth.as_ref().or(rows.birth);
        rows.status = Some(&change.status);
        rows.instances.extend(change.instances.iter().map(|instance| (&instance.name, instance)));
        rows.entries.extend(&change.entries);
        Ok(())
    }

    fn put_record(&mut self, record: &'unit Record) -> Result<(), StoreFailure> {
        self.changes.records.insert(record.key(), Some(record));
        Ok(())
    }

    fn remove_record(&mut self, key: &RecordKey) -> Result<(), StoreFailure> {
        self.changes.records.insert(*key, None);
        Ok(())
    }

    fn take(&mut self, key: &'unit UniqueKey, at: DateTime<Utc>, job: JobId) {
        let at = key.expires().then(|| row::shown_time(at));
        self.changes.holders.insert(row::unique_key(key), Some(Taken { key, at, job }));
    }

    fn expire_keys(&mut self, before: DateTime<Utc>) -> Result<(), StoreFailure> {
        let before = row::shown_time(before);
        let mut aged: BTreeSet<(DateTime<Utc>, &Vec<u8>)> =
            self.batch.stored.ages.iter().map(|(at, key)| (*at, key)).collect();
        for layer in self.layers().into_iter().rev() {
            for (key, taken) in &layer.holders {
                // Whatever an earlier layer said of this key is out of date.
                aged.retain(|(_, known)| *known != key);
                aged.extend(taken.and_then(|taken| taken.at).map(|at| (at, key)));
            }
        }
        let old: Vec<Vec<u8>> = aged
            .into_iter()
            .take_while(|(at, _)| *at < before)
            .take(EXPIRED_KEYS_MAX)
            .map(|(_, key)| key.clone())
            .collect();
        self.changes.holders.extend(old.into_iter().map(|key| (key, None)));
        Ok(())
    }

    fn note(&mut self, job: JobId, task: &'unit InstanceName, name: &'unit str, value: &'unit [u8]) {
        self.changes.jobs.entry(job).or_default().notes.insert((task, name), value);
    }

    fn purge(&mut self, job: JobId, (): ()) -> Result<(), StoreFailure> {
        self.changes.jobs.insert(job, JobRows { is_purged: true, ..JobRows::default() });
        Ok(())
    }
}
