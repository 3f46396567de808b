//! Child jobs: nodes that are jobs of their own.
//!
//! Invariant: from the wire, a child that says which revision it is has no flow yet: the engine puts it there
//! (`Engine::fill_children`). To the wire it has both.

use windlass_core::child::{Child, TIMEOUT_MS_DEFAULT};
use windlass_core::flow::Flow;
use windlass_core::problem::Problems;
use windlass_core::revision::RevisionName;
use windlass_proto::v1;
use windlass_proto::v1::child_job::Work;

use super::time::{duration, millis};
use super::{input, stored_flow, work};

/// The job that the node is, whose definition is at `path`.
pub fn child(problems: &mut Problems, path: &str, job: v1::ChildJob) -> Child<String> {
    let (flow, flow_revision) = match job.work {
        Some(Work::Flow(flow)) => (work::several(problems, &format!("{path}.flow"), flow), None),
        Some(Work::Reference(reference)) => {
            if reference.name.is_empty() {
                problems.add(format!("{path}.reference.name"), "is empty: give the name of a stored flow");
            }
            let name = RevisionName { name: reference.name, revision: reference.revision };
            (Flow::linear([]), Some(name))
        }
        None => {
            problems.add(path, "does not say what to do: give a flow, or a reference to a stored one");
            (Flow::linear([]), None)
        }
    };
    let timeout_ms = millis(problems, &format!("{path}.timeout"), job.timeout.as_ref());
    Child {
        flow: Box::new(flow),
        flow_revision,
        inputs: input::inputs(problems, &format!("{path}.inputs"), job.inputs),
        priority: job.priority,
        timeout_ms: timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT),
    }
}

pub fn to_wire(child: &Child) -> v1::ChildJob {
    v1::ChildJob {
        work: Some(Work::Flow(work::flow_to_wire(&child.flow))),
        inputs: input::to_wire(&child.inputs),
        priority: child.priority,
        timeout: Some(duration(child.timeout_ms)),
        flow_revision: child.flow_revision.as_ref().map(stored_flow::name_to_wire),
    }
}
