//! Reading records, unique keys, and what needs a plugin.

use std::ops::Bound;

use windlass_core::flow::Flow;
use windlass_core::id::{Digest, JobId};
use windlass_core::job::JobStatus;
use windlass_core::operation::Operation;
use windlass_core::revision::FlowRevision;

use super::codec::{self, corrupt};
use super::key;
use super::snapshot::Snapshot;
use super::stored;
use super::table::Table;
use crate::store::admit::needs_plugins;
use crate::store::{Record, RecordKey, RecordKind, Reference, StoreFailure, UniqueKey};

pub(super) fn record(snapshot: &Snapshot, key: &RecordKey) -> Result<Option<Record>, StoreFailure> {
    let row = key::record(key);
    snapshot.get(Table::Record, &row)?.map(|bytes| stored::decode_record(&row, &bytes)).transpose()
}

pub(super) fn records(
    snapshot: &Snapshot,
    kind: RecordKind,
    after: Option<&RecordKey>,
    limit: usize,
) -> Result<Vec<Record>, StoreFailure> {
    let prefix = [key::record_kind(kind)];
    let after = after.map(key::record);
    let lower = after.as_deref().map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
    let end = key::after_prefix(&prefix);
    let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut records = Vec::new();
    snapshot.scan(Table::Record, (lower, upper), |key, value| {
        if records.len() >= limit {
            return Ok(false);
        }
        records.push(stored::decode_record(key, value)?);
        Ok(true)
    })?;
    Ok(records)
}

pub(super) fn holder(snapshot: &Snapshot, unique: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
    let row = unique.to_bytes();
    snapshot.get(Table::Unique, &row)?.map(|value| stored::holder(&row, &value)).transpose()
}

/// Operations first, then revisions of flows, then jobs by flow. Looks at every job of every flow that names the plugin until `limit` are
/// found: an answer of "none" must be true, as what is not needed may be removed.
pub(super) fn references(
    snapshot: &Snapshot,
    plugin: Digest,
    limit: usize,
) -> Result<Vec<Reference>, StoreFailure> {
    let mut found = Vec::new();
    snapshot.scan_prefix(Table::Record, &[key::record_kind(RecordKind::Operation)], |key, value| {
        let operation: Operation = codec::decode(Table::Record, key, value)?;
        if operation.deleted.is_none() && names(&operation.flow, plugin) {
            found.push(Reference::Operation(operation.id));
        }
        Ok(found.len() < limit)
    })?;
    snapshot.scan_prefix(Table::Record, &[key::record_kind(RecordKind::FlowRevision)], |key, value| {
        if found.len() >= limit {
            return Ok(false);
        }
        let revision: FlowRevision = codec::decode(Table::Record, key, value)?;
        if names(&revision.flow, plugin) {
            found.push(Reference::FlowRevision(revision.name()));
        }
        Ok(true)
    })?;
    let mut flows = Vec::new();
    snapshot.scan_prefix(Table::Flow, &[], |key, value| {
        if names(&codec::decode(Table::Flow, key, value)?, plugin) {
            flows.push(key.to_vec());
        }
        Ok(true)
    })?;
    for flow in flows {
        snapshot.scan_prefix(Table::FlowUse, &flow, |key, _| {
            if found.len() >= limit {
                return Ok(false);
            }
            let job = key::job_at(key, flow.len());
            let job = job.ok_or_else(|| corrupt(Table::FlowUse, key, format_args!("it names no job")))?;
            if needs_plugins_of(snapshot, job)? {
                found.push(Reference::Job(job));
            }
            Ok(true)
        })?;
    }
    found.truncate(limit);
    Ok(found)
}

fn names(flow: &Flow, plugin: Digest) -> bool {
    flow.plugins().any(|pin| pin.digest == plugin)
}

fn needs_plugins_of(snapshot: &Snapshot, job: JobId) -> Result<bool, StoreFailure> {
    let status: Option<JobStatus> = snapshot.row(Table::Status, &key::job(job))?;
    Ok(status.is_some_and(|status| needs_plugins(status.state)))
}
