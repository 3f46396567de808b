//! Schedules: when a trigger is due by time.
//!
//! A schedule is one cadence within bounds. What people write ([`ScheduleSpec`]) is text; what is stored ([`Schedule`])
//! was validated, so that every problem is told at creation, all at once. [`Schedule::compile`] makes the
//! [`Timetable`] that answers *when next*.
//!
//! Invariant: an occurrence is strictly after `start` and not after `end`. The start itself never fires.

mod civil;
mod timetable;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use civil::CronRule;
pub use timetable::{SKIM_SCAN_MAX, Skimmed, Timetable};

use crate::problem::Problems;

/// The shortest interval that a host accepts unless it is configured otherwise: a job costs a few commits and an
/// instance, so more often than once a second is a loop inside a plugin, not a schedule.
pub const INTERVAL_FLOOR_MS: u64 = 1_000;
/// The longest interval: a year. Longer ones are a mistake in the unit.
pub const INTERVAL_MS_MAX: u64 = 366 * 24 * 3_600 * 1_000;
/// Bytes of a cron expression; seven fields of every value written out stay below it.
pub const CRON_BYTES_MAX: usize = 512;
/// Instants are taken from 1970 up to this one, 3000-01-01: the search for an impossible date ends there.
pub const HORIZON_SECONDS: i64 = 32_503_680_000;
/// How many occurrences of a cron rule are looked at to find how often it fires at most. A rule has at most 60
/// seconds in a minute, so two minutes' worth shows its closest pair.
const FLOOR_SAMPLES: usize = 128;
/// The zone of a cron rule that names none.
const ZONE_DEFAULT: &str = "UTC";

/// When a trigger is due, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub cadence: Cadence,
    /// Occurrences are strictly after it.
    #[serde(default)]
    pub start: Option<DateTime<Utc>>,
    /// The last instant at which an occurrence may be.
    #[serde(default)]
    pub end: Option<DateTime<Utc>>,
}

/// How the occurrences follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// At `anchor + k * every_ms` for every whole `k`: elapsed time, whatever the wall clock shows.
    Interval { every_ms: u64, anchor: DateTime<Utc> },
    /// When the wall clock of `zone` shows what `expression` says.
    Cron { expression: String, zone: String },
}

/// When a trigger shall be due, as people write it. Instants are RFC 3339 text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    pub cadence: CadenceSpec,
    #[serde(default)]
    pub start: Option<String>,
    #[serde(default)]
    pub end: Option<String>,
}

/// The cadence as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CadenceSpec {
    Interval {
        every_ms: i64,
        /// What the interval is counted from. Default: the start, else the trigger's creation.
        #[serde(default)]
        anchor: Option<String>,
    },
    Cron {
        /// 5 fields (minute first), 6 (second first) or 7 (year last).
        expression: String,
        /// IANA name; UTC where absent or empty.
        #[serde(default)]
        zone: Option<String>,
    },
}

/// What a schedule is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleContext {
    pub now: DateTime<Utc>,
    /// The anchor of an interval that has neither an anchor nor a start.
    pub anchor: DateTime<Utc>,
    /// The host's floor: a schedule that fires more often is refused.
    pub floor_ms: u64,
}

/// A stored schedule that this host cannot evaluate. The trigger is kept: another host or release may be able to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error(
        "the time zone {zone:?} is unknown on this host: install its zone database or change the trigger"
    )]
    UnknownZone { zone: String },
    #[error("the cron expression {expression:?} cannot be read: {reason}")]
    Unreadable { expression: String, reason: String },
}

impl Schedule {
    /// What `spec` says, or everything that is wrong with it, with paths below `schedule`.
    pub fn validate(spec: &ScheduleSpec, context: ScheduleContext) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let start = instant(&mut problems, "schedule.start", spec.start.as_deref());
        let end = instant(&mut problems, "schedule.end", spec.end.as_deref());
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            problems.add("schedule.end", format!("{end} is not after the start {start}: choose a later end"));
        }
        let fallback = start.unwrap_or(context.anchor);
        let Some(cadence) = cadence(&mut problems, &spec.cadence, fallback, context.floor_ms) else {
            return Err(problems);
        };
        let schedule = Self { cadence, start, end };
        if problems.0.is_empty() {
            schedule.check_times(&mut problems, context);
        }
        problems.or(schedule)
    }

    /// The timetable of this schedule.
    pub fn compile(&self) -> Result<Timetable, ScheduleError> {
        Timetable::of(self)
    }

    /// The first occurrence strictly after `after`, if there is one.
    pub fn next_after(&self, after: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, ScheduleError> {
        Ok(self.compile()?.next_after(after))
    }

    /// The first `limit` occurrences after `after`: what a preview shows.
    pub fn preview(&self, after: DateTime<Utc>, limit: usize) -> Result<Vec<DateTime<Utc>>, ScheduleError> {
        let timetable = self.compile()?;
        let next = |at: &DateTime<Utc>| timetable.next_after(*at);
        Ok(std::iter::successors(timetable.next_after(after), next).take(limit).collect())
    }

    /// Adds what only the occurrences themselves can tell: that there are none, or that they are too close.
    fn check_times(&self, problems: &mut Problems, context: ScheduleContext) {
        let timetable = match self.compile() {
            Ok(timetable) => timetable,
            Err(error) => return problems.add("schedule", error.to_string()),
        };
        if timetable.next_after(context.now).is_none() {
            return problems.add(self.path(), self.why_never(context.now, &timetable));
        }
        let Cadence::Cron { .. } = self.cadence else {
            return;
        };
        // Cron has whole seconds: what the default floor asks is always kept.
        if context.floor_ms <= 1_000 {
            return;
        }
        if let Some(closest) = closest(&timetable, context.now)
            && closest < context.floor_ms
        {
            problems.add(self.path(), too_often(closest, context.floor_ms));
        }
    }

    fn why_never(&self, now: DateTime<Utc>, timetable: &Timetable) -> String {
        match self.end {
            Some(end) if end <= now => format!("the end {end} has passed: choose a later end"),
            Some(end) if timetable.is_ever_due() => {
                format!(
                    "no occurrence is after now and not after the end {end}: choose a later end or another rule"
                )
            }
            _ => "no such date or time will ever come: correct the rule".to_owned(),
        }
    }

    fn path(&self) -> &'static str {
        match self.cadence {
            Cadence::Interval { .. } => "schedule.interval.every_ms",
            Cadence::Cron { .. } => "schedule.cron.expression",
        }
    }
}

