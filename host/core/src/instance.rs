//! Task instances: one task of one job, in one iteration; and scopes, which are kept in the same way.
//!
//! Invariant: an instance for which an intent to apply was recorded is undone when its job unwinds, unless
//! its only attempt ended in `reject` and left no undo record.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::call::{Direction, End, Evidence, Prior};
use crate::child::Link;
use crate::fault::Fault;
use crate::id::{Digest, JobId};
use crate::payload::Payload;
use crate::wait::Answer;

/// Which instance, within its job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceName {
    /// The task's name, unique in the flow.
    pub task: String,
    /// A number for each scope around the task that runs again, the outermost first: the try or round from 1, the
    /// element from 0. One more for every re-apply after an operator's retry of what was undone.
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

    /// The name of the instance that a re-apply after a revert makes, in an iteration of its section.
    pub(crate) fn next(&self, path: &[u32]) -> Self {
        let round = self.iteration.get(path.len()).map_or(1, |round| round + 1);
        let iteration = path.iter().copied().chain([round]).collect();
        Self { task: self.task.clone(), iteration }
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
    /// A condition did not hold: it is left out, as if it were applied.
    Skipped,
    Applying,
    /// An apply was accepted, and goes on elsewhere; where `next_try` is set it is looked at then, otherwise now.
    Observing,
    /// A wait, or a child job under way: until `next_try` at the latest.
    Waiting,
    /// An apply said `retry`; `next_try` says when.
    Backoff,
    /// The claim was lost while an apply ran.
    InDoubt,
    ApplyFailed,
    Applied,
    /// A revert was begun; where `next_try` is set it said `retry` and waits, or a child job undoes what it did.
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
            Self::Skipped => "skipped",
            Self::Applying => "applying",
            Self::Observing => "observing",
            Self::Waiting => "waiting",
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

/// One task, or one scope, of one job, in one iteration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskInstance {
    pub name: InstanceName,
    pub state: TaskState,
    /// The plugin that applied, and that reverts; none of a scope or a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Digest>,
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
    /// The attempts that wrote the last of them; all, unless the row is that of a host which did not keep them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo_attempts: Vec<u32>,
    /// The latest failure of apply; it survives the revert.
    pub fault: Option<Fault>,
    pub failed: Option<Failed>,
    pub revert_fault: Option<Fault>,
    /// When the first apply began.
    pub started: Option<DateTime<Utc>>,
    /// The number of the entry that began it, of an own revert that of its first call: clocks stand still. 0 where that
    /// is not known, as an older version of the host kept it.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub begun: u64,
    /// When the latest apply ended; absent while it runs, and for ever where its host was lost.
    pub apply_ended: Option<DateTime<Utc>>,
    pub revert_started: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    /// The last reported progress, 0 to 1, and its message.
    pub progress: Option<(f32, String)>,
    /// It is in doubt, and was held for a person to look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_held: bool,
    /// How far a scope is; none of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeProgress>,
    /// The task or nested flow whose condition did not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_by: Option<String>,
    /// What the latest apply accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Payload>,
    /// Observations ever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub observations: u32,
    /// Until when what was accepted is to be ready; none where an observation is to settle a doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe_until: Option<DateTime<Utc>>,
    /// It is a wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_wait: bool,
    /// What ended a wait before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The job that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<Link>,
}

