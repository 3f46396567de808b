//! How the instances of a job stand: what its frontier follows from.

use std::collections::BTreeMap;

use super::frame::{FrameName, Seat, Stand};
use crate::call::Direction;
use crate::flow::Flow;
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::plan::Plan;
use crate::scope::{Scope, Strategy};

/// What of a job its frontier follows from.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub plan: &'a Plan,
    pub flow: &'a Flow,
    pub instances: &'a BTreeMap<InstanceName, TaskInstance>,
    /// The number of the current run.
    pub run: u32,
    /// Nothing is undone, and so nothing is tried again.
    pub never_revert: bool,
}

/// How far a scope is.
pub(super) struct Progress {
    pub iterates: bool,
    pub is_map: bool,
    /// It goes back to be tried again.
    pub is_turned: bool,
    pub iteration: u32,
    pub bound: u32,
    /// Elements of a map under way at once.
    pub live_max: u32,
}

impl Progress {
    /// The frame of an iteration.
    pub fn frame(&self, plan: &Plan, seat: &Seat, iteration: u32) -> FrameName {
        let section = plan.inside(seat.node).expect("only a scope has an inside");
        let mut path = seat.path.clone();
        path.extend(self.iterates.then_some(iteration));
        FrameName { section, path }
    }
}

impl<'a> View<'a> {
    /// The instances of a task or scope in an iteration of its section: an operator's retry after a revert made the
    /// further ones.
    pub fn instances_at(&self, seat: &Seat) -> impl Iterator<Item = &'a TaskInstance> + use<'a> {
        let first = InstanceName { task: self.plan.name(seat.node).to_owned(), iteration: seat.path.clone() };
        let (task, path) = (first.task.clone(), first.iteration.clone());
        let instances = self.instances.range(first..).map(|(_, instance)| instance);
        instances.take_while(move |i| i.name.task == task && i.name.iteration.starts_with(&path))
    }

