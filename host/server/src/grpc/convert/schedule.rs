//! Schedules: text in the core's specifications, messages on the wire.

use windlass_core::problem::Problems;
use windlass_core::schedule::{Cadence, CadenceSpec, Schedule, ScheduleSpec};
use windlass_proto::v1;
use windlass_proto::v1::schedule::Rule;

use super::given;
use super::time::{duration, instant, millis, text, timestamp};

/// A schedule as the client wrote it; the core checks what it says.
pub fn spec(problems: &mut Problems, path: &str, schedule: v1::Schedule) -> ScheduleSpec {
    let mut time = |field: &str, time: Option<&prost_types::Timestamp>| {
        instant(problems, &format!("{path}.{field}"), time).map(text)
    };
    let start = time("start_time", schedule.start_time.as_ref());
    let end = time("end_time", schedule.end_time.as_ref());
    ScheduleSpec { cadence: cadence(problems, path, schedule.rule), start, end }
}

fn cadence(problems: &mut Problems, path: &str, rule: Option<Rule>) -> CadenceSpec {
    match rule {
        Some(Rule::Interval(interval)) => {
            let every_path = format!("{path}.interval.every");
            let every = millis(problems, &every_path, interval.every.as_ref());
            if interval.every.is_none() {
                problems.add(every_path, "is not given: say how long one interval is");
            }
            let anchor = instant(problems, &format!("{path}.interval.anchor"), interval.anchor.as_ref());
            CadenceSpec::Interval {
                every_ms: every.and_then(|every| i64::try_from(every).ok()).unwrap_or(0),
                anchor: anchor.map(text),
            }
        }
        Some(Rule::Cron(cron)) => {
            CadenceSpec::Cron { expression: cron.expression, zone: given(&cron.time_zone) }
        }
        None => {
            problems.add(path, "has no rule: give an interval or a cron expression");
            CadenceSpec::Cron { expression: String::new(), zone: None }
        }
    }
}

/// What people would write for a stored schedule.
pub fn spec_of(schedule: &Schedule) -> ScheduleSpec {
    let cadence = match &schedule.cadence {
        Cadence::Interval { every_ms, anchor } => CadenceSpec::Interval {
            every_ms: i64::try_from(*every_ms).unwrap_or(i64::MAX),
            anchor: Some(text(*anchor)),
        },
        Cadence::Cron { expression, zone } => {
            CadenceSpec::Cron { expression: expression.clone(), zone: Some(zone.clone()) }
        }
    };
    ScheduleSpec { cadence, start: schedule.start.map(text), end: schedule.end.map(text) }
}

pub fn to_wire(schedule: &Schedule) -> v1::Schedule {
    let rule = match &schedule.cadence {
        Cadence::Interval { every_ms, anchor } => Rule::Interval(v1::Interval {
            every: Some(duration(*every_ms)),
            anchor: Some(timestamp(*anchor)),
        }),
        Cadence::Cron { expression, zone } => {
            Rule::Cron(v1::Cron { expression: expression.clone(), time_zone: zone.clone() })
        }
    };
    v1::Schedule {
        rule: Some(rule),
        start_time: schedule.start.map(timestamp),
        end_time: schedule.end.map(timestamp),
    }
}
