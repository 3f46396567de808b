//! Reading jobs: one, many, those on the board, those that hosts have, those that wait for an
//! event, those that have something to tell, what is due.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use windlass_core::flow::Flow;
use windlass_core::id::{HostId, JobId};
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::{Job, JobSpec, JobStatus};

use super::codec::{self, corrupt};
use super::key;
use super::settings::{LISTED_JOBS_MAX, SMALL_BYTES};
use super::snapshot::Snapshot;
use super::table::Table;
use crate::store::flows::Flows;
use crate::store::{Due, JobFilter, JobPage, StoreFailure};

/// The job, if there is one, and it is small.
pub(super) enum Found {
    Job(Option<Box<Job>>),
    TooLarge,
}

pub(super) fn job(snapshot: &Snapshot, flows: &Flows, id: JobId) -> Result<Option<Job>, StoreFailure> {
    let row = key::job(id);
    let Some(status) = snapshot.row::<JobStatus>(Table::Status, &row)? else { return Ok(None) };
    let spec = spec(snapshot, id)?;
    let missing = || corrupt(Table::Flow, &spec.flow.0, format_args!("it is missing, and job {id} needs it"));
    let read = || snapshot.row::<Flow>(Table::Flow, &spec.flow.0)?.ok_or_else(missing);
    let planned = flows.planned(spec.flow, read)?;
    let mut instances = BTreeMap::new();
    snapshot.scan_prefix(Table::Instance, &row, |key, value| {
        let instance: TaskInstance = codec::decode(Table::Instance, key, value)?;
        instances.insert(instance.name.clone(), instance);
        Ok(true)
    })?;
    Ok(Some(Job::restore_planned(Arc::new(spec), planned, status, instances)))
}

/// The job, unless it is long to read: its rows are many bytes, or its flow is to be read and planned.
pub(super) fn small(snapshot: &Snapshot, flows: &Flows, id: JobId) -> Result<Found, StoreFailure> {
    let row = key::job(id);
    let Some(status) = snapshot.row::<JobStatus>(Table::Status, &row)? else { return Ok(Found::Job(None)) };
    let spec_bytes = snapshot.get(Table::Spec, &row)?;
    let Some(spec_bytes) = spec_bytes.filter(|bytes| bytes.len() <= SMALL_BYTES) else {
        return Ok(Found::TooLarge);
    };
    let spec: JobSpec = codec::decode(Table::Spec, &row, &spec_bytes)?;
    let Some(planned) = flows.known(spec.flow) else { return Ok(Found::TooLarge) };
    let (mut instances, mut bytes) = (BTreeMap::new(), spec_bytes.len());
    snapshot.scan_prefix(Table::Instance, &row, |key, value| {
        bytes += value.len();
        if bytes <= SMALL_BYTES {
            let instance: TaskInstance = codec::decode(Table::Instance, key, value)?;
            instances.insert(instance.name.clone(), instance);
        }
        Ok(bytes <= SMALL_BYTES)
    })?;
    if bytes > SMALL_BYTES {
        return Ok(Found::TooLarge);
    }
    Ok(Found::Job(Some(Box::new(Job::restore_planned(Arc::new(spec), planned, status, instances)))))
}

fn spec(snapshot: &Snapshot, id: JobId) -> Result<JobSpec, StoreFailure> {
    let row = key::job(id);
    let spec = snapshot.row(Table::Spec, &row)?;
    spec.ok_or_else(|| {
        corrupt(Table::Spec, &row, format_args!("it is missing, and the job's status is there"))
    })
}

