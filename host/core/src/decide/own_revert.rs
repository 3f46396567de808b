//! Own reverts: when one is called, and what follows for the tasks in its flow.
//!
//! What it undid is said to be undone before it is itself, and in the same decision: at no time has a flow that was
//! undone as a whole effects that are left.

use crate::call::{Direction, Prior};
use crate::decide::Decision;
use crate::decide::control::Resolution;
use crate::entry::Fact;
use crate::frontier::Seat;
use crate::instance::{InstanceName, TaskState};
use crate::job::Job;
use crate::record::task::prior_of;

impl Decision<'_> {
    /// An own revert succeeded: everything in its flow is undone.
    pub(super) fn undone_with(&mut self, own_revert: &InstanceName) {
        for task in self.names_undone_with(own_revert) {
            self.record(Fact::TaskReverted { task, attempt: 0, output: None });
        }
    }

    /// An operator decides about an own revert that failed: the effects in its flow remain.
    pub(super) fn let_be_with(&mut self, own_revert: &InstanceName, resolution: Resolution, reason: &str) {
        for task in self.names_undone_with(own_revert) {
            let reason = reason.to_owned();
            match resolution {
                Resolution::Retry => {}
                Resolution::Accept => self.record(Fact::TaskRevertAccepted { task, reason }),
                Resolution::Skip => self.record(Fact::TaskRevertSkipped { task, reason }),
            }
        }
    }

    fn names_undone_with(&self, own_revert: &InstanceName) -> Vec<InstanceName> {
        let Some(seat) = self.job.own_revert(own_revert) else { return Vec::new() };
        self.job.view().undone_with(&seat).into_iter().map(|instance| instance.name.clone()).collect()
    }

    /// Of a flow that was undone as a whole, or of which nothing was to be undone: what did nothing in it, and the scopes
    /// in it, are said to be undone.
    pub(super) fn settle_inside(&mut self, scope: &Seat) {
        let view = self.job.view();
        let inside = view.plan.inside(scope.node).and_then(|inside| view.plan.section(inside).own_revert);
        let Some(own_revert) = inside else { return };
        let seat = Seat { node: own_revert, path: scope.path.clone() };
        let left = view.inside(&seat).filter_map(|instance| {
            let name = instance.name.clone();
            match instance.state {
                TaskState::Pending | TaskState::Skipped | TaskState::Reverted => None,
                _ if instance.is_scope() => Some(Fact::ScopeReverted { scope: name }),
                _ if instance.is_undone_at_once() => {
                    Some(Fact::TaskReverted { task: name, attempt: 0, output: None })
                }
                _ => None,
            }
        });
        let mut left: Vec<_> = left.collect();
        left.reverse();
        left.into_iter().for_each(|fact| self.record(fact));
    }
}

/// The next call of an own revert.
pub(super) fn intent(job: &Job, seat: &Seat) -> Fact {
    let Some(instance) = job.view().current(seat) else {
        let task = InstanceName { task: job.plan.name(seat.node).to_owned(), iteration: seat.path.clone() };
        return Fact::TaskReverting { task, attempt: 1, prior: Prior::None };
    };
    match instance.state {
        TaskState::Reverting | TaskState::RevertFailed => Fact::TaskReverting {
            task: instance.name.clone(),
            attempt: instance.revert_attempt + 1,
            prior: prior_of(instance, Direction::Revert),
        },
        // What was undone, or let be, was done anew for an operator.
        TaskState::Reverted | TaskState::Accepted | TaskState::SkippedRevert => {
            Fact::TaskReverting { task: instance.name.next(&seat.path), attempt: 1, prior: Prior::None }
        }
        state @ (TaskState::Pending
        | TaskState::Skipped
        | TaskState::Applying
        | TaskState::Observing
        | TaskState::Waiting
        | TaskState::Backoff
        | TaskState::InDoubt
        | TaskState::ApplyFailed
        | TaskState::Applied) => {
            unreachable!("{} is {} and not open: the frontier is wrong", instance.name, state.word())
        }
    }
}
