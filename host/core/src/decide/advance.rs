//! The next step of a claimed job: which call to begin, or how it ends.

use chrono::{DateTime, Utc};

use crate::call::Direction;
use crate::decide::Decision;
use crate::entry::Fact;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::{CancelMode, Cause, Job, JobState, Request};
use crate::record::task::prior_of;

/// What the tasks of a job allow next.
#[derive(Debug)]
enum Step {
    /// A call is under way: its outcome comes first.
    Await,
    Record(Fact),
    WaitUntil(DateTime<Utc>),
    /// All tasks are applied, or all that was applied is undone.
    Done,
    /// A failed revert stops the unwinding.
    Stuck,
}

impl Decision<'_> {
    /// Records what follows from where a claimed job stands, up to the next intent, wait or end.
    pub(super) fn advance(&mut self) {
        while self.job.status.state.is_claimed() {
            let step = self.step();
            if matches!(step, Step::Await) || self.obey_request(&step) || self.obey_deadline(&step) {
                return;
            }
            match step {
                Step::Await => return,
                Step::Record(fact) => {
                    let is_call = matches!(fact, Fact::TaskApplying { .. } | Fact::TaskReverting { .. });
                    if let (true, Some(host)) = (is_call, self.stopping) {
                        self.record(Fact::GivenUp { host });
                        return;
                    }
                    self.record(fact);
                    if is_call {
                        return;
                    }
                }
                Step::WaitUntil(until) => self.record(Fact::Waiting { until }),
                Step::Done => self.done(),
                Step::Stuck => self.end(JobState::Failed, self.job.status.cause.clone()),
            }
        }
    }

    /// Ends the job, with the residue that there is.
    pub(super) fn end(&mut self, state: JobState, cause: Option<Cause>) {
        let residue = residue(self.job);
        let state = match state {
            JobState::Reverted | JobState::Cancelled if !residue.is_empty() => JobState::Failed,
            state => state,
        };
        let residue = if state == JobState::Failed { residue } else { Vec::new() };
        self.record(Fact::Ended { state, cause, residue });
    }

    /// Turns the job round, unless it is to stop where it fails.
    pub(super) fn unwind(&mut self, cause: Cause) {
        let is_asked = matches!(cause, Cause::Cancelled { .. });
        if self.job.spec.never_revert && !is_asked {
            self.end(JobState::Failed, Some(cause));
        } else {
            self.record(Fact::Unwinding { cause });
        }
    }

    fn step(&self) -> Step {
        match self.job.status.direction {
            Direction::Apply => apply_step(self.job, self.now),
            Direction::Revert => revert_step(self.job, self.now),
        }
    }

    fn done(&mut self) {
        match self.job.status.direction {
            Direction::Apply => self.end(JobState::Succeeded, None),
            Direction::Revert => self.end(JobState::Reverted, self.job.status.cause.clone()),
        }
    }

    /// What was asked while the last call ran. True where it ends the turn.
    fn obey_request(&mut self, step: &Step) -> bool {
        match self.job.status.request.clone() {
            None => false,
            // The last task has finished: there is nothing left to suspend.
            Some(Request::Suspend) if matches!(step, Step::Done | Step::Stuck) => false,
            Some(Request::Suspend) => {
                self.record(Fact::Suspended);
                true
            }
            // Nothing is left to leave, and no call will be made any more.
            Some(Request::Cancel { .. })
                if self.job.status.direction == Direction::Revert && residue(self.job).is_empty() =>
            {
                false
            }
            // Likewise, and what succeeded is what its canceller asked to leave.
            Some(Request::Cancel { mode: CancelMode::Leave, .. })
                if matches!(step, Step::Done) && self.job.status.direction == Direction::Apply =>
            {
                false
            }
            Some(Request::Cancel { mode: CancelMode::Leave, reason }) => {
                self.end(JobState::Cancelled, Some(Cause::Cancelled { reason }));
                true
            }
            Some(Request::Cancel { mode: CancelMode::Revert, reason }) => {
                self.unwind(Cause::Cancelled { reason });
                self.advance();
                true
            }
        }
    }

    fn obey_deadline(&mut self, step: &Step) -> bool {
        let is_late = self.job.status.deadline.is_some_and(|deadline| deadline <= self.now);
        if !is_late || self.job.status.direction == Direction::Revert || matches!(step, Step::Done) {
            return false;
        }
        self.unwind(Cause::Timeout);
        self.advance();
        true
    }
}

