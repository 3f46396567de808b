//! The frontier of a job: which of its tasks can be called next, which are, and which stand in the way.
//!
//! It follows from the plan and the task instances, and could be made anew from them at any time; it is kept, entry by
//! entry, so that a decision costs as much in a flow of ten thousand tasks as in one of ten. Going back it is the same
//! with every edge turned round.
//!
//! Invariant: a frontier that was kept equals one that is made anew.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::call::Direction;
use crate::instance::{TaskInstance, TaskState};
use crate::job::Job;
use crate::plan::Plan;

/// How a task stands, in the direction that its job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It is applied; going back, nothing of it is in the way of what was before it.
    Done,
    /// It wants a call as soon as nothing is before it.
    Open,
    /// It wants a call, not before then.
    Sleeping(DateTime<Utc>),
    /// A call is under way.
    Calling,
    /// It failed in this run: nobody calls it again in it.
    Failed,
}

/// Where a task is in the queue: the smaller goes first.
type Rank = (i32, u32);

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontier {
    direction: Direction,
    stands: Vec<Stand>,
    /// By point: how many of those before it are not passed.
    unmet: Vec<u32>,
    /// Open tasks that nothing is before any more.
    ready: BTreeSet<Rank>,
    sleeping: BTreeSet<(DateTime<Utc>, Rank)>,
    calling: BTreeSet<u32>,
    failed: BTreeSet<u32>,
    /// Tasks that are not done.
    left: usize,
    /// Tasks that have no output and a fault, whatever else became of them.
    faulty: BTreeSet<u32>,
}

impl Frontier {
    /// The frontier of tasks that stand so, their faults apart.
    pub fn of(plan: &Plan, direction: Direction, stand: impl Fn(u32) -> Stand) -> Self {
        let count = plan.task_count();
        let points = 0..plan.point_count() as u32;
        let unmet = points.clone().map(|point| plan.waits_for(direction, point).len() as u32).collect();
        let mut frontier = Self {
            direction,
            stands: vec![Stand::Open; count],
            unmet,
            ready: BTreeSet::new(),
            sleeping: BTreeSet::new(),
            calling: BTreeSet::new(),
            failed: BTreeSet::new(),
            left: count,
            faulty: BTreeSet::new(),
        };
        for point in points.filter(|point| frontier.is_passed(*point)).collect::<Vec<_>>() {
            frontier.pass(plan, point);
        }
        for task in 0..count as u32 {
            frontier.settle(plan, task, stand(task));
        }
        frontier
    }

    /// A task stands otherwise now.
    pub fn settle(&mut self, plan: &Plan, task: u32, stand: Stand) {
        let before = std::mem::replace(&mut self.stands[task as usize], stand);
        if before == stand {
            return;
        }
        self.take_out(plan, task, before);
        self.put_in(plan, task);
        if stand == Stand::Done {
            self.left -= 1;
            self.pass(plan, task);
        }
        // A task that was done stays so for as long as its job goes one way.
        debug_assert!(before != Stand::Done, "task {task} was done and is {stand:?}");
    }

    /// What waits for this point waits for one less; and so on, through the beginnings and ends of flows.
    fn pass(&mut self, plan: &Plan, point: u32) {
        let mut passed = vec![point];
        while let Some(point) = passed.pop() {
            for next in plan.lets_go(self.direction, point) {
                self.unmet[*next as usize] -= 1;
                if self.unmet[*next as usize] > 0 {
                    continue;
                }
                if (*next as usize) < self.stands.len() {
                    self.put_in(plan, *next);
                } else {
                    passed.push(*next);
                }
            }
        }
    }

    /// A beginning or end of a flow that nothing is before.
    fn is_passed(&self, point: u32) -> bool {
        let is_task = (point as usize) < self.stands.len();
        !is_task && self.unmet[point as usize] == 0
    }

    fn put_in(&mut self, plan: &Plan, task: u32) {
        let is_free = self.unmet[task as usize] == 0;
        match self.stands[task as usize] {
            Stand::Open if is_free => {
                self.ready.insert(rank(plan, self.direction, task));
            }
            Stand::Sleeping(until) if is_free => {
                self.sleeping.insert((until, rank(plan, self.direction, task)));
            }
            Stand::Calling => {
                self.calling.insert(task);
            }
            Stand::Failed => {
                self.failed.insert(task);
            }
            Stand::Open | Stand::Sleeping(_) | Stand::Done => {}
        }
    }

    fn take_out(&mut self, plan: &Plan, task: u32, stand: Stand) {
        match stand {
            Stand::Open => self.ready.remove(&rank(plan, self.direction, task)),
            Stand::Sleeping(until) => self.sleeping.remove(&(until, rank(plan, self.direction, task))),
            Stand::Calling => self.calling.remove(&task),
            Stand::Failed => self.failed.remove(&task),
            Stand::Done => false,
        };
    }

