//! Reading records, unique keys, and what needs a plugin.

use uuid::Uuid;
use windlass_core::id::{Digest, JobId};
use windlass_core::job::JobState;
use windlass_core::operation::Operation;
use windlass_core::revision::FlowRevision;

use super::connection::Readers;
use super::job::rows_max;
use super::row::{self, decode};
use crate::store::admit::needs_plugins;
use crate::store::{Record, RecordKey, RecordKind, Reference, StoreFailure, UniqueKey};

pub(super) async fn record(readers: &Readers, key: &RecordKey) -> Result<Option<Record>, StoreFailure> {
    let (kind, id) = row::record_key(key);
    let rows = readers.rows("SELECT body FROM record WHERE kind = $1 AND id = $2", &[&kind, &id]).await?;
    rows.first().map(|row| row::decode_record(key.kind(), &id, row.get(0))).transpose()
}

pub(super) async fn records(
    readers: &Readers,
    kind: RecordKind,
    after: Option<&RecordKey>,
    limit: usize,
) -> Result<Vec<Record>, StoreFailure> {
    let statement = "SELECT id, body FROM record WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3";
    // No id is empty.
    let after = after.map(|key| row::record_key(key).1).unwrap_or_default();
    let rows = readers.rows(statement, &[&row::kind_word(kind), &after, &rows_max(limit)]).await?;
    rows.iter().map(|row| row::decode_record(kind, row.get(0), row.get(1))).collect()
}

pub(super) async fn holder(readers: &Readers, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
    let rows = readers.rows("SELECT job FROM unique_key WHERE key = $1", &[&row::unique_key(key)]).await?;
    Ok(rows.first().map(|row| JobId(row.get::<_, Uuid>(0))))
}

/// Operations first, then revisions of flows, then jobs by flow.
pub(super) async fn references(
    readers: &Readers,
    plugin: Digest,
    limit: usize,
) -> Result<Vec<Reference>, StoreFailure> {
    let mut found = Vec::new();
    let operations =
        readers.rows("SELECT body FROM record WHERE kind = 'operation' ORDER BY id", &[]).await?;
    for row in &operations {
        let operation: Operation = decode("record/operation", plugin, row.get(0))?;
        let is_named = operation.flow.plugins().any(|pin| pin.digest == plugin);
        if operation.deleted.is_none() && is_named && found.len() < limit {
            found.push(Reference::Operation(operation.id));
        }
    }
    let revisions =
        readers.rows("SELECT body FROM record WHERE kind = 'flow_revision' ORDER BY id", &[]).await?;
    for row in &revisions {
        let revision: FlowRevision = decode("record/flow_revision", plugin, row.get(0))?;
        let is_named = revision.flow.plugins().any(|pin| pin.digest == plugin);
        if is_named && found.len() < limit {
            found.push(Reference::FlowRevision(revision.name()));
        }
    }
    let needing: Vec<&str> =
        JobState::ALL.into_iter().filter(|state| needs_plugins(*state)).map(JobState::word).collect();
    let jobs = "SELECT j.id FROM flow_plugin p JOIN job j ON j.flow = p.flow JOIN job_status s ON s.id = j.id \
         WHERE p.plugin = $1 AND s.state = ANY($2) ORDER BY p.flow, j.id LIMIT $3";
    let rest = rows_max(limit - found.len());
    let jobs = readers.rows(jobs, &[&plugin.0.as_slice(), &needing, &rest]).await?;
    found.extend(jobs.iter().map(|row| Reference::Job(JobId(row.get(0)))));
    Ok(found)
}
