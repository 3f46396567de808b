//! Columns: the changes of a batch as arrays, one for each column of each table.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;
use windlass_core::entry::Entry;
use windlass_core::flow::Flow;
use windlass_core::id::{Digest, JobId};
use windlass_core::instance::TaskInstance;
use windlass_core::job::{JobSpec, JobStatus};

use super::batch::{Batch, Taken};
use super::row::{self, alarm, count, encode, shown, shown_time};
use crate::store::{Birth, Record, RecordKey, StoreFailure};

type Time = DateTime<Utc>;

#[derive(Debug, Default)]
pub(super) struct Flows {
    pub digest: Vec<Vec<u8>>,
    pub body: Vec<String>,
    /// A pair for every plugin of every flow.
    pub plugin: Vec<Vec<u8>>,
    pub plugin_flow: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub id: Vec<Uuid>,
    pub flow: Vec<Vec<u8>>,
    pub owner: Vec<String>,
    pub job_type: Vec<String>,
    pub operation: Vec<Option<Uuid>>,
    pub trigger: Vec<Option<Uuid>>,
    pub created: Vec<Time>,
    pub spec: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Statuses {
    pub id: Vec<Uuid>,
    pub state: Vec<&'static str>,
    pub direction: Vec<String>,
    pub priority: Vec<i32>,
    pub since: Vec<Time>,
    pub alarm: Vec<Option<Time>>,
    pub claim_host: Vec<Option<Uuid>>,
    pub claim_epoch: Vec<Option<i64>>,
    pub is_awaiting: Vec<bool>,
    pub is_untold: Vec<bool>,
    pub sequence: Vec<i64>,
    pub started: Vec<Option<Time>>,
    pub ended: Vec<Option<Time>>,
    pub updated: Vec<Time>,
    pub status: Vec<String>,
}

/// Awaited events of the jobs whose statuses change.
#[derive(Debug, Default)]
pub(super) struct Awaits {
    /// Jobs that had rows, and may keep some of them.
    pub before: Vec<Uuid>,
    pub event_type: Vec<Vec<u8>>,
    pub job: Vec<Uuid>,
}

#[derive(Debug, Default)]
pub(super) struct Instances {
    pub job: Vec<Uuid>,
    pub task: Vec<String>,
    pub iteration: Vec<String>,
    pub state: Vec<&'static str>,
    pub attempt: Vec<i64>,
    pub body: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    pub job: Vec<Uuid>,
    pub sequence: Vec<i64>,
    pub ordinal: Vec<i32>,
    pub at: Vec<Time>,
    pub fact: Vec<String>,
    pub body: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub job: Vec<Uuid>,
    pub task: Vec<String>,
    pub iteration: Vec<String>,
    pub name: Vec<Vec<u8>>,
    pub value: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Records {
    pub kind: Vec<&'static str>,
    pub id: Vec<Vec<u8>>,
    pub generation: Vec<i64>,
    pub name: Vec<String>,
    pub state: Vec<String>,
    pub alarm: Vec<Option<Time>>,
    pub body: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    pub key: Vec<Vec<u8>>,
    pub kind: Vec<&'static str>,
    pub body: Vec<String>,
    pub job: Vec<Uuid>,
    pub at: Vec<Option<Time>>,
}

/// Everything that one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub purged: Vec<Uuid>,
    pub flows: Flows,
    pub jobs: Jobs,
    pub statuses: Statuses,
    pub awaits: Awaits,
    pub instances: Instances,
    pub entries: Entries,
    pub notes: Notes,
    pub gone_records: (Vec<&'static str>, Vec<Vec<u8>>),
    pub new_records: Records,
    pub changed_records: Records,
    pub gone_keys: Vec<Vec<u8>>,
    pub new_keys: Keys,
}

impl Columns {
    pub fn of(batch: &Batch<'_>) -> Result<Self, StoreFailure> {
        let mut columns = Self::default();
        let mut flows = BTreeMap::new();
        for (job, rows) in &batch.changes.jobs {
            if rows.is_purged {
                columns.purged.push(job.0);
            }
            if let Some(birth) = rows.birth {
                flows.insert(birth.spec.flow, &*birth.flow);
                columns.jobs.push(birth)?;
            }
            if let Some(status) = rows.status {
                columns.statuses.push(*job, status)?;
                columns.awaits.push(*job, status, batch.is_awaiting(*job));
            }
            for instance in rows.instances.values() {
                columns.instances.push(*job, instance)?;
            }
            for entry in &rows.entries {
                columns.entries.push(*job, entry)?;
            }
            for ((instance, name), value) in &rows.notes {
                columns.notes.job.push(job.0);
                columns.notes.task.push(instance.task.clone());
                columns.notes.iteration.push(row::iteration(instance));
                columns.notes.name.push(name.as_bytes().to_vec());
                columns.notes.value.push(value.to_vec());
            }
        }
        for (digest, flow) in flows {
            columns.flows.push(digest, flow)?;
        }
        columns.records(batch)?;
        columns.keys(batch)?;
        Ok(columns)
    }

    fn records(&mut self, batch: &Batch<'_>) -> Result<(), StoreFailure> {
        for (key, record) in &batch.changes.records {
            match (batch.is_stored(key), record) {
                (true, None) => {
                    let (kind, id) = row::record_key(key);
                    self.gone_records.0.push(kind);
                    self.gone_records.1.push(id);
                }
                // It came and went within the batch.
                (false, None) => {}
                (true, Some(record)) => self.changed_records.push(key, record)?,
                (false, Some(record)) => self.new_records.push(key, record)?,
            }
        }
        Ok(())
    }

