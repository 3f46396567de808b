//! What a fact about a task does to its instance.

use chrono::{DateTime, Utc};

use crate::call::{Direction, Prior};
use crate::child::Order;
use crate::decide::wait::event_of;
use crate::entry::Fact;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::Job;
use crate::record::child::{child_may_become, take_child};
use crate::record::own_revert;

impl Job {
    pub(super) fn record_task(&mut self, fact: &Fact, at: DateTime<Utc>) -> Result<(), String> {
        let name = fact.task().ok_or("the fact names no task")?;
        let around = self.own_reverts_around(name, fact);
        let may_become = if self.own_revert(name).is_some() { own_revert::may_become } else { may_become };
        let legal = |instance: &TaskInstance| match state_after(fact) {
            // Before any call it fails by its condition alone.
            Some(TaskState::ApplyFailed) if (instance.attempt == 0) != (fact.attempt() == 0) => {
                Err(format!("attempt {} did not begin", fact.attempt()))
            }
            // An operator's retry asked once more whether it runs.
            Some(TaskState::Skipped | TaskState::ApplyFailed) if instance.is_undecided() => Ok(()),
            Some(state) => {
                let by_table = || match instance.is_wait {
                    true if is_child(instance, fact) => child_may_become(instance.state, state),
                    true => wait_may_become(instance.state, state),
                    false => may_become(instance.state, state),
                };
                match own_revert::without_call(instance, fact, around).unwrap_or_else(by_table) {
                    true => Ok(()),
                    false => Err(format!(
                        "a {} that is {} does not become {}",
                        if instance.is_wait { "wait" } else { "task" },
                        instance.state.word(),
                        state.word()
                    )),
                }
            }
            None if matches!(fact, Fact::TaskAnswered { .. }) && !instance.is_open_for_answer() => {
                Err(format!("{} waits for no answer", instance.name))
            }
            None => Ok(()),
        };
        self.check_child(name, fact)?;
        let (run, sequence) = (self.status.runs.len() as u32, self.status.sequence + 1);
        let was_order_open = self.is_order_open(name);
        let was_open = self.instances.get(name).is_some_and(TaskInstance::is_open_for_answer);
        let known = self.instances.get(name);
        let is_outcome = known.is_some_and(|instance| has_outcome(fact, instance));
        match self.instances.get_mut(name) {
            Some(instance) => {
                legal(instance)?;
                let is_new = !instance.is_begun();
                take(instance, fact, at, run);
                instance.begin_at(is_new, sequence);
            }
            None => {
                let mut instance = self.begin(name)?;
                legal(&instance)?;
                take(&mut instance, fact, at, run);
                instance.begin_at(true, sequence);
                self.instances.insert(name.clone(), instance);
            }
        }
        self.status.orders += u32::from(self.is_order_open(name));
        self.status.orders -= u32::from(was_order_open);
        let is_open = self.instances.get(name).is_some_and(TaskInstance::is_open_for_answer);
        if matches!(fact, Fact::TaskAnswered { .. }) && self.status.state.is_ended() {
            self.trim_residue(name);
        }
        if was_open != is_open {
            self.await_event(name, is_open);
        }
        if state_after(fact).is_some() || matches!(fact, Fact::TaskAnswered { .. }) {
            self.settle(name);
        }
        if is_outcome {
            self.status.claims_lost = 0;
        }
        Ok(())
    }

    /// Counts the waits for each type of event.
    fn await_event(&mut self, name: &InstanceName, is_open: bool) {
        let Some(event) = event_of(self, &name.task) else { return };
        let type_ = event.type_.clone();
        let count = self.status.awaits.get(&type_).copied().unwrap_or(0);
        match if is_open { count + 1 } else { count.saturating_sub(1) } {
            0 => drop(self.status.awaits.remove(&type_)),
            count => drop(self.status.awaits.insert(type_, count)),
        }
    }

    fn begin(&self, name: &InstanceName) -> Result<TaskInstance, String> {
        if self.wait(&name.task).is_some() {
            return Ok(TaskInstance { is_wait: true, ..TaskInstance::pending(name.clone(), None) });
        }
        let called =
            self.called(&name.task).ok_or_else(|| format!("the flow has no task {:?}", name.task))?;
        Ok(TaskInstance::pending(name.clone(), Some(called.plugin().digest)))
    }
}

/// A call that was under way came to an end that is known: the host that made it did not die of it. What ends without a
/// call says nothing of hosts.
fn has_outcome(fact: &Fact, before: &TaskInstance) -> bool {
    let is_lost = match fact {
        // Its host was lost while it was applied; where it was looked at, the look settled nothing.
        Fact::TaskInDoubt { .. } => before.state == TaskState::Applying,
        Fact::TaskNotReady { is_lost, .. } => *is_lost,
        Fact::TaskRevertInterrupted { .. } => true,
        _ => state_after(fact).is_none(),
    };
    before.is_in_flight() && !is_lost
}

