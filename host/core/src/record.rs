//! Recording: what a fact does to a job. The only place where a job's status and instances change.
//!
//! The same function runs when a decision is taken and when a logbook is replayed, so that the two cannot
//! differ. A fact that the tables of states do not allow is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::call::Direction;
use crate::child::Order;
use crate::entry::{Entry, Fact};
use crate::flow::Flow;
use crate::job::{CancelMode, Cause, Claim, Job, JobSpec, JobState, JobStatus, Request, Run};
use crate::plan::Plan;

mod child;
pub(crate) mod own_revert;
mod scope;
pub mod table;
pub mod task;

/// A fact that is not possible where the job stands: a bug, or a logbook that was tampered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence} ({kind}) is not possible: {reason}")]
pub struct IllegalFact {
    pub sequence: u64,
    pub kind: &'static str,
    pub reason: String,
}

impl Job {
    /// The job that a logbook tells of.
    pub fn replay(spec: Arc<JobSpec>, flow: Arc<Flow>, entries: &[Entry]) -> Result<Self, IllegalFact> {
        let mut job = Self::unborn(spec, flow);
        entries.iter().try_for_each(|entry| job.record(entry))?;
        Ok(job)
    }

    /// The job before its first entry.
    pub(crate) fn unborn(spec: Arc<JobSpec>, flow: Arc<Flow>) -> Self {
        let plan = Arc::new(Plan::of(&flow));
        Self::unborn_planned(spec, (flow, plan))
    }

    /// As `unborn`, with a plan that was made of the flow before.
    pub(crate) fn unborn_planned(spec: Arc<JobSpec>, planned: (Arc<Flow>, Arc<Plan>)) -> Self {
        let status = JobStatus {
            state: JobState::Scheduled,
            direction: Direction::Apply,
            cause: None,
            priority: 0,
            execute_at: None,
            due: spec.created,
            triggered: None,
            runs: vec![Run::default()],
            claim: None,
            epoch: 0,
            claims_lost: 0,
            wake: None,
            request: None,
            deadline: None,
            residue: Vec::new(),
            awaits: BTreeMap::new(),
            orders: 0,
            order_number: 0,
            owes_end: false,
            updated: spec.created,
            sequence: 0,
        };
        Self::restore_planned(spec, planned, status, BTreeMap::new())
    }

    /// Takes an entry into the job.
    pub fn record(&mut self, entry: &Entry) -> Result<(), IllegalFact> {
        let illegal =
            |reason: String| IllegalFact { sequence: entry.sequence, kind: entry.fact.kind(), reason };
        if entry.sequence != self.status.sequence + 1 {
            return Err(illegal(format!("the entry before it is {}", self.status.sequence)));
        }
        if (self.status.sequence == 0) != matches!(entry.fact, Fact::Created { .. }) {
            return Err(illegal("a job's first entry, and only that, creates it".to_owned()));
        }
        if !table::happens_in(&entry.fact, self.status.state) {
            return Err(illegal(format!("the job is {}", self.status.state.word())));
        }
        self.check_calls(&entry.fact).map_err(illegal)?;
        if entry.fact.is_of_scope() {
            self.record_scope(&entry.fact, entry.at).map_err(illegal)?;
        } else if entry.fact.task().is_some() {
            self.record_task(&entry.fact, entry.at).map_err(illegal)?;
        } else {
            self.record_job(&entry.fact, entry.at).map_err(illegal)?;
        }
        self.status.sequence = entry.sequence;
        self.status.updated = entry.at;
        Ok(())
    }

