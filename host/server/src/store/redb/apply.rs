//! What a unit does to the rows of a batch, and when it is refused.
//!
//! Callers never write index rows: they follow from the status or record before and after.

use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::JobStatus;

use super::batch::{Batch, PURGED, TailRange};
use super::codec;
use super::key;
use super::stored;
use super::table::Table;
use crate::store::{
    Change, CommitError, Conflict, Expected, JobChange, Record, RecordKey, StoreFailure, UniqueKey, Unit,
};

/// Keys that one unit forgets at most: what a group commit does in a few milliseconds. The rest waits for the
/// next one.
const EXPIRE_KEYS_MAX: usize = 2_000;

impl Batch {
    /// Takes the unit in. Where it is refused, what was taken of it is to be rolled back.
    pub fn unit(&mut self, unit: &Unit) -> Result<(), CommitError> {
        unit.changes.iter().try_for_each(|change| self.change(change))
    }

    fn change(&mut self, change: &Change) -> Result<(), CommitError> {
        match change {
            Change::Job(change) => self.job(change),
            Change::Put { record, expected } => self.put_record(record, *expected),
            Change::Remove { key, generation } => self.remove_record(key, *generation),
            Change::Expect { key, generation } => self.expect(key, *generation).map(drop),
            Change::Take { key, at, job } => self.take(key, *at, *job),
            Change::ExpireKeys { before } => self.expire(*before),
            Change::Note { job, epoch, task, name, value } => self.note(*job, *epoch, task, name, value),
            Change::Purge { job, sequence } => self.purge(*job, *sequence),
        }
    }

    fn status(&self, job: JobId) -> Result<Option<JobStatus>, StoreFailure> {
        self.row(Table::Status, &key::job(job))
    }

    fn job(&mut self, change: &JobChange) -> Result<(), CommitError> {
        let job = change.job;
        let before = self.status(job)?;
        if let Some(epoch) = change.epoch {
            check_fence(job, epoch, before.as_ref())?;
        }
        let found = before.as_ref().map_or(0, |status| status.sequence);
        if found != change.sequence || before.is_some() == change.birth.is_some() {
            return Err(CommitError::Conflict(Conflict::Job { job, expected: change.sequence, found }));
        }
        if let Some(birth) = &change.birth {
            let digest = birth.spec.flow;
            self.put_row(Table::Spec, key::job(job), &birth.spec)?;
            if self.get(Table::Flow, &digest.0)?.is_none() {
                self.put_row(Table::Flow, digest.0.to_vec(), &birth.flow)?;
            }
            self.put(Table::FlowUse, key::flow_use(digest, job), Vec::new());
        }
        self.put_row(Table::Status, key::job(job), &change.status)?;
        self.reindex(job, before.as_ref(), Some(&change.status));
        for instance in &change.instances {
            self.put_row(Table::Instance, key::instance(job, &instance.name), instance)?;
        }
        if let (Some(first), Some(last)) = (change.entries.first(), change.entries.last()) {
            let row = stored::entries_row(self.number, &change.entries)?;
            self.put(Table::Entry, key::entries(job, first.sequence), row);
            self.tail.push((job, first.sequence, last.sequence));
        }
        Ok(())
    }

    fn reindex(&mut self, job: JobId, before: Option<&JobStatus>, after: Option<&JobStatus>) {
        let before = before.map(|status| key::status_index(job, status)).unwrap_or_default();
        let after = after.map(|status| key::status_index(job, status)).unwrap_or_default();
        for (table, key) in before.iter().filter(|row| !after.contains(row)) {
            self.remove(*table, key.clone());
        }
        for (table, key) in after.iter().filter(|row| !before.contains(row)) {
            self.put(*table, key.clone(), Vec::new());
        }
    }

    fn stored_record(&self, key: &RecordKey) -> Result<Option<Record>, StoreFailure> {
        let row = self.get(Table::Record, &key::record(key))?;
        row.map(|bytes| stored::decode_record(&key::record(key), &bytes)).transpose()
    }

    fn expect(&self, key: &RecordKey, generation: u64) -> Result<Record, CommitError> {
        let Some(record) = self.stored_record(key)? else {
            return Err(CommitError::Conflict(Conflict::Missing { key: *key }));
        };
        let found = record.generation();
        if found == generation {
            Ok(record)
        } else {
            Err(CommitError::Conflict(Conflict::Generation { key: *key, expected: generation, found }))
        }
    }

    fn put_record(&mut self, record: &Record, expected: Expected) -> Result<(), CommitError> {
        let key = record.key();
        let before = match expected {
            Expected::Generation(generation) => Some(self.expect(&key, generation)?),
            Expected::Any => self.stored_record(&key)?,
            Expected::Absent => match self.stored_record(&key)? {
                Some(_) => return Err(CommitError::Conflict(Conflict::Exists { key })),
                None => None,
            },
        };
        self.reindex_record(&key, before.as_ref(), Some(record));
        self.put(Table::Record, key::record(&key), stored::encode_record(record)?);
        Ok(())
    }

