//! Child jobs: when a parent orders what, what it makes of their ends, and how a child hears and tells.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::call::Direction;
use crate::child::{Child, ChildEnd, Link, Order, Parent};
use crate::decide::wait::later;
use crate::decide::{Decision, Rejected};
use crate::entry::Fact;
use crate::fault::{Fault, HOST_CHILD, HOST_LATE, HOST_OUTPUT};
use crate::frontier::{FrameName, Seat};
use crate::id::JobId;
use crate::instance::{Failed, InstanceName, TaskInstance, TaskState};
use crate::job::{CancelMode, Cause, Job, JobSpec, JobState, Origin};
use crate::payload::Payload;
use crate::problem::Problems;
use crate::wait::{Answer, WAIT_MS_MAX};

/// Bytes of what a child gives, as those of a task's output.
pub const CHILD_OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Why a child is undone, tried again or stopped, in its logbook.
const UNDONE: &str = "the job that it is a child of is undone";
const RETRIED: &str = "the job that it is a child of is tried again";
const LEFT: &str = "the job that it is a child of ended and left what there was";

/// What comes next for a child job whose turn it is.
pub(super) fn fact(job: &Job, child: &Child, seat: &Seat, now: DateTime<Utc>) -> Fact {
    let order = |task: InstanceName, attempt: u32, again: Option<&Link>, number: u32| {
        let order = if again.is_some() { Order::Retry } else { Order::Start };
        let id = again.map_or_else(|| JobId::of_child(job.id(), &task, attempt, now), |link| link.job);
        let until = later(now, child.timeout_ms);
        Fact::ChildOrdered { task, attempt, child: id, order, number, until }
    };
    let Some(instance) = job.view().current(seat) else {
        let task = InstanceName { task: job.plan.name(seat.node).to_owned(), iteration: seat.path.clone() };
        return order(task, 1, None, 1);
    };
    match instance.state {
        TaskState::Waiting => over(instance, child),
        // An operator's retry after a revert.
        TaskState::Reverted | TaskState::RevertFailed | TaskState::Accepted | TaskState::SkippedRevert => {
            order(instance.name.next(&seat.path), 1, None, 1)
        }
        _ => {
            let number = instance.child.as_ref().map_or(0, |link| link.number) + 1;
            let again = instance.child.as_ref().filter(|_| !instance.is_undone_at_once());
            order(instance.name.clone(), instance.attempt + 1, again, number)
        }
    }
}

/// How a child ended, or that it is late.
fn over(instance: &TaskInstance, child: &Child) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.attempt);
    let Some(Answer::Child(end)) = &instance.answer else {
        let job = instance.child.as_ref().expect("a child that is waited for was ordered").job;
        let message = format!("job {job} did not end within {} s", child.timeout_ms / 1_000);
        let fault = Fault::new(HOST_LATE, message);
        return Fact::TaskApplyFailed { task, attempt, fault, how: Failed::Broken };
    };
    match &end.output {
        Some(output) if end.state == JobState::Succeeded => {
            Fact::TaskApplied { task, attempt, output: output.clone(), undo: None }
        }
        _ => {
            let how = if end.has_effects { Failed::Broken } else { Failed::Reject };
            Fact::TaskApplyFailed { task, attempt, fault: reason(end), how }
        }
    }
}

fn reason(end: &ChildEnd) -> Fault {
    let ended = || Fault::new(HOST_CHILD, format!("job {} ended {}", end.job, end.state.word()));
    end.fault.clone().unwrap_or_else(ended)
}

/// The order to undo it.
pub(super) fn undo(instance: &TaskInstance, link: &Link, now: DateTime<Utc>) -> Fact {
    Fact::ChildOrdered {
        task: instance.name.clone(),
        attempt: instance.revert_attempt + 1,
        child: link.job,
        order: Order::Undo,
        number: link.number + 1,
        until: later(now, WAIT_MS_MAX),
    }
}

/// How its undoing ended.
pub(super) fn undone(instance: &TaskInstance) -> Fact {
    let (task, attempt) = (instance.name.clone(), instance.revert_attempt);
    match &instance.answer {
        Some(Answer::Child(end)) if !end.has_effects => Fact::TaskReverted { task, attempt, output: None },
        Some(Answer::Child(end)) => {
            let fault =
                Fault { message: format!("{}; see job {}", reason(end).message, end.job), ..reason(end) };
            Fact::TaskRevertFailed { task, attempt, fault }
        }
        Some(Answer::Decided { .. } | Answer::Event(_)) | None => {
            let days = WAIT_MS_MAX / 86_400_000;
            let fault = Fault::new(HOST_LATE, format!("the child job was not undone within {days} days"));
            Fact::TaskRevertFailed { task, attempt, fault }
        }
    }
}

/// What a parent has to tell one of its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    pub task: InstanceName,
    pub child: JobId,
    pub order: Order,
    pub number: u32,
}

/// The birth of a child, as far as it follows from its parent.
#[derive(Debug)]
pub struct Birth<'a> {
    pub spec: JobSpec,
    pub child: &'a Child,
    pub priority: i32,
}

impl Job {
    /// The orders that its children do not know of yet.
    pub fn open_orders(&self) -> Vec<OpenOrder> {
        let open = self.open_links().map(|(task, link)| OpenOrder {
            task: task.clone(),
            child: link.job,
            order: link.order,
            number: link.number,
        });
        open.collect()
    }

    /// The instances of child jobs that do not know of the latest order.
    pub fn untold_children(&self) -> impl Iterator<Item = &InstanceName> {
        self.open_links().map(|(task, _)| task)
    }

