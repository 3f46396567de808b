//! Task instances: one task of one job, in one iteration.
//!
//! Invariant: an instance for which an intent to apply was recorded is undone when its job unwinds, unless
//! its only attempt ended in `reject` and left no undo record.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::call::{Direction, End, Evidence, Prior};
use crate::fault::Fault;
use crate::id::{Digest, JobId};
use crate::payload::Payload;

/// Which instance, within its job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceName {
    /// The task's name, unique in the flow.
    pub task: String,
    /// Empty at first; extended by every re-apply after a revert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iteration: Vec<u32>,
}

impl InstanceName {
    /// The same for every attempt of one apply, another for its revert, another for the next iteration.
    pub fn key(&self, job: JobId, direction: Direction) -> String {
        let mut hash = Sha256::new();
        hash.update(job.0.as_bytes());
        hash.update((self.task.len() as u64).to_be_bytes());
        hash.update(self.task.as_bytes());
        self.iteration.iter().for_each(|round| hash.update(round.to_be_bytes()));
        hash.update(match direction {
            Direction::Apply => b"apply ",
            Direction::Revert => b"revert",
        });
        let digest: [u8; 32] = hash.finalize().into();
        digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The name of the instance that a re-apply after a revert makes.
    pub(crate) fn next(&self) -> Self {
        let round = self.iteration.first().map_or(1, |round| round + 1);
        Self { task: self.task.clone(), iteration: vec![round] }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.task)?;
        self.iteration.iter().try_for_each(|round| write!(f, "#{round}"))
    }
}

/// The states of a task instance. `pending` has no row: an instance begins with its first intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Pending,
    Applying,
    /// An apply said `retry`; `next_try` says when.
    Backoff,
    /// The claim was lost while an apply ran.
    InDoubt,
    ApplyFailed,
    Applied,
    /// A revert was begun; where `next_try` is set it said `retry` and waits.
    Reverting,
    Reverted,
    RevertFailed,
    /// An operator accepted that the revert failed: the effect remains.
    Accepted,
    /// An operator took it out of the unwinding: the effect remains.
    SkippedRevert,
}

impl TaskState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applying => "applying",
            Self::Backoff => "backoff",
            Self::InDoubt => "in_doubt",
            Self::ApplyFailed => "apply_failed",
            Self::Applied => "applied",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::RevertFailed => "revert_failed",
            Self::Accepted => "accepted",
            Self::SkippedRevert => "skipped_revert",
        }
    }
}

/// How an apply that failed for good ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failed {
    /// The call said that it did nothing.
    Reject,
    /// Effects may exist.
    Broken,
    /// The last of its retries said `retry` again.
    RetriesUsedUp,
}

/// One task of one job, in one iteration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskInstance {
    pub name: InstanceName,
    pub state: TaskState,
    /// The plugin that applied, and that reverts.
    pub plugin: Digest,
    /// Calls of apply, ever.
    pub attempt: u32,
    /// Calls of revert, ever.
    pub revert_attempt: u32,
    /// Applies that ended in `retry`; judged against the policy, as a lost host is not the task's fault.
    pub retries: u32,
    pub revert_retries: u32,
    /// What is known of the calls so far in the direction of the latest one.
    pub prior: Prior,
    pub next_try: Option<DateTime<Utc>>,
    /// The numbered run of the job in which the state last changed.
    pub run: u32,
    pub output: Option<Payload>,
    pub revert_output: Option<Payload>,
    /// Every undo record of every attempt, oldest first.
    pub undo: Vec<Payload>,
    /// The latest failure of apply; it survives the revert.
    pub fault: Option<Fault>,
    pub failed: Option<Failed>,
    pub revert_fault: Option<Fault>,
    /// When the first apply began.
    pub started: Option<DateTime<Utc>>,
    /// When the latest apply ended; absent while it runs, and for ever where its host was lost.
    pub apply_ended: Option<DateTime<Utc>>,
    pub revert_started: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    /// The last reported progress, 0 to 1, and its message.
    pub progress: Option<(f32, String)>,
}

impl TaskInstance {
    pub(crate) fn pending(name: InstanceName, plugin: Digest) -> Self {
        Self {
            name,
            state: TaskState::Pending,
            plugin,
            attempt: 0,
            revert_attempt: 0,
            retries: 0,
            revert_retries: 0,
            prior: Prior::None,
            next_try: None,
            run: 1,
            output: None,
            revert_output: None,
            undo: Vec::new(),
            fault: None,
            failed: None,
            revert_fault: None,
            started: None,
            apply_ended: None,
            revert_started: None,
            ended: None,
            progress: None,
        }
    }

    /// A call is under way, or was when its host was last heard of.
    pub fn is_in_flight(&self) -> bool {
        match self.state {
            TaskState::Applying => true,
            TaskState::Reverting => self.next_try.is_none(),
            TaskState::Pending
            | TaskState::Backoff
            | TaskState::InDoubt
            | TaskState::ApplyFailed
            | TaskState::Applied
            | TaskState::Reverted
            | TaskState::RevertFailed
            | TaskState::Accepted
            | TaskState::SkippedRevert => false,
        }
    }

    /// The only attempt said that it did nothing, and it left no undo record: there is nothing to undo.
    pub fn is_lone_reject(&self) -> bool {
        self.state == TaskState::ApplyFailed
            && self.failed == Some(Failed::Reject)
            && self.attempt == 1
            && self.undo.is_empty()
    }

    /// Effects exist, or may.
    pub fn has_effects(&self) -> bool {
        match self.state {
            TaskState::Pending | TaskState::Reverted => false,
            TaskState::ApplyFailed => !self.is_lone_reject(),
            TaskState::Applying
            | TaskState::Backoff
            | TaskState::InDoubt
            | TaskState::Applied
            | TaskState::Reverting
            | TaskState::RevertFailed
            | TaskState::Accepted
            | TaskState::SkippedRevert => true,
        }
    }

    /// What revert is told.
    pub fn evidence(&self) -> Evidence {
        let end = match (&self.output, &self.fault, self.apply_ended) {
            (Some(output), _, _) => End::Applied(output.clone()),
            (None, Some(fault), Some(_)) => End::Failed(fault.clone()),
            // The latest apply has no recorded end; an earlier attempt's fault says nothing of it.
            (None, _, _) => End::Interrupted,
        };
        Evidence { end, undo: self.undo.clone() }
    }
}
