//! Child jobs: nodes of a flow that are jobs of their own, with a claim, a logbook and an end of their own.
//!
//! A parent waits for its child as for an event, holding nothing. What each is to be told by the other is recorded on
//! the one that tells (an *order* of the parent, the *end* of the child), stays there until it is recorded on the one
//! that hears, and is numbered, so that nothing is lost by a crash and nothing counts twice.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::flow::{Flow, Input, PluginPin};
use crate::id::JobId;
use crate::instance::InstanceName;
use crate::job::JobState;
use crate::payload::Payload;
use crate::revision::RevisionName;

/// How long a child may take where the flow does not say: as long as anything may be waited for.
pub const TIMEOUT_MS_DEFAULT: u64 = crate::wait::WAIT_MS_MAX;
/// How deep jobs are children of jobs, the outermost counted: what a person can still follow.
pub const GENERATIONS_MAX: usize = 8;

/// The job that a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child<P = PluginPin> {
    pub flow: Box<Flow<P>>,
    /// The revision that the flow is, where it was taken from one.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub flow_revision: Option<RevisionName>,
    /// The arguments of the job, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// On the board; that of the parent where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Milliseconds after which the node has failed, and the child is undone.
    pub timeout_ms: u64,
}

impl<P> Child<P> {
    /// The same with plugins named otherwise.
    pub(crate) fn map<Q>(self, plugin: &mut dyn FnMut(P) -> Q) -> Child<Q> {
        Child {
            flow: Box::new(self.flow.map(plugin)),
            flow_revision: self.flow_revision,
            inputs: self.inputs,
            priority: self.priority,
            timeout_ms: self.timeout_ms,
        }
    }
}

/// What a parent wants of its child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Be made, and run.
    Start,
    /// Go on from the failure.
    Retry,
    /// Leave nothing behind, whether it has ended or not.
    Undo,
    /// Begin nothing more, and leave what there is: the parent has ended so.
    Leave,
}

impl Order {
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Retry => "retry",
            Self::Undo => "undo",
            Self::Leave => "leave",
        }
    }
}

/// Which job the instance of a node is, and what it was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub job: JobId,
    pub order: Order,
    /// Rises with every order; an end that was told without knowing of the latest one is no answer to it.
    pub number: u32,
    /// The child has recorded it.
    pub is_told: bool,
}

/// Where a child belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub job: JobId,
    pub task: InstanceName,
}

/// How a child ended, as its parent is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildEnd {
    pub job: JobId,
    /// The last order that it knew of.
    pub number: u32,
    /// Where it was never made, `failed`.
    pub state: JobState,
    /// Effects remain, or may.
    pub has_effects: bool,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What it gives, by name, where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
}

impl JobId {
    /// The id of the job that an attempt of a node is. The same whoever works it out, so that it is made once; a UUIDv7
    /// of the time when it was ordered, as all ids of jobs are.
    pub fn of_child(parent: JobId, task: &InstanceName, attempt: u32, at: DateTime<Utc>) -> Self {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        hash.update(task.key(parent, crate::call::Direction::Apply));
        hash.update(attempt.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let random: [u8; 10] = std::array::from_fn(|index| digest[index]);
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}