    /// A call is begun when what is before it is done, and a claim ends when no call is under way.
    fn check_calls(&self, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::TaskApplying { task, .. }
            | Fact::TaskObserving { task, .. }
            | Fact::TaskWaiting { task, .. }
            | Fact::ChildOrdered { task, .. }
            | Fact::TaskReverting { task, .. } => {
                let direction = match fact {
                    Fact::TaskReverting { .. } | Fact::ChildOrdered { order: Order::Undo, .. } => {
                        Direction::Revert
                    }
                    _ => Direction::Apply,
                };
                // An unknown task is told of where it is recorded.
                let may_go_on = |seat| self.frontier.may_go_on(&self.plan, &seat, direction);
                if self.plan.seat_of(task).is_none_or(may_go_on) {
                    Ok(())
                } else if self.instances.get(task).is_some_and(|instance| instance.is_in_flight()) {
                    Err(format!("a call of {task} is under way"))
                } else {
                    Err(format!("it is not the turn of {task}"))
                }
            }
            // While its job goes forward, a task goes back only in a scope that does.
            Fact::TaskRevertInterrupted { task, .. }
            | Fact::TaskRevertBackoff { task, .. }
            | Fact::TaskReverted { task, .. }
            | Fact::TaskRevertFailed { task, .. }
                if self.status.direction == Direction::Apply =>
            {
                let is_going_back = |seat| self.frontier.is_going_back(&self.view(), &seat);
                let is_undone = self.plan.seat_of(task).is_some_and(is_going_back)
                    || self.is_undone_with_its_flow(task, fact);
                match is_undone {
                    true => Ok(()),
                    false => Err(format!("{task} is not undone")),
                }
            }
            Fact::Waiting { .. }
            | Fact::Unwinding { .. }
            | Fact::Suspended
            | Fact::Quarantined { .. }
            | Fact::GivenUp { .. }
            | Fact::ClaimLost { .. }
            | Fact::Ended { .. } => match self.in_flight().next() {
                Some(instance) => Err(format!("a call of {} is under way", instance.name)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn record_job(&mut self, fact: &Fact, at: DateTime<Utc>) -> Result<(), String> {
        match fact {
            Fact::Created { execute_at, due, priority } => {
                self.status.execute_at = *execute_at;
                self.status.due = *due;
                self.status.priority = *priority;
            }
            Fact::Rescheduled { execute_at, due } => {
                self.to(JobState::Scheduled)?;
                self.status.execute_at = Some(*execute_at);
                self.status.due = *due;
                // It is triggered when it becomes due anew, or it would seem to be triggered before that.
                self.status.triggered = None;
            }
            Fact::Prioritised { priority } => self.status.priority = *priority,
            Fact::Triggered => {
                self.to(JobState::Ready)?;
                self.status.triggered.get_or_insert(at);
            }
            Fact::Claimed { host, epoch } => self.claimed(Claim { host: *host, epoch: *epoch }, at)?,
            Fact::ClaimLost { in_flight, .. } => {
                self.unclaimed(JobState::Ready)?;
                self.status.claims_lost += u32::from(*in_flight);
            }
            Fact::GivenUp { .. } => self.unclaimed(JobState::Ready)?,
            Fact::Waiting { until } => {
                self.unclaimed(JobState::Waiting)?;
                self.status.wake = Some(*until);
            }
            Fact::Woken => {
                self.to(JobState::Ready)?;
                self.status.wake = None;
            }
            Fact::Unwinding { cause } => self.unwinding(cause)?,
            Fact::CancelRequested { mode, reason } => self.cancel_requested(*mode, reason)?,
            Fact::SuspendRequested => {
                self.status.request = Some(Request::Suspend);
                if self.status.state.is_claimed() {
                    self.to(JobState::Suspending)?;
                }
            }
            Fact::Suspended => {
                self.unclaimed(JobState::Suspended)?;
                self.status.request = None;
                self.status.wake = None;
            }
            Fact::Resumed | Fact::Released => {
                self.to(JobState::Ready)?;
                self.status.claims_lost = 0;
            }
            Fact::Quarantined { .. } => {
                self.unclaimed(JobState::Quarantined)?;
                self.status.wake = None;
            }
            Fact::ParentOrdered { order, number } => self.ordered(*order, *number)?,
            Fact::ParentTold { number } => self.told_parent(*number)?,
            Fact::Reopened { direction, reason } => self.reopened(*direction, reason)?,
            Fact::Ended { state, cause, residue } => {
                self.ended(*state, at)?;
                self.status.cause.clone_from(cause);
                self.status.residue.clone_from(residue);
                self.leave_children();
            }
            task => return Err(format!("{} names no task", task.kind())),
        }
        Ok(())
    }

    fn claimed(&mut self, claim: Claim, at: DateTime<Utc>) -> Result<(), String> {
        if claim.epoch <= self.status.epoch {
            return Err(format!("epoch {} does not rise above {}", claim.epoch, self.status.epoch));
        }
        let state = match self.status.request {
            Some(Request::Suspend) => JobState::Suspending,
            Some(Request::Cancel { .. }) | None => self.claimed_state(),
        };
        self.to(state)?;
        self.status.claim = Some(claim);
        self.status.epoch = claim.epoch;
        if self.status.run().started.is_none() {
            self.status.run_mut().started = Some(at);
            let timeout = self.spec.timeout_ms.and_then(|ms| i64::try_from(ms).ok());
            let timeout = timeout.and_then(chrono::TimeDelta::try_milliseconds);
            self.status.deadline = timeout.and_then(|timeout| at.checked_add_signed(timeout));
        }
        Ok(())
    }

    /// The state that a claim leads to.
    fn claimed_state(&self) -> JobState {
        match self.status.direction {
            Direction::Apply => JobState::Running,
            Direction::Revert => JobState::Reverting,
        }
    }

    fn unclaimed(&mut self, state: JobState) -> Result<(), String> {
        self.to(state)?;
        self.status.claim = None;
        Ok(())
    }

    /// The latest wish counts, and whatever was asked before is dropped.
    fn cancel_requested(&mut self, mode: CancelMode, reason: &str) -> Result<(), String> {
        // Where the job unwinds already, what a cancel with revert asks for is being done.
        let is_done = mode == CancelMode::Revert && self.status.direction == Direction::Revert;
        self.status.request = (!is_done).then(|| Request::Cancel { mode, reason: reason.to_owned() });
        if self.status.state == JobState::Suspending {
            self.to(self.claimed_state())?;
        }
        Ok(())
    }

    fn unwinding(&mut self, cause: &Cause) -> Result<(), String> {
        if self.status.direction == Direction::Revert {
            return Err("the job is unwinding already".to_owned());
        }
        self.status.direction = Direction::Revert;
        self.status.cause = Some(cause.clone());
        if self.status.state == JobState::Running {
            self.to(JobState::Reverting)?;
        }
        // A suspension that was asked for still holds, and the job is suspended while it unwinds; but a
        // later cancel outranks it.
        let is_cancel = matches!(cause, Cause::Cancelled { .. });
        if is_cancel || matches!(self.status.request, Some(Request::Cancel { .. })) {
            self.status.request = None;
        }
        self.frontier = self.frontier_anew();
        Ok(())
    }

    fn reopened(&mut self, direction: Direction, reason: &str) -> Result<(), String> {
        self.to(JobState::Ready)?;
        self.status.direction = direction;
        match direction {
            Direction::Apply => self.status.cause = None,
            Direction::Revert => {
                let requested = || Cause::Requested { reason: reason.to_owned() };
                self.status.cause.get_or_insert_with(requested);
            }
        }
        self.status.claims_lost = 0;
        self.status.owes_end = false;
        self.status.residue.clear();
        self.status.deadline = None;
        self.status.runs.push(Run::default());
        self.frontier = self.frontier_anew();
        Ok(())
    }

    fn ended(&mut self, state: JobState, at: DateTime<Utc>) -> Result<(), String> {
        self.unclaimed(state)?;
        self.status.request = None;
        self.status.wake = None;
        self.status.owes_end = self.parent().is_some();
        self.status.run_mut().ended = Some(at);
        Ok(())
    }

    fn to(&mut self, state: JobState) -> Result<(), String> {
        if !may_become(self.status.state, state) {
            return Err(format!("a {} job does not become {}", self.status.state.word(), state.word()));
        }
        self.status.state = state;
        Ok(())
    }
}

/// The table of legal job transitions (design, section 4). The same state is no transition.
pub fn may_become(from: JobState, to: JobState) -> bool {
    use JobState::{
        Cancelled, Dropped, Failed, Quarantined, Ready, Reverted, Reverting, Running, Scheduled, Succeeded,
        Superseded, Suspended, Suspending, Waiting,
    };
    let next: &[JobState] = match from {
        Scheduled => &[Scheduled, Ready, Dropped, Failed, Cancelled, Superseded],
        Ready => &[
            Running,
            Reverting,
            Suspending,
            Quarantined,
            Suspended,
            Scheduled,
            Dropped,
            Cancelled,
            Superseded,
            Failed,
        ],
        Waiting => &[Ready, Suspended, Failed, Cancelled],
        Running => &[Succeeded, Waiting, Reverting, Suspending, Ready, Quarantined, Failed, Cancelled],
        Reverting => &[Reverted, Failed, Suspending, Waiting, Quarantined, Ready],
        Suspending => &[Suspended, Succeeded, Reverted, Failed, Ready, Running, Reverting, Quarantined],
        Suspended => &[Ready, Cancelled, Failed],
        Quarantined => &[Ready, Cancelled, Failed],
        Succeeded | Failed => &[Ready],
        Reverted | Dropped | Cancelled | Superseded => &[],
    };
    next.contains(&to)
}
