//! Cron on civil time: the rule is searched on a wall clock without a zone, and one resolver applies the zone.
//!
//! What daylight saving does to a rule depends on its minute and hour fields.
//!
//! - Both fixed (`30 2 * * *`): the rule means a time of the day, once. A time that the clock jumps over fires at the
//!   end of the gap; one that comes twice fires the first time. A day that a zone leaves out altogether
//!   (Pacific/Apia, 2011-12-30) has no occurrence.
//! - One of them a wildcard (`*/15 * * * *`): the rule means elapsed time. It fires whenever the clock shows what it
//!   says, in both passes of a repeated hour and not at all in a gap.
//!
//! Invariant: `next_after(t) > t`, and stepping by it meets every occurrence once.

use chrono::{DateTime, NaiveDateTime};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::CronParser;
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::{CRON_BYTES_MAX, HORIZON_SECONDS, ScheduleError};

/// No two offsets of a zone, and so no two readings of one instant, are further apart than two days.
const OFFSET_SPAN_SECONDS: i64 = 2 * 86_400;
/// A gap at least this long swallows a date: such a day has no occurrences.
const MISSING_DAY_SECONDS: i64 = 86_400;
/// A search steps at most so often over the edges of gaps, folds and missing days. Zones have a few edges a year,
/// and long stretches without a match are skipped at once.
const EDGES_MAX: usize = 10_000;

/// A cron expression in a zone.
#[derive(Debug, Clone)]
pub struct CronRule {
    cron: Cron,
    zone: TimeZone,
    is_elapsed: bool,
}

/// Where a civil time falls on the line of instants.
struct Landing {
    /// Unix seconds; `None` where the date does not exist.
    instant: Option<i64>,
    /// Where to look on, if the instant does not serve, and whether that time itself counts.
    resume: NaiveDateTime,
    is_inclusive: bool,
}

/// The zone of that IANA name.
pub(super) fn zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let unknown = || ScheduleError::UnknownZone { zone: name.to_owned() };
    let zone = TimeZone::get(name).map_err(|_| unknown())?;
    if zone.is_unknown() { Err(unknown()) } else { Ok(zone) }
}

/// The rule of that expression, or what is wrong with it.
pub(super) fn parse(expression: &str) -> Result<Cron, String> {
    let expression = expression.trim();
    if expression.is_empty() {
        return Err("it is empty; give five fields such as \"0 3 * * *\"".to_owned());
    }
    if expression.len() > CRON_BYTES_MAX {
        return Err(format!("it is longer than {CRON_BYTES_MAX} bytes"));
    }
    // The library changes the letter case of the whole text: outside ASCII that may change its length.
    if !expression.is_ascii() {
        return Err("it has characters that no cron expression has; use digits, names and * , - / ? L W # +"
            .to_owned());
    }
    let fields = expression.split_whitespace().count();
    if !expression.starts_with('@') && !(5..=7).contains(&fields) {
        return Err(format!(
            "it has {fields} fields; give 5 (minute first), 6 (second first) or 7 (year last)"
        ));
    }
    let cron = CronParser::new().parse(expression).map_err(|error| match field_at_fault(expression) {
        Some(field) => format!("{field}: {}", told(&error)),
        None => told(&error),
    })?;
    match empty_field(&cron) {
        Some(field) => Err(format!("the {field} field names no value")),
        None => Ok(cron),
    }
}

/// A field without any value, such as a lone comma: the search for it would take half a second to give up.
fn empty_field(cron: &Cron) -> Option<&'static str> {
    let pattern = &cron.pattern;
    let parts = [&pattern.seconds, &pattern.minutes, &pattern.hours, &pattern.months];
    let named = ["second", "minute", "hour", "month"].into_iter().zip(parts);
    named.filter(|(_, part)| part.values().is_empty()).map(|(field, _)| field).next()
}

/// The field that cannot be read even when all others say `*`. The library's own messages name none.
fn field_at_fault(expression: &str) -> Option<String> {
    const NAMES: [&str; 7] =
        ["second", "minute", "hour", "day of the month", "month", "day of the week", "year"];
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let names = if fields.len() == 5 { &NAMES[1..6] } else { &NAMES[..] };
    fields.iter().zip(names).enumerate().find_map(|(index, (field, name))| {
        let mut alone = vec!["*"; fields.len()];
        alone[index] = field;
        CronParser::new().parse(&alone.join(" ")).is_err().then(|| format!("the {name} field {field:?}"))
    })
}

/// The library's message in this house's form.
fn told(error: &CronError) -> String {
    match error {
        CronError::EmptyPattern => "it is empty".to_owned(),
        CronError::InvalidPattern(text)
        | CronError::IllegalCharacters(text)
        | CronError::ComponentError(text) => {
            let mut letters = text.trim_end_matches('.').chars();
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            first.into_iter().chain(letters).collect()
        }
        CronError::InvalidDate | CronError::InvalidTime | CronError::TimeSearchLimitExceeded => {
            "it names no date or time that exists".to_owned()
        }
    }
}

