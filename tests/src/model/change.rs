//! What a unit makes of the state, and when it is refused.
//!
//! Changes are made in the order in which the unit names them; each sees those before it. The first that is not as
//! expected refuses the unit, and says why.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use windlass_core::id::JobId;
use windlass_core::job::Job;
use windlass_host::store::{
    Change, CommitError, Conflict, Expected, JobChange, Record, RecordKey, UniqueKey, Unit,
};

use super::state::{Held, Line, State};

impl State {
    /// The state with the whole unit in it, or why there is none.
    pub fn after(&self, unit: &Unit) -> Result<Self, CommitError> {
        let mut after = self.clone();
        unit.changes.iter().try_for_each(|change| after.make(change))?;
        Ok(after)
    }

    fn make(&mut self, change: &Change) -> Result<(), CommitError> {
        match change {
            Change::Job(change) => self.record_of_job(change),
            Change::Put { record, expected } => self.put(record, *expected),
            Change::Remove { key, generation } => {
                self.expect(*key, *generation)?;
                self.records.remove(key);
                Ok(())
            }
            Change::Expect { key, generation } => self.expect(*key, *generation),
            Change::Take { key, at, job } => self.take(key, *at, *job),
            Change::ExpectFree { key } => self.expect_free(key),
            Change::ExpireKeys { before } => {
                self.expire_keys(*before);
                Ok(())
            }
            Change::Note { job, epoch, task, name, value } => {
                if let Some(epoch) = epoch {
                    self.fence(*job, *epoch)?;
                }
                self.notes.insert((*job, task.clone(), name.clone()), value.clone());
                Ok(())
            }
            Change::Purge { job, sequence } => self.purge(*job, *sequence),
        }
    }

    /// The job must be claimed, and with this epoch.
    fn fence(&self, job: JobId, epoch: u64) -> Result<(), CommitError> {
        let claim = self.jobs.get(&job).and_then(|job| job.status.claim);
        match claim {
            Some(claim) if claim.epoch == epoch => Ok(()),
            Some(_) | None => Err(CommitError::Fenced { job, epoch }),
        }
    }

    fn at_sequence(&self, job: JobId, expected: u64) -> Result<(), CommitError> {
        let found = self.sequence(job);
        if found == expected {
            Ok(())
        } else {
            Err(CommitError::Conflict(Conflict::Job { job, expected, found }))
        }
    }

    fn record_of_job(&mut self, change: &JobChange) -> Result<(), CommitError> {
        let id = change.job;
        // The fence first: whoever lost the claim must stop, not load and try again.
        if let Some(epoch) = change.epoch {
            self.fence(id, epoch)?;
        }
        self.at_sequence(id, change.sequence)?;
        if self.jobs.contains_key(&id) == change.birth.is_some() {
            let (expected, found) = (change.sequence, self.sequence(id));
            return Err(CommitError::Conflict(Conflict::Job { job: id, expected, found }));
        }
        if let Some(birth) = &change.birth {
            let (spec, flow) = (Arc::clone(&birth.spec), Arc::clone(&birth.flow));
            let job = Job::restore(spec, flow, change.status.clone(), BTreeMap::new());
            self.jobs.insert(id, Arc::new(job));
        }
        let job = Arc::make_mut(self.jobs.get_mut(&id).expect("it is there, or was just born"));
        job.status = change.status.clone();
        for instance in &change.instances {
            job.instances.insert(instance.name.clone(), instance.clone());
        }
        // What follows from status and instances is worked out anew.
        let instances = std::mem::take(&mut job.instances);
        *job = Job::restore(job.spec.clone(), job.flow.clone(), job.status.clone(), instances);
        for entry in &change.entries {
            self.logbook.push(Line { place: self.written, job: id, entry: Arc::new(entry.clone()) });
            self.written += 1;
        }
        Ok(())
    }

    fn expect(&self, key: RecordKey, expected: u64) -> Result<(), CommitError> {
        let Some(record) = self.records.get(&key) else {
            return Err(CommitError::Conflict(Conflict::Missing { key }));
        };
        let found = record.generation();
        if found == expected {
            Ok(())
        } else {
            Err(CommitError::Conflict(Conflict::Generation { key, expected, found }))
        }
    }

    fn put(&mut self, record: &Record, expected: Expected) -> Result<(), CommitError> {
        let key = record.key();
        match expected {
            Expected::Absent if self.records.contains_key(&key) => {
                return Err(CommitError::Conflict(Conflict::Exists { key }));
            }
            Expected::Absent | Expected::Any => {}
            Expected::Generation(generation) => self.expect(key, generation)?,
        }
        self.records.insert(key, record.clone());
        Ok(())
    }

    fn expect_free(&self, key: &UniqueKey) -> Result<(), CommitError> {
        match self.keys.get(key) {
            Some(held) => Err(CommitError::Taken { holder: held.by }),
            None => Ok(()),
        }
    }

    fn take(&mut self, key: &UniqueKey, at: DateTime<Utc>, by: JobId) -> Result<(), CommitError> {
        self.expect_free(key)?;
        self.keys.insert(key.clone(), Held { by, at });
        Ok(())
    }

    /// All at once. A store may bound how many one unit forgets, at thousands: no trace holds that many.
    fn expire_keys(&mut self, before: DateTime<Utc>) {
        self.keys.retain(|key, held| match key {
            UniqueKey::Request { .. } | UniqueKey::Event { .. } => held.at >= before,
            // At most one job of an operation for an occurrence, for ever.
            UniqueKey::Occurrence { .. } => true,
        });
    }

    /// The keys that it took stay: a repeated request must not run again.
    fn purge(&mut self, id: JobId, sequence: u64) -> Result<(), CommitError> {
        let missing = CommitError::Conflict(Conflict::Job { job: id, expected: sequence, found: 0 });
        let Some(job) = self.jobs.get(&id).map(Arc::clone) else { return Err(missing) };
        self.at_sequence(id, sequence)?;
        if !job.status.state.is_ended() {
            return Err(CommitError::Conflict(Conflict::NotEnded { job: id }));
        }
        self.jobs.remove(&id);
        self.logbook.retain(|line| line.job != id);
        self.notes.retain(|(job, _, _), _| *job != id);
        Ok(())
    }
}
