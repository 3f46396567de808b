//! The interpreter, obeying operators: while the job runs, while it rests, and when it has ended.

use std::collections::BTreeSet;

use super::back::{is_to_be_undone, tasks_in, wholes_in};
use super::frame::Frame;
use super::told::{Mark, ScopeMark, Seat};
use super::tree::Place;
use super::walk::{Interpreter, Request, Why};
use crate::decide::control::Resolution;
use crate::job::{CancelMode, JobState};

/// While it has not ended.
impl Interpreter {
    pub fn ask(&mut self, request: Request) {
        if self.wake.is_some() {
            self.ask_at_rest(request);
        } else {
            self.ask_running(request);
        }
    }

    /// A cancel outranks a suspension; what is being undone is cancelled already.
    fn ask_running(&mut self, request: Request) {
        match (request, self.request) {
            (Request::Suspend, Some(Request::Cancel(_))) => {}
            (Request::Cancel(CancelMode::Revert), _) if self.is_reverting => self.request = None,
            // It is suspended first: what is being undone cannot be left in the middle.
            (Request::Cancel(CancelMode::Leave), None) if self.is_reverting => {}
            (request, _) => self.request = Some(request),
        }
        // What was suspended in the middle of being undone goes on.
        self.go_on();
    }

    fn ask_at_rest(&mut self, request: Request) {
        self.wake = None;
        match request {
            Request::Suspend => self.is_suspended = true,
            Request::Cancel(mode) => self.cancel(mode),
        }
    }

    fn cancel(&mut self, mode: CancelMode) {
        match mode {
            CancelMode::Leave => self.leave(),
            CancelMode::Revert => self.turn(Why::Cancelled),
        }
        self.go_on();
    }

    /// It is suspended, and resumed or cancelled.
    pub fn go_on_from_rest(&mut self, cancel: Option<CancelMode>) {
        self.is_suspended = false;
        match cancel {
            Some(mode) => self.cancel(mode),
            None => self.go_on(),
        }
    }
}

/// When it has ended.
impl Interpreter {
    /// Goes on from the failure; but what was left in the middle of being undone is undone first, and all with it.
    /// True where it goes on.
    pub fn retry(&mut self) -> bool {
        if self.end != Some(JobState::Failed) {
            return false;
        }
        let tree = self.tree.clone();
        let outermost = Frame::outermost(&tree);
        let is_half_undone = |mark| matches!(mark, Mark::UndoAgain | Mark::Stuck);
        let mut told = self.told.iter();
        let is_half_undone = told.any(|((called, path), told)| {
            is_half_undone(told.mark)
                && self.names.flow_of(*called).is_none_or(|_| self.is_whole_left(&tree, *called, path))
        });
        let is_back = is_half_undone || self.is_reverting && self.has_half_undone_scope(&outermost);
        if !is_back && self.is_reverting {
            self.forget_undone_scopes(&outermost);
        }
        self.open_again(is_back);
        true
    }

    /// Undoes a job that has ended.
    pub fn revert(&mut self) -> bool {
        let has_ended = matches!(self.end, Some(JobState::Succeeded | JobState::Failed));
        if has_ended {
            self.open_again(true);
        }
        has_ended
    }

    /// The reverts that failed.
    pub fn stuck(&self) -> Vec<Seat> {
        let stuck = self.told.iter().filter(|(_, told)| told.mark == Mark::Stuck);
        stuck.map(|(seat, _)| seat.clone()).collect()
    }

    /// A failed revert is called again, or its effects are let be.
    pub fn decide_about(&mut self, seat: &Seat, resolution: Resolution) {
        let mark = match resolution {
            Resolution::Retry => None,
            Resolution::Accept => Some(Mark::LetBe(true)),
            Resolution::Skip => Some(Mark::LetBe(false)),
        };
        if let Some(mark) = mark {
            if self.names.flow_of(seat.0).is_some() {
                self.whole_becomes(seat, mark);
            }
            self.told.get_mut(seat).expect("it is stuck").mark = mark;
        }
        self.open_again(true);
    }

