//! Calls: one attempt of apply or revert, or one look at what was accepted, and what came of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::id::Digest;
use crate::instance::InstanceName;
use crate::payload::Payload;

/// Which way a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Apply,
    Revert,
}

impl Direction {
    pub fn opposite(self) -> Self {
        match self {
            Self::Apply => Self::Revert,
            Self::Revert => Self::Apply,
        }
    }
}

/// Which of an action's functions is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    Apply,
    Revert,
    /// Looks at what an apply accepted, or may have done, and has no effect.
    Observe,
}

impl Function {
    /// Under whose idempotency key it is called.
    pub fn direction(self) -> Direction {
        match self {
            Self::Apply | Self::Observe => Direction::Apply,
            Self::Revert => Direction::Revert,
        }
    }
}

impl From<Direction> for Function {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Apply => Self::Apply,
            Direction::Revert => Self::Revert,
        }
    }
}

/// What is known of the attempts before this one, under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prior {
    None,
    Failed,
    /// An earlier attempt may have had effects that nobody recorded.
    Interrupted,
}

/// One attempt, as the plugin is told of it, and all that the executor needs to make it.
#[derive(Debug, Clone)]
pub struct Call {
    pub plugin: Digest,
    pub function: Function,
    pub job: String,
    /// The name of the task, unique in its flow.
    pub task: String,
    pub iteration: Vec<u32>,
    pub action: String,
    /// Counts the calls made under `idempotency_key`, from 1; of an observation the observations.
    pub attempt: u32,
    pub scope_attempt: u32,
    pub prior: Prior,
    pub idempotency_key: String,
    /// The claim epoch.
    pub fence: u64,
    pub fired_for: DateTime<Utc>,
    /// How long the call may take; counted from the moment that it begins.
    pub timeout: std::time::Duration,
    pub attributes: Vec<(String, String)>,
    pub input: Payload,
    /// None for an apply.
    pub evidence: Option<Evidence>,
    /// Why tasks of the job are not applied, in the order of the flow.
    pub failures: Vec<(InstanceName, Fault)>,
    pub grants: Grants,
}

/// What revert and observe are told of the apply that they undo or look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub end: End,
    /// Every undo record of every attempt, oldest first.
    pub undo: Vec<UndoRecord>,
}

/// What an attempt of apply wrote to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoRecord {
    pub task: InstanceName,
    /// 0 where that is not known: an older version of the host kept it.
    pub attempt: u32,
    pub undo: Payload,
}

/// How the apply ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Applied(Payload),
    /// It was accepted with this handle, and is not known to be ready.
    Accepted(Payload),
    /// The handle where it was accepted before.
    Failed {
        fault: Fault,
        handle: Option<Payload>,
    },
    Interrupted,
    /// Of a flow: not everything in it is applied or skipped.
    Partial {
        /// What its tasks that are applied gave, by their names.
        outputs: Payload,
        /// The first failure of what is left in it.
        failure: Option<Fault>,
        /// Nobody knows how the apply of something in it ended.
        is_interrupted: bool,
    },
}

/// What came of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An apply succeeded.
    Applied { output: Payload, undo: Option<Payload> },
    /// An apply began something that goes on elsewhere: it is looked at from then on, the first time after the task's own
    /// pause where the plugin does not say when.
    Accepted { handle: Payload, undo: Option<Payload>, observe_after_ms: Option<u64> },
    /// What an observation saw.
    Observed(Observation),
    /// A revert succeeded, and may have something to say.
    Reverted { output: Option<Payload> },
    /// Try again, not before `after_ms` where the plugin says so.
    Retry { fault: Fault, after_ms: Option<u64> },
    /// Permanent; this call had no effect.
    Reject { fault: Fault },
    /// Permanent; effects may exist. Traps, timeouts and limits too.
    Broken { fault: Fault },
}

/// What an observer says of what was accepted, or may have been done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// It is there and ready.
    Present { output: Payload },
    /// It is not there, and will not be by itself: what is in doubt is applied anew.
    Absent { fault: Option<Fault> },
    /// It was begun, and has failed for good; effects may exist.
    Failed { fault: Fault },
    /// It is there, and not as it should be.
    Drifted { fault: Option<Fault> },
    /// That cannot be said yet; not before `after_ms` where the plugin says so.
    Unknown { after_ms: Option<u64> },
}

/// What a plugin may touch. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<DirectoryGrant>,
    /// Bytes over all memories of an instance; the host's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
}

/// A directory of the host, shown to the plugin under a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryGrant {
    /// Absolute path on the host.
    pub host_path: String,
    /// What the plugin sees, such as `/source`.
    pub guest_path: String,
    pub access: Access,
}

/// What may be done in a granted directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    ReadOnly,
    ReadWrite,
}
