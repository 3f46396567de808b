//! What came of a call, and what the guest made durable while it ran.

use chrono::{DateTime, TimeDelta, Utc};

use crate::call::{Function, Observation, Outcome};
use crate::decide::Decision;
use crate::entry::{Fact, Line};
use crate::fault::{Fault, HOST_ABSENT, HOST_LATE, HOST_OUTPUT};
use crate::flow::{InDoubt, RetryPolicy, Task};
use crate::instance::{Failed, InstanceName, TaskInstance, TaskState};
use crate::own_revert::Called;
use crate::payload::Payload;

/// A plugin may not postpone its next attempt further than this: a day, after which a person should look.
pub const RETRY_AFTER_MAX: TimeDelta = TimeDelta::days(1);

/// Which call: what is said of any other is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallName {
    pub task: InstanceName,
    pub function: Function,
    /// Of an observation the number of observations.
    pub attempt: u32,
}

impl CallName {
    /// The call of an instance that is under way.
    pub fn of(instance: &TaskInstance) -> Self {
        let (function, attempt) = match instance.state {
            TaskState::Observing => (Function::Observe, instance.observations),
            TaskState::Reverting => (Function::Revert, instance.revert_attempt),
            _ => (Function::Apply, instance.attempt),
        };
        Self { task: instance.name.clone(), function, attempt }
    }
}

/// The call is not under way any more: its host lost the claim, or the outcome was recorded before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("attempt {attempt} of {task} is not under way any more")]
pub struct StaleCall {
    pub task: InstanceName,
    pub attempt: u32,
}

impl Decision<'_> {
    /// Records the outcome and, in the same decision, what follows from it.
    pub fn finish(&mut self, call: &CallName, outcome: Outcome) -> Result<(), StaleCall> {
        self.record_outcome(call, outcome)?;
        self.advance();
        Ok(())
    }

    /// Records the outcomes of calls that ended together, then what follows from all of them. Where one of them is
    /// stale, so are the others: they had the same claim.
    pub fn finish_all(&mut self, ended: &[(CallName, Outcome)]) -> Result<(), StaleCall> {
        ended.iter().try_for_each(|(call, outcome)| self.record_outcome(call, outcome.clone()))?;
        self.advance();
        Ok(())
    }

    fn record_outcome(&mut self, call: &CallName, outcome: Outcome) -> Result<(), StaleCall> {
        let instance = self.under_way(call)?;
        let Some(called) = self.job.called(&call.task.task) else {
            return Err(StaleCall { task: call.task.clone(), attempt: call.attempt });
        };
        let facts = match (call.function, called) {
            (Function::Revert, called) => vec![reverted(instance, called.retry(), outcome, self.now)],
            (Function::Apply, Called::Task(task)) => vec![applied(instance, task, outcome, self.now)],
            (Function::Observe, Called::Task(task)) => observed(instance, task, outcome, self.now),
            (Function::Apply | Function::Observe, Called::OwnRevert(_)) => {
                unreachable!("an own revert is never applied, and so never under way in that way")
            }
        };
        if facts.iter().any(|fact| matches!(fact, Fact::TaskReverted { .. })) {
            self.undone_with(&call.task);
        }
        for fact in facts {
            // Where nothing begins any more, something else becomes of the job.
            if fact != Fact::SuspendRequested || self.job.may_begin(self.now) {
                self.record(fact);
            }
        }
        Ok(())
    }

    /// An undo record, before the effect that it undoes.
    pub fn record_undo(&mut self, call: &CallName, undo: Payload) -> Result<(), StaleCall> {
        self.under_way(call)?;
        self.record(Fact::UndoRecorded { task: call.task.clone(), attempt: call.attempt, undo });
        Ok(())
    }

    /// What the guest printed, and how far it says it is.
    pub fn record_noise(
        &mut self,
        call: &CallName,
        lines: Vec<Line>,
        progress: Option<(f32, String)>,
    ) -> Result<(), StaleCall> {
        self.under_way(call)?;
        let (task, attempt) = (&call.task, call.attempt);
        if !lines.is_empty() {
            self.record(Fact::Printed { task: task.clone(), attempt, lines });
        }
        if let Some((fraction, message)) = progress {
            // Guests lie: what is no number counts as no progress.
            let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
            self.record(Fact::Progressed { task: task.clone(), attempt, fraction, message });
        }
        Ok(())
    }

    fn under_way(&self, call: &CallName) -> Result<&TaskInstance, StaleCall> {
        let stale = || StaleCall { task: call.task.clone(), attempt: call.attempt };
        let instance = self.job.instances.get(&call.task).ok_or_else(stale)?;
        let is_it = match call.function {
            Function::Apply => instance.state == TaskState::Applying && instance.attempt == call.attempt,
            Function::Observe => {
                instance.state == TaskState::Observing
                    && instance.next_try.is_none()
                    && instance.observations == call.attempt
            }
            Function::Revert => {
                instance.state == TaskState::Reverting
                    && instance.next_try.is_none()
                    && instance.revert_attempt == call.attempt
            }
        };
        if is_it && self.job.status.state.is_claimed() { Ok(instance) } else { Err(stale()) }
    }
}