    fn open_links(&self) -> impl Iterator<Item = (&InstanceName, &Link)> {
        // Nearly always there is none: then no instance is looked at.
        let instances = (self.status.orders > 0).then_some(&self.instances);
        let links = instances.into_iter().flat_map(|all| all.values());
        links.filter_map(|i| Some((&i.name, i.child.as_ref()?))).filter(|(_, link)| !link.is_told)
    }

    /// The job that a node is, on behalf of whoever its parent runs for.
    pub fn birth(&self, task: &InstanceName, created: DateTime<Utc>) -> Result<Birth<'_>, Problems> {
        let link = self.instances.get(task).and_then(|instance| instance.child.as_ref());
        let (Some(child), Some(seat), Some(link)) = (self.child(&task.task), self.plan.seat_of(task), link)
        else {
            let mut problems = Problems::default();
            problems.add(format!("tasks.{}", task.task), "is no child job that was ordered");
            return Err(problems);
        };
        let frame = FrameName::of(&self.plan, &seat);
        let arguments = self.resolve_all(&task.task, &frame, "inputs", &child.inputs)?;
        let parent = &self.spec;
        let spec = JobSpec {
            id: link.job,
            owner: parent.owner.clone(),
            principal: parent.principal.clone(),
            job_type: parent.job_type.clone(),
            labels: parent.labels.clone(),
            flow: child.flow.digest(),
            flow_revision: child.flow_revision.clone(),
            arguments,
            grants: parent.grants.clone(),
            timeout_ms: None,
            origin: Origin::Child(Parent { job: parent.id, task: task.clone() }),
            rerun_of: None,
            never_revert: parent.never_revert,
            created,
        };
        let priority = child.priority.unwrap_or(self.status.priority);
        Ok(Birth { spec, child, priority })
    }

    /// How it ended, for its parent; none where it has not ended.
    pub fn end_for_parent(&self) -> Option<ChildEnd> {
        let state = self.status.state;
        if !state.is_ended() {
            return None;
        }
        let end = ChildEnd {
            job: self.id(),
            number: self.status.order_number,
            state,
            has_effects: self.instances.values().any(TaskInstance::has_effects),
            fault: self.fault_for_parent(),
            output: None,
        };
        if state != JobState::Succeeded {
            return Some(end);
        }
        let output = Payload::json(&Value::Object(self.outputs().into_iter().collect()));
        let bytes = output.bytes.len();
        if bytes > CHILD_OUTPUT_BYTES_MAX {
            let message = format!(
                "job {} gives {bytes} bytes, and at most {CHILD_OUTPUT_BYTES_MAX} are kept of it",
                self.id()
            );
            return Some(ChildEnd { fault: Some(Fault::new(HOST_OUTPUT, message)), ..end });
        }
        Some(ChildEnd { output: Some(output), ..end })
    }

    /// Why it did not succeed: a failed task's own class, so that a parent may tell one failure from another.
    fn fault_for_parent(&self) -> Option<Fault> {
        let (job, state) = (self.id(), self.status.state.word());
        match self.status.cause.as_ref()? {
            Cause::Task { task, fault } => {
                let message = format!("task {task} of job {job} failed: {}", fault.message);
                Some(Fault { message, ..fault.clone() })
            }
            cause => Some(Fault::new(HOST_CHILD, format!("job {job} ended {state}: {}", cause.text()))),
        }
    }
}

impl Decision<'_> {
    /// The child knows of an order. Nothing happens where a later one was given since.
    pub fn child_told(&mut self, order: &OpenOrder) {
        let link = self.job.instances.get(&order.task).and_then(|instance| instance.child.as_ref());
        if link.is_some_and(|link| !link.is_told && link.number == order.number) {
            self.record(Fact::ChildTold { task: order.task.clone(), number: order.number });
        }
    }

    /// A child has ended. One that did not know of the latest order says nothing: it will tell again.
    pub fn hear_end(&mut self, task: &InstanceName, end: ChildEnd) {
        let Some(instance) = self.job.instances.get(task).filter(|i| i.is_open_for_answer()) else { return };
        let is_latest = |link: &Link| (link.job, link.number) == (end.job, end.number);
        if !instance.child.as_ref().is_some_and(is_latest) {
            return;
        }
        let attempt = instance.attempt;
        self.answer_with(task.clone(), attempt, Answer::Child(end));
        self.wake_answered();
    }

    /// What its parent wants of a job. An order that it knows of changes nothing.
    pub fn obey_parent(&mut self, order: Order, number: u32) {
        if number <= self.job.status.order_number {
            return;
        }
        self.record(Fact::ParentOrdered { order, number });
        let status = &self.job.status;
        let (is_ended, is_going_back) = (status.state.is_ended(), status.direction == Direction::Revert);
        let result = match order {
            Order::Start => Ok(()),
            Order::Retry => self.go_on_from_failure(RETRIED.to_owned()),
            Order::Undo if is_ended => self.undo(UNDONE.to_owned()),
            Order::Undo => self.cancel(CancelMode::Revert, UNDONE.to_owned()),
            Order::Leave if is_ended || is_going_back => Ok(()),
            Order::Leave => self.cancel(CancelMode::Leave, LEFT.to_owned()),
        };
        // What is not possible where it stands is told by its end.
        drop(result);
    }

    /// Its parent has recorded the end that it told when it knew of that order.
    pub fn parent_told(&mut self, number: u32) {
        if self.job.status.owes_end && self.job.status.order_number == number {
            self.record(Fact::ParentTold { number });
        }
    }

    /// A child's parent has to know what becomes of it.
    pub(super) fn check_no_child(&self, verb: &'static str) -> Result<(), Rejected> {
        match self.job.parent() {
            Some(parent) => Err(Rejected::Child { job: self.job.id(), parent: parent.job, verb }),
            None => Ok(()),
        }
    }
}
