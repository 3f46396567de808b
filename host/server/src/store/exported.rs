//! What a store exports: everything in it, item by item, in one order that is the same on every store.
//!
//! Invariant: the ranks of the items of one export ascend; none is there twice. What a store keeps besides
//! (indexes, the tail, numbers of transactions) follows from these items and is not among them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use windlass_core::entry::Entry;
use windlass_core::flow::Flow;
use windlass_core::id::{Digest, JobId};
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::{JobSpec, JobStatus};

use crate::store::{Record, RecordKey, UniqueKey};

/// One item.
#[derive(Debug, Clone, PartialEq)]
pub enum Exported {
    /// A blob begins; its pieces follow.
    Blob {
        digest: Digest,
        size_bytes: u64,
    },
    /// Bytes of the blob before, of any length: where a store cuts means nothing.
    Piece(Vec<u8>),
    Record(Box<Record>),
    /// A job begins; its instances, entries and notes follow.
    Job {
        spec: Arc<JobSpec>,
        flow: Arc<Flow>,
        status: Box<JobStatus>,
    },
    /// Of the job before.
    Instance(Box<TaskInstance>),
    /// Of the job before.
    Entry(Box<Entry>),
    /// Of the job before.
    Note {
        task: InstanceName,
        name: String,
        value: Vec<u8>,
    },
    /// A unique key with the job that holds it. `taken`, to the microsecond, is known of the keys that expire.
    Key {
        key: UniqueKey,
        taken: Option<DateTime<Utc>>,
        job: JobId,
    },
    /// A row that cannot be read, or that contradicts another: where it is and what is wrong. Not part of the order.
    Broken(String),
}

/// Where an item is among all: the order of the variants, then that of what they hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Start,
    Blob(Digest),
    Record(RecordKey),
    Job(JobId, JobRank),
    Key(KeyRank),
}

/// Where an item is within its job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobRank {
    Job,
    /// By the bytes of the task's name, then by iteration.
    Instance(InstanceName),
    Entry(u64),
    Note(InstanceName, String),
}

/// Where a unique key is among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRank {
    /// By the time at which it was taken; then requests before events, by the length of the principal or source in
    /// bytes, by its bytes, by the bytes of the id.
    Expiring {
        taken: DateTime<Utc>,
        kind: u8,
        first_len: usize,
        first: String,
        second: String,
    },
    Occurrence(Vec<u8>),
}

impl Exported {
    /// Where it belongs. `job` is the job before it. None for what has no rank of its own: pieces, broken rows, and
    /// what is of a job where there is none.
    pub fn rank(&self, job: Option<JobId>) -> Option<Rank> {
        Some(match self {
            Self::Blob { digest, .. } => Rank::Blob(*digest),
            Self::Record(record) => Rank::Record(record.key()),
            Self::Job { spec, .. } => Rank::Job(spec.id, JobRank::Job),
            Self::Instance(instance) => Rank::Job(job?, JobRank::Instance(instance.name.clone())),
            Self::Entry(entry) => Rank::Job(job?, JobRank::Entry(entry.sequence)),
            Self::Note { task, name, .. } => Rank::Job(job?, JobRank::Note(task.clone(), name.clone())),
            Self::Key { key, taken, .. } => Rank::Key(KeyRank::of(key, *taken)?),
            Self::Piece(_) | Self::Broken(_) => return None,
        })
    }
}

impl KeyRank {
    /// None where a key that expires has no time, or another has one.
    fn of(key: &UniqueKey, taken: Option<DateTime<Utc>>) -> Option<Self> {
        let expiring = |kind, first: &String, second: &String| {
            let (first, second) = (first.clone(), second.clone());
            Some(Self::Expiring { taken: taken?, kind, first_len: first.len(), first, second })
        };
        match key {
            UniqueKey::Request { principal, request_id } => expiring(0, principal, request_id),
            UniqueKey::Event { source, id } => expiring(1, source, id),
            UniqueKey::Occurrence { key } => taken.is_none().then(|| Self::Occurrence(key.clone())),
        }
    }
}
