//! Times and durations, as people write and read them.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// No duration on the command line is longer, so that adding one to any present time stays in range.
const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// An instant: RFC 3339, or `+` and a duration from now.
pub fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    if let Some(after) = text.strip_prefix('+') {
        let after =
            chrono::TimeDelta::from_std(duration(after)?).map_err(|_| format!("{text:?} is too far away"))?;
        return Ok(timestamp(Utc::now() + after));
    }
    DateTime::parse_from_rfc3339(text).map(|time| timestamp(time.with_timezone(&Utc))).map_err(|_| {
        format!("{text:?} is no time: write RFC 3339, such as 2026-11-21T08:00:00Z, or +90s from now")
    })
}

/// A duration: numbers with units, such as `1h30m`; a bare `0` too.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("{text:?} is no duration: write numbers with units, such as 500ms, 90s, 1h30m, 7d");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60).ok_or_else(refused)?),
            "h" => Duration::from_secs(number.checked_mul(3_600).ok_or_else(refused)?),
            "d" => Duration::from_secs(number.checked_mul(86_400).ok_or_else(refused)?),
            _ => return Err(refused()),
        };
        total = total.checked_add(part).ok_or_else(refused)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(refused());
    }
    if total > DURATION_MAX {
        return Err(format!("{text:?} is longer than 36600d"));
    }
    Ok(total)
}

/// A duration for the wire.
pub fn wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        // `duration` and the host keep durations far below what an i64 of seconds can hold.
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A duration of the wire; a negative one is none.
pub fn of_wire(duration: &prost_types::Duration) -> Duration {
    Duration::try_from(*duration).unwrap_or(Duration::ZERO)
}

pub fn timestamp(time: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// What chrono can hold of it; nothing otherwise.
pub fn of_timestamp(time: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

/// RFC 3339 in UTC with milliseconds, for programs and tables alike.
pub fn rfc3339(time: &prost_types::Timestamp) -> String {
    match of_timestamp(time) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        None => time.to_string(),
    }
}

/// A duration for people: `0.8ms`, `85ms`, `1.25s`, `2m05s`, `3h07m`, `2d04h`.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration < Duration::from_millis(10) => {
            format!("{:.1}ms", duration.as_secs_f64() * 1_000.0)
        }
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.2}s", duration.as_secs_f64()),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A duration that `duration` reads again, exact to the millisecond.
pub fn written(duration: Duration) -> String {
    let mut text = String::new();
    let seconds = duration.as_secs();
    for (size, unit) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        let number = match size {
            86_400 => seconds / size,
            3_600 => seconds / size % 24,
            _ => seconds / size % 60,
        };
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if duration.subsec_millis() > 0 {
        text.push_str(&format!("{}ms", duration.subsec_millis()));
    }
    if text.is_empty() {
        text.push('0');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for text in ["500ms", "90s", "5m", "1h30m", "7d", "1d2h3m4s5ms", "0"] {
            let value = duration(text).unwrap();
            assert_eq!(duration(&written(value)), Ok(value), "{text}");
        }
        assert_eq!(written(Duration::from_secs(90)), "1m30s");
        for bad in ["", "5", "s", "5 s", "-5s", "5y", "99999999999999999999s", "40000d", "é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instants_are_rfc_3339_or_from_now() {
        let time = instant("2026-11-21T09:00:00+01:00").unwrap();
        assert_eq!(rfc3339(&time), "2026-11-21T08:00:00.000Z");
        assert!(instant("+1h").unwrap().seconds > Utc::now().timestamp() + 3_500);
        for bad in ["", "+", "tomorrow", "2026-11-21", "+-5s"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_for_people_are_short() {
        for (milliseconds, text) in [
            (0, "0.0ms"),
            (85, "85ms"),
            (1_250, "1.25s"),
            (125_000, "2m05s"),
            (11_220_000, "3h07m"),
            (187_200_000, "2d04h"),
        ] {
            assert_eq!(human(Duration::from_millis(milliseconds)), text);
        }
    }
}
