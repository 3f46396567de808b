//! Units: what is committed together, and on what condition.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use windlass_core::entry::{Entry, Fact};
use windlass_core::flow::Flow;
use windlass_core::id::JobId;
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::{Job, JobSpec, JobStatus};

use crate::store::record::{Record, RecordKey};

/// Changes that happen together or not at all, in this order.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    pub changes: Vec<Change>,
    /// Only ends or removes things, such as a cancel or a purge: committed from the reserve where the disk is full.
    pub urgent: bool,
}

impl Unit {
    /// An ordinary unit.
    pub fn of(changes: Vec<Change>) -> Self {
        Self { changes, urgent: false }
    }

    /// A unit that only ends or removes things: it is let through where the disk is full.
    pub fn urgent(changes: Vec<Change>) -> Self {
        Self { changes, urgent: true }
    }
}

/// One change, with what it expects.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // Jobs, by far the most, are boxed; records are rare.
pub enum Change {
    Job(Box<JobChange>),
    /// Writes a record.
    Put {
        record: Record,
        expected: Expected,
    },
    Remove {
        key: RecordKey,
        generation: u64,
    },
    /// Changes nothing: the record must be there at this generation.
    Expect {
        key: RecordKey,
        generation: u64,
    },
    /// Takes a key that can be had once. Where it is held, the unit is refused with its holder.
    Take {
        key: UniqueKey,
        at: DateTime<Utc>,
        job: JobId,
    },
    /// Changes nothing: nobody must have taken the key. Otherwise the unit is refused with its holder.
    ExpectFree {
        key: UniqueKey,
    },
    /// Forgets request and event keys that were taken before then.
    ExpireKeys {
        before: DateTime<Utc>,
    },
    /// A checkpoint; refused unless the job is claimed with this epoch. None is for imports, which have no claim.
    Note {
        job: JobId,
        epoch: Option<u64>,
        task: InstanceName,
        name: String,
        value: Vec<u8>,
    },
    /// Removes an ended job whole: row, instances, entries, notes.
    Purge {
        job: JobId,
        sequence: u64,
    },
}

/// What must be so before a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Absent,
    Generation(u64),
    /// Whatever is there is replaced.
    Any,
}

/// Entries recorded of one job, and the rows that they lead to.
#[derive(Debug, Clone)]
pub struct JobChange {
    pub job: JobId,
    /// The sequence number that the decision was taken on; 0 for a job that must not exist yet.
    pub sequence: u64,
    /// The claim epoch that the decision was taken on, where its taker had the claim.
    pub epoch: Option<u64>,
    /// For a new job.
    pub birth: Option<Birth>,
    pub status: JobStatus,
    /// The instances that the entries touched.
    pub instances: Vec<TaskInstance>,
    pub entries: Vec<Entry>,
}

/// What of a job never changes.
#[derive(Debug, Clone)]
pub struct Birth {
    pub spec: Arc<JobSpec>,
    /// Stored once under its content hash, which the spec names.
    pub flow: Arc<Flow>,
}

/// A key that can be had once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UniqueKey {
    /// One submission, whatever its client repeats.
    Request { principal: String, request_id: String },
    /// At most one job of an operation for an occurrence.
    Occurrence { key: Vec<u8> },
    /// One event, however often it is published.
    Event { source: String, id: String },
}

/// Begin the bytes of keys, so that each kind is together.
const REQUEST: u8 = 0;
const OCCURRENCE: u8 = 1;
const EVENT: u8 = 2;

impl UniqueKey {
    /// What begins the bytes of occurrences, and of no other key.
    pub(super) const OCCURRENCE_PREFIX: [u8; 1] = [OCCURRENCE];

    /// Occurrences are kept for ever: theirs is a promise without an end. The others are forgotten some day.
    pub fn expires(&self) -> bool {
        match self {
            Self::Request { .. } | Self::Event { .. } => true,
            Self::Occurrence { .. } => false,
        }
    }

    /// What stands for it in a store, different for different keys: its kind, then its parts. The length of the first
    /// keeps ("a", "bc") and ("ab", "c") apart.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let pair = |kind: u8, first: &str, second: &str| {
            let len = (first.len() as u32).to_be_bytes();
            [&[kind], len.as_slice(), first.as_bytes(), second.as_bytes()].concat()
        };
        match self {
            Self::Request { principal, request_id } => pair(REQUEST, principal, request_id),
            Self::Occurrence { key } => [&[OCCURRENCE], key.as_slice()].concat(),
            Self::Event { source, id } => pair(EVENT, source, id),
        }
    }

    /// The key that these bytes stand for; none where they stand for none.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let (kind, rest) = bytes.split_first()?;
        if *kind == OCCURRENCE {
            return Some(Self::Occurrence { key: rest.to_vec() });
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (first, second) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        match *kind {
            REQUEST => Some(Self::Request { principal: text(first)?, request_id: text(second)? }),
            EVENT => Some(Self::Event { source: text(first)?, id: text(second)? }),
            _ => None,
        }
    }
}

impl Change {
    /// A new job.
    pub fn birth(job: &Job, entries: Vec<Entry>) -> Self {
        let birth = Birth { spec: job.spec.clone(), flow: job.flow.clone() };
        Self::job(job, entries, Some(birth), None)
    }

    /// What was recorded of a job that is stored, decided under `epoch` where its taker has the claim.
    pub fn recorded(job: &Job, entries: Vec<Entry>, epoch: Option<u64>) -> Self {
        Self::job(job, entries, None, epoch)
    }

    fn job(job: &Job, entries: Vec<Entry>, birth: Option<Birth>, epoch: Option<u64>) -> Self {
        let mut names: BTreeSet<_> = entries.iter().filter_map(|entry| entry.fact.task()).collect();
        // An end names no task, and leaves those of its children that go on.
        if entries.iter().any(|entry| matches!(entry.fact, Fact::Ended { .. })) {
            names.extend(job.untold_children());
        }
        let touched = names.into_iter().filter_map(|name| job.instances.get(name));
        let instances = touched.cloned().collect();
        Self::Job(Box::new(JobChange {
            job: job.id(),
            sequence: job.status.sequence - entries.len() as u64,
            epoch,
            birth,
            status: job.status.clone(),
            instances,
            entries,
        }))
    }
}