    fn open_again(&mut self, is_reverting: bool) {
        self.number += 1;
        self.end = None;
        self.is_reverting = is_reverting;
        self.cause = if is_reverting { self.cause.or(Some(Why::Asked)) } else { None };
        self.start();
    }

    /// Something is left that the own revert was to undo.
    fn is_whole_left(&self, tree: &Place, own_revert: usize, path: &[u32]) -> bool {
        let tasks = tasks_of_whole(tree, own_revert).unwrap_or_default();
        let mut told = self.told.iter();
        told.any(|((task, at), told)| {
            tasks.contains(task) && at.starts_with(path) && is_to_be_undone(told.mark)
        })
    }

    /// A scope was applied, and some of it is undone: it is neither there nor gone.
    fn has_half_undone_scope(&self, frame: &Frame<'_>) -> bool {
        (0..frame.place.members.len()).any(|index| {
            let member = &frame.place.members[index];
            let Some(run) = self.run(frame, index) else { return false };
            let tasks = member.inside.as_ref().map_or_else(Vec::new, |inside| tasks_in(&inside.place));
            let is_undone = |mark| matches!(mark, Mark::Undone | Mark::LetBe(_));
            let is_part_undone = || {
                let mut told = self.told.iter();
                // Of tries only the last counts; of rounds and elements all do.
                let live = self.live_within(frame, index);
                told.any(|((task, at), told)| {
                    // What was done anew is not undone.
                    let is_latest = self.latest(*task, &at[..self.depth(*task)]) == (*task, at.clone());
                    let is_live = live.contains(&(*task, at[..self.depth(*task)].to_vec()));
                    tasks.contains(task) && is_live && is_latest && is_undone(told.mark)
                })
            };
            if self.is_clear(frame, index) {
                return false;
            }
            match run.mark {
                ScopeMark::Applied => is_part_undone(),
                _ => self.live(frame, index).iter().any(|inside| self.has_half_undone_scope(inside)),
            }
        })
    }

    /// The tasks in a scope, in all iterations that count.
    fn live_within(&self, frame: &Frame<'_>, index: usize) -> BTreeSet<Seat> {
        let mut seats = BTreeSet::new();
        for inside in self.live(frame, index) {
            for (index, member) in inside.place.members.iter().enumerate() {
                match member.is_task() {
                    true => drop(seats.insert((member.order, inside.path.clone()))),
                    false => seats.extend(self.live_within(&inside, index)),
                }
            }
        }
        seats
    }

    /// Numbers in the path of a task.
    fn depth(&self, called: usize) -> usize {
        match self.names.flow_of(called) {
            Some(flow) => self.names.around[flow].len(),
            None => self.names.around[&self.names.called[called]].len(),
        }
    }

    /// Scopes of which all is undone are done anew.
    fn forget_undone_scopes(&mut self, frame: &Frame<'_>) {
        for index in 0..frame.place.members.len() {
            let Some(run) = self.run(frame, index).cloned() else { continue };
            if run.mark == ScopeMark::Skipped {
                continue;
            }
            let after = frame.place.after(index);
            if self.is_clear(frame, index) && after.iter().all(|after| self.is_clear(frame, *after)) {
                let name = (frame.place.members[index].name.clone(), frame.path.clone());
                self.scopes.get_mut(&name).expect("it was there").mark = ScopeMark::Undone;
            }
            self.live(frame, index).iter().for_each(|inside| self.forget_undone_scopes(inside));
        }
    }
}

/// The tasks in the flow of an own revert.
fn tasks_of_whole(place: &Place, own_revert: usize) -> Option<Vec<usize>> {
    place.members.iter().filter_map(|member| member.inside.as_ref()).find_map(|inside| {
        if inside.own_revert == Some(own_revert) {
            return Some(tasks_in(&inside.place));
        }
        wholes_in(&inside.place)
            .contains(&own_revert)
            .then(|| tasks_of_whole(&inside.place, own_revert))
            .flatten()
    })
}
