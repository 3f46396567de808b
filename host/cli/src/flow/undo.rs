//! Own reverts and phases in flow documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_proto::v1;

use super::checked::unique;
use super::document::{InputDocument, Pause, RetryDocument, inputs_of_wire, wire_of_inputs};

/// One call that undoes everything in a flow, in place of undoing it task by task: for what can only be released as a
/// whole.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OwnRevert")]
pub struct OwnRevertDocument {
    /// A name, `name@version` or a digest.
    #[schemars(length(min = 1))]
    plugin: String,
    /// The action whose revert is called.
    #[schemars(length(min = 1))]
    action: String,
    /// The members of the object that it gets. What comes from a task in the flow is left out where that was never
    /// applied.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    inputs: BTreeMap<String, InputDocument>,
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
    /// Only in answers: what the plugin was resolved to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("readOnly" = true))]
    digest: String,
}

impl OwnRevertDocument {
    pub fn wire(self) -> v1::OwnRevert {
        v1::OwnRevert {
            plugin: self.plugin,
            action: self.action,
            inputs: wire_of_inputs(self.inputs),
            timeout: self.timeout.map(|pause| pause.0),
            retry: self.retry.map(RetryDocument::wire),
            memory_bytes_max: self.memory_bytes_max,
            digest: String::new(),
        }
    }
}

impl From<&v1::OwnRevert> for OwnRevertDocument {
    fn from(revert: &v1::OwnRevert) -> Self {
        Self {
            plugin: revert.plugin.clone(),
            action: revert.action.clone(),
            inputs: inputs_of_wire(&revert.inputs),
            timeout: revert.timeout.map(Pause),
            retry: revert.retry.as_ref().map(RetryDocument::from),
            memory_bytes_max: revert.memory_bytes_max,
            digest: revert.digest.clone(),
        }
    }
}

/// Part of a graph: all of an earlier one is applied before any of a later one begins, and reverted after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Phase")]
pub enum PhaseDocument {
    Reserve,
    Configure,
    Acquire,
}

impl PhaseDocument {
    pub fn wire(phase: Option<Self>) -> v1::Phase {
        match phase {
            None => v1::Phase::Unspecified,
            Some(Self::Reserve) => v1::Phase::Reserve,
            Some(Self::Configure) => v1::Phase::Configure,
            Some(Self::Acquire) => v1::Phase::Acquire,
        }
    }

    pub fn of_wire(phase: v1::Phase) -> Option<Self> {
        match phase {
            v1::Phase::Unspecified => None,
            v1::Phase::Reserve => Some(Self::Reserve),
            v1::Phase::Configure => Some(Self::Configure),
            v1::Phase::Acquire => Some(Self::Acquire),
        }
    }
}
