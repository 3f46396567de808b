//! What an admitted unit does to the rows of a batch.
//!
//! Callers never write index rows: they follow from the status or record before and after.

use chrono::{DateTime, Utc};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::JobStatus;

use super::batch::{Batch, PURGED, TailRange};
use super::codec;
use super::key;
use super::stored;
use super::table::Table;
use crate::store::admit::{EXPIRED_KEYS_MAX, Rows, Standing};
use crate::store::{JobChange, Record, RecordKey, StoreFailure, UniqueKey};

impl<'unit> Rows<'unit> for Batch {
    type Before = JobStatus;

    fn job(&self, job: JobId) -> Result<Option<(Standing, JobStatus)>, StoreFailure> {
        let status: Option<JobStatus> = self.row(Table::Status, &key::job(job))?;
        Ok(status.map(|status| (Standing::of(&status), status)))
    }

    fn generation(&self, key: &RecordKey) -> Result<Option<u64>, StoreFailure> {
        Batch::generation(self, key::record(key))
    }

    fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
        let row = key.to_bytes();
        self.get(Table::Unique, &row)?.map(|value| stored::holder(&row, &value)).transpose()
    }

    fn put_job(&mut self, before: Option<JobStatus>, change: &'unit JobChange) -> Result<(), StoreFailure> {
        let job = change.job;
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

    fn put_record(&mut self, record: &'unit Record) -> Result<(), StoreFailure> {
        let key = record.key();
        let before = self.stored_record(&key)?;
        self.reindex_record(&key, before.as_ref(), Some(record));
        self.put(Table::Record, key::record(&key), stored::encode_record(record)?);
        Ok(())
    }

    fn remove_record(&mut self, key: &RecordKey) -> Result<(), StoreFailure> {
        let before = self.stored_record(key)?;
        self.reindex_record(key, before.as_ref(), None);
        self.remove(Table::Record, key::record(key));
        Ok(())
    }

    fn take(&mut self, unique: &'unit UniqueKey, at: DateTime<Utc>, job: JobId) {
        let row = unique.to_bytes();
        if unique.expires() {
            self.put(Table::UniqueAge, key::unique_age(at, &row), Vec::new());
        }
        self.put(Table::Unique, row, key::job(job));
    }

    fn expire_keys(&mut self, before: DateTime<Utc>) -> Result<(), StoreFailure> {
        for age in self.keys(Table::UniqueAge, &[], Some(&key::time(before)), EXPIRED_KEYS_MAX)? {
            let unique = age.get(key::TIME_BYTES..).map(<[u8]>::to_vec);
            let broken = || codec::corrupt(Table::UniqueAge, &age, format_args!("the key is too short"));
            self.remove(Table::Unique, unique.ok_or_else(broken)?);
            self.remove(Table::UniqueAge, age);
        }
        Ok(())
    }

    fn note(&mut self, job: JobId, task: &'unit InstanceName, name: &'unit str, value: &'unit [u8]) {
        self.put(Table::Note, key::note(job, task, name), value.to_vec());
    }

    fn purge(&mut self, job: JobId, before: JobStatus) -> Result<(), StoreFailure> {
        self.purge_tail(job)?;
        for table in [Table::Instance, Table::Entry, Table::Note] {
            for key in self.keys(table, job.0.as_bytes(), None, usize::MAX)? {
                self.remove(table, key);
            }
        }
        self.purge_flow(job)?;
        self.reindex(job, Some(&before), None);
        self.remove(Table::Spec, key::job(job));
        self.remove(Table::Status, key::job(job));
        Ok(())
    }
}

impl Batch {
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

    /// Takes the job out of the tail's rows. Those of this batch follow from its entries.
    fn purge_tail(&mut self, job: JobId) -> Result<(), StoreFailure> {
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
    fn purge_flow(&mut self, job: JobId) -> Result<(), StoreFailure> {
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
