//! Rows: how core types become columns, and how they come back.
//!
//! Invariant: a body comes back exactly as it was. The columns beside it may lose what PostgreSQL has no place for
//! (nanoseconds, zero bytes in text), as only indexes and people use them.

use chrono::{DateTime, Datelike as _, SubsecRound as _, TimeDelta, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use windlass_core::instance::InstanceName;
use windlass_core::job::{JobSpec, JobState, Origin};

use crate::store::{HostState, Record, RecordKey, RecordKind, StoreFailure, UniqueKey};

/// Bytes of a unique key that are stored as they are. An index takes about 2,700; no key that a host makes has more
/// than 2,053.
const KEY_BYTES_MAX: usize = 2_200;

/// The years that both PostgreSQL and chrono know, with some room.
const YEAR_MIN: i32 = -4_000;
const YEAR_MAX: i32 = 250_000;

pub(super) fn encode<T: Serialize>(row: &T) -> Result<String, StoreFailure> {
    // Only a type that JSON has no form for fails: refused before anything is stored.
    serde_json::to_string(row)
        .map_err(|error| StoreFailure::Corrupt(format!("a row cannot be encoded: {error}")))
}

pub(super) fn decode<T: DeserializeOwned>(
    table: &str,
    key: impl std::fmt::Display,
    body: &str,
) -> Result<T, StoreFailure> {
    serde_json::from_str(body)
        .map_err(|error| corrupt(table, key, format_args!("it does not decode: {error}")))
}

/// A row that is not what was written, named by its place.
pub(super) fn corrupt(
    table: &str,
    key: impl std::fmt::Display,
    what: std::fmt::Arguments<'_>,
) -> StoreFailure {
    StoreFailure::Corrupt(format!("table {table}, key {key}: {what}"))
}

/// Text for people and filters: PostgreSQL has no place for a zero byte.
pub(super) fn shown(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// A time for people, and for comparisons that may be a microsecond off.
pub(super) fn shown_time(at: DateTime<Utc>) -> DateTime<Utc> {
    let year = at.year();
    if (YEAR_MIN..=YEAR_MAX).contains(&year) {
        return at.trunc_subsecs(6);
    }
    let nearest = if year < YEAR_MIN { YEAR_MIN } else { YEAR_MAX };
    let date = chrono::NaiveDate::from_ymd_opt(nearest, 1, 1).expect("both years have a first of January");
    date.and_time(chrono::NaiveTime::MIN).and_utc()
}

/// Rounded up to the microsecond: what is found due is due.
pub(super) fn alarm(at: DateTime<Utc>) -> DateTime<Utc> {
    let floor = shown_time(at);
    if floor < at && floor.year() < YEAR_MAX { floor + TimeDelta::microseconds(1) } else { floor }
}

/// A counter as a column. None of ours gets near the end of 63 bits.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Text that sorts as the numbers do.
pub(super) fn iteration(name: &InstanceName) -> String {
    let rounds: Vec<_> = name.iteration.iter().map(|round| format!("{round:010}")).collect();
    rounds.join(".")
}

/// The name of a serde enum's variant, as it is written.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, StoreFailure> {
    let text = encode(value)?;
    Ok(variant(&text).to_owned())
}

/// The name of the variant in the JSON of an enum: `"name"`, or `{"name":...`.
fn variant(text: &str) -> &str {
    text.trim_start_matches('{').trim_start_matches('"').split('"').next().unwrap_or(text)
}

/// The name of the fact in the JSON of an entry. Quotes within strings are escaped, so the key is found nowhere else.
pub(super) fn fact_word(entry: &str) -> &str {
    entry.split_once("\"fact\":").map_or("", |(_, fact)| variant(fact))
}

/// What is looked up of a unique key: its bytes, or where they are many, the first of them and their hash.
pub(super) fn unique_key(key: &UniqueKey) -> Vec<u8> {
    let mut bytes = key.to_bytes();
    if bytes.len() > KEY_BYTES_MAX {
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.truncate(KEY_BYTES_MAX);
        // Longer than any that is stored as it is: none can pass for another.
        bytes.extend(hash);
    }
    bytes
}

pub(super) fn state(word: &str) -> Option<JobState> {
    JobState::ALL.into_iter().find(|state| state.word() == word)
}

const REQUEST: &str = "request";
const EVENT: &str = "event";
const OCCURRENCE: &str = "occurrence";

/// Kind and parts of a unique key, for people and for export.
pub(super) fn unique_parts(key: &UniqueKey) -> Result<(&'static str, String), StoreFailure> {
    Ok(match key {
        UniqueKey::Request { principal, request_id } => (REQUEST, encode(&(principal, request_id))?),
        UniqueKey::Event { source, id } => (EVENT, encode(&(source, id))?),
        UniqueKey::Occurrence { key } => (OCCURRENCE, encode(&hex(key))?),
    })
}

/// The key of such parts; none where they are of none.
pub(super) fn unique_of(kind: &str, body: &str) -> Option<UniqueKey> {
    let pair = || serde_json::from_str::<(String, String)>(body).ok();
    match kind {
        REQUEST => pair().map(|(principal, request_id)| UniqueKey::Request { principal, request_id }),
        EVENT => pair().map(|(source, id)| UniqueKey::Event { source, id }),
        OCCURRENCE => {
            let text: String = serde_json::from_str(body).ok()?;
            let pairs = text.as_bytes().chunks(2).map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
            });
            Some(UniqueKey::Occurrence { key: pairs.collect::<Option<_>>()? })
        }
        _ => None,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn kind_word(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Plugin => "plugin",
        RecordKind::Trigger => "trigger",
        RecordKind::Operation => "operation",
        RecordKind::Host => "host",
        RecordKind::Import => "import",
        RecordKind::Flow => "flow",
        RecordKind::FlowRevision => "flow_revision",
    }
}