impl CronRule {
    /// The rule that `expression` says in `zone`.
    pub fn new(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let unreadable = |reason| ScheduleError::Unreadable { expression: expression.to_owned(), reason };
        let cron = parse(expression).map_err(unreadable)?;
        let is_elapsed = cron.pattern.minutes.from_wildcard || cron.pattern.hours.from_wildcard;
        Ok(Self { cron, zone: self::zone(zone)?, is_elapsed })
    }

    /// The first occurrence strictly after `after`, both in Unix seconds; `None` where none is before the horizon.
    pub fn next_after(&self, after: i64) -> Option<i64> {
        if !(-OFFSET_SPAN_SECONDS..HORIZON_SECONDS).contains(&after) {
            return None;
        }
        if self.is_elapsed { self.next_elapsed(after) } else { self.next_fixed(after) }
    }

    /// A time of the day: every civil time that matches fires once.
    fn next_fixed(&self, after: i64) -> Option<i64> {
        let mut from = civil(after + self.offset(after)?)?;
        let mut is_inclusive = false;
        for _ in 0..EDGES_MAX {
            let landing = self.land(self.search(from, is_inclusive)?)?;
            if let Some(instant) = landing.instant.filter(|instant| *instant > after) {
                return Some(instant);
            }
            (from, is_inclusive) = (landing.resume, landing.is_inclusive);
        }
        None
    }

    /// Elapsed time: every instant at which the clock shows a matching time, stretch by stretch of constant offset.
    fn next_elapsed(&self, after: i64) -> Option<i64> {
        let mut from = after;
        let mut is_inclusive = false;
        for _ in 0..EDGES_MAX {
            let offset = self.offset(from)?;
            let instant = seconds(self.search(civil(from + offset)?, is_inclusive)?) - offset;
            let Some(edge) = self.edge_after(from).filter(|edge| *edge <= instant) else {
                return Some(instant);
            };
            // Far from edges on both sides nothing can match before `instant`, whatever the offsets between.
            (from, is_inclusive) = match instant - OFFSET_SPAN_SECONDS {
                near if near > edge && edge - from > OFFSET_SPAN_SECONDS => (near, false),
                _ => (edge, true),
            };
        }
        None
    }

    /// The next matching time of a clock without a zone.
    fn search(&self, from: NaiveDateTime, is_inclusive: bool) -> Option<NaiveDateTime> {
        // Whatever the library refuses here lies beyond its own horizon: the expression was read before.
        let found = self.cron.find_next_occurrence(&from, is_inclusive).ok()?;
        (seconds(found) < HORIZON_SECONDS).then_some(found)
    }

    fn land(&self, at: NaiveDateTime) -> Option<Landing> {
        let wall = seconds(at);
        let reading = Offset::UTC.to_datetime(Timestamp::from_second(wall).ok()?);
        Some(match self.zone.to_ambiguous_timestamp(reading).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                Landing { instant: Some(wall - i64::from(offset.seconds())), resume: at, is_inclusive: false }
            }
            AmbiguousOffset::Gap { before, after } => {
                let (before, after) = (i64::from(before.seconds()), i64::from(after.seconds()));
                let edge = self.edge_after(wall - after)?;
                let is_missing_day = after - before >= MISSING_DAY_SECONDS;
                Landing {
                    instant: (!is_missing_day).then_some(edge),
                    resume: civil(edge + after)?,
                    is_inclusive: true,
                }
            }
            AmbiguousOffset::Fold { before, .. } => {
                let first = wall - i64::from(before.seconds());
                let edge = self.edge_after(first)?;
                let resume = civil(edge + i64::from(before.seconds()))?;
                Landing { instant: Some(first), resume, is_inclusive: true }
            }
        })
    }

    fn offset(&self, instant: i64) -> Option<i64> {
        let timestamp = Timestamp::from_second(instant).ok()?;
        Some(i64::from(self.zone.to_offset(timestamp).seconds()))
    }

    /// The next instant at which the zone's clock is set.
    fn edge_after(&self, instant: i64) -> Option<i64> {
        let mut before = self.offset(instant)?;
        let from = Timestamp::from_second(instant).ok()?;
        // Transitions that only rename the zone leave the clock alone.
        self.zone.following(from).take(EDGES_MAX).find_map(|transition| {
            let offset = i64::from(transition.offset().seconds());
            let is_set = offset != before;
            before = offset;
            is_set.then(|| transition.timestamp().as_second())
        })
    }
}

fn seconds(civil: NaiveDateTime) -> i64 {
    civil.and_utc().timestamp()
}

fn civil(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|instant| instant.naive_utc())
}