fn is_unknown(sequence: &u64) -> bool {
    *sequence == 0
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How far a scope is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScopeProgress {
    /// The current iteration, from 1; 0 before the first. Of a map always 1: its elements are numbered from 0.
    pub iteration: u32,
    /// The iteration that the current series of tries or rounds began with: another than 1 after an operator's retry of
    /// what was undone.
    pub first: u32,
    /// Tries, or rounds, in one series; the elements of a map.
    pub bound: u32,
    /// What it runs for: the value of the current try; of a map the whole list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Payload>,
    /// Its failure undoes the whole job, whatever the scopes around it would do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reverts_all: bool,
}

impl ScopeProgress {
    /// Tries or rounds of the current series, the one under way included.
    pub fn tries_made(&self) -> u32 {
        (self.iteration + 1).saturating_sub(self.first)
    }
}

impl TaskInstance {
    pub(crate) fn pending(name: InstanceName, plugin: Option<Digest>) -> Self {
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
            undo_attempts: Vec::new(),
            fault: None,
            failed: None,
            revert_fault: None,
            started: None,
            begun: 0,
            apply_ended: None,
            revert_started: None,
            ended: None,
            progress: None,
            is_held: false,
            scope: None,
            skipped_by: None,
            handle: None,
            observations: 0,
            observe_until: None,
            is_wait: false,
            answer: None,
            child: None,
        }
    }

    /// It was called, or has begun to wait.
    pub(crate) fn is_begun(&self) -> bool {
        self.started.is_some() || self.revert_started.is_some()
    }

    /// The entry of that number was taken: it began it where it is begun now, and was not before.
    pub(crate) fn begin_at(&mut self, is_new: bool, sequence: u64) {
        if is_new && self.is_begun() {
            self.begun = sequence;
        }
    }

    /// Whether a row says what entries make of it. One of a host that did not keep which attempt wrote an undo record, or
    /// which entry began it, says nothing of that.
    pub fn is_told_by(&self, row: &Self) -> bool {
        let unknown = self.undo_attempts.len().saturating_sub(row.undo_attempts.len());
        if unknown == 0 && self.begun == row.begun {
            return self == row;
        }
        let begun = if row.begun == 0 { 0 } else { self.begun };
        Self { begun, undo_attempts: self.undo_attempts[unknown..].to_vec(), ..self.clone() } == *row
    }

    /// It is a scope, which has no calls and no effects of its own.
    pub fn is_scope(&self) -> bool {
        self.plugin.is_none() && !self.is_wait
    }

    /// It is a task, and not a scope or a wait: it has calls.
    pub fn is_task(&self) -> bool {
        self.plugin.is_some()
    }

    /// A call is under way, or was when its host was last heard of.
    pub fn is_in_flight(&self) -> bool {
        if !self.is_task() {
            return false;
        }
        match self.state {
            TaskState::Applying => true,
            TaskState::Reverting | TaskState::Observing => self.next_try.is_none(),
            TaskState::Pending
            | TaskState::Skipped
            | TaskState::Waiting
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
            && self.attempt <= 1
            && self.undo.is_empty()
    }

    /// Effects exist, or may.
    pub fn has_effects(&self) -> bool {
        // A scope and a wait have no calls, an own revert never applies, and some tasks fail before any call.
        let may_have = self.is_task() || self.child.is_some();
        if !may_have || self.attempt == 0 || self.has_child_without_effects() {
            return false;
        }
        match self.state {
            TaskState::Pending | TaskState::Skipped | TaskState::Reverted => false,
            TaskState::ApplyFailed => !self.is_lone_reject(),
            TaskState::Applying
            | TaskState::Waiting
            | TaskState::Observing
            | TaskState::Backoff
            | TaskState::InDoubt
            | TaskState::Applied
            | TaskState::Reverting
            | TaskState::RevertFailed
            | TaskState::Accepted
            | TaskState::SkippedRevert => true,
        }
    }

    /// It has effects that nobody let be.
    pub fn is_to_be_undone(&self) -> bool {
        self.has_effects() && !self.is_let_be()
    }

    /// An operator let the effect be: it is not undone any more.
    pub fn is_let_be(&self) -> bool {
        matches!(self.state, TaskState::Accepted | TaskState::SkippedRevert)
    }

    /// It failed before it began, as its condition could not be evaluated, or what a scope runs for.
    pub(crate) fn is_undecided(&self) -> bool {
        let has_begun = self.attempt > 0 || self.scope.as_ref().is_some_and(|scope| scope.iteration > 0);
        !has_begun
            && self.fault.is_some()
            && matches!(self.state, TaskState::ApplyFailed | TaskState::Reverted)
    }

    /// It waits for an answer, and has none yet.
    pub fn is_open_for_answer(&self) -> bool {
        let is_waiting = self.state == TaskState::Waiting
            || self.state == TaskState::Reverting
            || self.state == TaskState::ApplyFailed && self.child.is_some();
        self.is_wait && is_waiting && self.answer.is_none()
    }

    /// There is nothing to undo, and so no call is made for it.
    pub fn is_undone_at_once(&self) -> bool {
        match self.child {
            Some(_) => self.has_child_without_effects(),
            None => self.is_wait || self.is_lone_reject(),
        }
    }

    /// The last that was heard of its child is that nothing of it remains.
    fn has_child_without_effects(&self) -> bool {
        self.child.is_some() && matches!(&self.answer, Some(Answer::Child(end)) if !end.has_effects)
    }

    /// What revert and observe are told: how the latest apply ended.
    pub fn evidence(&self) -> Evidence {
        let end = match (&self.output, &self.handle, &self.fault) {
            (Some(output), _, _) => End::Applied(output.clone()),
            // The latest apply has no recorded end; an earlier attempt's fault says nothing of it.
            _ if self.apply_ended.is_none() => End::Interrupted,
            (None, handle, Some(fault)) if handle.is_none() || self.failed.is_some() => {
                End::Failed { fault: fault.clone(), handle: handle.clone() }
            }
            (None, Some(handle), _) => End::Accepted(handle.clone()),
            (None, None, _) => End::Interrupted,
        };
        Evidence { end, undo: self.undo_records().collect() }
    }
}
