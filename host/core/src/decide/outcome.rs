//! What came of a call, and what the guest made durable while it ran.

use chrono::{DateTime, TimeDelta, Utc};

use crate::call::{Direction, Outcome};
use crate::decide::Decision;
use crate::entry::{Fact, Line};
use crate::fault::{Fault, HOST_OUTPUT};
use crate::flow::RetryPolicy;
use crate::instance::{Failed, InstanceName, TaskInstance, TaskState};
use crate::payload::Payload;

/// A plugin may not postpone its next attempt further than this: a day, after which a person should look.
pub const RETRY_AFTER_MAX: TimeDelta = TimeDelta::days(1);

/// Which call: what is said of any other is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallName {
    pub task: InstanceName,
    pub direction: Direction,
    pub attempt: u32,
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
        let policy = self.job.task(&call.task.task).map(|task| task.retry.clone()).unwrap_or_default();
        let fact = match call.direction {
            Direction::Apply => applied(instance, &policy, outcome, self.now),
            Direction::Revert => reverted(instance, &policy, outcome, self.now),
        };
        self.record(fact);
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
        let is_it = match call.direction {
            Direction::Apply => instance.state == TaskState::Applying && instance.attempt == call.attempt,
            Direction::Revert => {
                instance.state == TaskState::Reverting
                    && instance.next_try.is_none()
                    && instance.revert_attempt == call.attempt
            }
        };
        if is_it && self.job.status.state.is_claimed() { Ok(instance) } else { Err(stale()) }
    }
}

fn applied(instance: &TaskInstance, policy: &RetryPolicy, outcome: Outcome, now: DateTime<Utc>) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.attempt);
    match outcome {
        Outcome::Applied { output, undo } => Fact::TaskApplied { task, attempt, output, undo },
        Outcome::Retry { fault, after_ms } => {
            if instance.retries + 1 >= policy.attempts_max {
                return Fact::TaskApplyFailed { task, attempt, fault, how: Failed::RetriesUsedUp };
            }
            let next_try = next_try(policy, instance.retries, attempt, after_ms, now);
            Fact::TaskBackoff { task, attempt, fault, next_try }
        }
        Outcome::Reject { fault } => Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Reject },
        Outcome::Broken { fault } => Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken },
        Outcome::Reverted { .. } => {
            let fault = Fault::new(HOST_OUTPUT, "the executor answered an apply as if it were a revert");
            Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken }
        }
    }
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
        Outcome::Applied { .. } => {
            let fault = Fault::new(HOST_OUTPUT, "the executor answered a revert as if it were an apply");
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
    let pause = i64::try_from(pause_ms).ok().and_then(TimeDelta::try_milliseconds);
    pause.map_or(RETRY_AFTER_MAX, |pause| pause.min(RETRY_AFTER_MAX))
}
