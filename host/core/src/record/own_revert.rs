//! What an own revert allows: the states that it goes through itself, and what becomes of the tasks in its flow.

use crate::entry::Fact;
use crate::frontier::{FrameName, Seat};
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::Job;

/// How the own reverts of the flows around a task stand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around {
    /// One is being called.
    is_undoing: bool,
    /// One has failed, and an operator may let be what it was to undo.
    has_failed: bool,
}

impl Job {
    pub(super) fn own_reverts_around(&self, name: &InstanceName, fact: &Fact) -> Around {
        let is_about_them = matches!(
            fact,
            Fact::TaskReverted { attempt: 0, .. }
                | Fact::TaskRevertAccepted { .. }
                | Fact::TaskRevertSkipped { .. }
        );
        let Some(seat) = self.plan.seat_of(name).filter(|_| is_about_them) else { return Around::default() };
        let mut around = Around::default();
        for own_revert in self.view().own_reverts_around(&seat) {
            around.is_undoing |= own_revert.is_in_flight();
            around.has_failed |= own_revert.state == TaskState::RevertFailed;
        }
        around
    }

    /// A flow around the task that is undone as a whole goes back: what is in it is said to be undone without a turn.
    pub(super) fn is_undone_with_its_flow(&self, name: &InstanceName, fact: &Fact) -> bool {
        let is_about_it = matches!(fact, Fact::TaskReverted { attempt: 0, .. });
        let Some(seat) = self.plan.seat_of(name).filter(|_| is_about_it) else { return false };
        self.plan.own_reverts_around(seat.node).any(|node| {
            let depth = self.plan.section(self.plan.seat(node).0).depth;
            let Some(path) = seat.path.get(..depth).map(<[u32]>::to_vec) else { return false };
            let own_revert = Seat { node, path };
            // Its own frame is gone when all in it is done, but for what is said to be.
            let scope = FrameName::of(&self.plan, &own_revert).scope(&self.plan);
            let mut seats = [Some(own_revert), scope].into_iter().flatten();
            seats.any(|seat| self.frontier.is_going_back(&self.view(), &seat))
        })
    }
}

/// Whether a task or own revert may be said to be undone without a call, or to be let be. None where the fact says
/// something else.
pub(super) fn without_call(instance: &TaskInstance, fact: &Fact, around: Around) -> Option<bool> {
    match fact {
        // It makes no call in any case.
        _ if instance.is_wait => None,
        Fact::TaskReverted { attempt: 0, .. } => {
            Some(instance.is_lone_reject() || around.is_undoing && is_at_rest(instance))
        }
        Fact::TaskRevertAccepted { .. } | Fact::TaskRevertSkipped { .. }
            if instance.state != TaskState::RevertFailed =>
        {
            Some(around.has_failed && is_at_rest(instance))
        }
        _ => None,
    }
}

/// Something of it is left to be undone, and no call is under way.
fn is_at_rest(instance: &TaskInstance) -> bool {
    match instance.state {
        TaskState::Backoff
        | TaskState::InDoubt
        | TaskState::ApplyFailed
        | TaskState::Applied
        | TaskState::RevertFailed => true,
        TaskState::Reverting | TaskState::Observing => instance.next_try.is_some(),
        TaskState::Pending
        | TaskState::Skipped
        | TaskState::Applying
        | TaskState::Waiting
        | TaskState::Reverted
        | TaskState::Accepted
        | TaskState::SkippedRevert => false,
    }
}

/// The table of legal transitions of an own revert: it never applies.
pub fn may_become(from: TaskState, to: TaskState) -> bool {
    use TaskState::{Accepted, Pending, RevertFailed, Reverted, Reverting, SkippedRevert};
    let next: &[TaskState] = match from {
        Pending => &[Reverting],
        Reverting => &[Reverted, RevertFailed, Reverting],
        RevertFailed => &[Reverting, Accepted, SkippedRevert],
        Reverted | Accepted | SkippedRevert => &[],
        TaskState::Skipped
        | TaskState::Applying
        | TaskState::Observing
        | TaskState::Waiting
        | TaskState::Backoff
        | TaskState::InDoubt
        | TaskState::ApplyFailed
        | TaskState::Applied => &[],
    };
    next.contains(&to)
}
