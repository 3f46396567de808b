//! Frames: one iteration of one section that is under way.

use chrono::{DateTime, Utc};

use crate::call::Direction;
use crate::plan::{Plan, Section};

/// A task or scope, in one iteration of the section that it is a node of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    pub node: u32,
    pub path: Vec<u32>,
}

/// Which iteration of which section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameName {
    pub section: u32,
    pub path: Vec<u32>,
}

/// How a task or scope stands, in the direction that its frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It is applied; going back, nothing of it is in the way of what was before it.
    Done,
    /// It wants a call, or to begin, as soon as nothing is before it.
    Open,
    /// It wants that, not before then.
    Sleeping(DateTime<Utc>),
    /// A call is under way.
    Calling,
    /// A scope: what is inside it is under way.
    Within,
    /// It failed in this run: nobody calls it again in it.
    Failed,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub direction: Direction,
    /// By node.
    pub stands: Vec<Stand>,
    /// By point: how many of those before it are not passed.
    pub unmet: Vec<u32>,
    /// Nodes that are not done.
    pub left: usize,
    /// Something in it failed, or in what is around it: nothing more begins here.
    pub is_failing: bool,
}

impl Frame {
    pub fn of(section: &Section, direction: Direction, stands: Vec<Stand>) -> Self {
        let points = 0..section.point_count() as u32;
        let unmet: Vec<_> =
            points.clone().map(|point| section.waits_for(direction, point).len() as u32).collect();
        let left = stands.iter().filter(|stand| **stand != Stand::Done).count();
        let mut frame = Self { direction, stands, unmet, left, is_failing: false };
        let first = points.filter(|point| frame.unmet[*point as usize] == 0).collect();
        frame.pass(section, first);
        frame
    }

    /// These points are done, or are the beginning or end of a flow: where they wait for nothing more, what waits for
    /// them waits for one less; and so on. What is done before its turn, as it was left out or never begun, is passed in
    /// its turn. The nodes that wait for nothing more.
    pub fn pass(&mut self, section: &Section, mut passed: Vec<u32>) -> Vec<u32> {
        let mut free = Vec::new();
        while let Some(point) = passed.pop() {
            let is_done = self.stands.get(point as usize).is_none_or(|stand| *stand == Stand::Done);
            if self.unmet[point as usize] > 0 || !is_done {
                continue;
            }
            for next in section.lets_go(self.direction, point) {
                self.unmet[*next as usize] -= 1;
                if self.unmet[*next as usize] == 0 {
                    passed.push(*next);
                    free.extend(self.stands.get(*next as usize).map(|_| *next));
                }
            }
        }
        free
    }
}

impl FrameName {
    pub fn outermost() -> Self {
        Self { section: 0, path: Vec::new() }
    }

    /// The frame that a task or scope is in.
    pub fn of(plan: &Plan, seat: &Seat) -> Self {
        Self { section: plan.seat(seat.node).0, path: seat.path.clone() }
    }

    /// The scope that it is the inside of.
    pub fn scope(&self, plan: &Plan) -> Option<Seat> {
        let node = plan.section(self.section).scope?;
        let depth = plan.section(plan.seat(node).0).depth;
        Some(Seat { node, path: self.path[..depth].to_vec() })
    }

    /// The frame that its scope is in; the outermost for that itself.
    pub fn around(&self, plan: &Plan) -> Self {
        self.scope(plan).map_or_else(Self::outermost, |seat| Self::of(plan, &seat))
    }

    /// The task or scope is in it, or in a frame within it.
    pub fn holds(&self, plan: &Plan, seat: &Seat) -> bool {
        self.has(plan, plan.seat(seat.node).0, &seat.path)
    }

    pub fn holds_frame(&self, plan: &Plan, name: &Self) -> bool {
        self.has(plan, name.section, &name.path)
    }

    fn has(&self, plan: &Plan, section: u32, path: &[u32]) -> bool {
        (self.section..=plan.section(self.section).last).contains(&section) && path.starts_with(&self.path)
    }
}