fn apply_step(job: &Job, now: DateTime<Utc>) -> Step {
    for task in &job.flow.tasks {
        let Some(instance) = job.current(&task.name) else {
            let name = InstanceName { task: task.name.clone(), iteration: Vec::new() };
            return Step::Record(Fact::TaskApplying {
                task: name,
                attempt: 1,
                prior: crate::call::Prior::None,
            });
        };
        match instance.state {
            TaskState::Applied => {}
            TaskState::Applying | TaskState::Reverting => return Step::Await,
            TaskState::Backoff => match instance.next_try {
                Some(next_try) if next_try > now => {
                    return Step::WaitUntil(job.status.deadline.map_or(next_try, |d| d.min(next_try)));
                }
                _ => return Step::Record(apply_intent(instance)),
            },
            TaskState::Pending | TaskState::InDoubt | TaskState::ApplyFailed => {
                return Step::Record(apply_intent(instance));
            }
            // An operator's retry after a revert: what was undone is done anew, under a new key.
            TaskState::Reverted
            | TaskState::RevertFailed
            | TaskState::Accepted
            | TaskState::SkippedRevert => {
                return Step::Record(Fact::TaskApplying {
                    task: instance.name.next(),
                    attempt: 1,
                    prior: crate::call::Prior::None,
                });
            }
        }
    }
    Step::Done
}

fn apply_intent(instance: &TaskInstance) -> Fact {
    Fact::TaskApplying {
        task: instance.name.clone(),
        attempt: instance.attempt + 1,
        prior: prior_of(instance, Direction::Apply),
    }
}

fn revert_step(job: &Job, now: DateTime<Utc>) -> Step {
    for instance in unwinding_order(job) {
        match instance.state {
            TaskState::Pending | TaskState::Reverted | TaskState::Accepted | TaskState::SkippedRevert => {}
            TaskState::Applying => return Step::Await,
            TaskState::ApplyFailed if instance.is_lone_reject() => {
                let task = instance.name.clone();
                return Step::Record(Fact::TaskReverted { task, attempt: 0, output: None });
            }
            TaskState::Applied | TaskState::ApplyFailed | TaskState::Backoff | TaskState::InDoubt => {
                return Step::Record(revert_intent(instance));
            }
            TaskState::Reverting => match instance.next_try {
                None => return Step::Await,
                Some(next_try) if next_try > now => return Step::WaitUntil(next_try),
                Some(_) => return Step::Record(revert_intent(instance)),
            },
            // An operator opened another run to try it again.
            TaskState::RevertFailed if (instance.run as usize) < job.status.runs.len() => {
                return Step::Record(revert_intent(instance));
            }
            TaskState::RevertFailed => return Step::Stuck,
        }
    }
    Step::Done
}

pub(super) fn revert_intent(instance: &TaskInstance) -> Fact {
    Fact::TaskReverting {
        task: instance.name.clone(),
        attempt: instance.revert_attempt + 1,
        prior: prior_of(instance, Direction::Revert),
    }
}

/// Every touched instance, the last task first, and of one task the last iteration first.
pub fn unwinding_order(job: &Job) -> impl Iterator<Item = &TaskInstance> {
    job.flow.tasks.iter().rev().flat_map(|task| {
        let first = InstanceName { task: task.name.clone(), iteration: Vec::new() };
        let of_task = job.instances.range(first..).take_while(|(name, _)| name.task == task.name);
        of_task.map(|(_, instance)| instance).collect::<Vec<_>>().into_iter().rev()
    })
}

fn residue(job: &Job) -> Vec<InstanceName> {
    let in_order = job
        .flow
        .tasks
        .iter()
        .flat_map(|task| job.instances.values().filter(|instance| instance.name.task == task.name));
    in_order.filter(|instance| instance.has_effects()).map(|instance| instance.name.clone()).collect()
}
