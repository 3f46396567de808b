//! What is asked of the state: every answer is worked out from all that there is.

use std::cmp::Reverse;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use windlass_core::entry::Entry;
use windlass_core::flow::Flow;
use windlass_core::id::{Digest, HostId, JobId};
use windlass_core::job::JobState;
use windlass_host::store::{
    Cursor, Due, JobFilter, JobPage, Record, RecordKey, RecordKind, Reference, Subject,
};

use super::state::State;

impl State {
    pub(super) fn page(&self, filter: &JobFilter, after: Option<JobId>, limit: usize) -> JobPage {
        let older = self.jobs.values().rev().filter(|job| after.is_none_or(|after| job.id() < after));
        let mut matching = older.filter(|job| filter.matches(&job.spec, &job.status));
        let jobs: Vec<_> =
            matching.by_ref().take(limit).map(|job| (job.spec.clone(), job.status.clone())).collect();
        let is_more = matching.next().is_some();
        let next = jobs.last().map(|(spec, _)| spec.id).filter(|_| is_more);
        JobPage { jobs, next }
    }

    /// Highest priority first, then by when it was triggered, or is due, in whole microseconds, then by id.
    pub(super) fn board(&self, limit: usize) -> Vec<JobId> {
        let ready = self.jobs.values().filter(|job| job.status.state == JobState::Ready);
        let mut ready: Vec<_> = ready
            .map(|job| {
                let since = job.status.triggered.unwrap_or(job.status.due).timestamp_micros();
                (Reverse(job.status.priority), since, job.id())
            })
            .collect();
        ready.sort();
        ready.into_iter().map(|(_, _, job)| job).take(limit).collect()
    }

    /// By host, then by job.
    pub(super) fn claims(&self) -> Vec<(HostId, JobId)> {
        let claimed = self.jobs.values().filter_map(|job| Some((job.status.claim?.host, job.id())));
        let mut claims: Vec<_> = claimed.collect();
        claims.sort();
        claims
    }

    /// In the order of their ids.
    pub(super) fn awaiting(&self, event_type: &str, after: Option<JobId>, limit: usize) -> Vec<JobId> {
        let behind = self.jobs.values().filter(|job| after.is_none_or(|after| job.id() > after));
        let waiting = behind.filter(|job| job.status.awaited_events().any(|awaited| awaited == event_type));
        waiting.map(|job| job.id()).take(limit).collect()
    }

    /// In the order of their ids.
    pub(super) fn untold(&self, after: Option<JobId>, limit: usize) -> Vec<JobId> {
        let behind = self.jobs.values().filter(|job| after.is_none_or(|after| job.id() > after));
        behind.filter(|job| job.status.is_untold()).map(|job| job.id()).take(limit).collect()
    }

    /// All that wants to be looked at, oldest first; of the same instant jobs before triggers, then by id.
    pub(super) fn due(&self) -> Vec<Due> {
        let jobs = self.jobs.values().filter_map(|job| Some((job.status.alarm()?, Subject::Job(job.id()))));
        let triggers = self.records.values().filter_map(|record| match record {
            Record::Trigger(trigger) => Some((record.alarm()?, Subject::Trigger(trigger.id))),
            Record::Plugin(_)
            | Record::Operation(_)
            | Record::Host(_)
            | Record::Import(_)
            | Record::Flow(_)
            | Record::FlowRevision(_) => None,
        });
        let all = jobs.chain(triggers).map(|(at, subject)| Due { at: next_microsecond(at), subject });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|due| match due.subject {
            Subject::Job(job) => (due.at, 0, job.0),
            Subject::Trigger(trigger) => (due.at, 1, trigger.0),
        });
        all
    }

    pub(super) fn entries(&self, job: JobId, after: u64, limit: usize) -> Vec<Entry> {
        let of_job = self.logbook.iter().filter(|line| line.job == job && line.entry.sequence > after);
        of_job.take(limit).map(|line| Entry::clone(&line.entry)).collect()
    }

    /// Here a cursor is the place of the next line, as if every line were a transaction of its own.
    pub(super) fn tail(&self, cursor: Cursor, limit: usize) -> (Vec<(JobId, Entry)>, Cursor) {
        let behind = self.logbook.iter().filter(|line| line.place >= cursor.batch).take(limit);
        let mut next = cursor;
        let mut lines = Vec::new();
        for line in behind {
            next = Cursor { batch: line.place + 1, seen: 0 };
            lines.push((line.job, Entry::clone(&line.entry)));
        }
        (lines, next)
    }

    pub(super) fn tail_end(&self) -> Cursor {
        Cursor { batch: self.written, seen: 0 }
    }

    pub(super) fn records_of(&self, kind: RecordKind, after: Option<RecordKey>, limit: usize) -> Vec<Record> {
        let of_kind = self.records.iter().filter(|(key, _)| key.kind() == kind);
        let behind = of_kind.filter(|(key, _)| after.is_none_or(|after| **key > after));
        behind.take(limit).map(|(_, record)| record.clone()).collect()
    }

    pub(super) fn references(&self, plugin: Digest, limit: usize) -> Vec<Reference> {
        let names = |flow: &Flow| flow.plugins().any(|pin| pin.digest == plugin);
        let operations = self.records.values().filter_map(|record| match record {
            Record::Operation(operation) if operation.deleted.is_none() && names(&operation.flow) => {
                Some(Reference::Operation(operation.id))
            }
            Record::Plugin(_)
            | Record::Trigger(_)
            | Record::Operation(_)
            | Record::Host(_)
            | Record::Import(_)
            | Record::Flow(_) => None,
            Record::FlowRevision(revision) => {
                names(&revision.flow).then(|| Reference::FlowRevision(revision.name()))
            }
        });
        let needing = self.jobs.values().filter(|job| may_call_again(job.status.state) && names(&job.flow));
        operations.chain(needing.map(|job| Reference::Job(job.id()))).take(limit).collect()
    }
}

/// Never early: what is found due at this time is due.
fn next_microsecond(at: DateTime<Utc>) -> DateTime<Utc> {
    let whole = at.trunc_subsecs(6);
    if whole == at { at } else { whole + TimeDelta::microseconds(1) }
}

/// It has not ended, or an operator can retry or revert it.
fn may_call_again(state: JobState) -> bool {
    !state.is_ended() || matches!(state, JobState::Succeeded | JobState::Failed)
}
