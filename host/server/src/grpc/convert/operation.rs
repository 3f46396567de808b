//! Operations.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use windlass_core::call::Grants;
use windlass_core::flow::Flow;
use windlass_core::id::{OperationId, TriggerId};
use windlass_core::operation::{Operation, OperationSpec};
use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::time::{duration, millis, timestamp};
use super::trigger::{check_no_id, chosen_id};
use super::{checked, etag, given, grants, json, mask, stored_flow, work};
use crate::engine::EngineError;
use crate::engine::flow::unpinned;
use crate::engine::operation::{OperationDraft, OperationState};
use crate::engine::revision::FlowReference;
use crate::engine::submit::PRIORITY_MAX;

/// The type of an operation's jobs where it names none.
const JOB_TYPE_DEFAULT: &str = "operation";
/// What an update can replace.
const FIELDS: [&str; 11] = [
    "name",
    "description",
    "labels",
    "work",
    "arguments_json",
    "grants",
    "job_type",
    "job_priority",
    "job_timeout",
    "never_revert",
    "event_argument",
];

/// An operation as a client wrote it.
struct Written {
    name: String,
    description: String,
    labels: BTreeMap<String, String>,
    flow: Flow<String>,
    reference: Option<FlowReference>,
    arguments: Map<String, Value>,
    grants: Grants,
    job_type: String,
    priority: i32,
    timeout_ms: Option<u64>,
    never_revert: bool,
    event_argument: Option<String>,
}

/// A new operation of `owner`, with its id where the client chose one.
pub fn creation(
    operation: Option<v1::Operation>,
    owner: String,
) -> Result<(Option<OperationId>, OperationDraft), EngineError> {
    let Some(mut operation) = operation else {
        return Err(EngineError::invalid("operation", "is not given: say what is to be created"));
    };
    let mut problems = Problems::default();
    let id = chosen_id(&mut problems, "operation.id", &operation.id);
    let trigger = std::mem::take(&mut operation.trigger);
    if trigger.is_empty() {
        problems.add("operation.trigger", "is empty: give the id or name of a trigger");
    }
    let written = written(&mut problems, operation, &FIELDS);
    let spec = OperationSpec {
        name: written.name,
        owner: owner.clone(),
        principal: owner,
        // The engine looks it up.
        trigger: TriggerId(uuid::Uuid::nil()),
        flow: Flow::linear([]),
        flow_revision: None,
        arguments: written.arguments,
        grants: written.grants,
        labels: written.labels,
        job_type: written.job_type,
        priority: written.priority,
        timeout_ms: written.timeout_ms,
        event_argument: written.event_argument,
        description: written.description,
        never_revert: written.never_revert,
    };
    checked(
        problems,
        (id, OperationDraft { spec, trigger, flow: written.flow, reference: written.reference }),
    )
}

/// Converts the fields that count; what is wrong with another does not matter.
fn written(problems: &mut Problems, operation: v1::Operation, fields: &[&str]) -> Written {
    // A list for each, so that they can be told apart.
    let [mut name, mut job_work, mut arguments, mut granted, mut priority, mut timeout]: [Problems; 6] =
        Default::default();
    check_no_id(&mut name, "operation.name", &operation.name);
    if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&operation.job_priority) {
        let message = format!("is {}: give -{PRIORITY_MAX} to {PRIORITY_MAX}", operation.job_priority);
        priority.add("operation.job_priority", message);
    }
    let (flow, reference) = work::flow(&mut job_work, "operation.work", operation.work);
    let written = Written {
        flow,
        reference,
        arguments: json::object(&mut arguments, "operation.arguments_json", &operation.arguments_json),
        grants: grants::grants(&mut granted, "operation.grants", operation.grants),
        timeout_ms: millis(&mut timeout, "operation.job_timeout", operation.job_timeout.as_ref()),
        name: operation.name,
        description: operation.description,
        labels: operation.labels,
        job_type: given(&operation.job_type).unwrap_or_else(|| JOB_TYPE_DEFAULT.to_owned()),
        priority: operation.job_priority,
        never_revert: operation.never_revert,
        event_argument: given(&operation.event_argument),
    };
    for (field, found) in [
        ("name", name),
        ("work", job_work),
        ("arguments_json", arguments),
        ("grants", granted),
        ("job_priority", priority),
        ("job_timeout", timeout),
    ] {
        if fields.contains(&field) {
            problems.0.extend(found.0);
        }
    }
    written
}

