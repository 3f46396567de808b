//! Keys of rows: bytes whose order is the order that readers want.
//!
//! Numbers are big-endian, signed ones with their sign flipped, so that comparing bytes compares values.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;
use windlass_core::id::{Digest, HostId, JobId, TriggerId};
use windlass_core::instance::InstanceName;
use windlass_core::job::{JobState, JobStatus};

use super::table::Table;
use crate::store::{Due, RecordKey, RecordKind, Subject};

/// Bytes of an id.
pub(super) const ID_BYTES: usize = 16;

pub(super) const META_SCHEMA: &[u8] = b"schema";
pub(super) const META_BATCH: &[u8] = b"batch";
/// Which write-ahead log holds what was committed since. Since schema 4.
pub(super) const META_WAL: &[u8] = b"wal";

pub(super) fn job(id: JobId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

/// The id at `from` in a key; none where the key is too short.
fn id_at(key: &[u8], from: usize) -> Option<Uuid> {
    Uuid::from_slice(key.get(from..from + ID_BYTES)?).ok()
}

pub(super) fn job_at(key: &[u8], from: usize) -> Option<JobId> {
    id_at(key, from).map(JobId)
}

pub(super) fn entries(id: JobId, first: u64) -> Vec<u8> {
    [id.0.as_bytes().as_slice(), &first.to_be_bytes()].concat()
}

pub(super) fn instance(id: JobId, name: &InstanceName) -> Vec<u8> {
    let mut key = job(id);
    key.extend_from_slice(name.task.as_bytes());
    key.push(0);
    name.iteration.iter().for_each(|round| key.extend_from_slice(&round.to_be_bytes()));
    key
}

pub(super) fn note(id: JobId, task: &InstanceName, name: &str) -> Vec<u8> {
    let mut key = instance(id, task);
    // Where the task's part ends, so that no name can pass for an iteration.
    let part = (key.len() - ID_BYTES) as u32;
    key.splice(ID_BYTES..ID_BYTES, part.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

/// The task and the name in a key of a note; none where it is not one.
pub(super) fn note_parts(key: &[u8]) -> Option<(InstanceName, String)> {
    let (length, rest) = key.get(ID_BYTES..)?.split_first_chunk::<4>()?;
    let (part, name) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let end = part.iter().position(|byte| *byte == 0)?;
    let (task, rounds) = (&part[..end], &part[end + 1..]);
    let (rounds, left) = rounds.as_chunks::<4>();
    let iteration = rounds.iter().map(|round| u32::from_be_bytes(*round)).collect();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let task = InstanceName { task: text(task)?, iteration };
    left.is_empty().then_some((task, text(name)?))
}

pub(super) fn flow_use(flow: Digest, id: JobId) -> Vec<u8> {
    [flow.0.as_slice(), id.0.as_bytes()].concat()
}

pub(super) fn claim(host: HostId, id: JobId) -> Vec<u8> {
    [host.0.as_bytes().as_slice(), id.0.as_bytes()].concat()
}

pub(super) fn claim_parts(key: &[u8]) -> Option<(HostId, JobId)> {
    Some((HostId(id_at(key, 0)?), job_at(key, ID_BYTES)?))
}

/// What all keys of jobs that wait for events of this type begin with: its length keeps a type apart from those that
/// begin with it.
pub(super) fn awaits(event_type: &str) -> Vec<u8> {
    [(event_type.len() as u32).to_be_bytes().as_slice(), event_type.as_bytes()].concat()
}

/// By type, then in the order of the jobs.
fn await_of(event_type: &str, id: JobId) -> Vec<u8> {
    [awaits(event_type).as_slice(), id.0.as_bytes()].concat()
}

/// The type and the job in a key of an await; none where it is not one.
pub(super) fn await_parts(key: &[u8]) -> Option<(&str, JobId)> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let (event_type, job) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(event_type).ok()?, lone_job(job)?))
}

/// The job in a key that is nothing but a job; none where it is not one.
pub(super) fn lone_job(key: &[u8]) -> Option<JobId> {
    job_at(key, 0).filter(|_| key.len() == ID_BYTES)
}

