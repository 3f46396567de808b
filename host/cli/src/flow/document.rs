//! What a flow document holds. Field by field what `windlass.v1.Flow` holds, under the same names where people would
//! use the same.
//!
//! Invariant: what is written can be read again, and means the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::checked::{Checked, Rules, unique};
use super::child::ChildDocument;
use super::scope::{MapDocument, RepeatDocument, ScopeRetryDocument, WhenDocument};
use super::undo::{OwnRevertDocument, PhaseDocument};
use super::wait::{ApprovalDocument, ObserveDocument, SleepDocument, WaitEventDocument};

mod rules;
mod wire;

pub use wire::{inputs_of_wire, wire_of_inputs};

/// Tasks, and flows nested in them, in one pattern.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Flow")]
#[schemars(extend("allOf" = [
    {"not": {"required": ["retry", "repeat"]}},
    {"not": {"required": ["retry", "map"]}},
    {"not": {"required": ["repeat", "map"]}},
    {"not": {"required": ["revert", "retry"]}},
    {"not": {"required": ["revert", "repeat"]}},
    {"not": {"required": ["revert", "map"]}},
]))]
pub struct FlowDocument {
    /// Where this schema is, for editors. It means nothing to Windlass.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    /// What order the tasks have among themselves, before their needs and inputs are looked at.
    #[serde(default, skip_serializing_if = "PatternDocument::is_linear")]
    pattern: PatternDocument,
    /// When something in the flow has failed for good, all that it did is undone, and it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<Checked<ScopeRetryDocument>>,
    /// The flow runs again and again until a condition holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeat: Option<RepeatDocument>,
    /// The flow runs once for each value of a list, side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<MapDocument>,
    /// What undoes everything in the flow by one call. Not of a flow that runs again: nest it into that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revert: Option<OwnRevertDocument>,
    /// Tasks and nested flows.
    #[schemars(length(max = 10_000))]
    tasks: Vec<Checked<TaskDocument>>,
    /// Values of arguments that a job is not given. Only of the outermost flow.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    defaults: BTreeMap<String, Value>,
    /// How many calls one job may have under way at once; 0: as many as the host has slots. Only of the outermost flow.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(max = 10_000))]
    parallel_max: u32,
}

pub(super) fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Pattern")]
enum PatternDocument {
    /// Each begins when all of the one before it is applied.
    #[default]
    Linear,
    /// No order, and none may take anything from another.
    Unordered,
    /// The order that inputs and needs ask for.
    Graph,
}

impl PatternDocument {
    fn is_linear(&self) -> bool {
        *self == Self::Linear
    }
}

/// An action of a plugin, with inputs; a flow of its own; a wait; or a job of its own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Task")]
#[schemars(extend("oneOf" = [
    {"required": ["plugin", "action"], "properties": {
        "flow": false, "sleep": false, "wait_event": false, "approval": false, "job": false,
    }},
    {"required": ["flow"], "properties": {
        "plugin": false, "action": false, "inputs": false, "revert_inputs": false, "provides": false,
        "timeout": false, "retry": false, "priority": false, "memory_bytes_max": false, "in_doubt": false,
        "observe": false, "digest": false, "sleep": false, "wait_event": false, "approval": false, "job": false,
    }},
    {"oneOf": [
        {"required": ["sleep"]}, {"required": ["wait_event"]}, {"required": ["approval"]}, {"required": ["job"]},
    ], "properties": {
        "plugin": false, "action": false, "inputs": false, "revert_inputs": false, "flow": false,
        "timeout": false, "retry": false, "priority": false, "memory_bytes_max": false, "in_doubt": false,
        "observe": false, "digest": false,
    }},
]))]
pub struct TaskDocument {
    /// Unique in the whole flow, nested flows included.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    name: String,
    /// A name, `name@version` or a digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1))]
    plugin: String,
    /// What of the plugin runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1))]
    action: String,
    /// A nested flow, in the place of plugin and action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("properties" = {"defaults": false, "parallel_max": false}))]
    flow: Option<Box<Checked<FlowDocument>>>,
    /// Under which condition it runs at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<WhenDocument>,
    /// Tasks and nested flows, anywhere in the flow, that are applied before this one begins and reverted after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    needs: Vec<String>,
    /// Of a member of a graph: all of an earlier phase is applied before any of a later one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phase: Option<PhaseDocument>,
    /// Among tasks that could begin at the same time, the higher one does first.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = -1_000, max = 1_000))]
    priority: i32,
    /// The members of the object that apply gets.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    inputs: BTreeMap<String, InputDocument>,
    /// The same for revert; what apply got where absent.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    revert_inputs: BTreeMap<String, InputDocument>,
    /// Name -> JSON pointer (RFC 6901) into the output; an empty pointer is all of it.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    provides: BTreeMap<String, String>,
    /// How long one call may take, up to a day; the host's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Pause>,
    /// Calls in all, and the pauses between them, for failures that the plugin calls temporary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<RetryDocument>,
    /// Bytes over all memories of one call, up to the host's bound; what the job is granted where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_536))]
    memory_bytes_max: Option<u64>,
    /// What becomes of it where its host dies while it is applied.
    #[serde(default, skip_serializing_if = "InDoubtDocument::is_reapply")]
    in_doubt: InDoubtDocument,
    /// How what the plugin accepted, and finishes elsewhere, is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observe: Option<ObserveDocument>,
    /// Waits for a time, in the place of plugin and action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sleep: Option<Checked<SleepDocument>>,
    /// Waits for an event, in the place of plugin and action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait_event: Option<WaitEventDocument>,
    /// Waits for somebody to say yes, in the place of plugin and action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalDocument>,
    /// Waits for the end of a job that is made for it, in the place of plugin and action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<ChildDocument>,
    /// Only in answers: what the plugin was resolved to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("readOnly" = true))]
    digest: String,
}

