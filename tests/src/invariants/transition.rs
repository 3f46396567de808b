//! P08: the job table of the design, written down once more, apart from the code that decides.

use windlass_core::call::Direction;
use windlass_core::entry::{Entry, Fact};
use windlass_core::job::JobState::{
    self, Cancelled, Dropped, Failed, Quarantined, Ready, Reverted, Reverting, Running, Scheduled, Succeeded,
    Superseded, Suspended, Suspending, Waiting,
};
use windlass_core::job::{CancelMode, Cause, Request};

/// Every step between two states that a job may take.
fn is_legal(from: JobState, to: JobState) -> bool {
    let allowed: &[JobState] = match from {
        Scheduled => &[Ready, Dropped, Failed, Cancelled, Superseded],
        Ready => &[
            Running,
            Reverting,
            Suspending,
            Quarantined,
            Scheduled,
            Dropped,
            Cancelled,
            Superseded,
            Failed,
            Suspended,
        ],
        Waiting => &[Ready, Failed, Cancelled, Suspended],
        Running => &[Succeeded, Waiting, Reverting, Suspending, Ready, Quarantined, Failed, Cancelled],
        Reverting => &[Reverted, Failed, Suspending, Waiting, Quarantined, Ready],
        Suspending => &[Suspended, Succeeded, Reverted, Failed, Ready, Running, Reverting, Quarantined],
        Suspended => &[Ready, Cancelled, Failed],
        Quarantined => &[Ready, Cancelled, Failed],
        Succeeded | Failed => &[Ready],
        Reverted | Dropped | Cancelled | Superseded => &[],
    };
    allowed.contains(&to)
}

/// Follows the entries by what they say, not by what the core makes of them.
pub(super) fn check(entries: &[Entry]) -> Vec<String> {
    let mut state = Scheduled;
    let mut direction = Direction::Apply;
    let mut request: Option<Request> = None;
    let mut problems = Vec::new();
    for entry in entries {
        let claimed = |direction| if direction == Direction::Apply { Running } else { Reverting };
        let next = match &entry.fact {
            Fact::Rescheduled { .. } => Scheduled,
            Fact::Triggered
            | Fact::ClaimLost { .. }
            | Fact::GivenUp { .. }
            | Fact::Woken
            | Fact::Resumed
            | Fact::Released => Ready,
            Fact::Claimed { .. } if request == Some(Request::Suspend) => Suspending,
            Fact::Claimed { .. } => claimed(direction),
            Fact::Waiting { .. } => Waiting,
            Fact::Unwinding { cause } => {
                direction = Direction::Revert;
                let is_cancel = matches!(cause, Cause::Cancelled { .. });
                request = request.filter(|request| *request == Request::Suspend && !is_cancel);
                if state == Running { Reverting } else { state }
            }
            Fact::CancelRequested { mode, reason } => {
                // What it asks for is being done already.
                let is_done = *mode == CancelMode::Revert && direction == Direction::Revert;
                request = (!is_done).then(|| Request::Cancel { mode: *mode, reason: reason.clone() });
                if state == Suspending { claimed(direction) } else { state }
            }
            Fact::SuspendRequested => {
                request = Some(Request::Suspend);
                if matches!(state, Running | Reverting) { Suspending } else { state }
            }
            Fact::Suspended => {
                request = None;
                Suspended
            }
            Fact::Quarantined { .. } => Quarantined,
            Fact::Reopened { direction: reopened, .. } => {
                direction = *reopened;
                request = None;
                Ready
            }
            Fact::Ended { state: ended, cause, .. } => {
                problems.extend(dishonest(*ended, cause.as_ref(), direction));
                request = None;
                *ended
            }
            _ => state,
        };
        if next != state && !is_legal(state, next) {
            problems.push(format!("entry {} leads from {} to {}", entry.sequence, state.word(), next.word()));
        }
        if direction == Direction::Revert && matches!(entry.fact, Fact::TaskApplying { .. }) {
            problems.push(format!("entry {} applies while the job is undone", entry.sequence));
        }
        state = next;
    }
    problems
}

/// An end that does not fit the way that the job went.
fn dishonest(ended: JobState, cause: Option<&Cause>, direction: Direction) -> Option<String> {
    match ended {
        Succeeded if direction == Direction::Revert => Some("it succeeded while it was undone".to_owned()),
        Reverted if direction == Direction::Apply => Some("it was reverted while it went forward".to_owned()),
        Failed | Dropped | Cancelled | Superseded if cause.is_none() => {
            Some(format!("it ended {} without a cause", ended.word()))
        }
        _ => None,
    }
}
