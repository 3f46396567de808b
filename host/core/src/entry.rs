//! Entries: what is recorded of a job, a fact each, never edited.
//!
//! Invariant: a job's entries, replayed over its spec and flow, give its status and its task instances.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::call::{Direction, Prior};
use crate::child::Order;
use crate::fault::Fault;
use crate::id::{HostId, JobId};
use crate::instance::{Failed, InstanceName, ScopeProgress};
use crate::job::{CancelMode, Cause, JobState};
use crate::payload::Payload;
use crate::wait::Answer;

/// One line of the logbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// 1 for the first entry of a job, without gaps.
    pub sequence: u64,
    pub at: DateTime<Utc>,
    /// The claim epoch at that time; 0 before the first claim.
    pub epoch: u64,
    pub actor: Actor,
    pub fact: Fact,
}

/// Who made it happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Principal(String),
    Host(HostId),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    Created {
        execute_at: Option<DateTime<Utc>>,
        due: DateTime<Utc>,
        priority: i32,
    },
    /// It was due, and is on the board now.
    Triggered,
    Rescheduled {
        execute_at: DateTime<Utc>,
        due: DateTime<Utc>,
    },
    Prioritised {
        priority: i32,
    },
    Claimed {
        host: HostId,
        epoch: u64,
    },
    /// The host that had the claim is gone. `in_flight`: a call was under way.
    ClaimLost {
        host: HostId,
        in_flight: bool,
    },
    /// The host gave the claim up, to stop or because there is nothing to do but wait.
    GivenUp {
        host: HostId,
    },
    Waiting {
        until: DateTime<Utc>,
    },
    Woken,
    /// The direction is revert from here on.
    Unwinding {
        cause: Cause,
    },
    CancelRequested {
        mode: CancelMode,
        reason: String,
    },
    SuspendRequested,
    Suspended,
    Resumed,
    Quarantined {
        reason: String,
    },
    Released,
    /// The job that it is a child of wants this of it.
    ParentOrdered {
        order: Order,
        number: u32,
    },
    /// The job that it is a child of has recorded how it ended, as it was when it knew of that order.
    ParentTold {
        number: u32,
    },
    /// An operator opened the next run of an ended job.
    Reopened {
        direction: Direction,
        reason: String,
    },
    Ended {
        state: JobState,
        cause: Option<Cause>,
        residue: Vec<InstanceName>,
    },

    TaskApplying {
        task: InstanceName,
        attempt: u32,
        prior: Prior,
    },
    TaskApplied {
        task: InstanceName,
        attempt: u32,
        output: Payload,
        undo: Option<Payload>,
    },
    /// What was begun goes on elsewhere, and is looked at.
    TaskAccepted {
        task: InstanceName,
        attempt: u32,
        handle: Payload,
        undo: Option<Payload>,
        next_try: DateTime<Utc>,
        deadline: DateTime<Utc>,
    },
    /// An observation begins; `attempt` counts the observations.
    TaskObserving {
        task: InstanceName,
        attempt: u32,
    },
    /// An observation did not settle it, or was lost with its host.
    TaskNotReady {
        task: InstanceName,
        attempt: u32,
        fault: Option<Fault>,
        next_try: DateTime<Utc>,
        /// Its host was lost while it looked.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_lost: bool,
    },
    /// A wait begins, and gives up, or is over, then.
    TaskWaiting {
        task: InstanceName,
        attempt: u32,
        until: DateTime<Utc>,
    },
    /// What a wait waited for is there.
    TaskAnswered {
        task: InstanceName,
        attempt: u32,
        answer: Answer,
    },
    /// A child job is to be made, to go on, or to be undone; it has failed to do so then.
    ChildOrdered {
        task: InstanceName,
        attempt: u32,
        child: JobId,
        order: Order,
        number: u32,
        until: DateTime<Utc>,
    },
    /// The child has recorded the order.
    ChildTold {
        task: InstanceName,
        number: u32,
    },
    TaskBackoff {
        task: InstanceName,
        attempt: u32,
        fault: Fault,
        next_try: DateTime<Utc>,
    },
    TaskApplyFailed {
        task: InstanceName,
        attempt: u32,
        fault: Fault,
        how: Failed,
    },
    TaskInDoubt {
        task: InstanceName,
        attempt: u32,
    },
    /// It is in doubt, and a person shall look before it is applied again.
    TaskHeld {
        task: InstanceName,
        attempt: u32,
    },
    TaskReverting {
        task: InstanceName,
        attempt: u32,
        prior: Prior,
    },
    /// The claim was lost while a revert ran: it is made again at once, under the same key.
    TaskRevertInterrupted {
        task: InstanceName,
        attempt: u32,
    },
    TaskRevertBackoff {
        task: InstanceName,
        attempt: u32,
        fault: Fault,
        next_try: DateTime<Utc>,
    },
    /// `attempt` is 0 where there was no call: nothing was to be undone, or the own revert of a flow around it did that.
    TaskReverted {
        task: InstanceName,
        attempt: u32,
        output: Option<Payload>,
    },
    TaskRevertFailed {
        task: InstanceName,
        attempt: u32,
        fault: Fault,
    },
    TaskRevertAccepted {
        task: InstanceName,
        reason: String,
    },
    TaskRevertSkipped {
        task: InstanceName,
        reason: String,
    },
    /// A condition did not hold: that of the task itself, or of what comes before it or holds it.
    TaskSkipped {
        task: InstanceName,
        by: String,
    },

    /// An iteration of a scope begins, or, for an operator, goes on.
    ScopeApplying {
        scope: InstanceName,
        progress: ScopeProgress,
    },
    /// An iteration failed, and is undone to be tried again.
    ScopeReverting {
        scope: InstanceName,
        iteration: u32,
        fault: Fault,
    },
    /// The next iteration begins after a pause.
    ScopeBackoff {
        scope: InstanceName,
        iteration: u32,
        next_try: DateTime<Utc>,
    },
    ScopeApplied {
        scope: InstanceName,
        iteration: u32,
    },
    ScopeApplyFailed {
        scope: InstanceName,
        iteration: u32,
        fault: Fault,
        /// The whole job is undone, whatever the scopes around it would do.
        reverts_all: bool,
    },
    /// All that was done in it is undone.
    ScopeReverted {
        scope: InstanceName,
    },
    ScopeSkipped {
        scope: InstanceName,
        by: String,
    },

    UndoRecorded {
        task: InstanceName,
        attempt: u32,
        undo: Payload,
    },
    /// The last one of a while; an open watch sees each.
    Progressed {
        task: InstanceName,
        attempt: u32,
        fraction: f32,
        message: String,
    },
    /// What the guest printed or logged.
    Printed {
        task: InstanceName,
        attempt: u32,
        lines: Vec<Line>,
    },
}