fn applied(instance: &TaskInstance, definition: &Task, outcome: Outcome, now: DateTime<Utc>) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.attempt);
    let policy = &definition.retry;
    match outcome {
        Outcome::Applied { output, undo } => Fact::TaskApplied { task, attempt, output, undo },
        Outcome::Accepted { handle, undo, observe_after_ms } => {
            let deadline = now.checked_add_signed(milliseconds(definition.observe.deadline_ms));
            let deadline = deadline.unwrap_or(DateTime::<Utc>::MAX_UTC);
            let next_try = next_look(definition, 1, observe_after_ms, now).min(deadline);
            Fact::TaskAccepted { task, attempt, handle, undo, next_try, deadline }
        }
        Outcome::Retry { fault, after_ms } => {
            if instance.retries + 1 >= policy.attempts_max {
                return Fact::TaskApplyFailed { task, attempt, fault, how: Failed::RetriesUsedUp };
            }
            let next_try = next_try(policy, instance.retries, attempt, after_ms, now);
            Fact::TaskBackoff { task, attempt, fault, next_try }
        }
        Outcome::Reject { fault } => Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Reject },
        Outcome::Broken { fault } => Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken },
        Outcome::Reverted { .. } | Outcome::Observed(_) => {
            let fault = Fault::new(HOST_OUTPUT, "the executor answered an apply as if it were another call");
            Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken }
        }
    }
}

/// What follows from an observation. One that could not be made, however that was, says nothing of what it looked at.
fn observed(instance: &TaskInstance, definition: &Task, outcome: Outcome, now: DateTime<Utc>) -> Vec<Fact> {
    let (task, attempt) = (instance.name.clone(), instance.attempt);
    let (fault, after_ms) = match outcome {
        Outcome::Observed(Observation::Present { output }) => {
            return vec![Fact::TaskApplied { task, attempt, output, undo: None }];
        }
        Outcome::Observed(Observation::Absent { fault }) => {
            let fault =
                fault.unwrap_or_else(|| Fault::new(HOST_ABSENT, "the plugin's observer finds nothing"));
            return vec![absent(instance, &definition.retry, fault, now)];
        }
        // Whoever asked, for what was accepted or in doubt, it is not begun anew.
        Outcome::Observed(Observation::Failed { fault }) => {
            return vec![Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken }];
        }
        Outcome::Observed(Observation::Drifted { fault }) => (fault, None),
        Outcome::Observed(Observation::Unknown { after_ms }) => (None, after_ms),
        Outcome::Retry { fault, after_ms } => (Some(fault), after_ms),
        Outcome::Reject { fault } | Outcome::Broken { fault } => (Some(fault), None),
        Outcome::Applied { .. } | Outcome::Accepted { .. } | Outcome::Reverted { .. } => {
            let message = "the executor answered an observation as if it were another call";
            (Some(Fault::new(HOST_OUTPUT, message)), None)
        }
    };
    let hold = |task: InstanceName| {
        let doubt = Fact::TaskInDoubt { task: task.clone(), attempt };
        vec![doubt, Fact::TaskHeld { task, attempt }, Fact::SuspendRequested]
    };
    match instance.observe_until {
        // Looking was to settle a doubt, and did not.
        None => hold(task),
        Some(deadline) if deadline > now => {
            let attempt = instance.observations;
            let next_try = next_look(definition, attempt, after_ms, now).min(deadline);
            vec![Fact::TaskNotReady { task, attempt, fault, next_try, is_lost: false }]
        }
        Some(_) if matches!(definition.in_doubt, InDoubt::Observe | InDoubt::Hold) => hold(task),
        Some(_) => vec![late(instance, definition, fault)],
    }
}