/// Highest priority first, then oldest first.
fn board(status: &JobStatus, id: JobId) -> Vec<u8> {
    let inverted = !ordered_i32(status.priority);
    let since = ordered_i64(status.triggered.unwrap_or(status.due).timestamp_micros());
    [inverted.to_be_bytes().as_slice(), &since.to_be_bytes(), id.0.as_bytes()].concat()
}

/// Where the job's id begins in a key of the board.
pub(super) const BOARD_JOB_AT: usize = 4 + 8;

/// Rounded up to the microsecond: what is found due is due.
pub(super) fn due(due: &Due) -> Vec<u8> {
    let floor = due.at.trunc_subsecs(6);
    let at = if floor < due.at { floor + TimeDelta::microseconds(1) } else { floor };
    let (kind, id) = match due.subject {
        Subject::Job(job) => (0u8, job.0),
        Subject::Trigger(trigger) => (1, trigger.0),
    };
    [ordered_i64(at.timestamp_micros()).to_be_bytes().as_slice(), &[kind], id.as_bytes()].concat()
}

/// Above every key that is due by `now`.
pub(super) fn due_after(now: DateTime<Utc>) -> Vec<u8> {
    ordered_i64(now.timestamp_micros().saturating_add(1)).to_be_bytes().to_vec()
}

pub(super) fn due_parts(key: &[u8]) -> Option<Due> {
    let micros = from_ordered_i64(u64::from_be_bytes(key.get(..8)?.try_into().ok()?));
    let id = id_at(key, 9)?;
    let subject = match key[8] {
        0 => Subject::Job(JobId(id)),
        1 => Subject::Trigger(TriggerId(id)),
        _ => return None,
    };
    Some(Due { at: DateTime::from_timestamp_micros(micros)?, subject })
}

pub(super) fn tail(batch: u64) -> Vec<u8> {
    batch.to_be_bytes().to_vec()
}

pub(super) fn record(key: &RecordKey) -> Vec<u8> {
    match key {
        RecordKey::Plugin(digest) => [&[record_kind(RecordKind::Plugin)], digest.0.as_slice()].concat(),
        RecordKey::Trigger(id) => [&[record_kind(RecordKind::Trigger)], id.0.as_bytes().as_slice()].concat(),
        RecordKey::Operation(id) => {
            [&[record_kind(RecordKind::Operation)], id.0.as_bytes().as_slice()].concat()
        }
        RecordKey::Host(id) => [&[record_kind(RecordKind::Host)], id.0.as_bytes().as_slice()].concat(),
        RecordKey::Import => vec![record_kind(RecordKind::Import)],
        RecordKey::Flow(id) => [&[record_kind(RecordKind::Flow)], id.0.as_bytes().as_slice()].concat(),
        RecordKey::FlowRevision(id, revision) => {
            let kind = [record_kind(RecordKind::FlowRevision)];
            [&kind, id.0.as_bytes().as_slice(), &revision.to_be_bytes()].concat()
        }
    }
}

pub(super) fn record_kind(kind: RecordKind) -> u8 {
    match kind {
        RecordKind::Plugin => 0,
        RecordKind::Trigger => 1,
        RecordKind::Operation => 2,
        RecordKind::Host => 3,
        RecordKind::Import => 4,
        RecordKind::Flow => 5,
        RecordKind::FlowRevision => 6,
    }
}

/// Bytes of a time in a key.
pub(super) const TIME_BYTES: usize = 8;

pub(super) fn time(at: DateTime<Utc>) -> [u8; TIME_BYTES] {
    ordered_i64(at.timestamp_micros()).to_be_bytes()
}

/// The time at the start of a key, to the microsecond.
pub(super) fn time_at(key: &[u8]) -> Option<DateTime<Utc>> {
    let micros = u64::from_be_bytes(*key.first_chunk::<TIME_BYTES>()?);
    DateTime::from_timestamp_micros(from_ordered_i64(micros))
}

