//! What operators ask of a job.
//!
//! Asking for what is already so changes nothing and is no error.

use chrono::{DateTime, Utc};

use crate::call::Direction;
use crate::decide::{Decision, Rejected};
use crate::entry::Fact;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::{CancelMode, Cause, JobState, Request};

/// What an operator decides about a revert that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Call it again.
    Retry,
    /// The effect remains, and that is accepted.
    Accept,
    /// The effect remains, and somebody else will see to it.
    Skip,
}

impl Decision<'_> {
    /// Moves the time of a job that has not been started.
    pub fn reschedule(&mut self, execute_at: DateTime<Utc>) -> Result<(), Rejected> {
        let status = &self.job.status;
        let is_waiting = matches!(status.state, JobState::Scheduled | JobState::Ready)
            && status.run().started.is_none()
            && status.runs.len() == 1;
        if !is_waiting {
            return Err(self.refused("reschedule", "execute_at can be edited until the job starts"));
        }
        if status.execute_at == Some(execute_at) {
            return Ok(());
        }
        let due = execute_at.max(self.job.spec.created);
        self.record(Fact::Rescheduled { execute_at, due });
        self.wake();
        Ok(())
    }

    pub fn prioritise(&mut self, priority: i32) -> Result<(), Rejected> {
        if self.job.status.state.is_ended() {
            return Err(self.refused("change the priority of", "it has ended"));
        }
        if self.job.status.priority != priority {
            self.record(Fact::Prioritised { priority });
        }
        Ok(())
    }

    pub fn cancel(&mut self, mode: CancelMode, reason: String) -> Result<(), Rejected> {
        let has_started = self.job.status.runs.iter().any(|run| run.started.is_some());
        match self.job.status.state {
            JobState::Cancelled => Ok(()),
            JobState::Scheduled | JobState::Ready | JobState::Suspended | JobState::Quarantined
                if !has_started =>
            {
                self.end(JobState::Cancelled, Some(Cause::Cancelled { reason }));
                Ok(())
            }
            JobState::Reverted if mode == CancelMode::Revert => Ok(()),
            JobState::Ready
            | JobState::Reverting
            | JobState::Waiting
            | JobState::Suspending
            | JobState::Suspended
            | JobState::Quarantined
                if mode == CancelMode::Revert && self.job.status.direction == Direction::Revert =>
            {
                self.resume_unwinding(reason);
                Ok(())
            }
            JobState::Running | JobState::Suspending => {
                let is_asked = matches!(self.job.status.request, Some(Request::Cancel { mode: asked, .. }) if asked == mode);
                if !is_asked {
                    self.record(Fact::CancelRequested { mode, reason });
                }
                Ok(())
            }
            JobState::Ready | JobState::Waiting | JobState::Suspended | JobState::Quarantined => {
                self.cancel_at_rest(mode, reason);
                Ok(())
            }
            JobState::Reverting => {
                Err(self.refused("cancel", "it is undoing what it did; suspend it to stop that"))
            }
            JobState::Scheduled
            | JobState::Succeeded
            | JobState::Reverted
            | JobState::Failed
            | JobState::Dropped
            | JobState::Superseded => {
                Err(self.refused("cancel", "it has ended; a succeeded or failed job can be reverted"))
            }
        }
    }

    /// The job unwinds already: whatever would stop it from going on is taken away.
    fn resume_unwinding(&mut self, reason: String) {
        if self.job.status.request.is_some() {
            self.record(Fact::CancelRequested { mode: CancelMode::Revert, reason });
        }
        match self.job.status.state {
            JobState::Suspended => self.record(Fact::Resumed),
            JobState::Quarantined => self.record(Fact::Released),
            _ => {}
        }
    }

    fn cancel_at_rest(&mut self, mode: CancelMode, reason: String) {
        if mode == CancelMode::Leave {
            self.end(JobState::Cancelled, Some(Cause::Cancelled { reason }));
            return;
        }
        match self.job.status.state {
            JobState::Waiting => self.record(Fact::Woken),
            JobState::Suspended => self.record(Fact::Resumed),
            JobState::Quarantined => self.record(Fact::Released),
            _ => {}
        }
        self.record(Fact::Unwinding { cause: Cause::Cancelled { reason } });
    }

    pub fn suspend(&mut self) -> Result<(), Rejected> {
        let is_cancelled = matches!(self.job.status.request, Some(Request::Cancel { .. }));
        match self.job.status.state {
            JobState::Suspended | JobState::Suspending => Ok(()),
            JobState::Ready | JobState::Running | JobState::Reverting if is_cancelled => {
                Err(self.refused("suspend", "it is being cancelled; suspend it when that is under way"))
            }
            JobState::Running | JobState::Reverting => {
                self.record(Fact::SuspendRequested);
                Ok(())
            }
            JobState::Ready | JobState::Waiting => {
                self.record(Fact::Suspended);
                Ok(())
            }
            JobState::Scheduled
            | JobState::Quarantined
            | JobState::Succeeded
            | JobState::Reverted
            | JobState::Failed
            | JobState::Dropped
            | JobState::Cancelled
            | JobState::Superseded => {
                Err(self.refused("suspend", "only a job that is ready, waiting or running can be"))
            }
        }
    }

    pub fn resume(&mut self) -> Result<(), Rejected> {
        match self.job.status.state {
            JobState::Suspended => {
                self.record(Fact::Resumed);
                Ok(())
            }
            // Its host was lost before the suspension that was asked for: the next would still obey it.
            JobState::Ready if self.job.status.request == Some(Request::Suspend) => {
                self.record(Fact::Suspended);
                self.record(Fact::Resumed);
                Ok(())
            }
            JobState::Ready | JobState::Running | JobState::Reverting | JobState::Waiting => Ok(()),
            _ => Err(self.refused("resume", "only a suspended job can be")),
        }
    }

    /// Puts a quarantined job back on the board.
    pub fn release(&mut self) -> Result<(), Rejected> {
        match self.job.status.state {
            JobState::Quarantined => {
                self.record(Fact::Released);
                Ok(())
            }
            JobState::Ready => Ok(()),
            _ => Err(self.refused("release", "only a quarantined job can be")),
        }
    }

    /// Goes on from the failure: a failed revert is called again, otherwise the failed task is applied again.
    pub fn retry(&mut self, reason: String) -> Result<(), Rejected> {
        self.check_no_child("retry")?;
        self.go_on_from_failure(reason)
    }

    pub(super) fn go_on_from_failure(&mut self, reason: String) -> Result<(), Rejected> {
        match self.job.status.state {
            JobState::Succeeded => Ok(()),
            JobState::Failed if self.job.status.epoch > 0 => {
                // What was left in the middle of its revert cannot be applied: its undoing comes first.
                let is_half_undone = |state| matches!(state, TaskState::Reverting | TaskState::RevertFailed);
                let is_stuck = self.job.task_instances().any(|i| is_half_undone(i.state))
                    || self.job.has_half_undone_flow()
                    || self.job.has_half_undone_scope();
                let direction = if is_stuck { Direction::Revert } else { Direction::Apply };
                self.reopen(direction, reason);
                Ok(())
            }
            JobState::Failed => Err(self.refused("retry", "it never started; rerun it")),
            JobState::Reverted | JobState::Cancelled | JobState::Dropped | JobState::Superseded => {
                Err(self.refused("retry", "nothing of it remains; rerun it"))
            }
            _ => Err(self.refused("retry", "it has not ended")),
        }
    }

    /// Undoes a job that ended with effects in place.
    pub fn revert(&mut self, reason: String) -> Result<(), Rejected> {
        self.check_no_child("revert")?;
        self.undo(reason)
    }

    pub(super) fn undo(&mut self, reason: String) -> Result<(), Rejected> {
        match self.job.status.state {
            JobState::Reverted => Ok(()),
            JobState::Succeeded | JobState::Failed if self.job.status.epoch > 0 => {
                self.reopen(Direction::Revert, reason.clone());
                Ok(())
            }
            JobState::Ready | JobState::Waiting | JobState::Reverting
                if self.job.status.direction == Direction::Revert =>
            {
                Ok(())
            }
            JobState::Failed | JobState::Dropped | JobState::Cancelled | JobState::Superseded => {
                Err(self.refused("revert", "nothing of it remains"))
            }
            _ => Err(self.refused("revert", "it has not ended; cancel it with revert")),
        }
    }

    /// Decides about one failed revert, so that unwinding goes on. The iteration may be left out where the task has
    /// only one that failed.
    pub fn resolve(
        &mut self,
        task: &str,
        iteration: &[u32],
        resolution: Resolution,
        reason: String,
    ) -> Result<(), Rejected> {
        let is_meant =
            |name: &InstanceName| name.task == task && (iteration.is_empty() || name.iteration == iteration);
        let failed = self.failed_reverts().map(|instance| &instance.name);
        let meant: Vec<_> = failed.filter(|name| is_meant(name)).cloned().collect();
        let (job, task) = (self.job.id(), task.to_owned());
        let [name] = meant.as_slice() else {
            return Err(match meant.is_empty() {
                true => Rejected::NoFailedRevert { job, task },
                false => {
                    let names = meant.iter().map(InstanceName::to_string).collect();
                    Rejected::SeveralFailedReverts { job, task, names }
                }
            });
        };
        let name = name.clone();
        if self.job.status.state != JobState::Failed {
            return Err(self.refused("resolve a failed revert of", "it has not ended"));
        }
        self.let_be_with(&name, resolution, &reason);
        match resolution {
            Resolution::Retry => {}
            Resolution::Accept => {
                self.record(Fact::TaskRevertAccepted { task: name, reason: reason.clone() });
            }
            Resolution::Skip => {
                self.record(Fact::TaskRevertSkipped { task: name, reason: reason.clone() });
            }
        }
        self.reopen(Direction::Revert, reason);
        Ok(())
    }

    fn failed_reverts(&self) -> impl Iterator<Item = &TaskInstance> {
        self.job.instances.values().filter(|i| i.state == TaskState::RevertFailed)
    }

    fn reopen(&mut self, direction: Direction, reason: String) {
        self.record(Fact::Reopened { direction, reason });
    }
}
