//! Triggers: what makes operations due, by time or by event.
//!
//! Every decision takes the stored record and `now`, and returns the record to store. `firing` decides what is due;
//! this file decides everything else, on what `spec` has checked.
//!
//! Invariants:
//! - `high_water` never sinks. Every nominal time up to it was decided (or fell into paused time), none after it: so
//!   time that went back fires nothing twice, and an edit is never retroactive.
//! - `next_due` is the first undecided nominal time, and present exactly while the trigger is active on a schedule.
//! - `generation` rises with every change that people make; an occurrence names the one that it was due under.

mod firing;
mod spec;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use firing::{Due, Firing, GAP_THRESHOLD, Gap, Verdict};
pub use spec::{KindSpec, TriggerSpec};

use crate::event::CloudEvent;
use crate::id::{OperationId, TriggerId};
use crate::occurrence::{Occurrence, Origin};
use crate::problem::Problems;
use crate::schedule::{Schedule, ScheduleContext, ScheduleError, whole_milliseconds};
use spec::Checked;

/// How long after its nominal time an occurrence may still start, unless told otherwise.
pub const WINDOW_MS_DEFAULT: u64 = 30 * 60 * 1_000;
/// The shortest window: below it, an ordinary delay of the host drops occurrences.
pub const WINDOW_MS_MIN: u64 = 1_000;
/// The longest window: a yearly occurrence may start until the next one.
pub const WINDOW_MS_MAX: u64 = 366 * 24 * 3_600 * 1_000;
/// Bytes of the note of a pause: a paragraph.
pub const NOTE_BYTES_MAX: usize = 1_024;
/// Bytes of a request id; a UUID has 36.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// What makes operations due, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub id: TriggerId,
    pub name: String,
    pub owner: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub kind: TriggerKind,
    pub state: TriggerState,
    /// From 1.
    pub generation: u64,
    /// Rises with every write of the record, firings included: what a stored change is checked against.
    #[serde(default)]
    pub revision: u64,
    /// Up to here everything was decided. Begins at the creation.
    pub high_water: DateTime<Utc>,
    /// The newest nominal time that was decided, if any was.
    #[serde(default)]
    pub last_nominal: Option<DateTime<Utc>>,
    #[serde(default)]
    pub next_due: Option<DateTime<Utc>>,
    pub window_ms: u64,
    pub catch_up: CatchUp,
    pub created: DateTime<Utc>,
    /// When people changed it last; firing leaves it alone.
    pub updated: DateTime<Utc>,
}

/// What a trigger waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    Schedule(Schedule),
    Events(EventFilter),
}

/// Which events make a trigger due: those that are alike in all that is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    #[serde(rename = "type")]
    pub type_: String,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub subject: Option<String>,
}

/// Where a trigger is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerState {
    Active,
    /// Paused time has no occurrences.
    Paused {
        note: String,
    },
    /// Its schedule has no further occurrence. An update may give it one.
    Exhausted,
}

/// What becomes of occurrences whose window closed before any host decided them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// All are dropped.
    Skip,
    /// The newest one runs, unless a later occurrence is due as well: then the work is done anyway.
    #[default]
    Latest,
    /// All run.
    All,
}

/// Why a trigger is not changed, deleted, fired or bound as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TriggerRefused {
    #[error("the trigger is not valid: {0}")]
    Invalid(Problems),
    /// Fire the trigger until it has nothing more, then decide again: otherwise these occurrences would disappear.
    #[error("trigger {trigger} has occurrences since {next_due} that are not decided yet: try again")]
    Undecided { trigger: TriggerId, next_due: DateTime<Utc> },
    #[error(
        "trigger {trigger} may not be due again at {first}: the window of its occurrence of {nominal} is open until \
         {until}; update it later, or give the schedule a later start"
    )]
    WindowOpen { trigger: TriggerId, nominal: DateTime<Utc>, until: DateTime<Utc>, first: DateTime<Utc> },
    #[error("trigger {trigger} is bound by {}: delete these operations first", operations.join(", "))]
    Bound { trigger: TriggerId, operations: Vec<String> },
    #[error("trigger {trigger} is exhausted: update it with a schedule that has future times")]
    Exhausted { trigger: TriggerId },
    #[error("trigger {trigger} is paused: resume it first")]
    Paused { trigger: TriggerId },
    #[error("trigger {trigger} waits for events: publish one instead of firing it")]
    WaitsForEvents { trigger: TriggerId },
    #[error("trigger {trigger} cannot be evaluated")]
    Unevaluable { trigger: TriggerId, source: ScheduleError },
}