pub(super) fn unique_age(at: DateTime<Utc>, unique: &[u8]) -> Vec<u8> {
    [time(at).as_slice(), unique].concat()
}

pub(super) fn chunk(digest: Digest, number: u32) -> Vec<u8> {
    [digest.0.as_slice(), &number.to_be_bytes()].concat()
}

/// The index rows that a job's status leads to.
pub(super) fn status_index(id: JobId, status: &JobStatus) -> Vec<(Table, Vec<u8>)> {
    let mut rows = Vec::with_capacity(2);
    if status.state == JobState::Ready {
        rows.push((Table::Board, board(status, id)));
    }
    if let Some(at) = status.alarm() {
        rows.push((Table::Due, due(&Due { at, subject: Subject::Job(id) })));
    }
    if let Some(held) = status.claim {
        rows.push((Table::Claim, claim(held.host, id)));
    }
    rows.extend(status.awaited_events().map(|event_type| (Table::Await, await_of(event_type, id))));
    if status.is_untold() {
        rows.push((Table::Untold, job(id)));
    }
    rows
}

/// The index rows that a record leads to.
pub(super) fn record_index(key: &RecordKey, alarm: Option<DateTime<Utc>>) -> Option<(Table, Vec<u8>)> {
    match key {
        RecordKey::Trigger(id) => {
            alarm.map(|at| (Table::Due, due(&Due { at, subject: Subject::Trigger(*id) })))
        }
        RecordKey::Plugin(_)
        | RecordKey::Operation(_)
        | RecordKey::Host(_)
        | RecordKey::Import
        | RecordKey::Flow(_)
        | RecordKey::FlowRevision(..) => None,
    }
}

/// The first key that does not begin with `prefix`; none where there is no such key.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut key = prefix[..=kept].to_vec();
    key[kept] += 1;
    Some(key)
}

fn ordered_i32(value: i32) -> u32 {
    (value as u32) ^ (1 << 31)
}

fn ordered_i64(value: i64) -> u64 {
    (value as u64) ^ (1 << 63)
}

fn from_ordered_i64(value: u64) -> i64 {
    (value ^ (1 << 63)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(nanos)
    }

    #[test]
    fn due_keys_sort_by_time_and_are_never_early() {
        let due_at = |nanos| Due { at: at(nanos), subject: Subject::Job(JobId(Uuid::from_u128(1))) };
        let keys: Vec<_> = [-5_000_000, -1_000, 0, 1, 1_001, i64::MAX / 2].map(|n| due(&due_at(n))).to_vec();
        assert!(keys.is_sorted());
        assert_eq!(due_parts(&due(&due_at(1_000))).map(|d| d.at), Some(at(1_000)));
        assert!(due(&due_at(1_001)) > due_after(at(1_999)));
        assert!(due(&due_at(1_001)) < due_after(at(2_000)));
    }

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255, 255]), None);
    }

    #[test]
    fn awaits_of_a_type_are_together_in_the_order_of_jobs_and_apart_from_types_that_begin_alike() {
        let jobs = [1, 2].map(|n| JobId(Uuid::from_u128(n)));
        let of = |event_type: &str| jobs.map(|job| await_of(event_type, job));
        for key in of("built") {
            assert!(key.starts_with(&awaits("built")));
            assert!(["buil", "built\0", ""].iter().all(|other| !key.starts_with(&awaits(other))));
        }
        assert!(of("built").is_sorted());
        assert_eq!(await_parts(&await_of("built", jobs[1])), Some(("built", jobs[1])));
        assert_eq!(await_parts(&awaits("built")), None);
    }

    #[test]
    fn a_note_of_one_instance_is_not_one_of_another() {
        let id = JobId(Uuid::from_u128(1));
        let first = InstanceName { task: "a".to_owned(), iteration: Vec::new() };
        let second = InstanceName { task: "a".to_owned(), iteration: vec![1] };
        assert_ne!(note(id, &first, "\u{0}\u{0}\u{0}\u{1}x"), note(id, &second, "x"));
    }
}