/// A line that a guest printed or logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub at: DateTime<Utc>,
    /// `stdout`, `stderr`, or the level of a log call.
    pub source: String,
    pub text: String,
}

impl Fact {
    /// The task instance or scope that it is about.
    pub fn task(&self) -> Option<&InstanceName> {
        match self {
            Self::ScopeApplying { scope, .. }
            | Self::ScopeReverting { scope, .. }
            | Self::ScopeBackoff { scope, .. }
            | Self::ScopeApplied { scope, .. }
            | Self::ScopeApplyFailed { scope, .. }
            | Self::ScopeReverted { scope }
            | Self::ScopeSkipped { scope, .. } => Some(scope),
            Self::TaskApplying { task, .. }
            | Self::TaskApplied { task, .. }
            | Self::TaskAccepted { task, .. }
            | Self::TaskObserving { task, .. }
            | Self::TaskNotReady { task, .. }
            | Self::TaskWaiting { task, .. }
            | Self::TaskAnswered { task, .. }
            | Self::ChildOrdered { task, .. }
            | Self::ChildTold { task, .. }
            | Self::TaskBackoff { task, .. }
            | Self::TaskApplyFailed { task, .. }
            | Self::TaskInDoubt { task, .. }
            | Self::TaskHeld { task, .. }
            | Self::TaskReverting { task, .. }
            | Self::TaskRevertInterrupted { task, .. }
            | Self::TaskRevertBackoff { task, .. }
            | Self::TaskReverted { task, .. }
            | Self::TaskRevertFailed { task, .. }
            | Self::TaskRevertAccepted { task, .. }
            | Self::TaskRevertSkipped { task, .. }
            | Self::TaskSkipped { task, .. }
            | Self::UndoRecorded { task, .. }
            | Self::Progressed { task, .. }
            | Self::Printed { task, .. } => Some(task),
            Self::Created { .. }
            | Self::Triggered
            | Self::Rescheduled { .. }
            | Self::Prioritised { .. }
            | Self::Claimed { .. }
            | Self::ClaimLost { .. }
            | Self::GivenUp { .. }
            | Self::Waiting { .. }
            | Self::Woken
            | Self::Unwinding { .. }
            | Self::CancelRequested { .. }
            | Self::SuspendRequested
            | Self::Suspended
            | Self::Resumed
            | Self::Quarantined { .. }
            | Self::Released
            | Self::ParentOrdered { .. }
            | Self::ParentTold { .. }
            | Self::Reopened { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// It is about a scope.
    pub fn is_of_scope(&self) -> bool {
        matches!(
            self,
            Self::ScopeApplying { .. }
                | Self::ScopeReverting { .. }
                | Self::ScopeBackoff { .. }
                | Self::ScopeApplied { .. }
                | Self::ScopeApplyFailed { .. }
                | Self::ScopeReverted { .. }
                | Self::ScopeSkipped { .. }
        )
    }

    /// The attempt that it is about; 0 where it is about none.
    pub fn attempt(&self) -> u32 {
        match self {
            Self::TaskApplying { attempt, .. }
            | Self::TaskApplied { attempt, .. }
            | Self::TaskAccepted { attempt, .. }
            | Self::TaskObserving { attempt, .. }
            | Self::TaskNotReady { attempt, .. }
            | Self::TaskWaiting { attempt, .. }
            | Self::TaskAnswered { attempt, .. }
            | Self::ChildOrdered { attempt, .. }
            | Self::TaskBackoff { attempt, .. }
            | Self::TaskApplyFailed { attempt, .. }
            | Self::TaskInDoubt { attempt, .. }
            | Self::TaskHeld { attempt, .. }
            | Self::TaskReverting { attempt, .. }
            | Self::TaskRevertInterrupted { attempt, .. }
            | Self::TaskRevertBackoff { attempt, .. }
            | Self::TaskReverted { attempt, .. }
            | Self::TaskRevertFailed { attempt, .. }
            | Self::UndoRecorded { attempt, .. }
            | Self::Progressed { attempt, .. }
            | Self::Printed { attempt, .. } => *attempt,
            _ => 0,
        }
    }

    /// A stable name, such as `task.applied` or `job.claimed`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Created { .. } => "job.created",
            Self::Triggered => "job.triggered",
            Self::Rescheduled { .. } => "job.rescheduled",
            Self::Prioritised { .. } => "job.prioritised",
            Self::Claimed { .. } => "job.claimed",
            Self::ClaimLost { .. } => "job.claim_lost",
            Self::GivenUp { .. } => "job.given_up",
            Self::Waiting { .. } => "job.waiting",
            Self::Woken => "job.woken",
            Self::Unwinding { .. } => "job.unwinding",
            Self::CancelRequested { .. } => "job.cancel_requested",
            Self::SuspendRequested => "job.suspend_requested",
            Self::Suspended => "job.suspended",
            Self::Resumed => "job.resumed",
            Self::Quarantined { .. } => "job.quarantined",
            Self::Released => "job.released",
            Self::ParentOrdered { .. } => "job.parent_ordered",
            Self::ParentTold { .. } => "job.parent_told",
            Self::Reopened { .. } => "job.reopened",
            Self::Ended { .. } => "job.ended",
            Self::TaskApplying { .. } => "task.applying",
            Self::TaskApplied { .. } => "task.applied",
            Self::TaskAccepted { .. } => "task.under_way",
            Self::TaskObserving { .. } => "task.observing",
            Self::TaskNotReady { .. } => "task.not_ready",
            Self::TaskWaiting { .. } => "task.waiting",
            Self::TaskAnswered { .. } => "task.answered",
            Self::ChildOrdered { .. } => "task.child_ordered",
            Self::ChildTold { .. } => "task.child_told",
            Self::TaskBackoff { .. } => "task.backoff",
            Self::TaskApplyFailed { .. } => "task.apply_failed",
            Self::TaskInDoubt { .. } => "task.in_doubt",
            Self::TaskHeld { .. } => "task.held",
            Self::TaskReverting { .. } => "task.reverting",
            Self::TaskRevertInterrupted { .. } => "task.revert_interrupted",
            Self::TaskRevertBackoff { .. } => "task.revert_backoff",
            Self::TaskReverted { .. } => "task.reverted",
            Self::TaskRevertFailed { .. } => "task.revert_failed",
            Self::TaskRevertAccepted { .. } => "task.accepted",
            Self::TaskRevertSkipped { .. } => "task.skipped_revert",
            Self::TaskSkipped { .. } => "task.skipped",
            Self::ScopeApplying { .. } => "scope.applying",
            Self::ScopeReverting { .. } => "scope.reverting",
            Self::ScopeBackoff { .. } => "scope.backoff",
            Self::ScopeApplied { .. } => "scope.applied",
            Self::ScopeApplyFailed { .. } => "scope.apply_failed",
            Self::ScopeReverted { .. } => "scope.reverted",
            Self::ScopeSkipped { .. } => "scope.skipped",
            Self::UndoRecorded { .. } => "task.undo_recorded",
            Self::Progressed { .. } => "task.progressed",
            Self::Printed { .. } => "task.printed",
        }
    }
}
