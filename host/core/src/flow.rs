//! Flows: what a job does, task after task.
//!
//! A flow is immutable, and pins each of its plugins by digest. A single action is a flow of one task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Digest;

/// A linear graph of tasks: each starts when the one before it was applied.
///
/// `P` is how its plugins are named: pinned by digest, or as a client wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow<P = PluginPin> {
    pub tasks: Vec<Task<P>>,
    /// Values of arguments that the job does not give.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, Value>,
}

/// One node: an action of a pinned plugin, with inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task<P = PluginPin> {
    /// Unique in the flow.
    pub name: String,
    pub plugin: P,
    pub action: String,
    pub inputs: Inputs,
    /// What revert gets as its input; what apply got where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert_inputs: Option<BTreeMap<String, Input>>,
    /// Name that later tasks and readers use -> JSON pointer (RFC 6901) into the output; empty for the whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provides: BTreeMap<String, String>,
    /// Milliseconds that one call may take; the host's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub retry: RetryPolicy,
}

/// The exact bytes that a task runs, and what they were called when it was pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPin {
    pub digest: Digest,
    pub name: String,
    pub version: String,
}

/// Where a task's input comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inputs {
    /// The input is all arguments of the job: how a single action runs.
    Arguments,
    Named(BTreeMap<String, Input>),
}

/// Where one property of the input comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// This value: it outranks every other source.
    Literal(Value),
    /// The job argument of that name, or the flow's default.
    Argument(String),
    /// A part of what an earlier task returned: a JSON pointer (RFC 6901), empty for the whole.
    Output { task: String, pointer: String },
    /// The job argument of that name, else the flow's default, else what the nearest earlier task provides.
    From(String),
    /// As `From`; the property is left out where nobody provides it.
    Optional(String),
}

/// How often a call that ended in `retry` is made again, and after what pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Calls in all, the first one included.
    pub attempts_max: u32,
    /// Milliseconds after the first call.
    pub pause_ms: u64,
    pub pause_ms_max: u64,
    /// What each pause is multiplied with for the next, in percent; at least 100.
    pub factor_percent: u32,
}

impl Default for RetryPolicy {
    /// Five calls within about a quarter of a minute: what a restarted neighbour or a dropped connection needs.
    fn default() -> Self {
        Self { attempts_max: 5, pause_ms: 1_000, pause_ms_max: 300_000, factor_percent: 200 }
    }
}

impl Flow {
    /// What identifies the flow: equal flows are stored once.
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_vec(self).expect("a flow has only string keys");
        Digest::of(&text)
    }
}
