//! Instants and durations.

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::{Duration, Timestamp};
use windlass_core::problem::Problems;

/// The last second of a `google.protobuf.Timestamp`: the end of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos().min(999_999_999) as i32 }
}

/// An instant from 1970 on.
pub fn instant(problems: &mut Problems, path: &str, time: Option<&Timestamp>) -> Option<DateTime<Utc>> {
    let time = time?;
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let seconds = Some(time.seconds).filter(|seconds| (0..=SECONDS_MAX).contains(seconds));
    let instant = seconds.zip(nanos).and_then(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos));
    if instant.is_none() {
        problems.add(
            path,
            "is not a time from 1970 to 9999: give seconds since 1970 and 0 to 999,999,999 nanoseconds",
        );
    }
    instant
}

/// An instant as people write it, for specifications that are text.
pub fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

pub fn duration(millis: u64) -> Duration {
    Duration {
        seconds: i64::try_from(millis / 1_000).unwrap_or(i64::MAX),
        nanos: (millis % 1_000) as i32 * 1_000_000,
    }
}

/// Whole milliseconds, rounded up, so that nothing positive becomes 0.
pub fn millis(problems: &mut Problems, path: &str, duration: Option<&Duration>) -> Option<u64> {
    let duration = duration?;
    let seconds = u64::try_from(duration.seconds).ok();
    let nanos = u64::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let millis = seconds.zip(nanos).and_then(|(seconds, nanos)| {
        let millis = seconds.checked_mul(1_000)?.checked_add(nanos.div_ceil(1_000_000))?;
        i64::try_from(millis).is_ok().then_some(millis)
    });
    if millis.is_none() {
        problems.add(path, "is not a duration of 0 or more: give seconds and 0 to 999,999,999 nanoseconds");
    }
    millis
}