    fn remove_record(&mut self, key: &RecordKey, generation: u64) -> Result<(), CommitError> {
        let before = self.expect(key, generation)?;
        self.reindex_record(key, Some(&before), None);
        self.remove(Table::Record, key::record(key));
        Ok(())
    }

    fn reindex_record(&mut self, key: &RecordKey, before: Option<&Record>, after: Option<&Record>) {
        let row = |record: Option<&Record>| record.and_then(|record| key::record_index(key, record.alarm()));
        let (before, after) = (row(before), row(after));
        if before == after {
            return;
        }
        if let Some((table, key)) = before {
            self.remove(table, key);
        }
        if let Some((table, key)) = after {
            self.put(table, key, Vec::new());
        }
    }

    fn take(
        &mut self,
        unique: &UniqueKey,
        at: chrono::DateTime<chrono::Utc>,
        job: JobId,
    ) -> Result<(), CommitError> {
        let row = key::unique(unique);
        if let Some(value) = self.get(Table::Unique, &row)? {
            let holder = stored::holder(&row, &value)?;
            return Err(CommitError::Taken { holder });
        }
        if key::expires(unique) {
            self.put(Table::UniqueAge, key::unique_age(at, &row), Vec::new());
        }
        self.put(Table::Unique, row, key::job(job));
        Ok(())
    }

    fn expire(&mut self, before: chrono::DateTime<chrono::Utc>) -> Result<(), CommitError> {
        for age in self.keys(Table::UniqueAge, &[], Some(&key::time(before)), EXPIRE_KEYS_MAX)? {
            let unique = age.get(key::TIME_BYTES..).map(<[u8]>::to_vec);
            let broken = || codec::corrupt(Table::UniqueAge, &age, format_args!("the key is too short"));
            self.remove(Table::Unique, unique.ok_or_else(broken)?);
            self.remove(Table::UniqueAge, age);
        }
        Ok(())
    }

    fn note(
        &mut self,
        job: JobId,
        epoch: Option<u64>,
        task: &InstanceName,
        name: &str,
        value: &[u8],
    ) -> Result<(), CommitError> {
        if let Some(epoch) = epoch {
            check_fence(job, epoch, self.status(job)?.as_ref())?;
        }
        self.put(Table::Note, key::note(job, task, name), value.to_vec());
        Ok(())
    }

    fn purge(&mut self, job: JobId, sequence: u64) -> Result<(), CommitError> {
        let status = self.status(job)?;
        let found = status.as_ref().map_or(0, |status| status.sequence);
        let Some(status) = status.filter(|_| found == sequence) else {
            return Err(CommitError::Conflict(Conflict::Job { job, expected: sequence, found }));
        };
        if !status.state.is_ended() {
            return Err(CommitError::Conflict(Conflict::NotEnded { job }));
        }
        self.purge_tail(job)?;
        for table in [Table::Instance, Table::Entry, Table::Note] {
            for key in self.keys(table, job.0.as_bytes(), None, usize::MAX)? {
                self.remove(table, key);
            }
        }
        self.purge_flow(job)?;
        self.reindex(job, Some(&status), None);
        self.remove(Table::Spec, key::job(job));
        self.remove(Table::Status, key::job(job));
        Ok(())
    }

    /// Takes the job out of the tail's rows. Those of this batch follow from its entries.
    fn purge_tail(&mut self, job: JobId) -> Result<(), CommitError> {
        for key in self.keys(Table::Entry, job.0.as_bytes(), None, usize::MAX)? {
            let Some(row) = self.get(Table::Entry, &key)? else { continue };
            let tail = key::tail(stored::batch_of(&key, &row)?);
            let Some(mut ranges) = self.row::<Vec<TailRange>>(Table::Tail, &tail)? else { continue };
            ranges.iter_mut().filter(|(other, _, _)| *other == job).for_each(|range| range.0 = PURGED);
            if ranges.iter().all(|(other, _, _)| *other == PURGED) {
                self.remove(Table::Tail, tail);
            } else {
                self.put_row(Table::Tail, tail, &ranges)?;
            }
        }
        Ok(())
    }

    /// The flow goes with the last job that needs it.
    fn purge_flow(&mut self, job: JobId) -> Result<(), CommitError> {
        let Some(spec) = self.row::<windlass_core::job::JobSpec>(Table::Spec, &key::job(job))? else {
            return Ok(());
        };
        self.remove(Table::FlowUse, key::flow_use(spec.flow, job));
        if self.keys(Table::FlowUse, &spec.flow.0, None, 1)?.is_empty() {
            self.remove(Table::Flow, spec.flow.0.to_vec());
        }
        Ok(())
    }
}

fn check_fence(job: JobId, epoch: u64, status: Option<&JobStatus>) -> Result<(), CommitError> {
    let held = status.and_then(|status| status.claim).map(|claim| claim.epoch);
    if held == Some(epoch) { Ok(()) } else { Err(CommitError::Fenced { job, epoch }) }
}
