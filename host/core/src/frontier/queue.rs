//! The queue: what can go on, in which order.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::frame::Seat;
use crate::call::Direction;
use crate::plan::Plan;

/// Where in the queue: the smaller goes first. Scopes and waits take no call, and so are never behind one that there is
/// no room for: what a wait is to be told must not come before it. What is undone to be tried again comes before what is
/// begun; of each sort what has rested comes first, then it goes by priority, then in the order of definition; going back
/// in the opposite order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    sort: Sort,
    priority: i32,
    order: u32,
    path: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Uncalled,
    Undo,
    Do,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Queue {
    ready: BTreeSet<Rank>,
    /// By sort.
    sleeping: [BTreeSet<(DateTime<Utc>, Rank)>; 3],
}

impl Rank {
    fn of(plan: &Plan, seat: &Seat, direction: Direction) -> Self {
        let (node, path, priority) = (seat.node, &seat.path, plan.priority(seat.node));
        match direction {
            Direction::Apply => {
                let sort = if plan.takes_call(node) { Sort::Do } else { Sort::Uncalled };
                Self { sort, priority: -priority, order: node, path: path.clone() }
            }
            Direction::Revert => Self { sort: Sort::Undo, priority, order: !node, path: turned(path) },
        }
    }

    fn seat(&self) -> Seat {
        match self.sort {
            Sort::Uncalled | Sort::Do => Seat { node: self.order, path: self.path.clone() },
            Sort::Undo => Seat { node: !self.order, path: turned(&self.path) },
        }
    }
}

/// In the opposite order.
fn turned(path: &[u32]) -> Vec<u32> {
    path.iter().map(|number| !number).collect()
}

impl Queue {
    pub fn add(&mut self, plan: &Plan, seat: &Seat, direction: Direction, until: Option<DateTime<Utc>>) {
        let rank = Rank::of(plan, seat, direction);
        match until {
            None => self.ready.insert(rank),
            Some(until) => self.sleeping[rank.sort as usize].insert((until, rank)),
        };
    }

    pub fn remove(&mut self, plan: &Plan, seat: &Seat, direction: Direction, until: Option<DateTime<Utc>>) {
        let rank = Rank::of(plan, seat, direction);
        match until {
            None => self.ready.remove(&rank),
            Some(until) => self.sleeping[rank.sort as usize].remove(&(until, rank)),
        };
    }

    pub fn retain(&mut self, mut is_kept: impl FnMut(&Seat) -> bool) {
        self.ready.retain(|rank| is_kept(&rank.seat()));
        self.sleeping.iter_mut().for_each(|sleeping| sleeping.retain(|(_, rank)| is_kept(&rank.seat())));
    }

    pub fn any(&self, mut is_it: impl FnMut(&Seat) -> bool) -> bool {
        let mut ranks = self.ready.iter().chain(self.sleeping.iter().flatten().map(|(_, rank)| rank));
        ranks.any(|rank| is_it(&rank.seat()))
    }

    pub fn next(&self, now: DateTime<Utc>) -> Option<Seat> {
        let mut rested = self.sleeping.iter().filter_map(|sleeping| sleeping.first());
        let rested = rested.find(|(until, _)| *until <= now).map(|(_, rank)| rank);
        let ready = self.ready.first();
        let is_before = |ready: &&Rank| rested.is_none_or(|rested| ready.sort < rested.sort);
        ready.filter(is_before).or(rested).map(Rank::seat)
    }

    pub fn count(&self, now: DateTime<Utc>) -> usize {
        let rested = self.sleeping.iter().flat_map(|s| s.iter().take_while(|(until, _)| *until <= now));
        self.ready.len() + rested.count()
    }

    pub fn wake(&self) -> Option<DateTime<Utc>> {
        self.sleeping.iter().filter_map(|sleeping| sleeping.first()).map(|(until, _)| *until).min()
    }
}