/// What was accepted failed; what was in doubt was never done, and is applied again.
fn absent(instance: &TaskInstance, policy: &RetryPolicy, fault: Fault, now: DateTime<Utc>) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.attempt);
    if instance.observe_until.is_some() {
        return Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken };
    }
    if instance.retries + 1 >= policy.attempts_max {
        return Fact::TaskApplyFailed { task, attempt, fault, how: Failed::RetriesUsedUp };
    }
    Fact::TaskBackoff { task, attempt, fault, next_try: now }
}

/// What was accepted is not ready at its deadline: it is in doubt, as often as a task may be applied.
fn late(instance: &TaskInstance, definition: &Task, fault: Option<Fault>) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.attempt);
    let seconds = definition.observe.deadline_ms / 1_000;
    let mut late = Fault::new(HOST_LATE, format!("what was accepted was not ready within {seconds} s"));
    late.causes.extend(fault.map(|fault| format!("{}: {}", fault.class, fault.message)));
    let how = match definition.in_doubt {
        InDoubt::Revert => Failed::Broken,
        _ if instance.retries + 1 >= definition.retry.attempts_max => Failed::RetriesUsedUp,
        InDoubt::Reapply | InDoubt::Observe | InDoubt::Hold => return Fact::TaskInDoubt { task, attempt },
    };
    Fact::TaskApplyFailed { task, attempt, fault: late, how }
}

fn next_look(definition: &Task, attempt: u32, after_ms: Option<u64>, now: DateTime<Utc>) -> DateTime<Utc> {
    let observe = &definition.observe;
    let policy = RetryPolicy {
        attempts_max: u32::MAX,
        pause_ms: observe.pause_ms,
        pause_ms_max: observe.pause_ms_max,
        factor_percent: observe.factor_percent,
    };
    next_try(&policy, attempt.saturating_sub(1), attempt, after_ms, now)
}

fn reverted(instance: &TaskInstance, policy: &RetryPolicy, outcome: Outcome, now: DateTime<Utc>) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.revert_attempt);
    match outcome {
        Outcome::Reverted { output } => Fact::TaskReverted { task, attempt, output },
        Outcome::Retry { fault, after_ms } if instance.revert_retries + 1 < policy.attempts_max => {
            let next_try = next_try(policy, instance.revert_retries, attempt, after_ms, now);
            Fact::TaskRevertBackoff { task, attempt, fault, next_try }
        }
        Outcome::Retry { fault, .. } | Outcome::Reject { fault } | Outcome::Broken { fault } => {
            Fact::TaskRevertFailed { task, attempt, fault }
        }
        Outcome::Applied { .. } | Outcome::Accepted { .. } | Outcome::Observed(_) => {
            let fault = Fault::new(HOST_OUTPUT, "the executor answered a revert as if it were another call");
            Fact::TaskRevertFailed { task, attempt, fault }
        }
    }
}

fn next_try(
    policy: &RetryPolicy,
    retries: u32,
    attempt: u32,
    after_ms: Option<u64>,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    now + after_ms.map_or_else(|| pause(policy, retries, attempt, now), bounded)
}

/// Exponential, bounded, and up to a fifth shorter by a draw that is the same in every replay.
pub(super) fn pause(policy: &RetryPolicy, retries: u32, attempt: u32, now: DateTime<Utc>) -> TimeDelta {
    let factor = f64::from(policy.factor_percent) / 100.0;
    let grown = policy.pause_ms as f64 * factor.powi(i32::try_from(retries).unwrap_or(i32::MAX));
    // Bounded before the draw, which would overflow on the largest pauses.
    let pause_ms = (grown as u64).min(policy.pause_ms_max).min(RETRY_AFTER_MAX.num_milliseconds() as u64);
    let draw =
        u64::from(attempt).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(now.timestamp_micros() as u64)
            >> 7;
    bounded(pause_ms - pause_ms / 5 * (draw % 100) / 100)
}

fn bounded(pause_ms: u64) -> TimeDelta {
    milliseconds(pause_ms).min(RETRY_AFTER_MAX)
}

/// The longest there is where it is longer.
pub(super) fn milliseconds(ms: u64) -> TimeDelta {
    i64::try_from(ms).ok().and_then(TimeDelta::try_milliseconds).unwrap_or(TimeDelta::MAX)
}
