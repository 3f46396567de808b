//! Triggers.

use std::collections::BTreeMap;

use windlass_core::id::TriggerId;
use windlass_core::problem::Problems;
use windlass_core::trigger::{
    CatchUp, EventFilter, KindSpec, Trigger, TriggerKind, TriggerSpec, TriggerState,
};
use windlass_proto::v1;
use windlass_proto::v1::trigger::Due;

use super::time::{duration, millis, timestamp};
use super::{checked, etag, given, known, mask, schedule};
use crate::engine::EngineError;

/// What an update can replace.
const FIELDS: [&str; 7] = ["name", "description", "labels", "schedule", "event", "window", "catch_up"];

/// A new trigger of `owner`, with its id where the client chose one.
pub fn creation(
    trigger: Option<v1::Trigger>,
    owner: String,
) -> Result<(Option<TriggerId>, TriggerSpec), EngineError> {
    let Some(trigger) = trigger else {
        return Err(EngineError::invalid("trigger", "is not given: say what is to be created"));
    };
    let mut problems = Problems::default();
    let id = chosen_id(&mut problems, "trigger.id", &trigger.id);
    check_no_id(&mut problems, "trigger.name", &trigger.name);
    let spec = TriggerSpec {
        kind: kind(&mut problems, trigger.due),
        window_ms: window(&mut problems, trigger.window.as_ref()),
        catch_up: catch_up(&mut problems, trigger.catch_up),
        name: trigger.name,
        owner,
        description: trigger.description,
        labels: trigger.labels,
    };
    checked(problems, (id, spec))
}

/// A change of a trigger: the fields of the message that the mask names.
pub struct Edit {
    name: Option<String>,
    description: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    kind: Option<KindSpec>,
    window_ms: Option<Option<i64>>,
    catch_up: Option<CatchUp>,
}

pub fn edit(trigger: v1::Trigger, mask: Option<&prost_types::FieldMask>) -> Result<Edit, EngineError> {
    let mut problems = Problems::default();
    let fields = mask::fields(&mut problems, mask, &FIELDS);
    let has = |field: &str| fields.contains(&field);
    if has("name") {
        check_no_id(&mut problems, "trigger.name", &trigger.name);
    }
    let is_given = match &trigger.due {
        Some(Due::Schedule(_)) => !has("event"),
        Some(Due::Event(_)) => !has("schedule"),
        None => false,
    };
    let replaces_kind = has("schedule") || has("event");
    if replaces_kind && !is_given {
        problems.add(
            "update_mask",
            "names `schedule` or `event`, and the trigger does not have it: give it, and no other",
        );
    }
    let edit = Edit {
        kind: (replaces_kind && is_given).then(|| kind(&mut problems, trigger.due)),
        window_ms: has("window").then(|| window(&mut problems, trigger.window.as_ref())),
        catch_up: has("catch_up").then(|| catch_up(&mut problems, trigger.catch_up)),
        name: has("name").then_some(trigger.name),
        description: has("description").then_some(trigger.description),
        labels: has("labels").then_some(trigger.labels),
    };
    checked(problems, edit)
}

impl Edit {
    /// What people would write for the changed trigger.
    pub fn spec(&self, trigger: &Trigger) -> TriggerSpec {
        let stored = spec_of(trigger);
        TriggerSpec {
            name: self.name.clone().unwrap_or(stored.name),
            owner: stored.owner,
            description: self.description.clone().unwrap_or(stored.description),
            labels: self.labels.clone().unwrap_or(stored.labels),
            kind: self.kind.clone().unwrap_or(stored.kind),
            window_ms: self.window_ms.unwrap_or(stored.window_ms),
            catch_up: self.catch_up.unwrap_or(stored.catch_up),
        }
    }
}

fn spec_of(trigger: &Trigger) -> TriggerSpec {
    TriggerSpec {
        name: trigger.name.clone(),
        owner: trigger.owner.clone(),
        description: trigger.description.clone(),
        labels: trigger.labels.clone(),
        kind: match &trigger.kind {
            TriggerKind::Schedule(stored) => KindSpec::Schedule(schedule::spec_of(stored)),
            TriggerKind::Events(filter) => KindSpec::Events(filter.clone()),
        },
        window_ms: i64::try_from(trigger.window_ms).ok(),
        catch_up: trigger.catch_up,
    }
}

