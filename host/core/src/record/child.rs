//! What is recorded of a child job by its parent, and of a parent's orders by its child.
//!
//! Invariant: `orders` of a job counts those of its links that are not told yet.

use chrono::{DateTime, Utc};

use crate::child::{Link, Order};
use crate::entry::Fact;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::Job;
use crate::wait::Answer;

impl Job {
    /// An order has the next number, what is told was ordered, and an end answers the latest order.
    pub(super) fn check_child(&self, name: &InstanceName, fact: &Fact) -> Result<(), String> {
        let link = self.instances.get(name).and_then(|instance| instance.child.as_ref());
        let known = link.map_or(0, |link| link.number);
        match fact {
            Fact::TaskWaiting { .. } if self.child(&name.task).is_some() => {
                Err(format!("{name} is a child job, which is ordered"))
            }
            Fact::ChildOrdered { number, .. } if self.child(&name.task).is_none() || *number != known + 1 => {
                Err(format!("{name} has no order {number}: the last one was {known}"))
            }
            Fact::ChildOrdered { child, order: Order::Retry | Order::Undo, .. }
                if link.is_none_or(|link| link.job != *child) =>
            {
                Err(format!("{name} is not job {child}"))
            }
            Fact::ChildTold { number, .. }
                if link.is_none_or(|link| link.is_told || link.number != *number) =>
            {
                Err(format!("order {number} of {name} is not open"))
            }
            Fact::TaskAnswered { answer: Answer::Child(end), .. }
                if link.is_none_or(|link| link.job != end.job || link.number != end.number) =>
            {
                Err(format!("job {} does not answer order {known} of {name}", end.job))
            }
            Fact::TaskAnswered { answer, .. } if link.is_some() != matches!(answer, Answer::Child(_)) => {
                Err(format!("{name} waits for another answer"))
            }
            _ => Ok(()),
        }
    }

    /// Whether an order to the child is not told yet.
    pub(super) fn is_order_open(&self, name: &InstanceName) -> bool {
        let link = self.instances.get(name).and_then(|instance| instance.child.as_ref());
        link.is_some_and(|link| !link.is_told)
    }

    /// A child was heard of when the job had ended: nothing of it may remain.
    pub(super) fn trim_residue(&mut self, name: &InstanceName) {
        if self.instances.get(name).is_some_and(|instance| !instance.has_effects()) {
            self.status.residue.retain(|remains| remains != name);
        }
    }

    /// The job has ended: what of its children still goes on begins nothing more.
    pub(super) fn leave_children(&mut self) {
        let under_way = self.instances.values_mut().filter(|instance| {
            let is_going_on = matches!(
                instance.state,
                TaskState::Waiting | TaskState::ApplyFailed | TaskState::Reverting | TaskState::RevertFailed
            );
            is_going_on && instance.answer.is_none()
        });
        for link in under_way.filter_map(|instance| instance.child.as_mut()) {
            self.status.orders += u32::from(link.is_told);
            *link = Link { job: link.job, order: Order::Leave, number: link.number + 1, is_told: false };
        }
    }

    pub(super) fn ordered(&mut self, order: Order, number: u32) -> Result<(), String> {
        if self.parent().is_none() {
            return Err("it is no child".to_owned());
        }
        if number <= self.status.order_number {
            return Err(format!("order {number} does not rise above {}", self.status.order_number));
        }
        self.status.order_number = number;
        // Whoever orders wants to know what came of it, also where nothing is left to do.
        self.status.owes_end = order != Order::Start && self.status.state.is_ended();
        Ok(())
    }

    pub(super) fn told_parent(&mut self, number: u32) -> Result<(), String> {
        if !self.status.owes_end || self.status.order_number != number {
            return Err(format!("it owes no end after order {number}"));
        }
        self.status.owes_end = false;
        Ok(())
    }
}

/// The table of legal transitions of child jobs, as their parents see them: no call, but effects.
pub fn child_may_become(from: TaskState, to: TaskState) -> bool {
    use TaskState::{
        Accepted, Applied, ApplyFailed, Pending, RevertFailed, Reverted, Reverting, SkippedRevert, Waiting,
    };
    let next: &[TaskState] = match from {
        Pending => &[Waiting],
        Waiting => &[Applied, ApplyFailed, Reverting, Reverted],
        ApplyFailed => &[Waiting, Reverting, Reverted],
        Applied => &[Reverting, Reverted],
        Reverting => &[Reverted, RevertFailed],
        RevertFailed => &[Reverting, Accepted, SkippedRevert],
        _ => &[],
    };
    next.contains(&to)
}

pub(super) fn take_child(instance: &mut TaskInstance, fact: &Fact, at: DateTime<Utc>) {
    match fact {
        Fact::ChildOrdered { attempt, child, order, number, until, .. } => {
            if *order == Order::Undo {
                instance.revert_attempt = *attempt;
                instance.revert_started.get_or_insert(at);
            } else {
                instance.attempt = *attempt;
                instance.apply_ended = None;
                instance.failed = None;
                instance.started.get_or_insert(at);
            }
            instance.ended = None;
            instance.answer = None;
            instance.next_try = Some(*until);
            instance.child = Some(Link { job: *child, order: *order, number: *number, is_told: false });
        }
        Fact::ChildTold { .. } => {
            if let Some(link) = &mut instance.child {
                link.is_told = true;
            }
        }
        _ => {}
    }
}
