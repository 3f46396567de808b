//! Reading jobs: one, many, those on the board, those that hosts have, those that wait for an
//! event, those that have something to tell, what is due.
//!
//! Invariant: every answer is of one statement, and so of one moment.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use uuid::Uuid;
use windlass_core::id::{HostId, JobId, TriggerId};
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::{Job, JobSpec, JobState, JobStatus};

use super::connection::Readers;
use super::row::{self, corrupt, decode};
use super::settings::LISTED_JOBS_MAX;
use crate::store::flows::Flows;
use crate::store::{Due, JobFilter, JobPage, StoreFailure, Subject};

pub(super) async fn job(readers: &Readers, flows: &Flows, id: JobId) -> Result<Option<Job>, StoreFailure> {
    let statement = "SELECT s.status, j.spec, f.body, \
         ARRAY(SELECT i.body FROM task_instance i WHERE i.job = s.id) \
         FROM job_status s LEFT JOIN job j ON j.id = s.id LEFT JOIN flow f ON f.digest = j.flow WHERE s.id = $1";
    let rows = readers.rows(statement, &[&id.0]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let missing = |table| corrupt(table, id, format_args!("it is missing, and the job's status is there"));
    let spec: Option<&str> = row.get(1);
    let flow: Option<&str> = row.get(2);
    let mut instances = std::collections::BTreeMap::new();
    for body in row.get::<_, Vec<&str>>(3) {
        let instance: TaskInstance = decode("task_instance", id, body)?;
        instances.insert(instance.name.clone(), instance);
    }
    let spec: JobSpec = decode("job", id, spec.ok_or_else(|| missing("job"))?)?;
    let planned = flows.planned(spec.flow, || decode("flow", id, flow.ok_or_else(|| missing("flow"))?))?;
    let status = decode("job_status", id, row.get(0))?;
    Ok(Some(Job::restore_planned(Arc::new(spec), planned, status, instances)))
}

/// Newest first, of a bounded stretch of all jobs.
pub(super) async fn jobs(
    readers: &Readers,
    filter: &JobFilter,
    after: Option<JobId>,
    limit: usize,
) -> Result<JobPage, StoreFailure> {
    if limit == 0 {
        return Ok(JobPage { jobs: Vec::new(), next: after });
    }
    let statement = "SELECT s.id, s.status, j.spec FROM \
         (SELECT id, state, status FROM job_status WHERE id < $1 ORDER BY id DESC LIMIT $2) s \
         JOIN job j ON j.id = s.id \
         WHERE ($3::text[] IS NULL OR s.state = ANY($3)) AND ($4::text IS NULL OR j.owner = $4) \
         AND ($5::text IS NULL OR j.type = $5) AND ($6::uuid IS NULL OR j.operation = $6) \
         AND ($7::uuid IS NULL OR j.trigger = $7) ORDER BY s.id DESC LIMIT $8";
    let before = after.map_or(Uuid::max(), |after| after.0);
    let states: Option<Vec<&str>> =
        (!filter.states.is_empty()).then(|| filter.states.iter().copied().map(JobState::word).collect());
    let owner = filter.owner.as_deref().map(row::shown);
    let job_type = filter.job_type.as_deref().map(row::shown);
    let (operation, trigger) = (filter.operation.map(|id| id.0), filter.trigger.map(|id| id.0));
    // What only the program can compare may drop any of the rows.
    let is_exact = filter.labels.is_empty()
        && filter.created_from.is_none()
        && filter.created_before.is_none()
        && [&filter.owner, &filter.job_type]
            .into_iter()
            .flatten()
            .all(|text| !text.contains(['\0', '\u{FFFD}']));
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let fetched = if is_exact { wanted } else { LISTED_JOBS_MAX };
    let rows = readers
        .rows(
            statement,
            &[&before, &LISTED_JOBS_MAX, &states, &owner, &job_type, &operation, &trigger, &fetched],
        )
        .await?;
    let mut page = JobPage::default();
    for row in &rows {
        let (id, spec, status) = listed(row)?;
        if !filter.matches(&spec, &status) {
            continue;
        }
        if page.jobs.len() == limit {
            page.next = page.jobs.last().map(|(spec, _)| spec.id);
            return Ok(page);
        }
        debug_assert_eq!(spec.id, id, "a row is that of its job");
        page.jobs.push((Arc::new(spec), status));
    }
    page.next = end_of_stretch(readers, before).await?;
    Ok(page)
}

fn listed(row: &Row) -> Result<(JobId, JobSpec, JobStatus), StoreFailure> {
    let id = JobId(row.get(0));
    Ok((id, decode("job", id, row.get(2))?, decode("job_status", id, row.get(1))?))
}

/// The last job that one page looks at; none where it looked at all there are.
async fn end_of_stretch(readers: &Readers, before: Uuid) -> Result<Option<JobId>, StoreFailure> {
    let statement = "SELECT id FROM job_status WHERE id < $1 ORDER BY id DESC OFFSET $2 LIMIT 1";
    let rows = readers.rows(statement, &[&before, &(LISTED_JOBS_MAX - 1)]).await?;
    Ok(rows.first().map(|row| JobId(row.get(0))))
}

pub(super) async fn board(readers: &Readers, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
    let statement =
        "SELECT id FROM job_status WHERE state = 'ready' ORDER BY priority DESC, since, id LIMIT $1";
    let rows = readers.rows(statement, &[&rows_max(limit)]).await?;
    Ok(rows.iter().map(|row| JobId(row.get(0))).collect())
}

pub(super) async fn claims(readers: &Readers) -> Result<Vec<(HostId, JobId)>, StoreFailure> {
    let statement =
        "SELECT claim_host, id FROM job_status WHERE claim_host IS NOT NULL ORDER BY claim_host, id";
    let rows = readers.rows(statement, &[]).await?;
    Ok(rows.iter().map(|row| (HostId(row.get(0)), JobId(row.get(1)))).collect())
}

pub(super) async fn awaiting(
    readers: &Readers,
    event_type: &str,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobId>, StoreFailure> {
    let statement = "SELECT job FROM job_await WHERE type = $1 AND job > $2 ORDER BY job LIMIT $3";
    let (event_type, after) = (event_type.as_bytes(), after.map_or(Uuid::nil(), |after| after.0));
    let rows = readers.rows(statement, &[&event_type, &after, &rows_max(limit)]).await?;
    Ok(rows.iter().map(|row| JobId(row.get(0))).collect())
}

pub(super) async fn untold(
    readers: &Readers,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobId>, StoreFailure> {
    let statement = "SELECT id FROM job_status WHERE is_untold AND id > $1 ORDER BY id LIMIT $2";
    let after = after.map_or(Uuid::nil(), |after| after.0);
    let rows = readers.rows(statement, &[&after, &rows_max(limit)]).await?;
    Ok(rows.iter().map(|row| JobId(row.get(0))).collect())
}

pub(super) async fn due(
    readers: &Readers,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<Due>, StoreFailure> {
    let jobs = "SELECT alarm, id FROM job_status WHERE alarm <= $1 ORDER BY alarm, id LIMIT $2";
    let records = "SELECT alarm, id FROM record WHERE alarm <= $1 ORDER BY alarm, id LIMIT $2";
    let (now, rows) = (row::shown_time(now), rows_max(limit));
    let jobs = readers.rows(jobs, &[&now, &rows]).await?;
    let records = readers.rows(records, &[&now, &rows]).await?;
    let mut due: Vec<Due> =
        jobs.iter().map(|row| Due { at: row.get(0), subject: Subject::Job(JobId(row.get(1))) }).collect();
    for row in &records {
        let id = trigger_id(row.get(1))?;
        due.push(Due { at: row.get(0), subject: Subject::Trigger(id) });
    }
    // Stable: each part is in order, and of the same time jobs come first.
    due.sort_by_key(|due| due.at);
    due.truncate(limit);
    Ok(due)
}

fn trigger_id(id: &[u8]) -> Result<TriggerId, StoreFailure> {
    let id = Uuid::from_slice(id)
        .map_err(|_| corrupt("record", "trigger", format_args!("a key has {} bytes", id.len())));
    Ok(TriggerId(id?))
}

pub(super) async fn next_due(readers: &Readers) -> Result<Option<DateTime<Utc>>, StoreFailure> {
    let statement = "SELECT least((SELECT min(alarm) FROM job_status WHERE alarm IS NOT NULL), \
         (SELECT min(alarm) FROM record WHERE alarm IS NOT NULL))";
    let rows = readers.rows(statement, &[]).await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

pub(super) async fn note(
    readers: &Readers,
    id: JobId,
    task: &InstanceName,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreFailure> {
    let statement = "SELECT value FROM note WHERE job = $1 AND task = $2 AND iteration = $3 AND name = $4";
    let iteration = row::iteration(task);
    let rows = readers.rows(statement, &[&id.0, &task.task, &iteration, &name.as_bytes()]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

pub(super) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
