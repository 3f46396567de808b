//! Admission: on what condition a unit is taken, and what it then does, whatever the store is made of.
//!
//! Invariant: this is the only place that refuses a unit for what is stored. A store gives the rows, and takes the
//! changes; it decides nothing.

use chrono::{DateTime, Utc};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::{JobState, JobStatus};

use crate::store::{
    Change, CommitError, Conflict, Expected, JobChange, Record, RecordKey, StoreFailure, UniqueKey, Unit,
};

/// What of a stored job decides whether a change of it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub state: JobState,
    pub sequence: u64,
    /// The epoch of the claim, where a host has the job.
    pub claim_epoch: Option<u64>,
}

impl Standing {
    pub fn of(status: &JobStatus) -> Self {
        let claim_epoch = status.claim.map(|claim| claim.epoch);
        Self { state: status.state, sequence: status.sequence, claim_epoch }
    }
}

/// The rows of a transaction: what is stored, with the changes so far on top.
pub(super) trait Rows<'unit> {
    /// What the store keeps in hand of a job as it was before a change, to update what follows from it.
    type Before;

    fn job(&self, job: JobId) -> Result<Option<(Standing, Self::Before)>, StoreFailure>;
    fn generation(&self, key: &RecordKey) -> Result<Option<u64>, StoreFailure>;
    fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure>;

    fn put_job(&mut self, before: Option<Self::Before>, change: &'unit JobChange)
    -> Result<(), StoreFailure>;
    fn put_record(&mut self, record: &'unit Record) -> Result<(), StoreFailure>;
    fn remove_record(&mut self, key: &RecordKey) -> Result<(), StoreFailure>;
    fn take(&mut self, key: &'unit UniqueKey, at: DateTime<Utc>, job: JobId);
    fn expire_keys(&mut self, before: DateTime<Utc>) -> Result<(), StoreFailure>;
    fn note(&mut self, job: JobId, task: &'unit InstanceName, name: &'unit str, value: &'unit [u8]);
    fn purge(&mut self, job: JobId, before: Self::Before) -> Result<(), StoreFailure>;
}

/// Takes the unit in, change by change; each sees those before it. Where it is refused, the store forgets what was
/// taken of it.
pub(super) fn admit<'unit, R: Rows<'unit>>(rows: &mut R, unit: &'unit Unit) -> Result<(), CommitError> {
    unit.changes.iter().try_for_each(|change| admit_change(rows, change))
}

fn admit_change<'unit, R: Rows<'unit>>(rows: &mut R, change: &'unit Change) -> Result<(), CommitError> {
    match change {
        Change::Job(change) => put_job(rows, change),
        Change::Put { record, expected } => put_record(rows, record, *expected),
        Change::Remove { key, generation } => {
            expect(rows, key, *generation)?;
            Ok(rows.remove_record(key)?)
        }
        Change::Expect { key, generation } => expect(rows, key, *generation),
        Change::Take { key, at, job } => match rows.holder(key)? {
            Some(holder) => Err(CommitError::Taken { holder }),
            None => {
                rows.take(key, *at, *job);
                Ok(())
            }
        },
        Change::ExpectFree { key } => match rows.holder(key)? {
            Some(holder) => Err(CommitError::Taken { holder }),
            None => Ok(()),
        },
        Change::ExpireKeys { before } => Ok(rows.expire_keys(*before)?),
        Change::Note { job, epoch, task, name, value } => {
            if let Some(epoch) = epoch {
                check_fence(*job, *epoch, rows.job(*job)?.map(|(standing, _)| standing))?;
            }
            rows.note(*job, task, name, value);
            Ok(())
        }
        Change::Purge { job, sequence } => purge(rows, *job, *sequence),
    }
}

fn put_job<'unit, R: Rows<'unit>>(rows: &mut R, change: &'unit JobChange) -> Result<(), CommitError> {
    let job = change.job;
    let (standing, before) = rows.job(job)?.unzip();
    // A former holder is told so, rather than that somebody else was faster.
    if let Some(epoch) = change.epoch {
        check_fence(job, epoch, standing)?;
    }
    let found = standing.map_or(0, |standing| standing.sequence);
    if found != change.sequence || before.is_some() == change.birth.is_some() {
        return Err(CommitError::Conflict(Conflict::Job { job, expected: change.sequence, found }));
    }
    Ok(rows.put_job(before, change)?)
}

fn expect<'unit, R: Rows<'unit>>(rows: &R, key: &RecordKey, generation: u64) -> Result<(), CommitError> {
    match rows.generation(key)? {
        None => Err(CommitError::Conflict(Conflict::Missing { key: *key })),
        Some(found) if found == generation => Ok(()),
        Some(found) => {
            Err(CommitError::Conflict(Conflict::Generation { key: *key, expected: generation, found }))
        }
    }
}

fn put_record<'unit, R: Rows<'unit>>(
    rows: &mut R,
    record: &'unit Record,
    expected: Expected,
) -> Result<(), CommitError> {
    let key = record.key();
    match expected {
        Expected::Generation(generation) => expect(rows, &key, generation)?,
        Expected::Any => {}
        Expected::Absent => {
            if rows.generation(&key)?.is_some() {
                return Err(CommitError::Conflict(Conflict::Exists { key }));
            }
        }
    }
    Ok(rows.put_record(record)?)
}

fn purge<'unit, R: Rows<'unit>>(rows: &mut R, job: JobId, sequence: u64) -> Result<(), CommitError> {
    let stored = rows.job(job)?;
    let found = stored.as_ref().map_or(0, |(standing, _)| standing.sequence);
    let Some((standing, before)) = stored.filter(|_| found == sequence) else {
        return Err(CommitError::Conflict(Conflict::Job { job, expected: sequence, found }));
    };
    if !standing.state.is_ended() {
        return Err(CommitError::Conflict(Conflict::NotEnded { job }));
    }
    Ok(rows.purge(job, before)?)
}

fn check_fence(job: JobId, epoch: u64, standing: Option<Standing>) -> Result<(), CommitError> {
    let held = standing.and_then(|standing| standing.claim_epoch);
    if held == Some(epoch) { Ok(()) } else { Err(CommitError::Fenced { job, epoch }) }
}

/// Keys that one change forgets at most: what a group commit does in a few milliseconds. The rest waits for the
/// next one.
pub(super) const EXPIRED_KEYS_MAX: usize = 2_000;

/// A job in this state may call its plugins again: it has not ended, or can be retried or reverted.
pub(super) fn needs_plugins(state: JobState) -> bool {
    match state {
        JobState::Succeeded
        | JobState::Failed
        | JobState::Scheduled
        | JobState::Ready
        | JobState::Waiting
        | JobState::Running
        | JobState::Reverting
        | JobState::Suspending
        | JobState::Suspended
        | JobState::Quarantined => true,
        JobState::Reverted | JobState::Dropped | JobState::Cancelled | JobState::Superseded => false,
    }
}
