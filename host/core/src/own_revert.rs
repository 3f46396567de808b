//! Own reverts: one call that undoes all of a flow, in place of undoing it task by task.
//!
//! It is for what can only be released as a whole, such as a machine with its address and its disk. The call is an
//! instance of its own, called `<flow>.revert`, which never applies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::flow::{Input, PluginPin, RetryPolicy, Task};

/// What the name of an own revert ends with, after that of its flow.
pub const SUFFIX: &str = ".revert";

/// The call of an action's revert that stands for undoing everything in a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnRevert<P = PluginPin> {
    pub plugin: P,
    pub action: String,
    /// From outside the flow or inside it; what nobody inside came to give is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// Milliseconds that one call may take; the host's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Bytes over all memories of an instance; the job's grant or the host's default where absent, and never more than
    /// the job's grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
}

impl<P> OwnRevert<P> {
    /// The same with its plugin named otherwise.
    pub(crate) fn map<Q>(self, plugin: impl FnOnce(P) -> Q) -> OwnRevert<Q> {
        OwnRevert {
            plugin: plugin(self.plugin),
            action: self.action,
            inputs: self.inputs,
            timeout_ms: self.timeout_ms,
            retry: self.retry,
            memory_bytes_max: self.memory_bytes_max,
        }
    }
}

/// The name of the own revert of a flow.
pub fn name_of(flow: &str) -> String {
    format!("{flow}{SUFFIX}")
}

/// Whatever in a flow is called: a task, or the own revert of a flow.
#[derive(Debug)]
pub enum Called<'a, P = PluginPin> {
    Task(&'a Task<P>),
    OwnRevert(&'a OwnRevert<P>),
}

impl<P> Clone for Called<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Called<'_, P> {}

impl<'a, P> Called<'a, P> {
    pub fn plugin(self) -> &'a P {
        match self {
            Self::Task(task) => &task.plugin,
            Self::OwnRevert(revert) => &revert.plugin,
        }
    }

    pub fn action(self) -> &'a str {
        match self {
            Self::Task(task) => &task.action,
            Self::OwnRevert(revert) => &revert.action,
        }
    }

    pub fn timeout_ms(self) -> Option<u64> {
        match self {
            Self::Task(task) => task.timeout_ms,
            Self::OwnRevert(revert) => revert.timeout_ms,
        }
    }

    pub fn retry(self) -> &'a RetryPolicy {
        match self {
            Self::Task(task) => &task.retry,
            Self::OwnRevert(revert) => &revert.retry,
        }
    }

    pub fn memory_bytes_max(self) -> Option<u64> {
        match self {
            Self::Task(task) => task.memory_bytes_max,
            Self::OwnRevert(revert) => revert.memory_bytes_max,
        }
    }
}
