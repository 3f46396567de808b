//! The table of facts: in which states of the job each may be recorded.
//!
//! The tables of transitions say where a state may lead to; this one says what may lead there, so that a logbook
//! that was tampered with, or a decision taken on the wrong state, cannot pass for history.

use crate::child::Order;
use crate::entry::Fact;
use crate::job::JobState;
use crate::wait::Answer;

/// Whether the fact can happen to a job in this state.
pub fn happens_in(fact: &Fact, state: JobState) -> bool {
    use JobState::{
        Failed, Quarantined, Ready, Reverting, Running, Scheduled, Succeeded, Suspended, Suspending, Waiting,
    };
    let states: &[JobState] = match fact {
        Fact::Created { .. } | Fact::Triggered => &[Scheduled],
        Fact::Rescheduled { .. } => &[Scheduled, Ready],
        Fact::Claimed { .. } => &[Ready],
        Fact::Waiting { .. } => &[Running, Reverting],
        Fact::Woken => &[Waiting],
        // At rest, it is on the board first.
        Fact::Unwinding { .. } => &[Ready, Running, Suspending],
        Fact::CancelRequested { .. } => &[Ready, Running, Reverting, Suspending, Quarantined],
        Fact::SuspendRequested => &[Running, Reverting],
        Fact::Suspended => &[Ready, Waiting, Suspending],
        Fact::Resumed => &[Suspended],
        Fact::Quarantined { .. } => &[Ready, Running, Reverting, Suspending],
        Fact::Released => &[Quarantined],
        Fact::Reopened { .. } => &[Succeeded, Failed],
        Fact::Prioritised { .. } | Fact::Ended { .. } => return !state.is_ended(),
        // Applying belongs to the way forward. A scope goes back while its job goes forward.
        Fact::TaskApplying { .. }
        | Fact::TaskObserving { .. }
        | Fact::TaskWaiting { .. }
        | Fact::TaskSkipped { .. }
        | Fact::ScopeApplying { .. }
        | Fact::ScopeReverting { .. }
        | Fact::ScopeBackoff { .. }
        | Fact::ScopeSkipped { .. } => &[Running],
        Fact::ChildOrdered { order: Order::Start | Order::Retry, .. } => &[Running],
        // What is left is told by the end itself.
        Fact::ChildOrdered { order: Order::Leave, .. } => &[],
        Fact::TaskReverting { .. } | Fact::ChildOrdered { order: Order::Undo, .. } => &[Running, Reverting],
        // The last call of a scope may end when a suspension was asked for.
        Fact::ScopeApplied { .. } | Fact::ScopeApplyFailed { .. } => &[Running, Suspending],
        Fact::ScopeReverted { .. } => &[Running, Reverting, Suspending],
        Fact::TaskApplied { .. }
        | Fact::TaskAccepted { .. }
        | Fact::TaskNotReady { .. }
        | Fact::TaskHeld { .. }
        | Fact::TaskBackoff { .. }
        | Fact::TaskApplyFailed { .. }
        | Fact::TaskInDoubt { .. } => &[Running, Suspending],
        Fact::TaskRevertInterrupted { .. }
        | Fact::TaskRevertBackoff { .. }
        | Fact::TaskReverted { .. }
        | Fact::TaskRevertFailed { .. } => &[Running, Reverting, Suspending],
        Fact::TaskRevertAccepted { .. } | Fact::TaskRevertSkipped { .. } => &[Failed],
        // What another job wants, or knows, is told whatever becomes of this one.
        Fact::ParentOrdered { .. } | Fact::ChildTold { .. } => return true,
        Fact::ParentTold { .. } => return state.is_ended(),
        Fact::TaskAnswered { answer: Answer::Child(_), .. } => {
            return !matches!(state, Scheduled | Succeeded);
        }
        // Whoever answers need not have the job.
        Fact::TaskAnswered { .. } => &[Ready, Waiting, Running, Suspending, Suspended, Quarantined],
        // Only the host that has the job speaks for its calls.
        Fact::ClaimLost { .. }
        | Fact::GivenUp { .. }
        | Fact::UndoRecorded { .. }
        | Fact::Progressed { .. }
        | Fact::Printed { .. } => &[Running, Reverting, Suspending],
    };
    states.contains(&state)
}