/// What becomes of a task whose host died while it was applied: nobody knows what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "InDoubt")]
pub enum InDoubtDocument {
    /// It is applied again, under the same key.
    #[default]
    Reapply,
    /// It has failed, and is undone.
    Revert,
    /// The job is suspended for a person to look; resumed, it is applied again.
    Hold,
    /// The plugin's observer looks: what is present is applied, what is absent is applied again; otherwise as hold.
    Observe,
}

impl InDoubtDocument {
    fn is_reapply(&self) -> bool {
        *self == Self::Reapply
    }
}

/// Where a value comes from.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Input")]
pub enum InputDocument {
    /// This value. It outranks everything.
    Literal(Value),
    /// The job's argument of that name, else the flow's default.
    Argument(String),
    /// What a task gave.
    Output(OutputDocument),
    /// The job's argument of that name, else the flow's default, else what the nearest visible task provides.
    Name(String),
    /// Likewise; left out where nobody gives it.
    OptionalName(String),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Output")]
pub struct OutputDocument {
    /// Its name.
    task: String,
    /// A JSON pointer (RFC 6901) into its output; empty for all of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pointer: String,
}

/// How often a call is made, for failures that the plugin calls temporary.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub struct RetryDocument {
    /// Calls in all, the first one included; 0: 5.
    #[serde(default)]
    #[schemars(range(max = 1_000))]
    attempts_max: u32,
    /// The pause after the first call, up to a day; a second where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_initial: Option<Pause>,
    /// The longest pause, up to a day; 5 minutes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_max: Option<Pause>,
    /// What each pause is multiplied with for the next, from 1 to 10; 0: 2.
    #[serde(default)]
    #[schemars(extend("anyOf" = [{"const": 0}, {"minimum": 1, "maximum": 10}]))]
    backoff_multiplier: f64,
}

/// A duration, written as on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Pause(pub prost_types::Duration);

impl Serialize for Pause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::time::written(crate::time::of_wire(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = crate::time::duration(&text).map_err(D::Error::custom)?;
        Ok(Self(crate::time::wire(duration)))
    }
}

impl JsonSchema for Pause {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "Numbers with units, such as 500ms, 90s, 1h30m, 7d; or 0.",
            "type": "string",
            "pattern": "^(0|([0-9]+(ms|s|m|h|d))+)$",
        })
    }
}

impl Rules for FlowDocument {
    fn broken(&self) -> Option<String> {
        let given = [self.retry.is_some(), self.repeat.is_some(), self.map.is_some()]
            .iter()
            .filter(|is| **is)
            .count();
        let one = "a flow has one of `retry`, `repeat` and `map`: put a flow with the other into it";
        let whole = "a flow that runs again has no `revert` of its own: put the flow that has one into it";
        match (given, self.revert.is_some()) {
            (2.., _) => Some(one.to_owned()),
            (1, true) => Some(whole.to_owned()),
            (0 | 1, _) => None,
        }
    }
}
