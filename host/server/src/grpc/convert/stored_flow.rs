//! Flows under names.

use serde_json::{Map, Value};
use windlass_core::flow::Flow;
use windlass_core::problem::Problems;
use windlass_core::revision::{FlowRevision, NamedFlow, RevisionName};
use windlass_proto::v1;

use super::time::timestamp;
use super::{checked, etag, json, work};
use crate::engine::EngineError;
use crate::engine::revision::{FlowReference, RevisionDraft};

/// A revision as `principal` asks for it.
pub fn draft(
    request: v1::CreateFlowRevisionRequest,
    principal: String,
) -> Result<RevisionDraft, EngineError> {
    let mut problems = Problems::default();
    let draft = RevisionDraft {
        flow: flow(&mut problems, request.flow),
        name: request.name,
        description: request.description,
        labels: request.labels,
        principal,
        expected: request.expected_revision,
        validate_only: request.validate_only,
    };
    checked(problems, draft)
}

fn flow(problems: &mut Problems, flow: Option<v1::Flow>) -> Flow<String> {
    match flow {
        Some(flow) => work::several(problems, "flow", flow),
        None => {
            problems.add("flow", "is not given: give a flow, which may be without tasks");
            Flow::linear([])
        }
    }
}

/// A flow that is to be checked.
pub struct Wanted {
    pub flow: Flow<String>,
    pub arguments: Option<Map<String, Value>>,
}

/// What is to be checked, and what is wrong with how it is written.
pub fn wanted(request: v1::ValidateFlowRequest) -> (Wanted, Problems) {
    let mut problems = Problems::default();
    let flow = flow(&mut problems, request.flow);
    let arguments = request.arguments_json.map(|text| json::object(&mut problems, "arguments_json", &text));
    (Wanted { flow, arguments }, problems)
}

pub fn problems_to_wire(problems: &Problems) -> Vec<v1::FieldViolation> {
    let problems = problems.0.iter().map(|problem| v1::FieldViolation {
        field: problem.path.clone(),
        description: problem.message.clone(),
    });
    problems.collect()
}

pub fn reference(name: String, revision: u32) -> FlowReference {
    FlowReference { name, revision: (revision != 0).then_some(revision) }
}

pub fn name_to_wire(name: &RevisionName) -> v1::FlowReference {
    v1::FlowReference { name: name.name.clone(), revision: name.revision }
}

pub fn to_wire(named: &NamedFlow, revision: &FlowRevision) -> v1::FlowRevision {
    v1::FlowRevision { flow: Some(work::flow_to_wire(&revision.flow)), ..listed(named, revision) }
}

/// A revision of which nothing is stored, nor of its name.
pub fn tried(revision: &FlowRevision) -> v1::FlowRevision {
    v1::FlowRevision {
        flow: Some(work::flow_to_wire(&revision.flow)),
        owner: revision.principal.clone(),
        ..alone(revision)
    }
}

/// A revision without its flow.
pub fn listed(named: &NamedFlow, revision: &FlowRevision) -> v1::FlowRevision {
    v1::FlowRevision {
        owner: named.owner.clone(),
        latest_revision: named.latest,
        etag: etag(named.generation),
        ..alone(revision)
    }
}

fn alone(revision: &FlowRevision) -> v1::FlowRevision {
    v1::FlowRevision {
        name: revision.name.clone(),
        revision: revision.revision,
        description: revision.description.clone(),
        labels: revision.labels.clone(),
        digest: revision.flow.digest().to_string(),
        task_count: revision.flow.leaves().count() as u32,
        principal: revision.principal.clone(),
        create_time: Some(timestamp(revision.created)),
        ..v1::FlowRevision::default()
    }
}