    pub fn current(&self, seat: &Seat) -> Option<&'a TaskInstance> {
        self.instances_at(seat).last()
    }

    /// What makes a scope run again; none where it has a condition only.
    pub fn policy(&self, scope: u32) -> Option<&'a Scope> {
        let place = self.plan.place(scope);
        match self.flow.nested_at(&place) {
            Some(nested) => nested.scope.as_ref(),
            None => self.flow.scope.as_ref(),
        }
    }

    pub(super) fn scope(&self, seat: &Seat) -> Progress {
        let policy = self.policy(seat.node);
        let instance = self.current(seat);
        let progress = instance.and_then(|instance| instance.scope.as_ref());
        Progress {
            iterates: policy.is_some(),
            is_map: matches!(policy, Some(Scope::Map(_))),
            is_turned: instance.is_some_and(|instance| instance.state == TaskState::Reverting),
            iteration: progress.map_or(0, |progress| progress.iteration),
            bound: progress.map_or(0, |progress| progress.bound),
            live_max: match policy {
                Some(Scope::Map(map)) => map.parallel_max.unwrap_or(u32::MAX),
                _ => u32::MAX,
            },
        }
    }

    /// Where a failure reaches: the outermost frame in which nothing begins any more, and whether its scope is tried
    /// again. Otherwise that is the whole job.
    pub fn reach(&self, failed: &Seat) -> (FrameName, bool) {
        let instance = self.current(failed);
        let class = instance.and_then(|i| i.fault.as_ref()).map_or("", |fault| fault.class.as_str());
        let mut reverts_all =
            instance.and_then(|i| i.scope.as_ref()).is_some_and(|progress| progress.reverts_all);
        let mut frame = FrameName::of(self.plan, failed);
        while let Some(scope) = frame.scope(self.plan) {
            if let Some(Scope::Retry(retry)) = self.policy(scope.node) {
                let is_excepted = retry.except.iter().any(|except| except == class);
                if !reverts_all && !is_excepted && self.has_tries_left(&scope) {
                    return (frame, true);
                }
                reverts_all |= retry.revert_all || retry.strategy == Strategy::AlwaysRevertAll;
            }
            frame = FrameName::of(self.plan, &scope);
        }
        (frame, false)
    }

    fn has_tries_left(&self, scope: &Seat) -> bool {
        let progress = self.current(scope).and_then(|instance| instance.scope.as_ref());
        !self.never_revert && progress.is_some_and(|progress| progress.tries_made() < progress.bound)
    }

    pub fn is_faulty(&self, seat: &Seat) -> bool {
        let is_faulty = |instance: &TaskInstance| !instance.is_scope() && instance.failure().is_some();
        self.current(seat).is_some_and(is_faulty)
    }

    pub(super) fn faulty(&self) -> impl Iterator<Item = Seat> {
        let seats = self.instances.keys().filter_map(|name| self.plan.seat_of(name));
        seats.filter(|seat| self.is_faulty(seat))
    }

    /// The scopes around a task or scope that run again, the outermost first, each with its number in the path.
    pub fn scopes_around(&self, seat: &Seat) -> Vec<(Seat, u32)> {
        let around = self.plan.scopes_around(seat.node).into_iter().filter_map(|node| {
            let section = self.plan.section(self.plan.inside(node)?);
            let depth = section.depth.checked_sub(1).filter(|_| section.iterates)?;
            Some((Seat { node, path: seat.path.get(..depth)?.to_vec() }, *seat.path.get(depth)?))
        });
        around.collect()
    }

    /// Every scope around a task, also those that do not run again.
    pub fn all_scopes_around(&self, seat: &Seat) -> Vec<Seat> {
        let around = self.plan.scopes_around(seat.node).into_iter().filter_map(|node| {
            let depth = self.plan.section(self.plan.seat(node).0).depth;
            Some(Seat { node, path: seat.path.get(..depth)?.to_vec() })
        });
        around.collect()
    }

    /// No scope around it has begun another try since.
    pub fn is_of_last_try(&self, seat: &Seat) -> bool {
        self.scopes_around(seat).iter().all(|(scope, number)| {
            !matches!(self.policy(scope.node), Some(Scope::Retry(_)))
                || self.scope(scope).iteration == *number
        })
    }

    pub fn scope_attempt(&self, seat: &Seat) -> u32 {
        let around = self.scopes_around(seat);
        let retry =
            around.iter().rev().find(|(scope, _)| matches!(self.policy(scope.node), Some(Scope::Retry(_))));
        let Some((scope, number)) = retry else { return 1 };
        let progress = self.current(scope).and_then(|instance| instance.scope.as_ref());
        let first = progress.map_or(1, |progress| progress.first);
        // What belongs to an earlier series counts from its own beginning, which is not known any more.
        if *number < first { *number } else { number + 1 - first }
    }

    pub fn stand(&self, direction: Direction, seat: &Seat) -> Stand {
        if self.plan.is_own_revert(seat.node) {
            return match direction {
                Direction::Apply => Stand::Done,
                Direction::Revert => self.own_revert_stand(seat),
            };
        }
        if direction == Direction::Revert && self.plan.is_undone_as_a_whole(seat.node) {
            return Stand::Done;
        }
        match (direction, self.plan.is_task(seat.node)) {
            (Direction::Apply, true) => self.apply_stand(seat, Stand::Calling),
            (Direction::Revert, true) => {
                self.undoable(seat).map_or(Stand::Done, |instance| self.revert_stand(instance))
            }
            (Direction::Apply, false) => self.apply_stand(seat, Stand::Within),
            (Direction::Revert, false) => match self.current(seat).map(|instance| instance.state) {
                None | Some(TaskState::Pending | TaskState::Reverted | TaskState::Skipped) => Stand::Done,
                Some(_) => Stand::Open,
            },
        }
    }

    /// `under_way`: how what has begun stands, a call or what is inside a scope.
    fn apply_stand(&self, seat: &Seat, under_way: Stand) -> Stand {
        let Some(instance) = self.current(seat) else { return Stand::Open };
        match instance.state {
            TaskState::Applied | TaskState::Skipped => Stand::Done,
            TaskState::Applying | TaskState::Reverting => under_way,
            TaskState::Observing => instance.next_try.map_or(under_way, Stand::Sleeping),
            TaskState::Waiting if instance.answer.is_some() => Stand::Open,
            TaskState::Backoff | TaskState::Waiting => instance.next_try.map_or(Stand::Open, Stand::Sleeping),
            TaskState::ApplyFailed if self.is_of_this_run(instance) => Stand::Failed,
            // An operator's retry.
            TaskState::ApplyFailed
            | TaskState::Pending
            | TaskState::InDoubt
            | TaskState::Reverted
            | TaskState::RevertFailed
            | TaskState::Accepted
            | TaskState::SkippedRevert => Stand::Open,
        }
    }

    fn revert_stand(&self, instance: &TaskInstance) -> Stand {
        match instance.state {
            TaskState::Pending
            | TaskState::Skipped
            | TaskState::Reverted
            | TaskState::Accepted
            | TaskState::SkippedRevert => Stand::Done,
            TaskState::Applying => Stand::Calling,
            TaskState::Observing if instance.next_try.is_none() => Stand::Calling,
            TaskState::ApplyFailed
            | TaskState::Applied
            | TaskState::Observing
            | TaskState::Waiting
            | TaskState::Backoff
            | TaskState::InDoubt => Stand::Open,
            TaskState::Reverting if instance.child.is_some() && instance.answer.is_some() => Stand::Open,
            TaskState::Reverting => instance.next_try.map_or(Stand::Calling, Stand::Sleeping),
            TaskState::RevertFailed if self.is_of_this_run(instance) => Stand::Failed,
            // An operator opened another run to try it again.
            TaskState::RevertFailed => Stand::Open,
        }
    }

    pub(super) fn is_of_this_run(&self, instance: &TaskInstance) -> bool {
        instance.run >= self.run
    }

    /// The instance of a task that is undone next: of all that are in the way, the last one.
    pub fn undoable(&self, seat: &Seat) -> Option<&'a TaskInstance> {
        self.instances_at(seat).filter(|instance| self.revert_stand(instance) != Stand::Done).last()
    }
}
