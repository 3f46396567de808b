//! Child jobs in flow documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_proto::v1;
use windlass_proto::v1::child_job::Work;

use super::checked::{Checked, unique};
use super::document::{FlowDocument, InputDocument, Pause, inputs_of_wire, wire_of_inputs};
use super::work::WorkDocument;

/// A job of its own, which undoing the node undoes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Job")]
pub struct ChildDocument {
    /// What it does: a stored flow, as NAME or NAME@REVISION, or a flow that is written here.
    flow: WorkDocument,
    /// The arguments of the job.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    inputs: BTreeMap<String, InputDocument>,
    /// On the board, the higher one first; that of the job that it is a child of where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000, max = 1_000))]
    priority: Option<i32>,
    /// How long it may take, up to 366 days, which it is where absent. Then it has failed, and is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Pause>,
}

impl ChildDocument {
    pub fn wire(self) -> v1::ChildJob {
        let work = match self.flow {
            WorkDocument::Stored(name) => Work::Reference(name),
            WorkDocument::Written(flow) => Work::Flow(flow.0.wire()),
        };
        v1::ChildJob {
            work: Some(work),
            inputs: wire_of_inputs(self.inputs),
            priority: self.priority,
            timeout: self.timeout.map(|pause| pause.0),
            flow_revision: None,
        }
    }
}

impl From<&v1::ChildJob> for ChildDocument {
    /// A stored flow is shown by its name and number, which mean the same for ever.
    fn from(job: &v1::ChildJob) -> Self {
        let flow = match (&job.flow_revision, &job.work) {
            (Some(name), _) | (None, Some(Work::Reference(name))) => WorkDocument::Stored(name.clone()),
            (None, Some(Work::Flow(flow))) => {
                WorkDocument::Written(Box::new(Checked(FlowDocument::from(flow))))
            }
            (None, None) => {
                WorkDocument::Written(Box::new(Checked(FlowDocument::from(&v1::Flow::default()))))
            }
        };
        Self {
            flow,
            inputs: inputs_of_wire(&job.inputs),
            priority: job.priority,
            timeout: job.timeout.map(Pause),
        }
    }
}
