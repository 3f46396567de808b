//! Specifications of triggers: what people write, and everything that may be wrong with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CatchUp, EventFilter, TriggerKind, WINDOW_MS_DEFAULT, WINDOW_MS_MAX, WINDOW_MS_MIN};
use crate::arguments::{check_description, check_labels, check_name, check_text};
use crate::event::ATTRIBUTE_BYTES_MAX;
use crate::problem::Problems;
use crate::schedule::{Schedule, ScheduleContext, ScheduleSpec};

/// A trigger as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerSpec {
    pub name: String,
    pub owner: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub kind: KindSpec,
    /// Default: [`WINDOW_MS_DEFAULT`].
    #[serde(default)]
    pub window_ms: Option<i64>,
    #[serde(default)]
    pub catch_up: CatchUp,
}

/// What the trigger shall wait for, as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindSpec {
    Schedule(ScheduleSpec),
    Events(EventFilter),
}

/// The parts of a specification that were text.
pub(super) struct Checked {
    pub(super) kind: TriggerKind,
    pub(super) window_ms: u64,
}

impl Checked {
    pub(super) fn of(spec: &TriggerSpec, context: ScheduleContext) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        check_name(&mut problems, "name", &spec.name);
        check_description(&mut problems, "description", &spec.description);
        check_labels(&mut problems, "labels", spec.labels.iter());
        check_text(&mut problems, "owner", &spec.owner);
        let window_ms = window(&mut problems, spec.window_ms);
        match &spec.kind {
            KindSpec::Events(filter) => {
                check_filter(&mut problems, filter);
                problems.or(Self { kind: TriggerKind::Events(filter.clone()), window_ms })
            }
            KindSpec::Schedule(schedule) => match Schedule::validate(schedule, context) {
                Ok(schedule) => problems.or(Self { kind: TriggerKind::Schedule(schedule), window_ms }),
                Err(more) => {
                    problems.0.extend(more.0);
                    Err(problems)
                }
            },
        }
    }
}

fn window(problems: &mut Problems, asked: Option<i64>) -> u64 {
    let Some(asked) = asked else {
        return WINDOW_MS_DEFAULT;
    };
    match u64::try_from(asked) {
        Ok(window) if (WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&window) => return window,
        _ => problems.add(
            "window_ms",
            format!("{asked} is out of bounds: give {WINDOW_MS_MIN} to {WINDOW_MS_MAX} ms"),
        ),
    }
    WINDOW_MS_DEFAULT
}

fn check_filter(problems: &mut Problems, filter: &EventFilter) {
    let parts = [
        ("events.type", Some(&filter.type_)),
        ("events.source", filter.source.as_ref()),
        ("events.subject", filter.subject.as_ref()),
    ];
    for (path, text) in parts {
        match text {
            Some(text) if text.is_empty() => problems.add(path, "is empty: no event has that"),
            Some(text) if text.len() > ATTRIBUTE_BYTES_MAX => {
                problems.add(path, format!("has {} bytes: at most {ATTRIBUTE_BYTES_MAX}", text.len()));
            }
            _ => {}
        }
    }
}
