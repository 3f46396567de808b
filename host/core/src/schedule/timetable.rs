//! Timetables: a schedule made ready to be asked.
//!
//! Compile once, ask often: reading the expression and finding the zone cost more than a question.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::civil::CronRule;
use super::{Cadence, HORIZON_SECONDS, Schedule, ScheduleError};

/// How many occurrences of a cron rule one call of [`Timetable::skim`] looks at: a tenth of a second of work. A rule
/// that was missed more often (every second, for a day) is skimmed in several calls.
pub const SKIM_SCAN_MAX: usize = 100_000;

/// A schedule's occurrences, in order.
#[derive(Debug, Clone)]
pub struct Timetable {
    rule: Rule,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
enum Rule {
    Interval { every_ms: i64, anchor_ms: i64 },
    Cron(Box<CronRule>),
}

/// The older part of a stretch of occurrences, counted instead of listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skimmed {
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    pub count: u64,
    /// Whether the whole stretch was looked at; otherwise skim again from `last`.
    pub is_complete: bool,
}

impl Timetable {
    pub(super) fn of(schedule: &Schedule) -> Result<Self, ScheduleError> {
        let rule = match &schedule.cadence {
            Cadence::Interval { every_ms, anchor } => Rule::Interval {
                every_ms: i64::try_from(*every_ms).unwrap_or(i64::MAX).max(1),
                anchor_ms: anchor.timestamp_millis(),
            },
            Cadence::Cron { expression, zone } => Rule::Cron(Box::new(CronRule::new(expression, zone)?)),
        };
        Ok(Self { rule, start: schedule.start, end: schedule.end })
    }

    /// The first occurrence strictly after `after`, if there is one.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = self.start.map_or(after, |start| after.max(start));
        let next = match &self.rule {
            Rule::Interval { every_ms, anchor_ms } => {
                let steps =
                    after.timestamp_millis().checked_sub(*anchor_ms)?.div_euclid(*every_ms).checked_add(1)?;
                DateTime::from_timestamp_millis(steps.checked_mul(*every_ms)?.checked_add(*anchor_ms)?)?
            }
            Rule::Cron(rule) => DateTime::from_timestamp(rule.next_after(after.timestamp())?, 0)?,
        };
        let is_within = self.end.is_none_or(|end| next <= end) && next.timestamp() < HORIZON_SECONDS;
        is_within.then_some(next)
    }

    /// Whether the rule has any occurrence at all, ends aside.
    pub(super) fn is_ever_due(&self) -> bool {
        let unended = Self { end: None, ..self.clone() };
        unended.next_after(DateTime::UNIX_EPOCH).is_some()
    }

    /// Counts the occurrences strictly between `after` and `before`, all but the newest `keep`; `None` where there are
    /// no more than that.
    pub fn skim(&self, after: DateTime<Utc>, before: DateTime<Utc>, keep: usize) -> Option<Skimmed> {
        match &self.rule {
            Rule::Interval { every_ms, .. } => self.skim_interval(*every_ms, after, before, keep),
            Rule::Cron(_) => self.skim_by_stepping(after, before, keep),
        }
    }

    fn skim_interval(
        &self,
        every_ms: i64,
        after: DateTime<Utc>,
        before: DateTime<Utc>,
        keep: usize,
    ) -> Option<Skimmed> {
        let first = self.next_after(after).filter(|first| *first < before)?;
        // The end itself may be an occurrence, `before` may not: one nanosecond makes the two bounds alike.
        let bound = self.end.map_or(before, |end| before.min(end + chrono::TimeDelta::nanoseconds(1)));
        let span_ms = (bound - chrono::TimeDelta::nanoseconds(1) - first).num_milliseconds();
        let in_all = span_ms.div_euclid(every_ms) + 1;
        let count = in_all - i64::try_from(keep).ok()?;
        let last = first + chrono::TimeDelta::milliseconds(every_ms.checked_mul((count - 1).max(0))?);
        let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
        Some(Skimmed { first, last, count, is_complete: true })
    }

    fn skim_by_stepping(&self, after: DateTime<Utc>, before: DateTime<Utc>, keep: usize) -> Option<Skimmed> {
        let mut kept = VecDeque::new();
        let mut skimmed: Option<Skimmed> = None;
        let mut at = after;
        let mut is_complete = false;
        for _ in 0..SKIM_SCAN_MAX {
            let Some(next) = self.next_after(at).filter(|next| *next < before) else {
                is_complete = true;
                break;
            };
            at = next;
            kept.push_back(next);
            if kept.len() > keep
                && let Some(oldest) = kept.pop_front()
            {
                let so_far =
                    skimmed.get_or_insert(Skimmed { first: oldest, last: oldest, count: 0, is_complete });
                so_far.last = oldest;
                so_far.count += 1;
            }
        }
        skimmed.map(|skimmed| Skimmed { is_complete, ..skimmed })
    }
}
