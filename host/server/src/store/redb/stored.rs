//! Rows that are more than one encoded value: records by kind, entries with their transaction, holders of keys.

use serde::Deserialize;
use windlass_core::entry::Entry;
use windlass_core::id::JobId;

use super::snapshot::number;
use super::table::Table;
use super::{codec, key};
use crate::store::{Record, RecordKind, StoreFailure};

/// Bytes of a transaction's number.
const NUMBER_BYTES: usize = 8;

pub(super) fn encode_record(record: &Record) -> Result<Vec<u8>, StoreFailure> {
    match record {
        Record::Plugin(plugin) => codec::encode(plugin),
        Record::Trigger(trigger) => codec::encode(trigger),
        Record::Operation(operation) => codec::encode(operation),
        Record::Host(host) => codec::encode(host),
        Record::Import(import) => codec::encode(import),
        Record::Flow(flow) => codec::encode(flow),
        Record::FlowRevision(revision) => codec::encode(revision),
    }
}

/// The key says which kind it is.
pub(super) fn decode_record(key: &[u8], bytes: &[u8]) -> Result<Record, StoreFailure> {
    let kind = RecordKind::ALL.into_iter().find(|kind| key.first() == Some(&key::record_kind(*kind)));
    match kind {
        Some(RecordKind::Plugin) => codec::decode(Table::Record, key, bytes).map(Record::Plugin),
        Some(RecordKind::Trigger) => codec::decode(Table::Record, key, bytes).map(Record::Trigger),
        Some(RecordKind::Operation) => codec::decode(Table::Record, key, bytes).map(Record::Operation),
        Some(RecordKind::Host) => codec::decode(Table::Record, key, bytes).map(Record::Host),
        Some(RecordKind::Import) => codec::decode(Table::Record, key, bytes).map(Record::Import),
        Some(RecordKind::Flow) => codec::decode(Table::Record, key, bytes).map(Record::Flow),
        Some(RecordKind::FlowRevision) => codec::decode(Table::Record, key, bytes).map(Record::FlowRevision),
        None => Err(codec::corrupt(Table::Record, key, format_args!("its kind is unknown"))),
    }
}

/// What a change of the record expects, of which nothing else is decoded: a manifest is long, and each job that names a
/// plugin expects its generation.
pub(super) fn generation_of(key: &[u8], bytes: &[u8]) -> Result<u64, StoreFailure> {
    if key.first() == Some(&key::record_kind(RecordKind::Plugin)) {
        let counted: Counted = codec::decode(Table::Record, key, bytes)?;
        return Ok(counted.generation);
    }
    Ok(decode_record(key, bytes)?.generation())
}

/// A part of a plugin's row.
#[derive(Deserialize)]
struct Counted {
    generation: u64,
}

/// The number of the transaction, so that a purge finds the tail's row, then the entries.
pub(super) fn entries_row(batch: u64, entries: &[Entry]) -> Result<Vec<u8>, StoreFailure> {
    codec::encode_behind(&batch.to_be_bytes(), &entries)
}

pub(super) fn batch_of(key: &[u8], row: &[u8]) -> Result<u64, StoreFailure> {
    number(Table::Entry, key, row.get(..NUMBER_BYTES).unwrap_or(row))
}

pub(super) fn entries_of(key: &[u8], row: &[u8]) -> Result<Vec<Entry>, StoreFailure> {
    codec::decode(Table::Entry, key, row.get(NUMBER_BYTES..).unwrap_or(&[]))
}

pub(super) fn holder(key: &[u8], value: &[u8]) -> Result<JobId, StoreFailure> {
    key::job_at(value, 0).ok_or_else(|| codec::corrupt(Table::Unique, key, format_args!("it names no job")))
}
