//! The next steps of a claimed job: which calls to begin, or how it ends.
//!
//! As many calls are begun as there is room for. A failure, a request and a deadline begin no more: what runs is let
//! finish, and what becomes of the job is decided when nothing runs any more.

use chrono::{DateTime, Utc};

use crate::call::{Direction, Prior};
use crate::decide::{Decision, Rejected, child, own_revert};
use crate::entry::Fact;
use crate::fault::{Fault, HOST_IN_DOUBT};
use crate::flow::InDoubt;
use crate::frontier::{FrameName, Frontier, Seat, View};
use crate::id::HostId;
use crate::instance::{Failed, InstanceName, TaskInstance, TaskState};
use crate::job::{CancelMode, Cause, Job, JobState, Request};
use crate::record::task::prior_of;

/// What the tasks of a job allow when none of them runs.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    Call,
    WaitUntil(DateTime<Utc>),
    /// All tasks are applied, or all that was applied is undone.
    Done,
    /// What is left cannot go on: reverts that failed, and what lies before them.
    Stuck,
}

impl Decision<'_> {
    /// Begins what can be begun: there is room for more, or a pause is over.
    pub fn proceed(&mut self, host: HostId) -> Result<(), Rejected> {
        self.check_holder(host)?;
        self.advance();
        Ok(())
    }

    /// Records what follows from where a claimed job stands, up to the next intents, wait or end.
    pub(super) fn advance(&mut self) {
        while self.job.status.state.is_claimed() {
            self.go_on();
            if self.job.in_flight_count() > 0 {
                return;
            }
            let rest = self.rest();
            if self.obey_request(&rest) || self.obey_failure() || self.obey_deadline(&rest) {
                continue;
            }
            match (rest, self.stopping) {
                // Begun in the next turn, unless the host stops.
                (Rest::Call, Some(host)) => self.record(Fact::GivenUp { host }),
                (Rest::Call, None) => {}
                (Rest::WaitUntil(until), _) => self.record(Fact::Waiting { until }),
                (Rest::Done, _) => self.done(),
                (Rest::Stuck, _) => self.stuck(),
            }
        }
    }

    /// Records what follows without a call, and begins the calls for which there is room.
    fn go_on(&mut self) {
        loop {
            let may_begin = self.job.may_begin(self.now);
            if self.go_on_with_scopes(may_begin) {
                continue;
            }
            let next = self.job.frontier.next(self.now).filter(|_| may_begin);
            let is_begun = next.is_some_and(|seat| self.begin(&seat));
            if !is_begun {
                return;
            }
        }
    }

    /// Goes on with a task or scope; false where there is no room for it.
    fn begin(&mut self, seat: &Seat) -> bool {
        let is_going_back = self.job.frontier.is_going_back(&self.job.view(), seat);
        if !is_going_back && self.leave_out(seat) {
            return true;
        }
        if self.job.plan.is_scope(seat.node) {
            self.begin_scope(seat);
            return true;
        }
        if !is_going_back && self.job.is_wait(seat) {
            self.go_on_waiting(seat);
            return true;
        }
        if !is_going_back && self.decide_doubt(seat) {
            return true;
        }
        let fact = if is_going_back {
            revert_intent(self.job, seat, self.now)
        } else {
            apply_intent(self.job, seat)
        };
        let is_call = matches!(
            fact,
            Fact::TaskApplying { .. } | Fact::TaskObserving { .. } | Fact::TaskReverting { .. }
        );
        if is_call {
            if self.stopping.is_some() || !self.has_room() {
                return false;
            }
            self.room = self.room.saturating_sub(1);
        }
        self.record(fact);
        true
    }

    /// What the task says about doubt; false where it is applied again.
    fn decide_doubt(&mut self, seat: &Seat) -> bool {
        let Some(instance) = self.job.view().current(seat) else { return false };
        if instance.state != TaskState::InDoubt {
            return false;
        }
        let (task, attempt, is_held) = (instance.name.clone(), instance.attempt, instance.is_held);
        match self.job.task(&task.task).map(|task| task.in_doubt).unwrap_or_default() {
            InDoubt::Reapply => false,
            // The person who resumed it has looked.
            InDoubt::Hold | InDoubt::Observe if is_held => false,
            InDoubt::Observe => false,
            InDoubt::Hold => {
                self.record(Fact::TaskHeld { task, attempt });
                self.record(Fact::SuspendRequested);
                true
            }
            InDoubt::Revert => {
                let fault = Fault::new(HOST_IN_DOUBT, "its host was lost while it was applied");
                self.record(Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken });
                true
            }
        }
    }

    /// A job that is claimed has room for one call, or it could never go on.
    fn has_room(&self) -> bool {
        let calls = self.job.in_flight_count();
        let most = self.job.flow.parallel_max.map_or(usize::MAX, |most| most as usize);
        calls == 0 || (self.room > 0 && calls < most)
    }

    fn rest(&self) -> Rest {
        let frontier = &self.job.frontier;
        if frontier.is_done() {
            return Rest::Done;
        }
        let has_scopes =
            frontier.ended().next().is_some() || frontier.turning(&self.job.plan).next().is_some();
        if has_scopes || frontier.next(self.now).is_some() {
            return Rest::Call;
        }
        match (frontier.wake(), self.job.status.deadline) {
            (Some(wake), Some(deadline)) if !self.is_unwinding() => Rest::WaitUntil(wake.min(deadline)),
            (Some(wake), _) => Rest::WaitUntil(wake),
            (None, _) => Rest::Stuck,
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

    fn done(&mut self) {
        match self.job.status.direction {
            Direction::Apply => self.end(JobState::Succeeded, None),
            Direction::Revert => self.end(JobState::Reverted, self.job.status.cause.clone()),
        }
    }

    fn stuck(&mut self) {
        match self.job.status.direction {
            // Only a flow that was never validated has tasks that no order reaches.
            Direction::Apply => self.unwind(Cause::Invalid {
                message: "no task that is left can ever begin: what they need goes in a circle".to_owned(),
            }),
            Direction::Revert => self.end(JobState::Failed, self.job.status.cause.clone()),
        }
    }

    /// What was asked while the last calls ran. True where something came of it.
    fn obey_request(&mut self, rest: &Rest) -> bool {
        match self.job.status.request.clone() {
            None => false,
            // The last task has finished: there is nothing left to suspend. A failure comes first.
            Some(Request::Suspend) if matches!(rest, Rest::Done | Rest::Stuck) => false,
            Some(Request::Suspend) if !self.is_unwinding() && self.failure().is_some() => false,
            Some(Request::Suspend) => {
                self.record(Fact::Suspended);
                true
            }
            // Nothing is left to leave, and no call will be made any more.
            Some(Request::Cancel { .. }) if self.is_unwinding() && residue(self.job).is_empty() => {
                // What rejected and did nothing is said to be undone, without a call.
                self.go_on_undone();
                *rest != Rest::Done
            }
            // Likewise, and what succeeded is what its canceller asked to leave.
            Some(Request::Cancel { mode: CancelMode::Leave, .. })
                if *rest == Rest::Done && !self.is_unwinding() =>
            {
                false
            }
            Some(Request::Cancel { mode: CancelMode::Leave, reason }) => {
                self.end(JobState::Cancelled, Some(Cause::Cancelled { reason }));
                true
            }
            Some(Request::Cancel { mode: CancelMode::Revert, reason }) => {
                self.unwind(Cause::Cancelled { reason });
                true
            }
        }
    }

    fn obey_failure(&mut self) -> bool {
        let Some(cause) = self.failure().filter(|_| !self.is_unwinding()) else { return false };
        self.fail_scopes_in(&FrameName::outermost());
        self.unwind(cause);
        true
    }

    fn obey_deadline(&mut self, rest: &Rest) -> bool {
        if !self.is_late() || self.is_unwinding() || *rest == Rest::Done {
            return false;
        }
        self.unwind(Cause::Timeout);
        true
    }

    fn is_unwinding(&self) -> bool {
        self.job.status.direction == Direction::Revert
    }

    fn is_late(&self) -> bool {
        self.job.is_late(self.now)
    }

    /// Why the job fails: the first of the tasks and scopes that failed in this run, and that no scope tries again.
    fn failure(&self) -> Option<Cause> {
        let first = self.first_failure(&FrameName::outermost())?;
        let ended = first.apply_ended.unwrap_or(self.now);
        let is_late = self.job.status.deadline.is_some_and(|deadline| deadline <= ended);
        Some(match &first.fault {
            Some(fault) if !is_late => Cause::Task { task: first.name.clone(), fault: fault.clone() },
            _ => Cause::Timeout,
        })
    }
}

impl Job {
    /// How many calls more it would begin now, had its host room for all of them.
    pub fn wanted_calls(&self, now: DateTime<Utc>) -> usize {
        if !self.may_begin(now) {
            return 0;
        }
        let most = self.flow.parallel_max.map_or(usize::MAX, |most| most as usize);
        self.frontier.callable_count(now).min(most.saturating_sub(self.in_flight_count()))
    }

    fn is_wait(&self, seat: &Seat) -> bool {
        self.flow.wait_at(&self.plan.place(seat.node)).is_some()
    }

    fn is_observed_in_doubt(&self, task: &str) -> bool {
        self.task(task).is_some_and(|task| task.in_doubt == InDoubt::Observe)
    }

    /// Nothing speaks against another call.
    pub(super) fn may_begin(&self, now: DateTime<Utc>) -> bool {
        let is_failing = || self.is_late(now) || self.frontier.is_failing(&FrameName::outermost());
        self.status.request.is_none() && (self.status.direction == Direction::Revert || !is_failing())
    }

    fn is_late(&self, now: DateTime<Utc>) -> bool {
        self.status.deadline.is_some_and(|deadline| deadline <= now)
    }
}

fn apply_intent(job: &Job, seat: &Seat) -> Fact {
    let name = job.plan.name(seat.node);
    let Some(instance) = job.view().current(seat) else {
        let task = InstanceName { task: name.to_owned(), iteration: seat.path.clone() };
        return Fact::TaskApplying { task, attempt: 1, prior: Prior::None };
    };
    let observation =
        || Fact::TaskObserving { task: instance.name.clone(), attempt: instance.observations + 1 };
    match instance.state {
        TaskState::Observing => observation(),
        TaskState::InDoubt if !instance.is_held && job.is_observed_in_doubt(&instance.name.task) => {
            observation()
        }
        TaskState::Pending | TaskState::Backoff | TaskState::InDoubt | TaskState::ApplyFailed => {
            Fact::TaskApplying {
                task: instance.name.clone(),
                attempt: instance.attempt + 1,
                prior: prior_of(instance, Direction::Apply),
            }
        }
        // An operator's retry after a revert: what was undone is done anew, under a new key.
        TaskState::Reverted | TaskState::RevertFailed | TaskState::Accepted | TaskState::SkippedRevert => {
            Fact::TaskApplying { task: instance.name.next(&seat.path), attempt: 1, prior: Prior::None }
        }
        state @ (TaskState::Applying
        | TaskState::Waiting
        | TaskState::Applied
        | TaskState::Skipped
        | TaskState::Reverting) => {
            unreachable!("{name} is {} and not open: the frontier is wrong", state.word())
        }
    }
}

fn revert_intent(job: &Job, seat: &Seat, now: DateTime<Utc>) -> Fact {
    if job.plan.is_own_revert(seat.node) {
        return own_revert::intent(job, seat);
    }
    let instance = job.view().undoable(seat);
    let instance = instance.expect("a task that is open on the way back has an instance to undo");
    let task = instance.name.clone();
    if instance.state == TaskState::Reverting && instance.child.is_some() {
        return child::undone(instance);
    }
    if instance.is_undone_at_once() {
        return Fact::TaskReverted { task, attempt: 0, output: None };
    }
    if let Some(link) = &instance.child {
        return child::undo(instance, link, now);
    }
    let prior = prior_of(instance, Direction::Revert);
    Fact::TaskReverting { task, attempt: instance.revert_attempt + 1, prior }
}

/// One call that undoes something of a job.
#[derive(Debug, PartialEq)]
pub struct Undoing<'a> {
    /// The task instance, or the own revert.
    pub name: InstanceName,
    /// What it undoes: itself, or the tasks in its flow that have effects.
    pub undoes: Vec<&'a TaskInstance>,
}