/// The id of a record that is the only one of its kind.
const LONE_ID: [u8; 1] = [0];

pub(super) fn record_key(key: &RecordKey) -> (&'static str, Vec<u8>) {
    let id = match key {
        RecordKey::Plugin(digest) => digest.0.to_vec(),
        RecordKey::Trigger(id) => id.0.as_bytes().to_vec(),
        RecordKey::Operation(id) => id.0.as_bytes().to_vec(),
        RecordKey::Host(id) => id.0.as_bytes().to_vec(),
        RecordKey::Import => LONE_ID.to_vec(),
        RecordKey::Flow(id) => id.0.as_bytes().to_vec(),
        RecordKey::FlowRevision(id, revision) => {
            [id.0.as_bytes().as_slice(), &revision.to_be_bytes()].concat()
        }
    };
    (kind_word(key.kind()), id)
}

pub(super) fn encode_record(record: &Record) -> Result<String, StoreFailure> {
    match record {
        Record::Plugin(plugin) => encode(plugin),
        Record::Trigger(trigger) => encode(trigger),
        Record::Operation(operation) => encode(operation),
        Record::Host(host) => encode(host),
        Record::Import(import) => encode(import),
        Record::Flow(flow) => encode(flow),
        Record::FlowRevision(revision) => encode(revision),
    }
}

pub(super) fn decode_record(kind: RecordKind, id: &[u8], body: &str) -> Result<Record, StoreFailure> {
    let key = || hex(id);
    Ok(match kind {
        RecordKind::Plugin => Record::Plugin(decode("record/plugin", key(), body)?),
        RecordKind::Trigger => Record::Trigger(decode("record/trigger", key(), body)?),
        RecordKind::Operation => Record::Operation(decode("record/operation", key(), body)?),
        RecordKind::Host => Record::Host(decode("record/host", key(), body)?),
        RecordKind::Import => Record::Import(decode("record/import", key(), body)?),
        RecordKind::Flow => Record::Flow(decode("record/flow", key(), body)?),
        RecordKind::FlowRevision => Record::FlowRevision(decode("record/flow_revision", key(), body)?),
    })
}

