//! Firing: what becomes of every nominal time that has come.
//!
//! An occurrence runs while its window is open. One whose window closed before anybody decided it was *missed*, and
//! the trigger's catch-up rule decides about it.
//!
//! Invariant: over any sequence of calls, whatever `now` does, each nominal time gets exactly one verdict (or one
//! place in a gap), in order. A call does a bounded amount of work and says whether there is more.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{CatchUp, Trigger, TriggerKind, TriggerState};
use crate::occurrence::{Occurrence, Origin};
use crate::schedule::{ScheduleError, Timetable};

/// So many missed occurrences are each decided and recorded; older ones are counted in one gap. A job row each for a
/// second-by-second trigger after a long outage would bury the history.
pub const GAP_THRESHOLD: usize = 1_000;

/// The outcome of one firing: to be committed as one unit, or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// In order of nominal time.
    pub occurrences: Vec<Due>,
    /// What was skipped before them.
    pub gap: Option<Gap>,
    /// The trigger afterwards.
    pub trigger: Trigger,
    /// Whether nominal times up to now are left for the next call.
    pub more: bool,
}

/// An occurrence that was due, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub occurrence: Occurrence,
    pub verdict: Verdict,
}

/// What becomes of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its job is ready; its window is open.
    Run,
    /// It was missed, and its job runs all the same: the window counts from now.
    CatchUp,
    /// Its job is recorded as dropped: the window closed.
    Dropped,
}

/// Missed occurrences that are only counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub count: u64,
}

impl Trigger {
    /// Decides what is due at `now`, at most `batch_max` occurrences (and at least one) at a time. Changes nothing in a
    /// trigger that is not active, waits for events, or has decided later times before the clock went back.
    ///
    /// # Errors
    /// When this host cannot evaluate the schedule; the trigger stays as it is.
    pub fn fire(&self, now: DateTime<Utc>, batch_max: usize) -> Result<Firing, ScheduleError> {
        let mut firing = Firing { occurrences: Vec::new(), gap: None, trigger: self.clone(), more: false };
        let (TriggerKind::Schedule(schedule), TriggerState::Active) = (&self.kind, &self.state) else {
            return Ok(firing);
        };
        let timetable = schedule.compile()?;
        if firing.pass_gap(&timetable, now) {
            firing.decide_batch(&timetable, now, batch_max.max(1));
        } else {
            firing.more = true;
        }
        firing.trigger.next_due = timetable.next_after(firing.trigger.high_water);
        if firing.trigger.next_due.is_none() {
            firing.trigger.state = TriggerState::Exhausted;
        }
        Ok(firing)
    }
}

impl Firing {
    /// Counts what was missed beyond the threshold. False where counting is not finished.
    fn pass_gap(&mut self, timetable: &Timetable, now: DateTime<Utc>) -> bool {
        let missed_before = now - self.trigger.window();
        let Some(skimmed) = timetable.skim(self.trigger.high_water, missed_before, GAP_THRESHOLD) else {
            return true;
        };
        self.gap = Some(Gap { from: skimmed.first, to: skimmed.last, count: skimmed.count });
        self.pass(skimmed.last);
        skimmed.is_complete
    }

    fn decide_batch(&mut self, timetable: &Timetable, now: DateTime<Utc>, batch_max: usize) {
        let is_due = |nominal: &DateTime<Utc>| *nominal <= now;
        let mut next = timetable.next_after(self.trigger.high_water).filter(is_due);
        while let Some(nominal) = next {
            if self.occurrences.len() == batch_max {
                self.more = true;
                return;
            }
            next = timetable.next_after(nominal).filter(is_due);
            let verdict = self.verdict(nominal, next.is_none(), now);
            let occurrence = self.trigger.occurrence(nominal, Origin::Schedule);
            self.occurrences.push(Due { occurrence, verdict });
            self.pass(nominal);
        }
    }

    fn verdict(&self, nominal: DateTime<Utc>, is_newest: bool, now: DateTime<Utc>) -> Verdict {
        if now <= nominal + self.trigger.window() {
            return Verdict::Run;
        }
        match self.trigger.catch_up {
            CatchUp::All => Verdict::CatchUp,
            // A later one that is due, missed or not, does the work that this one should have done.
            CatchUp::Latest if is_newest => Verdict::CatchUp,
            CatchUp::Latest | CatchUp::Skip => Verdict::Dropped,
        }
    }

    fn pass(&mut self, nominal: DateTime<Utc>) {
        self.trigger.high_water = nominal;
        self.trigger.last_nominal = Some(nominal);
    }
}

#[cfg(test)]
mod tests;