pub(super) fn jobs(
    snapshot: &Snapshot,
    filter: &JobFilter,
    after: Option<JobId>,
    limit: usize,
) -> Result<JobPage, StoreFailure> {
    let after = after.map(key::job);
    let upper = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = JobPage::default();
    let mut last = None;
    let mut looked_at = 0;
    let mut is_more = false;
    snapshot.scan_back(Table::Status, (Bound::Unbounded, upper), |key, value| {
        if page.jobs.len() >= limit || looked_at >= LISTED_JOBS_MAX {
            is_more = true;
            return Ok(false);
        }
        looked_at += 1;
        let id = key::job_at(key, 0).ok_or_else(|| short(Table::Status, key))?;
        last = Some(id);
        let status: JobStatus = codec::decode(Table::Status, key, value)?;
        // Most rows of a sparse list fall here, before their spec is read.
        if !filter.states.is_empty() && !filter.states.contains(&status.state) {
            return Ok(true);
        }
        let spec = spec(snapshot, id)?;
        if filter.matches(&spec, &status) {
            page.jobs.push((Arc::new(spec), status));
        }
        Ok(true)
    })?;
    page.next = last.filter(|_| is_more);
    Ok(page)
}

pub(super) fn board(snapshot: &Snapshot, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
    let mut jobs = Vec::new();
    snapshot.scan_prefix(Table::Board, &[], |key, _| {
        if jobs.len() >= limit {
            return Ok(false);
        }
        jobs.push(key::job_at(key, key::BOARD_JOB_AT).ok_or_else(|| short(Table::Board, key))?);
        Ok(true)
    })?;
    Ok(jobs)
}

pub(super) fn claims(snapshot: &Snapshot) -> Result<Vec<(HostId, JobId)>, StoreFailure> {
    let mut claims = Vec::new();
    snapshot.scan_prefix(Table::Claim, &[], |key, _| {
        claims.push(key::claim_parts(key).ok_or_else(|| short(Table::Claim, key))?);
        Ok(true)
    })?;
    Ok(claims)
}

pub(super) fn awaiting(
    snapshot: &Snapshot,
    event_type: &str,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobId>, StoreFailure> {
    let prefix = key::awaits(event_type);
    let last = after.map(|after| [prefix.as_slice(), after.0.as_bytes()].concat());
    let lower = last.as_deref().map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
    let end = key::after_prefix(&prefix);
    let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut jobs = Vec::new();
    snapshot.scan(Table::Await, (lower, upper), |key, _| {
        if jobs.len() >= limit {
            return Ok(false);
        }
        jobs.push(key::await_parts(key).ok_or_else(|| short(Table::Await, key))?.1);
        Ok(true)
    })?;
    Ok(jobs)
}

pub(super) fn untold(
    snapshot: &Snapshot,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobId>, StoreFailure> {
    let last = after.map(key::job);
    let lower = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut jobs = Vec::new();
    snapshot.scan(Table::Untold, (lower, Bound::Unbounded), |key, _| {
        if jobs.len() >= limit {
            return Ok(false);
        }
        jobs.push(key::lone_job(key).ok_or_else(|| short(Table::Untold, key))?);
        Ok(true)
    })?;
    Ok(jobs)
}

pub(super) fn due(snapshot: &Snapshot, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>, StoreFailure> {
    let end = key::due_after(now);
    let mut due = Vec::new();
    snapshot.scan(Table::Due, (Bound::Unbounded, Bound::Excluded(&end)), |key, _| {
        if due.len() >= limit {
            return Ok(false);
        }
        due.push(key::due_parts(key).ok_or_else(|| short(Table::Due, key))?);
        Ok(true)
    })?;
    Ok(due)
}

pub(super) fn next_due(snapshot: &Snapshot) -> Result<Option<DateTime<Utc>>, StoreFailure> {
    let mut next = None;
    snapshot.scan_prefix(Table::Due, &[], |key, _| {
        next = Some(key::due_parts(key).ok_or_else(|| short(Table::Due, key))?.at);
        Ok(false)
    })?;
    Ok(next)
}

pub(super) fn note(
    snapshot: &Snapshot,
    id: JobId,
    task: &InstanceName,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreFailure> {
    snapshot.get(Table::Note, &key::note(id, task, name))
}

fn short(table: Table, key: &[u8]) -> StoreFailure {
    corrupt(table, key, format_args!("the key is not one of this table"))
}