/// An id that a client may choose.
pub fn chosen_id<T: std::str::FromStr>(problems: &mut Problems, path: &str, text: &str) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return None;
    }
    text.parse().map_err(|error: T::Err| problems.add(path, error.to_string())).ok()
}

/// A name that looks like an id could not be told from one.
pub fn check_no_id(problems: &mut Problems, path: &str, name: &str) {
    if name.parse::<TriggerId>().is_ok() {
        problems.add(path, format!("{name:?} looks like an id: choose a name that is no UUID"));
    }
}

fn kind(problems: &mut Problems, due: Option<Due>) -> KindSpec {
    match due {
        Some(Due::Schedule(wire)) => KindSpec::Schedule(schedule::spec(problems, "trigger.schedule", wire)),
        Some(Due::Event(event)) => KindSpec::Events(EventFilter {
            type_: event.r#type,
            source: given(&event.source),
            subject: given(&event.subject),
        }),
        None => {
            problems.add("trigger", "is never due: give a schedule or an event");
            KindSpec::Events(EventFilter { type_: String::new(), source: None, subject: None })
        }
    }
}

fn window(problems: &mut Problems, window: Option<&prost_types::Duration>) -> Option<i64> {
    millis(problems, "trigger.window", window).and_then(|window| i64::try_from(window).ok())
}

fn catch_up(problems: &mut Problems, wire: i32) -> CatchUp {
    match known(problems, "trigger.catch_up", wire) {
        Some(v1::CatchUp::Skip) => CatchUp::Skip,
        Some(v1::CatchUp::Latest | v1::CatchUp::Unspecified) | None => CatchUp::Latest,
        Some(v1::CatchUp::All) => CatchUp::All,
    }
}

/// `operation_count`: how many operations are bound to it.
pub fn to_wire(trigger: &Trigger, operation_count: usize) -> v1::Trigger {
    v1::Trigger {
        id: trigger.id.to_string(),
        name: trigger.name.clone(),
        description: trigger.description.clone(),
        owner: trigger.owner.clone(),
        labels: trigger.labels.clone(),
        due: Some(match &trigger.kind {
            TriggerKind::Schedule(stored) => Due::Schedule(schedule::to_wire(stored)),
            TriggerKind::Events(filter) => Due::Event(v1::EventSubscription {
                r#type: filter.type_.clone(),
                source: filter.source.clone().unwrap_or_default(),
                subject: filter.subject.clone().unwrap_or_default(),
            }),
        }),
        window: Some(duration(trigger.window_ms)),
        catch_up: match trigger.catch_up {
            CatchUp::Skip => v1::CatchUp::Skip,
            CatchUp::Latest => v1::CatchUp::Latest,
            CatchUp::All => v1::CatchUp::All,
        }
        .into(),
        state: state_to_wire(&trigger.state).into(),
        pause_note: match &trigger.state {
            TriggerState::Paused { note } => note.clone(),
            TriggerState::Active | TriggerState::Exhausted => String::new(),
        },
        next_time: trigger.next_due.map(timestamp),
        last_time: trigger.last_nominal.map(timestamp),
        operation_count: u32::try_from(operation_count).unwrap_or(u32::MAX),
        create_time: Some(timestamp(trigger.created)),
        update_time: Some(timestamp(trigger.updated)),
        generation: trigger.generation,
        etag: etag(trigger.generation),
    }
}

fn state_to_wire(state: &TriggerState) -> v1::TriggerState {
    match state {
        TriggerState::Active => v1::TriggerState::Active,
        TriggerState::Paused { .. } => v1::TriggerState::Paused,
        TriggerState::Exhausted => v1::TriggerState::Exhausted,
    }
}

/// Which triggers a list shows, but for their owner.
pub struct Filter {
    states: Vec<v1::TriggerState>,
    labels: BTreeMap<String, String>,
}

pub fn filter(request: &v1::ListTriggersRequest) -> Result<Filter, EngineError> {
    let mut problems = Problems::default();
    let states = request.states.iter().enumerate();
    let states = states.filter_map(|(index, wire)| known(&mut problems, &format!("states[{index}]"), *wire));
    let filter = Filter { states: states.collect(), labels: request.labels.clone() };
    checked(problems, filter)
}

impl Filter {
    pub fn matches(&self, trigger: &Trigger) -> bool {
        (self.states.is_empty() || self.states.contains(&state_to_wire(&trigger.state)))
            && self.labels.iter().all(|(key, value)| trigger.labels.get(key) == Some(value))
    }
}
