//! What a fact about a scope does to its instance.

use chrono::{DateTime, Utc};

use crate::entry::Fact;
use crate::instance::{TaskInstance, TaskState};
use crate::job::Job;

impl Job {
    pub(super) fn record_scope(&mut self, fact: &Fact, at: DateTime<Utc>) -> Result<(), String> {
        let name = fact.task().ok_or("the fact names no scope")?;
        let seat = self.plan.seat_of(name).filter(|seat| !self.plan.is_task(seat.node));
        if seat.is_none_or(|seat| seat.path != name.iteration) {
            return Err(format!("the flow has no scope {name}"));
        }
        let mut instance = match self.instances.get(name) {
            Some(instance) => instance.clone(),
            None => TaskInstance::pending(name.clone(), None),
        };
        let state = state_after(fact).ok_or("the fact is about no scope")?;
        let is_decided_late = state == TaskState::Skipped && instance.is_undecided();
        if !may_become(instance.state, state) && !is_decided_late {
            let (from, to) = (instance.state.word(), state.word());
            return Err(format!("a scope that is {from} does not become {to}"));
        }
        instance.state = state;
        instance.run = self.status.runs.len() as u32;
        instance.next_try = None;
        take(&mut instance, fact, at);
        self.instances.insert(name.clone(), instance);
        self.settle(name);
        Ok(())
    }
}

fn state_after(fact: &Fact) -> Option<TaskState> {
    match fact {
        Fact::ScopeApplying { .. } => Some(TaskState::Applying),
        Fact::ScopeReverting { .. } => Some(TaskState::Reverting),
        Fact::ScopeBackoff { .. } => Some(TaskState::Backoff),
        Fact::ScopeApplied { .. } => Some(TaskState::Applied),
        Fact::ScopeApplyFailed { .. } => Some(TaskState::ApplyFailed),
        Fact::ScopeReverted { .. } => Some(TaskState::Reverted),
        Fact::ScopeSkipped { .. } => Some(TaskState::Skipped),
        _ => None,
    }
}

/// The table of legal transitions of a scope. It is reverted from wherever it stood when its job turned round.
fn may_become(from: TaskState, to: TaskState) -> bool {
    use TaskState::{Applied, ApplyFailed, Applying, Backoff, Pending, Reverted, Reverting, Skipped};
    let next: &[TaskState] = match from {
        Pending => &[Applying, ApplyFailed, Skipped],
        Applying => &[Applying, Applied, ApplyFailed, Reverting, Backoff, Reverted],
        Reverting => &[Applying, Backoff, ApplyFailed, Reverted],
        Backoff => &[Applying, ApplyFailed, Reverted],
        // Where an operator has it tried again, there may be nothing to try still.
        ApplyFailed => &[Applying, ApplyFailed, Reverted],
        Applied => &[Reverted],
        // An operator's retry of what was undone.
        Reverted => &[Applying, ApplyFailed],
        Skipped
        | TaskState::Observing
        | TaskState::Waiting
        | TaskState::InDoubt
        | TaskState::RevertFailed
        | TaskState::Accepted
        | TaskState::SkippedRevert => &[],
    };
    next.contains(&to)
}

fn take(instance: &mut TaskInstance, fact: &Fact, at: DateTime<Utc>) {
    match fact {
        Fact::ScopeApplying { progress, .. } => {
            instance.attempt = progress.tries_made();
            instance.scope = Some(progress.clone());
            instance.started.get_or_insert(at);
            instance.ended = None;
        }
        Fact::ScopeReverting { fault, .. } => instance.fault = Some(fault.clone()),
        Fact::ScopeBackoff { next_try, .. } => instance.next_try = Some(*next_try),
        Fact::ScopeApplied { .. } => {
            instance.apply_ended = Some(at);
            instance.ended = Some(at);
        }
        Fact::ScopeApplyFailed { fault, reverts_all, .. } => {
            instance.fault = Some(fault.clone());
            let progress = instance.scope.get_or_insert_default();
            progress.reverts_all = *reverts_all;
            instance.apply_ended = Some(at);
            instance.ended = Some(at);
        }
        Fact::ScopeReverted { .. } => instance.ended = Some(at),
        Fact::ScopeSkipped { by, .. } => instance.skipped_by = Some(by.clone()),
        _ => {}
    }
}
