//! What the model holds: one map for each thing that the store's trait speaks of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, JobId};
use windlass_core::instance::InstanceName;
use windlass_core::job::Job;
use windlass_host::store::{Record, RecordKey, UniqueKey};

/// Everything that is stored. Copies share what does not change.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub jobs: BTreeMap<JobId, Arc<Job>>,
    /// Every entry of every job that is there, in the order in which they were committed.
    pub logbook: Vec<Line>,
    /// Lines ever written, and so the place of the next one. Never sinks: a purge must not move a cursor.
    pub written: u64,
    pub notes: BTreeMap<(JobId, InstanceName, String), Vec<u8>>,
    pub records: BTreeMap<RecordKey, Record>,
    pub keys: HashMap<UniqueKey, Held>,
    pub blobs: BTreeMap<Digest, Arc<Vec<u8>>>,
}

/// One entry, and where it stands in the logbook of all jobs.
#[derive(Debug, Clone)]
pub struct Line {
    pub place: u64,
    pub job: JobId,
    pub entry: Arc<Entry>,
}

/// A key that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub by: JobId,
    pub at: DateTime<Utc>,
}

impl State {
    /// The sequence number of a job's last entry; 0 where there is no such job.
    pub fn sequence(&self, job: JobId) -> u64 {
        self.jobs.get(&job).map_or(0, |job| job.status.sequence)
    }

    /// Whether every reader is told the same, but for the order of entries of different jobs.
    pub fn is_like(&self, other: &Self) -> bool {
        let lines = |state: &Self| {
            let mut lines: Vec<_> = state
                .logbook
                .iter()
                .map(|line| (line.job, line.entry.sequence, Arc::clone(&line.entry)))
                .collect();
            lines.sort_by_key(|(job, sequence, _)| (*job, *sequence));
            lines
        };
        self.jobs == other.jobs
            && self.notes == other.notes
            && self.records == other.records
            && self.keys == other.keys
            && self.blobs == other.blobs
            && lines(self) == lines(other)
    }

    /// Nothing is left of anything but the keys of occurrences, which are kept for ever.
    pub fn is_bare(&self) -> bool {
        let is_forever = |key: &UniqueKey| matches!(key, UniqueKey::Occurrence { .. });
        self.jobs.is_empty()
            && self.logbook.is_empty()
            && self.notes.is_empty()
            && self.records.is_empty()
            && self.blobs.is_empty()
            && self.keys.keys().all(is_forever)
    }
}