fn cadence(
    problems: &mut Problems,
    spec: &CadenceSpec,
    fallback: DateTime<Utc>,
    floor_ms: u64,
) -> Option<Cadence> {
    match spec {
        CadenceSpec::Interval { every_ms, anchor } => {
            let anchor = instant(problems, "schedule.interval.anchor", anchor.as_deref()).unwrap_or(fallback);
            let every_ms = interval(problems, *every_ms, floor_ms)?;
            Some(Cadence::Interval { every_ms, anchor: whole_milliseconds(anchor) })
        }
        CadenceSpec::Cron { expression, zone } => {
            let zone = zone.as_deref().filter(|zone| !zone.is_empty()).unwrap_or(ZONE_DEFAULT);
            if let Err(error) = civil::zone(zone) {
                problems.add(
                    "schedule.cron.zone",
                    format!("{error}; use an IANA name such as \"Europe/Berlin\""),
                );
            }
            if let Err(reason) = civil::parse(expression) {
                problems.add(
                    "schedule.cron.expression",
                    format!("the pattern {expression:?} is refused: {reason}"),
                );
            }
            Some(Cadence::Cron { expression: expression.trim().to_owned(), zone: zone.to_owned() })
        }
    }
}

fn interval(problems: &mut Problems, every_ms: i64, floor_ms: u64) -> Option<u64> {
    const PATH: &str = "schedule.interval.every_ms";
    match u64::try_from(every_ms) {
        Err(_) | Ok(0) => {
            problems.add(PATH, format!("{every_ms} is not an interval: give milliseconds above 0"))
        }
        Ok(every) if every < floor_ms => problems.add(PATH, too_often(every, floor_ms)),
        Ok(every) if every > INTERVAL_MS_MAX => {
            problems.add(PATH, format!("{every} ms is too long: at most {INTERVAL_MS_MAX} ms"));
        }
        Ok(every) => return Some(every),
    }
    None
}

fn too_often(every_ms: u64, floor_ms: u64) -> String {
    format!(
        "fires every {every_ms} ms, more often than this host's floor of {floor_ms} ms: choose a longer interval"
    )
}

fn closest(timetable: &Timetable, now: DateTime<Utc>) -> Option<u64> {
    let next = |at: &DateTime<Utc>| timetable.next_after(*at);
    let times: Vec<_> = std::iter::successors(timetable.next_after(now), next).take(FLOOR_SAMPLES).collect();
    times.windows(2).filter_map(|pair| u64::try_from((pair[1] - pair[0]).num_milliseconds()).ok()).min()
}

/// The instant that `text` names; `None` where there is no text, and where there is a problem.
fn instant(problems: &mut Problems, path: &str, text: Option<&str>) -> Option<DateTime<Utc>> {
    let text = text?.trim();
    if text.is_empty() {
        problems.add(path, "is empty: give an RFC 3339 time such as 2026-11-21T08:00:00Z, or leave it out");
        return None;
    }
    if text.parse::<f64>().is_ok() {
        problems.add(path, format!("{text} is a number: give an RFC 3339 time such as 2026-11-21T08:00:00Z"));
        return None;
    }
    let Ok(instant) = DateTime::parse_from_rfc3339(text) else {
        problems.add(path, format!("{text:?} is not a time: give RFC 3339 such as 2026-11-21T08:00:00Z"));
        return None;
    };
    let instant = instant.with_timezone(&Utc);
    if !(0..HORIZON_SECONDS).contains(&instant.timestamp()) {
        problems.add(path, format!("{text} is out of bounds: give a time from 1970 to 2999"));
        return None;
    }
    Some(instant)
}

/// `instant` without what is below a millisecond.
pub(crate) fn whole_milliseconds(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(instant.timestamp_millis()).unwrap_or(instant)
}

#[cfg(test)]
mod tests;
