//! Loading: the rows that a batch decides on, locked in the order of their keys.
//!
//! Invariant: records before jobs, each in order, so that two transactions seldom wait for each other in a circle; where
//! they do, the database ends one of them, which is tried again. Unique keys are only read: who takes one that another
//! took meanwhile finds out when it is written.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::future::try_join4;
use tokio_postgres::{Client, Error};
use uuid::Uuid;
use windlass_core::id::{Digest, FlowId, HostId, JobId, OperationId, TriggerId};

use super::batch::Stored;
use super::row;
use super::statement::Statements;
use crate::store::admit::{EXPIRED_KEYS_MAX, Standing};
use crate::store::{Change, RecordKey, RecordKind, StoreFailure, Unit};

/// Why the rows are not there.
pub(super) enum LoadError {
    Database(Error),
    /// What is stored is not what was written.
    Broken(StoreFailure),
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// What units name.
#[derive(Debug, Default)]
pub(super) struct Names {
    jobs: BTreeSet<Uuid>,
    records: BTreeSet<RecordKey>,
    /// Some of them are changed, and not only expected.
    is_changing: bool,
    keys: BTreeSet<Vec<u8>>,
    /// Until when keys are forgotten at the latest, and how many changes forget some.
    expiry: Option<(DateTime<Utc>, usize)>,
}

impl Names {
    pub fn of<'unit>(units: impl Iterator<Item = &'unit Unit>) -> Self {
        let mut names = Self::default();
        units.flat_map(|unit| &unit.changes).for_each(|change| names.add(change));
        names
    }

    fn add(&mut self, change: &Change) {
        match change {
            Change::Job(change) => drop(self.jobs.insert(change.job.0)),
            Change::Note { job, .. } | Change::Purge { job, .. } => drop(self.jobs.insert(job.0)),
            Change::Put { record, .. } => self.record(record.key(), true),
            Change::Remove { key, .. } => self.record(*key, true),
            Change::Expect { key, .. } => self.record(*key, false),
            Change::Take { key, .. } | Change::ExpectFree { key } => {
                self.keys.insert(row::unique_key(key));
            }
            Change::ExpireKeys { before } => {
                let before = row::shown_time(*before);
                let (latest, times) = self.expiry.unwrap_or((before, 0));
                self.expiry = Some((latest.max(before), times + 1));
            }
        }
    }

    fn record(&mut self, key: RecordKey, is_changed: bool) {
        self.records.insert(key);
        self.is_changing |= is_changed;
    }
}

/// Locks and reads what the names stand for.
pub(super) async fn load(
    client: &Client,
    statements: &Statements,
    names: &Names,
) -> Result<Stored, LoadError> {
    let (kinds, ids): (Vec<_>, Vec<_>) = names.records.iter().map(row::record_key).unzip();
    // Many transactions may expect the same plugin at once; only one may change it.
    let lock = if names.is_changing { &statements.lock_records } else { &statements.share_records };
    let jobs: Vec<_> = names.jobs.iter().copied().collect();
    let keys: Vec<_> = names.keys.iter().cloned().collect();
    let (before, limit) = names.expiry.unwrap_or((DateTime::UNIX_EPOCH, 0));
    let limit = i64::try_from(limit * EXPIRED_KEYS_MAX).unwrap_or(i64::MAX);
    let (records, jobs, holders, ages) = try_join4(
        client.query(lock, &[&kinds, &ids]),
        client.query(&statements.lock_jobs, &[&jobs]),
        client.query(&statements.keys, &[&keys]),
        client.query(&statements.old_keys, &[&before, &limit]),
    )
    .await?;
    let mut stored = Stored::default();
    for row in &records {
        let key = record_key(row.get(0), row.get(1)).map_err(LoadError::Broken)?;
        stored.generations.insert(key, row.get::<_, i64>(2).cast_unsigned());
    }
    for row in &jobs {
        let (id, word): (Uuid, &str) = (row.get(0), row.get(1));
        let state = row::state(word)
            .ok_or_else(|| row::corrupt("job_status", id, format_args!("the state {word:?} is unknown")));
        let standing = Standing {
            state: state.map_err(LoadError::Broken)?,
            sequence: row.get::<_, i64>(2).cast_unsigned(),
            claim_epoch: row.get::<_, Option<i64>>(3).map(i64::cast_unsigned),
        };
        stored.jobs.insert(JobId(id), standing);
        if row.get(4) {
            stored.awaiting.insert(JobId(id));
        }
    }
    for row in holders.iter().chain(&ages) {
        let key: Vec<u8> = row.get(0);
        stored.holders.insert(key.clone(), JobId(row.get(1)));
        if let Some(at) = row.get::<_, Option<DateTime<Utc>>>(2) {
            stored.ages.insert((at, key));
        }
    }
    Ok(stored)
}

fn record_key(kind: &str, id: &[u8]) -> Result<RecordKey, StoreFailure> {
    let broken = || {
        let key = format!("{kind}/{}", row::hex(id));
        row::corrupt("record", key, format_args!("the key is not one of this table"))
    };
    let kind = RecordKind::ALL.into_iter().find(|known| row::kind_word(*known) == kind).ok_or_else(broken)?;
    let uuid = || Uuid::from_slice(id).map_err(|_| broken());
    Ok(match kind {
        RecordKind::Plugin => RecordKey::Plugin(Digest(id.try_into().map_err(|_| broken())?)),
        RecordKind::Trigger => RecordKey::Trigger(TriggerId(uuid()?)),
        RecordKind::Operation => RecordKey::Operation(OperationId(uuid()?)),
        RecordKind::Host => RecordKey::Host(HostId(uuid()?)),
        RecordKind::Import => RecordKey::Import,
        RecordKind::Flow => RecordKey::Flow(FlowId(uuid()?)),
        RecordKind::FlowRevision => {
            let (id, revision) = id.split_last_chunk::<4>().ok_or_else(broken)?;
            let id = Uuid::from_slice(id).map_err(|_| broken())?;
            RecordKey::FlowRevision(FlowId(id), u32::from_be_bytes(*revision))
        }
    })
}