/// A change of an operation: the fields of the message that the mask names.
pub struct Edit {
    written: Written,
    fields: Vec<String>,
}

pub fn edit(operation: v1::Operation, mask: Option<&prost_types::FieldMask>) -> Result<Edit, EngineError> {
    let mut problems = Problems::default();
    let fields = mask::fields(&mut problems, mask, &FIELDS);
    let written = written(&mut problems, operation, &fields);
    let fields = fields.into_iter().map(str::to_owned).collect();
    checked(problems, Edit { written, fields })
}

impl Edit {
    /// The flow of the work, where that is replaced.
    pub fn flow_mut(&mut self) -> Option<&mut Flow<String>> {
        self.fields.iter().any(|field| field == "work").then_some(&mut self.written.flow)
    }

    /// The changed operation, to be asked for. Owner, principal and trigger stay.
    pub fn draft(&self, stored: &Operation) -> OperationDraft {
        let written = &self.written;
        let has = |field: &str| self.fields.iter().any(|named| named == field);
        macro_rules! pick {
            ($field:literal, $name:ident) => {
                if has($field) { written.$name.clone() } else { stored.$name.clone() }
            };
        }
        let spec = OperationSpec {
            name: pick!("name", name),
            owner: stored.owner.clone(),
            principal: stored.principal.clone(),
            trigger: stored.trigger,
            flow: stored.flow.clone(),
            flow_revision: stored.flow_revision.clone().filter(|_| !has("work")),
            arguments: pick!("arguments_json", arguments),
            grants: pick!("grants", grants),
            labels: pick!("labels", labels),
            job_type: pick!("job_type", job_type),
            priority: pick!("job_priority", priority),
            timeout_ms: pick!("job_timeout", timeout_ms),
            event_argument: pick!("event_argument", event_argument),
            description: pick!("description", description),
            never_revert: pick!("never_revert", never_revert),
        };
        let (flow, reference) = match has("work") {
            true => (written.flow.clone(), written.reference.clone()),
            false => (unpinned(&stored.flow), None),
        };
        OperationDraft { spec, trigger: stored.trigger.to_string(), flow, reference }
    }
}

pub fn to_wire(operation: &Operation, state: OperationState) -> v1::Operation {
    v1::Operation {
        id: operation.id.to_string(),
        name: operation.name.clone(),
        description: operation.description.clone(),
        owner: operation.owner.clone(),
        principal: operation.principal.clone(),
        labels: operation.labels.clone(),
        trigger: operation.trigger.to_string(),
        work: Some(work::to_wire(&operation.flow)),
        arguments_json: Value::Object(operation.arguments.clone()).to_string(),
        grants: Some(grants::to_wire(&operation.grants)),
        job_type: operation.job_type.clone(),
        job_priority: operation.priority,
        job_timeout: operation.timeout_ms.map(duration),
        never_revert: operation.never_revert,
        event_argument: operation.event_argument.clone().unwrap_or_default(),
        enabled: operation.enabled,
        state: match state {
            OperationState::Init => v1::OperationState::Init,
            OperationState::Registered => v1::OperationState::Registered,
            OperationState::Triggered => v1::OperationState::Triggered,
            OperationState::Running => v1::OperationState::Running,
            OperationState::Deleted => v1::OperationState::Deleted,
        }
        .into(),
        create_time: Some(timestamp(operation.created)),
        update_time: Some(timestamp(operation.updated)),
        delete_time: operation.deleted.map(timestamp),
        generation: operation.generation,
        etag: etag(operation.generation),
        flow_revision: operation.flow_revision.as_ref().map(stored_flow::name_to_wire),
    }
}