    fn keys(&mut self, batch: &Batch<'_>) -> Result<(), StoreFailure> {
        for (key, taken) in &batch.changes.holders {
            if batch.is_taken(key) {
                self.gone_keys.push(key.clone());
            }
            if let Some(taken) = taken {
                self.new_keys.push(key, taken)?;
            }
        }
        Ok(())
    }
}

impl Flows {
    fn push(&mut self, digest: Digest, flow: &Flow) -> Result<(), StoreFailure> {
        self.digest.push(digest.0.to_vec());
        self.body.push(encode(flow)?);
        // A large flow names few plugins, many times.
        let plugins: BTreeSet<_> = flow.plugins().map(|pin| pin.digest).collect();
        for plugin in plugins {
            self.plugin.push(plugin.0.to_vec());
            self.plugin_flow.push(digest.0.to_vec());
        }
        Ok(())
    }
}

impl Jobs {
    fn push(&mut self, birth: &Birth) -> Result<(), StoreFailure> {
        let spec = &*birth.spec;
        let made = Birthplace::of(spec);
        self.id.push(spec.id.0);
        self.flow.push(made.flow);
        self.owner.push(made.owner);
        self.job_type.push(made.job_type);
        self.operation.push(made.operation);
        self.trigger.push(made.trigger);
        self.created.push(made.created);
        self.spec.push(encode(spec)?);
        Ok(())
    }
}

/// The columns that a spec leads to.
pub(super) struct Birthplace {
    pub flow: Vec<u8>,
    pub owner: String,
    pub job_type: String,
    pub operation: Option<Uuid>,
    pub trigger: Option<Uuid>,
    pub created: Time,
}

impl Birthplace {
    pub fn of(spec: &JobSpec) -> Self {
        let (operation, trigger) = row::origin(spec);
        Self {
            flow: spec.flow.0.to_vec(),
            owner: shown(&spec.owner),
            job_type: shown(&spec.job_type),
            operation,
            trigger,
            created: shown_time(spec.created),
        }
    }
}

impl Statuses {
    pub fn push(&mut self, job: JobId, status: &JobStatus) -> Result<(), StoreFailure> {
        let run = status.run();
        self.id.push(job.0);
        self.state.push(status.state.word());
        self.direction.push(row::word(&status.direction)?);
        self.priority.push(status.priority);
        self.since.push(shown_time(status.triggered.unwrap_or(status.due)));
        self.alarm.push(status.alarm().map(alarm));
        self.claim_host.push(status.claim.map(|claim| claim.host.0));
        self.claim_epoch.push(status.claim.map(|claim| count(claim.epoch)));
        self.is_awaiting.push(status.awaited_events().next().is_some());
        self.is_untold.push(status.is_untold());
        self.sequence.push(count(status.sequence));
        self.started.push(run.started.map(shown_time));
        self.ended.push(run.ended.map(shown_time));
        self.updated.push(shown_time(status.updated));
        self.status.push(encode(status)?);
        Ok(())
    }
}

impl Awaits {
    fn push(&mut self, job: JobId, status: &JobStatus, was_awaiting: bool) {
        if was_awaiting {
            self.before.push(job.0);
        }
        for event_type in status.awaited_events() {
            self.event_type.push(event_type.as_bytes().to_vec());
            self.job.push(job.0);
        }
    }
}

impl Instances {
    fn push(&mut self, job: JobId, instance: &TaskInstance) -> Result<(), StoreFailure> {
        self.job.push(job.0);
        self.task.push(instance.name.task.clone());
        self.iteration.push(row::iteration(&instance.name));
        self.state.push(instance.state.word());
        self.attempt.push(instance.attempt.into());
        self.body.push(encode(instance)?);
        Ok(())
    }
}

impl Entries {
    fn push(&mut self, job: JobId, entry: &Entry) -> Result<(), StoreFailure> {
        let body = encode(entry)?;
        self.job.push(job.0);
        self.sequence.push(count(entry.sequence));
        // A transaction is bounded in units and bytes, far below as many entries.
        self.ordinal.push(i32::try_from(self.ordinal.len()).unwrap_or(i32::MAX));
        self.at.push(shown_time(entry.at));
        self.fact.push(row::fact_word(&body).to_owned());
        self.body.push(body);
        Ok(())
    }
}

impl Records {
    pub fn push(&mut self, key: &RecordKey, record: &Record) -> Result<(), StoreFailure> {
        let (kind, id) = row::record_key(key);
        let (name, state) = row::record_names(record)?;
        self.kind.push(kind);
        self.id.push(id);
        self.generation.push(count(record.generation()));
        self.name.push(name);
        self.state.push(state);
        self.alarm.push(record.alarm().map(alarm));
        self.body.push(row::encode_record(record)?);
        Ok(())
    }
}

impl Keys {
    fn push(&mut self, key: &[u8], taken: &Taken<'_>) -> Result<(), StoreFailure> {
        let (kind, body) = row::unique_parts(taken.key)?;
        self.key.push(key.to_vec());
        self.kind.push(kind);
        self.body.push(body);
        self.job.push(taken.job.0);
        self.at.push(taken.at);
        Ok(())
    }
}
