//! What a fact about a task does to its instance.

use chrono::{DateTime, Utc};

use crate::call::{Direction, Prior};
use crate::entry::Fact;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::Job;

impl Job {
    pub(super) fn record_task(&mut self, fact: &Fact, at: DateTime<Utc>) -> Result<(), String> {
        let name = fact.task().ok_or("the fact names no task")?;
        let legal = |instance: &TaskInstance| match state_after(fact) {
            // Before any call it fails by its condition alone.
            Some(TaskState::ApplyFailed) if (instance.attempt == 0) != (fact.attempt() == 0) => {
                Err(format!("attempt {} did not begin", fact.attempt()))
            }
            Some(state) if !may_become(instance.state, state) => {
                Err(format!("a task that is {} does not become {}", instance.state.word(), state.word()))
            }
            _ => Ok(()),
        };
        let run = self.status.runs.len() as u32;
        match self.instances.get_mut(name) {
            Some(instance) => {
                legal(instance)?;
                take(instance, fact, at, run);
            }
            None => {
                let mut instance = self.begin(name)?;
                legal(&instance)?;
                take(&mut instance, fact, at, run);
                self.instances.insert(name.clone(), instance);
            }
        }
        if state_after(fact).is_some() {
            self.settle(name);
        }
        if has_outcome(fact) {
            self.status.claims_lost = 0;
        }
        Ok(())
    }

    fn begin(&self, name: &InstanceName) -> Result<TaskInstance, String> {
        let task = self.task(&name.task).ok_or_else(|| format!("the flow has no task {:?}", name.task))?;
        Ok(TaskInstance::pending(name.clone(), Some(task.plugin.digest)))
    }
}

/// A call came to an end that is known: the host that made it did not die of it.
fn has_outcome(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::TaskApplied { .. }
            | Fact::TaskBackoff { .. }
            | Fact::TaskApplyFailed { .. }
            | Fact::TaskReverted { .. }
            | Fact::TaskRevertBackoff { .. }
            | Fact::TaskRevertFailed { .. }
    )
}

/// The state that a fact leads to; none where it changes no state.
fn state_after(fact: &Fact) -> Option<TaskState> {
    match fact {
        Fact::TaskApplying { .. } => Some(TaskState::Applying),
        Fact::TaskApplied { .. } => Some(TaskState::Applied),
        Fact::TaskBackoff { .. } => Some(TaskState::Backoff),
        Fact::TaskApplyFailed { .. } => Some(TaskState::ApplyFailed),
        Fact::TaskInDoubt { .. } => Some(TaskState::InDoubt),
        Fact::TaskReverting { .. } | Fact::TaskRevertInterrupted { .. } | Fact::TaskRevertBackoff { .. } => {
            Some(TaskState::Reverting)
        }
        Fact::TaskReverted { .. } => Some(TaskState::Reverted),
        Fact::TaskRevertFailed { .. } => Some(TaskState::RevertFailed),
        Fact::TaskRevertAccepted { .. } => Some(TaskState::Accepted),
        Fact::TaskRevertSkipped { .. } => Some(TaskState::SkippedRevert),
        Fact::TaskSkipped { .. } => Some(TaskState::Skipped),
        _ => None,
    }
}

/// The table of legal task transitions (design, section 4).
pub fn may_become(from: TaskState, to: TaskState) -> bool {
    use TaskState::{
        Accepted, Applied, ApplyFailed, Applying, Backoff, InDoubt, Pending, RevertFailed, Reverted,
        Reverting, Skipped, SkippedRevert,
    };
    let next: &[TaskState] = match from {
        // A condition that cannot be evaluated fails the task before any call.
        Pending => &[Applying, Skipped, ApplyFailed],
        Applying => &[Applied, Backoff, ApplyFailed, InDoubt],
        Backoff => &[Applying, ApplyFailed, Reverting],
        InDoubt => &[Applying, ApplyFailed, Reverting],
        ApplyFailed => &[Reverting, Reverted, Applying],
        Applied => &[Reverting],
        Reverting => &[Reverted, RevertFailed, Reverting],
        RevertFailed => &[Reverting, Accepted, SkippedRevert],
        Skipped | Reverted | Accepted | SkippedRevert => &[],
    };
    next.contains(&to)
}