impl Trigger {
    /// A new trigger, active, with all of its occurrences after `now`. `floor_ms` is the host's shortest interval.
    pub fn create(
        id: TriggerId,
        spec: &TriggerSpec,
        floor_ms: u64,
        now: DateTime<Utc>,
    ) -> Result<Self, Problems> {
        let now = whole_milliseconds(now);
        let checked = Checked::of(spec, ScheduleContext { now, anchor: now, floor_ms })?;
        let mut trigger = Self {
            id,
            name: spec.name.clone(),
            owner: spec.owner.clone(),
            description: spec.description.clone(),
            labels: spec.labels.clone(),
            kind: checked.kind,
            state: TriggerState::Active,
            generation: 1,
            revision: 1,
            high_water: now,
            last_nominal: None,
            next_due: None,
            window_ms: checked.window_ms,
            catch_up: spec.catch_up,
            created: now,
            updated: now,
        };
        trigger.schedule_on().map_err(|error| one_problem("schedule", error))?;
        Ok(trigger)
    }

    /// This trigger as `spec` wants it: the next generation, with the old one's pending time replaced at once.
    ///
    /// Refused while a due occurrence is undecided, without future times, if the kind would change, and if the new
    /// schedule would be due inside a window that is still open: that is, before the end of the window of the last
    /// occurrence, unless the old schedule itself would have been due again by then.
    pub fn update(
        &self,
        spec: &TriggerSpec,
        floor_ms: u64,
        now: DateTime<Utc>,
    ) -> Result<Self, TriggerRefused> {
        let now = whole_milliseconds(now);
        self.check_decided(now)?;
        let high_water = self.high_water.max(now);
        let context = ScheduleContext { now: high_water, anchor: self.created, floor_ms };
        let checked = Checked::of(spec, context).map_err(TriggerRefused::Invalid)?;
        if std::mem::discriminant(&checked.kind) != std::mem::discriminant(&self.kind) {
            let message =
                "a trigger by time and one by events are not changed into each other: create another trigger";
            return Err(TriggerRefused::Invalid(one_problem("kind", message)));
        }
        let mut updated = Self {
            name: spec.name.clone(),
            description: spec.description.clone(),
            labels: spec.labels.clone(),
            kind: checked.kind,
            generation: self.generation + 1,
            high_water,
            window_ms: checked.window_ms,
            catch_up: spec.catch_up,
            updated: now,
            ..self.clone()
        };
        if updated.state == TriggerState::Exhausted {
            updated.state = TriggerState::Active;
        }
        updated.schedule_on().map_err(|source| self.unevaluable(source))?;
        self.check_window(&updated, now)?;
        Ok(updated)
    }

    /// This trigger, paused: nothing is due from now on. Of a paused one only the note is replaced.
    pub fn pause(&self, note: &str, now: DateTime<Utc>) -> Result<Self, TriggerRefused> {
        match &self.state {
            TriggerState::Paused { note: noted } if noted == note => return Ok(self.clone()),
            TriggerState::Paused { .. } => {}
            TriggerState::Exhausted => return Err(TriggerRefused::Exhausted { trigger: self.id }),
            TriggerState::Active => self.check_decided(now)?,
        }
        if note.len() > NOTE_BYTES_MAX {
            let message = format!("has {} bytes: at most {NOTE_BYTES_MAX}", note.len());
            return Err(TriggerRefused::Invalid(one_problem("note", message)));
        }
        Ok(Self {
            state: TriggerState::Paused { note: note.to_owned() },
            next_due: None,
            generation: self.generation + 1,
            updated: whole_milliseconds(now),
            ..self.clone()
        })
    }

    /// This trigger, active again from `now` on; exhausted if its schedule ended meanwhile. An active one stays.
    pub fn resume(&self, now: DateTime<Utc>) -> Result<Self, TriggerRefused> {
        match self.state {
            TriggerState::Active => return Ok(self.clone()),
            TriggerState::Exhausted => return Err(TriggerRefused::Exhausted { trigger: self.id }),
            TriggerState::Paused { .. } => {}
        }
        let now = whole_milliseconds(now);
        let mut resumed = Self {
            state: TriggerState::Active,
            generation: self.generation + 1,
            high_water: self.high_water.max(now),
            updated: now,
            ..self.clone()
        };
        resumed.schedule_on().map_err(|source| self.unevaluable(source))?;
        Ok(resumed)
    }

    /// Whether the trigger may be deleted. `bound` are the operations, with their names, that are not deleted.
    pub fn check_delete(&self, bound: &[(OperationId, &str)]) -> Result<(), TriggerRefused> {
        if bound.is_empty() {
            return Ok(());
        }
        let operations = bound.iter().map(|(id, name)| format!("operation {name} ({id})")).collect();
        Err(TriggerRefused::Bound { trigger: self.id, operations })
    }