/// What of a job is undone when it is reverted, in the order in which that is done one by one.
pub fn unwinding_order(job: &Job) -> Vec<Undoing<'_>> {
    // What failed to be undone is tried again in the next run.
    let view = View { run: job.status.runs.len() as u32 + 1, ..job.view() };
    let mut frontier = Frontier::of(&view, Direction::Revert);
    let mut order = Vec::new();
    loop {
        let ended = frontier.ended().next().cloned();
        if let Some(scope) = ended {
            frontier.put_done(&view, &scope);
        } else if let Some(seat) = frontier.next(DateTime::<Utc>::MAX_UTC) {
            order.extend(undoing(&view, job, &seat));
            frontier.put_done(&view, &seat);
        } else {
            return order;
        }
    }
}

fn undoing<'a>(view: &View<'a>, job: &Job, seat: &Seat) -> Vec<Undoing<'a>> {
    if view.plan.is_own_revert(seat.node) {
        let intent = own_revert::intent(job, seat);
        let name = intent.task().expect("an intent is about a task").clone();
        let undoes = view.undone_with(seat).into_iter().filter(|instance| instance.is_to_be_undone());
        return vec![Undoing { name, undoes: undoes.collect() }];
    }
    let left = view.instances_at(seat).filter(|instance| instance.is_to_be_undone());
    let mut left: Vec<_> =
        left.map(|instance| Undoing { name: instance.name.clone(), undoes: vec![instance] }).collect();
    left.reverse();
    left
}

fn residue(job: &Job) -> Vec<InstanceName> {
    let remains = job.task_instances().filter(|instance| instance.has_effects());
    remains.map(|instance| instance.name.clone()).collect()
}