/// The state that a fact leads to; none where it changes no state.
fn state_after(fact: &Fact) -> Option<TaskState> {
    match fact {
        Fact::TaskApplying { .. } => Some(TaskState::Applying),
        Fact::TaskApplied { .. } => Some(TaskState::Applied),
        Fact::TaskAccepted { .. } | Fact::TaskObserving { .. } | Fact::TaskNotReady { .. } => {
            Some(TaskState::Observing)
        }
        Fact::TaskWaiting { .. } | Fact::ChildOrdered { order: Order::Start | Order::Retry, .. } => {
            Some(TaskState::Waiting)
        }
        Fact::ChildOrdered { order: Order::Undo, .. } => Some(TaskState::Reverting),
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
        Accepted, Applied, ApplyFailed, Applying, Backoff, InDoubt, Observing, Pending, RevertFailed,
        Reverted, Reverting, Skipped, SkippedRevert, Waiting,
    };
    let next: &[TaskState] = match from {
        // A condition that cannot be evaluated fails the task before any call.
        Pending => &[Applying, Skipped, ApplyFailed],
        Applying => &[Applied, Observing, Backoff, ApplyFailed, InDoubt],
        // To backoff where a doubt is settled: nothing was done.
        Observing => &[Observing, Applied, ApplyFailed, InDoubt, Backoff, Reverting],
        Backoff => &[Applying, ApplyFailed, Reverting],
        InDoubt => &[Applying, Observing, ApplyFailed, Reverting],
        ApplyFailed => &[Reverting, Reverted, Applying],
        Applied => &[Reverting],
        Reverting => &[Reverted, RevertFailed, Reverting],
        RevertFailed => &[Reverting, Accepted, SkippedRevert],
        Waiting | Skipped | Reverted | Accepted | SkippedRevert => &[],
    };
    next.contains(&to)
}

/// The same for waits, which make no call either way.
pub fn wait_may_become(from: TaskState, to: TaskState) -> bool {
    use TaskState::{Applied, ApplyFailed, Pending, Reverted, Skipped, Waiting};
    let next: &[TaskState] = match from {
        Pending => &[Waiting, Skipped, ApplyFailed],
        Waiting => &[Applied, ApplyFailed, Reverted],
        ApplyFailed => &[Waiting, Reverted],
        Applied => &[Reverted],
        _ => &[],
    };
    next.contains(&to)
}

/// Whether a wait is a child job, or becomes one.
fn is_child(instance: &TaskInstance, fact: &Fact) -> bool {
    instance.child.is_some() || matches!(fact, Fact::ChildOrdered { .. })
}

fn take(instance: &mut TaskInstance, fact: &Fact, at: DateTime<Utc>, run: u32) {
    let before = instance.state;
    if let Some(state) = state_after(fact) {
        instance.state = state;
        instance.next_try = None;
        instance.run = run;
    }
    match fact {
        Fact::UndoRecorded { attempt, undo, .. } => instance.take_undo(*attempt, undo),
        Fact::TaskHeld { .. } => instance.is_held = true,
        Fact::ChildOrdered { .. } | Fact::ChildTold { .. } => take_child(instance, fact, at),
        Fact::TaskSkipped { by, .. } => {
            instance.skipped_by = Some(by.clone());
            // What kept it from being decided does so no more.
            instance.failed = None;
            instance.apply_ended = None;
        }
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
            instance.handle = None;
            instance.observe_until = None;
            if before == TaskState::ApplyFailed {
                instance.retries = 0;
            }
            instance.started.get_or_insert(at);
        }
        Fact::TaskApplied { attempt, output, undo, .. } => {
            instance.output = Some(output.clone());
            undo.iter().for_each(|undo| instance.take_undo(*attempt, undo));
            instance.apply_ended = Some(at);
            instance.ended = Some(at);
        }
        Fact::TaskAccepted { .. }
        | Fact::TaskObserving { .. }
        | Fact::TaskNotReady { .. }
        | Fact::TaskWaiting { .. }
        | Fact::TaskAnswered { .. } => take_wait(instance, fact, before, at),
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
        Fact::TaskInDoubt { .. } => {
            instance.prior = Prior::Interrupted;
            // What is late is applied again as often as what says `retry`.
            if before == TaskState::Observing && instance.observe_until.is_some() {
                instance.retries += 1;
            }
        }
        _ => {}
    }
}

/// What was accepted, and waits.
fn take_wait(instance: &mut TaskInstance, fact: &Fact, before: TaskState, at: DateTime<Utc>) {
    match fact {
        Fact::TaskAccepted { attempt, handle, undo, next_try, deadline, .. } => {
            instance.handle = Some(handle.clone());
            undo.iter().for_each(|undo| instance.take_undo(*attempt, undo));
            instance.next_try = Some(*next_try);
            instance.observe_until = Some(*deadline);
            instance.apply_ended = Some(at);
        }
        Fact::TaskObserving { attempt, .. } => {
            instance.observations = *attempt;
            if before == TaskState::InDoubt {
                instance.observe_until = None;
            }
        }
        Fact::TaskNotReady { next_try, .. } => {
            instance.next_try = Some(*next_try);
        }
        Fact::TaskWaiting { attempt, until, .. } => {
            instance.attempt = *attempt;
            instance.next_try = Some(*until);
            instance.answer = None;
            instance.apply_ended = None;
            instance.ended = None;
            instance.failed = None;
            instance.started.get_or_insert(at);
        }
        Fact::TaskAnswered { answer, .. } => instance.answer = Some(answer.clone()),
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