    /// Whether an operation may be bound: not to a trigger that will never be due again.
    pub fn check_bind(&self, now: DateTime<Utc>) -> Result<(), TriggerRefused> {
        let exhausted = TriggerRefused::Exhausted { trigger: self.id };
        match (&self.kind, &self.state) {
            (_, TriggerState::Exhausted) => Err(exhausted),
            (TriggerKind::Events(_), _) => Ok(()),
            // Its end may have passed while nobody looked, or while it was paused.
            (TriggerKind::Schedule(schedule), _) => match schedule.next_after(now) {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(exhausted),
                Err(source) => Err(self.unevaluable(source)),
            },
        }
    }

    /// An occurrence now, because a person asks for it, whatever the schedule says. Not of a paused trigger, for paused
    /// time has no occurrences; not of one that waits for events, for its operations need one.
    pub fn fire_now(&self, request_id: &str, now: DateTime<Utc>) -> Result<Occurrence, TriggerRefused> {
        if let TriggerState::Paused { .. } = self.state {
            return Err(TriggerRefused::Paused { trigger: self.id });
        }
        if let TriggerKind::Events(_) = self.kind {
            return Err(TriggerRefused::WaitsForEvents { trigger: self.id });
        }
        if request_id.is_empty() || request_id.len() > REQUEST_ID_BYTES_MAX {
            let message = format!("has {} bytes: give 1 to {REQUEST_ID_BYTES_MAX}", request_id.len());
            return Err(TriggerRefused::Invalid(one_problem("request_id", message)));
        }
        Ok(self.occurrence(whole_milliseconds(now), Origin::Manual { request_id: request_id.to_owned() }))
    }

    /// Whether `event` is one that this trigger waits for.
    pub fn matches(&self, event: &CloudEvent) -> bool {
        let TriggerKind::Events(filter) = &self.kind else {
            return false;
        };
        filter.type_ == event.type_
            && filter.source.as_ref().is_none_or(|source| *source == event.source)
            && filter.subject.as_ref().is_none_or(|subject| Some(subject) == event.subject.as_ref())
    }

    /// The occurrence that `event`, accepted at `now`, makes; `None` where it does not match or the trigger is paused.
    pub fn on_event(&self, event: &CloudEvent, now: DateTime<Utc>) -> Option<Occurrence> {
        let origin = Origin::Event { source: event.source.clone(), id: event.id.clone() };
        (self.state == TriggerState::Active && self.matches(event))
            .then(|| self.occurrence(whole_milliseconds(now), origin))
    }

    /// When the trigger wants to be looked at without anybody asking.
    pub fn alarm(&self) -> Option<DateTime<Utc>> {
        self.next_due
    }

    /// How long after its nominal time an occurrence may still start.
    pub fn window(&self) -> TimeDelta {
        TimeDelta::milliseconds(i64::try_from(self.window_ms.min(WINDOW_MS_MAX)).unwrap_or(i64::MAX))
    }

    fn occurrence(&self, nominal: DateTime<Utc>, origin: Origin) -> Occurrence {
        Occurrence { trigger: self.id, generation: self.generation, nominal, origin }
    }

    /// Sets what follows from kind, state and high-water mark: the next due time, or that there is none.
    fn schedule_on(&mut self) -> Result<(), ScheduleError> {
        self.next_due = None;
        if let (TriggerKind::Schedule(schedule), TriggerState::Active) = (&self.kind, &self.state) {
            self.next_due = schedule.next_after(self.high_water)?;
            if self.next_due.is_none() {
                self.state = TriggerState::Exhausted;
            }
        }
        Ok(())
    }

    fn check_decided(&self, now: DateTime<Utc>) -> Result<(), TriggerRefused> {
        match self.next_due {
            Some(next_due) if next_due <= now => {
                Err(TriggerRefused::Undecided { trigger: self.id, next_due })
            }
            _ => Ok(()),
        }
    }

    fn check_window(&self, updated: &Self, now: DateTime<Utc>) -> Result<(), TriggerRefused> {
        let (Some(nominal), Some(first)) = (self.last_nominal, updated.next_due) else {
            return Ok(());
        };
        let closes = nominal + self.window();
        // Without this, a trigger that fires more often than its window is long could never be edited.
        let until = self.next_due.map_or(closes, |next| closes.min(next));
        if until > now && first < until {
            return Err(TriggerRefused::WindowOpen { trigger: self.id, nominal, until, first });
        }
        Ok(())
    }

    fn unevaluable(&self, source: ScheduleError) -> TriggerRefused {
        TriggerRefused::Unevaluable { trigger: self.id, source }
    }
}

fn one_problem(path: &str, message: impl ToString) -> Problems {
    let mut problems = Problems::default();
    problems.add(path, message.to_string());
    problems
}

#[cfg(test)]
mod tests;