/// Name and state of a record, for people.
pub(super) fn record_names(record: &Record) -> Result<(String, String), StoreFailure> {
    Ok(match record {
        Record::Plugin(plugin) => {
            let name = format!("{}@{}", plugin.manifest.name, plugin.manifest.version);
            (shown(&name), word(&plugin.state)?)
        }
        Record::Trigger(trigger) => (shown(&trigger.name), word(&trigger.state)?),
        Record::Operation(operation) => {
            let state = match (operation.deleted, operation.enabled) {
                (Some(_), _) => "deleted",
                (None, true) => "enabled",
                (None, false) => "disabled",
            };
            (shown(&operation.name), state.to_owned())
        }
        Record::Host(host) => (shown(&host.name), host_word(host.state).to_owned()),
        Record::Import(_) => (String::new(), "begun".to_owned()),
        Record::Flow(flow) => {
            let state = if flow.deleted.is_some() { "deleted" } else { "active" };
            (shown(&flow.name), state.to_owned())
        }
        Record::FlowRevision(revision) => (shown(&revision.name().to_string()), "active".to_owned()),
    })
}

fn host_word(state: HostState) -> &'static str {
    match state {
        HostState::Live => "live",
        HostState::Dead => "dead",
        HostState::Draining => "draining",
        HostState::Gone => "gone",
    }
}

/// The operation and the trigger that a job comes from.
pub(super) fn origin(spec: &JobSpec) -> (Option<uuid::Uuid>, Option<uuid::Uuid>) {
    match &spec.origin {
        Origin::Operation { operation, occurrence, .. } => (Some(operation.0), Some(occurrence.trigger.0)),
        Origin::Submitted | Origin::Child(_) => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(nanos)
    }

    #[test]
    fn alarms_are_never_early_and_times_stay_within_what_the_server_knows() {
        assert_eq!(alarm(at(1_000)), at(1_000));
        assert_eq!(alarm(at(1_001)), at(2_000));
        assert_eq!(alarm(at(-1)), at(0));
        for extreme in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert!((YEAR_MIN..=YEAR_MAX).contains(&alarm(extreme).year()));
        }
    }

    #[test]
    fn the_word_of_a_fact_is_found_whatever_the_actor_is_called() {
        for (entry, word) in [
            (r#"{"sequence":1,"actor":{"principal":"\"fact\":\"x\""},"fact":"triggered"}"#, "triggered"),
            (r#"{"sequence":1,"actor":{"host":"h"},"fact":{"claimed":{"epoch":1}}}"#, "claimed"),
        ] {
            assert_eq!(fact_word(entry), word);
        }
    }

    #[test]
    fn unique_keys_come_back_from_their_parts() {
        let text = "a\0\"é".to_owned();
        for key in [
            UniqueKey::Request { principal: text.clone(), request_id: String::new() },
            UniqueKey::Event { source: String::new(), id: text },
            UniqueKey::Occurrence { key: vec![0, 0xFF, 7] },
        ] {
            let (kind, body) = unique_parts(&key).expect("encodes");
            assert_eq!(unique_of(kind, &body), Some(key));
        }
        assert_eq!(unique_of("occurrence", "\"abc\""), None);
        assert_eq!(unique_of("other", "[\"a\", \"b\"]"), None);
    }

    #[test]
    fn long_keys_differ_from_each_other_and_from_short_ones() {
        let key = |len: usize| UniqueKey::Event { source: "s".repeat(len), id: "i".to_owned() };
        let keys: std::collections::BTreeSet<_> = (0..4_000).map(|len| unique_key(&key(len))).collect();
        assert_eq!(keys.len(), 4_000);
        assert!(keys.iter().all(|key| key.len() < 2_500));
    }
}