fn take(instance: &mut TaskInstance, fact: &Fact, at: DateTime<Utc>, run: u32) {
    let before = instance.state;
    if let Some(state) = state_after(fact) {
        instance.state = state;
        instance.next_try = None;
        instance.run = run;
    }
    match fact {
        Fact::UndoRecorded { undo, .. } => instance.undo.push(undo.clone()),
        Fact::TaskHeld { .. } => instance.is_held = true,
        Fact::TaskSkipped { by, .. } => instance.skipped_by = Some(by.clone()),
        Fact::Progressed { fraction, message, .. } => instance.progress = Some((*fraction, message.clone())),
        _ => {
            take_apply(instance, fact, before, at);
            take_revert(instance, fact, before, at);
        }
    }
}

fn take_apply(instance: &mut TaskInstance, fact: &Fact, before: TaskState, at: DateTime<Utc>) {
    match fact {
        Fact::TaskApplying { attempt, prior, .. } => {
            instance.attempt = *attempt;
            instance.prior = *prior;
            instance.apply_ended = None;
            instance.ended = None;
            instance.failed = None;
            instance.is_held = false;
            if before == TaskState::ApplyFailed {
                instance.retries = 0;
            }
            instance.started.get_or_insert(at);
        }
        Fact::TaskApplied { output, undo, .. } => {
            instance.output = Some(output.clone());
            instance.undo.extend(undo.clone());
            instance.apply_ended = Some(at);
            instance.ended = Some(at);
        }
        Fact::TaskBackoff { fault, next_try, .. } => {
            instance.fault = Some(fault.clone());
            instance.retries += 1;
            instance.next_try = Some(*next_try);
            instance.apply_ended = Some(at);
            instance.prior = worse(instance.prior, Prior::Failed);
        }
        Fact::TaskApplyFailed { fault, how, .. } => {
            instance.fault = Some(fault.clone());
            instance.failed = Some(*how);
            // Of a call that was lost nobody knows when it ended, or how.
            if before != TaskState::InDoubt {
                instance.apply_ended = Some(at);
            }
            instance.ended = Some(at);
            instance.prior = worse(instance.prior, Prior::Failed);
        }
        Fact::TaskInDoubt { .. } => instance.prior = Prior::Interrupted,
        _ => {}
    }
}

fn take_revert(instance: &mut TaskInstance, fact: &Fact, before: TaskState, at: DateTime<Utc>) {
    match fact {
        Fact::TaskReverting { attempt, prior, .. } => {
            instance.revert_attempt = *attempt;
            instance.ended = None;
            instance.prior = *prior;
            if before == TaskState::RevertFailed {
                instance.revert_retries = 0;
            }
            instance.revert_started.get_or_insert(at);
        }
        Fact::TaskRevertInterrupted { .. } => {
            instance.prior = Prior::Interrupted;
            instance.next_try = Some(at);
        }
        Fact::TaskRevertBackoff { fault, next_try, .. } => {
            instance.revert_fault = Some(fault.clone());
            instance.revert_retries += 1;
            instance.next_try = Some(*next_try);
            instance.prior = worse(instance.prior, Prior::Failed);
        }
        Fact::TaskReverted { output, .. } => {
            instance.revert_output.clone_from(output);
            instance.ended = Some(at);
        }
        Fact::TaskRevertFailed { fault, .. } => {
            instance.revert_fault = Some(fault.clone());
            instance.ended = Some(at);
            instance.prior = worse(instance.prior, Prior::Failed);
        }
        _ => {}
    }
}

/// Once interrupted, the calls under one key stay so: what the lost one did is never known.
fn worse(known: Prior, seen: Prior) -> Prior {
    if known == Prior::Interrupted { known } else { seen }
}

/// What the next call in a direction is told of those before it.
pub(crate) fn prior_of(instance: &TaskInstance, direction: Direction) -> Prior {
    let reverting = matches!(instance.state, TaskState::Reverting | TaskState::RevertFailed);
    match direction {
        Direction::Apply if instance.attempt == 0 => Prior::None,
        Direction::Apply => instance.prior,
        // The first revert has a key of its own: nothing was tried under it.
        Direction::Revert if !reverting => Prior::None,
        Direction::Revert => instance.prior,
    }
}