    fn ranked(&self, rank: Rank) -> u32 {
        match self.direction {
            Direction::Apply => rank.1,
            Direction::Revert => u32::MAX - rank.1,
        }
    }

    /// The task to call next: one whose pause is over goes on before another begins.
    pub fn next(&self, now: DateTime<Utc>) -> Option<u32> {
        let rested = self.sleeping.first().filter(|(until, _)| *until <= now).map(|(_, rank)| rank);
        rested.or_else(|| self.ready.first()).map(|rank| self.ranked(*rank))
    }

    /// How many tasks could be called now, had the host room for all.
    pub fn callable_count(&self, now: DateTime<Utc>) -> usize {
        self.ready.len() + self.sleeping.iter().take_while(|(until, _)| *until <= now).count()
    }

    /// When the next pause is over.
    pub fn wake(&self) -> Option<DateTime<Utc>> {
        self.sleeping.first().map(|(until, _)| *until)
    }

    /// Whether the task may be called: it wants to be, and nothing is before it.
    pub fn may_call(&self, task: u32) -> bool {
        self.unmet[task as usize] == 0
            && matches!(self.stands[task as usize], Stand::Open | Stand::Sleeping(_))
    }

    pub fn calling(&self) -> impl ExactSizeIterator<Item = u32> {
        self.calling.iter().copied()
    }

    pub fn failed(&self) -> impl Iterator<Item = u32> {
        self.failed.iter().copied()
    }

    pub fn faulty(&self) -> impl Iterator<Item = u32> {
        self.faulty.iter().copied()
    }

    /// Nothing is left to do in this direction.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }
}

/// By priority, then in the order of definition; going back in the opposite order.
fn rank(plan: &Plan, direction: Direction, task: u32) -> Rank {
    match direction {
        Direction::Apply => (-plan.priority(task), task),
        Direction::Revert => (plan.priority(task), u32::MAX - task),
    }
}

impl Job {
    /// The frontier as it follows from the instances.
    pub(crate) fn frontier_anew(&self, direction: Direction) -> Frontier {
        let stand = |task| self.stand(direction, self.plan.name(task));
        let mut frontier = Frontier::of(&self.plan, direction, stand);
        let faulty = (0..self.plan.task_count() as u32).filter(|task| self.is_faulty(self.plan.name(*task)));
        frontier.faulty = faulty.collect();
        frontier
    }

    /// Takes what became of a task into the frontier.
    pub(crate) fn settle(&mut self, task: &str) {
        let Some(index) = self.plan.index(task) else { return };
        let stand = self.stand(self.frontier.direction, task);
        let is_faulty = self.is_faulty(task);
        self.frontier.settle(&self.plan, index, stand);
        if is_faulty {
            self.frontier.faulty.insert(index);
        } else {
            self.frontier.faulty.remove(&index);
        }
    }

    fn is_faulty(&self, task: &str) -> bool {
        self.current(task).is_some_and(|instance| instance.output.is_none() && instance.fault.is_some())
    }

    fn stand(&self, direction: Direction, task: &str) -> Stand {
        match direction {
            Direction::Apply => self.apply_stand(task),
            Direction::Revert => {
                self.undoable(task).map_or(Stand::Done, |instance| self.revert_stand(instance))
            }
        }
    }

    fn apply_stand(&self, task: &str) -> Stand {
        let Some(instance) = self.current(task) else { return Stand::Open };
        match instance.state {
            TaskState::Applied => Stand::Done,
            TaskState::Applying | TaskState::Reverting => Stand::Calling,
            TaskState::Backoff => instance.next_try.map_or(Stand::Open, Stand::Sleeping),
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
            TaskState::Pending | TaskState::Reverted | TaskState::Accepted | TaskState::SkippedRevert => {
                Stand::Done
            }
            TaskState::Applying => Stand::Calling,
            TaskState::ApplyFailed | TaskState::Applied | TaskState::Backoff | TaskState::InDoubt => {
                Stand::Open
            }
            TaskState::Reverting => instance.next_try.map_or(Stand::Calling, Stand::Sleeping),
            TaskState::RevertFailed if self.is_of_this_run(instance) => Stand::Failed,
            // An operator opened another run to try it again.
            TaskState::RevertFailed => Stand::Open,
        }
    }

    fn is_of_this_run(&self, instance: &TaskInstance) -> bool {
        instance.run as usize >= self.status.runs.len()
    }

    /// The instance of a task that is undone next: of all that are in the way, that of the last iteration.
    pub(crate) fn undoable(&self, task: &str) -> Option<&TaskInstance> {
        self.instances_of(task).filter(|instance| self.revert_stand(instance) != Stand::Done).last()
    }
}
