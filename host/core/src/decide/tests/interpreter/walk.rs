//! The interpreter: walks the places of a flow from the outermost inwards, each time anew, and tells what can go on.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::back::{tasks_in, wholes_in};
use super::frame::{Frame, Key};
use super::told::{Mark, Moment, Run, ScopeMark, Seat, Told};
use super::tree::{Names, Place};
use crate::flow::Flow;
use crate::job::{CancelMode, JobState};
use crate::scope::{Backoff, Scope, Strategy};

pub struct Interpreter {
    pub flow: Flow,
    pub arguments: BTreeMap<String, Value>,
    pub never_revert: bool,
    pub room: usize,
    /// How long a run of the job may take.
    pub timeout: Option<Moment>,
    pub now: Moment,
    /// Of the job: 1, and one more each time that an operator opens it again.
    pub number: u32,
    pub deadline: Option<Moment>,
    pub told: BTreeMap<Seat, Told>,
    pub scopes: BTreeMap<(String, Vec<u32>), Run>,
    pub request: Option<Request>,
    pub is_reverting: bool,
    pub is_suspended: bool,
    /// It has nothing to do but wait, until then at the latest.
    pub wake: Option<Moment>,
    pub end: Option<JobState>,
    pub cause: Option<Why>,
    pub tree: Rc<Place>,
    pub names: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Suspend,
    Cancel(CancelMode),
}

/// Why a job is undone, or did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Task,
    Late,
    Cancelled,
    Asked,
}

/// What failed, as far as its failure goes.
struct Failure {
    /// The frame in which nothing begins any more, with all that is in it.
    reach: Key,
    /// None where nobody knows when the call ended.
    at: Option<Moment>,
}

impl Interpreter {
    pub fn new(flow: &Flow, arguments: BTreeMap<String, Value>, room: usize) -> Self {
        Self {
            arguments,
            never_revert: false,
            room: room.min(flow.parallel_max.map_or(usize::MAX, |most| most as usize)),
            timeout: None,
            now: 0,
            number: 1,
            deadline: None,
            told: BTreeMap::new(),
            scopes: BTreeMap::new(),
            request: None,
            is_reverting: false,
            is_suspended: false,
            wake: None,
            end: None,
            cause: None,
            tree: Rc::new(Place::of(flow)),
            names: Names::of(flow),
            flow: flow.clone(),
        }
    }

    /// A host takes it for the first time in a run.
    pub fn start(&mut self) {
        self.deadline = self.timeout.map(|timeout| self.now + timeout);
        self.go_on();
    }

    pub fn calling(&self) -> Vec<Seat> {
        let calling = self.told.iter().filter(|(_, told)| told.mark.is_calling());
        calling.map(|(seat, _)| seat.clone()).collect()
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= self.now)
    }

    /// Nothing speaks against beginning something, somewhere.
    pub fn may_begin(&self, outermost: &Frame<'_>) -> bool {
        let is_failed = || self.reaches(outermost).contains(&outermost.key());
        self.request.is_none() && (self.is_reverting || !self.is_late() && !is_failed())
    }

    /// Goes on until calls run for which there is room, or the job rests.
    pub fn go_on(&mut self) {
        let tree = self.tree.clone();
        let outermost = Frame::outermost(&tree);
        self.wake = None;
        while self.end.is_none() && !self.is_suspended && self.wake.is_none() {
            let may_begin = self.may_begin(&outermost);
            if self.settle_wholes(&outermost)
                || !self.is_reverting && self.settle_scopes(&outermost, may_begin)
            {
                continue;
            }
            if may_begin && self.begin(&outermost) {
                continue;
            }
            if !self.calling().is_empty() {
                return;
            }
            self.rest(&outermost);
        }
    }

    /// Nothing runs, and nothing may begin.
    fn rest(&mut self, outermost: &Frame<'_>) {
        let failure = self.first_failure(outermost).filter(|_| !self.is_reverting);
        let is_failed = failure.is_some();
        let is_done = match self.is_reverting {
            false => self.is_done_all(outermost),
            true => (0..outermost.place.members.len()).all(|member| self.is_clear(outermost, member)),
        };
        let is_stuck = self.is_reverting && self.undoable(outermost).is_empty();
        let is_clean = self.residue().is_empty();
        match self.request {
            Some(Request::Suspend) if !is_done && !is_stuck && !is_failed => {
                self.request = None;
                self.is_suspended = true;
            }
            Some(Request::Cancel(CancelMode::Revert)) => {
                self.request = None;
                self.turn(Why::Cancelled);
            }
            Some(Request::Cancel(CancelMode::Leave)) if self.is_reverting && is_clean => {
                // What did nothing is undone without a call.
                let nothing = self.told.values_mut().filter(|told| told.mark.did_nothing());
                nothing.for_each(|told| told.mark = Mark::Undone);
                self.end(JobState::Reverted);
            }
            Some(Request::Cancel(CancelMode::Leave)) if self.is_reverting || !is_done => self.leave(),
            _ if is_failed => {
                let ended = failure.and_then(|failure| failure.at).unwrap_or(self.now);
                let is_late = self.deadline.is_some_and(|deadline| deadline <= ended);
                self.give_up(if is_late { Why::Late } else { Why::Task });
            }
            _ if self.is_late() && !self.is_reverting && !is_done => self.give_up(Why::Late),
            _ if self.is_reverting && (is_done || is_stuck) => {
                self.end(if is_clean { JobState::Reverted } else { JobState::Failed });
            }
            _ if is_done => {
                self.cause = None;
                self.end(JobState::Succeeded);
            }
            _ => {
                let pauses = self.candidates(outermost).into_iter().map(|(rank, _)| rank.2);
                let deadline = self.deadline.filter(|_| !self.is_reverting);
                let wake = pauses.min().expect("something can always go on, now or later");
                self.wake = Some(deadline.map_or(wake, |deadline| wake.min(deadline)));
            }
        }
    }

    fn end(&mut self, state: JobState) {
        self.request = None;
        self.end = Some(state);
    }

    /// It is undone, unless nothing is.
    fn give_up(&mut self, why: Why) {
        if self.never_revert {
            self.cause = Some(why);
            self.end(JobState::Failed);
        } else {
            self.turn(why);
        }
    }

    /// It goes back from now on.
    pub fn turn(&mut self, why: Why) {
        if !self.is_reverting {
            self.is_reverting = true;
            self.cause = Some(why);
        }
    }

    pub fn leave(&mut self) {
        self.cause = Some(Why::Cancelled);
        self.end(if self.residue().is_empty() { JobState::Cancelled } else { JobState::Failed });
    }

    /// What has effects, or may.
    pub fn residue(&self) -> Vec<Seat> {
        let told = self.told.iter().filter(|((called, _), _)| self.names.flow_of(*called).is_none());
        told.filter(|(_, told)| told.mark.has_effects()).map(|(seat, _)| seat.clone()).collect()
    }
}

/// Going forward.
impl Interpreter {
    /// Of a task, the latest in an iteration: an operator may have had it done anew.
    pub fn seat(&self, frame: &Frame<'_>, member: usize) -> Seat {
        self.latest(frame.place.members[member].order, &frame.path)
    }

    pub fn latest(&self, called: usize, path: &[u32]) -> Seat {
        let first = (called, path.to_vec());
        let seats = self.told.range(first.clone()..).map(|(seat, _)| seat);
        let seats = seats.take_while(|(other, at)| *other == called && at.starts_with(path));
        seats.last().cloned().unwrap_or(first)
    }

    /// Where what was undone, or let be, is done anew: one more number.
    pub fn anew(&self, (called, path): &Seat, around: usize) -> Seat {
        let number = path.get(around).map_or(1, |number| number + 1);
        (*called, path[..around].iter().copied().chain([number]).collect())
    }

    /// Where a verdict is noted that there was none of before.
    pub fn undecided(&self, seat: &Seat, around: usize) -> Seat {
        let is_undone = self.told.get(seat).is_some_and(|told| told.mark == Mark::Undone);
        if is_undone { self.anew(seat, around) } else { seat.clone() }
    }

    pub fn mark(&self, frame: &Frame<'_>, member: usize) -> Option<Mark> {
        self.told.get(&self.seat(frame, member)).map(|told| told.mark)
    }

    pub fn run(&self, frame: &Frame<'_>, member: usize) -> Option<&Run> {
        self.scopes.get(&(frame.place.members[member].name.clone(), frame.path.clone()))
    }

    pub fn is_done(&self, frame: &Frame<'_>, member: usize) -> bool {
        if frame.place.members[member].is_task() {
            return matches!(self.mark(frame, member), Some(Mark::Applied | Mark::Passed | Mark::Skipped));
        }
        let mark = self.run(frame, member).map(|run| &run.mark);
        matches!(mark, Some(ScopeMark::Applied | ScopeMark::Skipped))
    }

    fn is_done_all(&self, frame: &Frame<'_>) -> bool {
        (0..frame.place.members.len()).all(|member| self.is_done(frame, member))
    }

    /// The insides of a scope that go forward now: of a map so many elements as may be under way.
    fn under_way<'t>(&self, frame: &Frame<'t>, member: usize) -> Vec<Frame<'t>> {
        let Some(run) = self.run(frame, member).filter(|run| run.mark == ScopeMark::Within) else {
            return Vec::new();
        };
        let Some(Scope::Map(map)) = frame.place.members[member].scope() else {
            return vec![frame.inside(member, run.number)];
        };
        let elements = (0..run.most).map(|element| frame.inside(member, element));
        let left = elements.filter(|element| !self.is_done_all(element));
        left.take(map.parallel_max.map_or(usize::MAX, |most| most as usize)).collect()
    }

    /// The insides of a scope that count: of tries the last one, of rounds and elements all.
    pub fn live<'t>(&self, frame: &Frame<'t>, member: usize) -> Vec<Frame<'t>> {
        let Some(run) = self.run(frame, member) else { return Vec::new() };
        let numbers = match frame.place.members[member].scope() {
            Some(Scope::Map(_)) => 0..run.most,
            Some(Scope::Repeat(_)) => 1..run.number + 1,
            Some(Scope::Retry(_)) | None => run.number..run.number + 1,
        };
        numbers.map(|number| frame.inside(member, number)).collect()
    }

    /// The frames that go forward, from the outside in.
    pub fn forward<'t>(&self, frame: &Frame<'t>) -> Vec<Frame<'t>> {
        let mut frames = vec![frame.clone()];
        for (index, _) in frame.place.members.iter().enumerate().filter(|(_, member)| !member.is_task()) {
            frames.extend(self.under_way(frame, index).iter().flat_map(|inside| self.forward(inside)));
        }
        frames
    }

    /// The insides of scopes that are undone to be tried again, while what is around them goes forward.
    pub fn turned<'t>(&self, outermost: &Frame<'t>) -> Vec<Frame<'t>> {
        let mut turned = Vec::new();
        for frame in self.forward(outermost) {
            for index in 0..frame.place.members.len() {
                let run = self.run(&frame, index).filter(|run| run.mark == ScopeMark::Turned);
                turned.extend(run.map(|run| frame.inside(index, run.number)));
            }
        }
        turned
    }

    /// The frames in which nothing begins any more, as a failure reaches them: each with all that is in it.
    pub fn reaches(&self, outermost: &Frame<'_>) -> BTreeSet<Key> {
        self.failures(outermost).into_iter().map(|failure| failure.reach).collect()
    }

    /// The first of those that no scope tries again.
    fn first_failure(&self, outermost: &Frame<'_>) -> Option<Failure> {
        let failures = self.failures(outermost).into_iter();
        failures.filter(|failure| failure.reach == outermost.key()).min_by_key(|failure| failure.at)
    }

    /// What failed in this run, where it goes forward.
    fn failures(&self, outermost: &Frame<'_>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for frame in self.forward(outermost) {
            for (index, member) in frame.place.members.iter().enumerate() {
                if member.is_task() {
                    let told = self.told.get(&self.seat(&frame, index));
                    let is_failed =
                        |told: &&Told| matches!(told.mark, Mark::Failed(_)) && told.run == self.number;
                    failures.extend(told.filter(is_failed).map(|told| Failure {
                        reach: self.reach(&frame, &told.class, false),
                        at: told.ended,
                    }));
                } else if let Some(Run { mark: ScopeMark::Failed { class, all, at }, run, .. }) =
                    self.run(&frame, index)
                    && *run == self.number
                {
                    failures.push(Failure { reach: self.reach(&frame, class, *all), at: Some(*at) });
                }
            }
        }
        failures
    }

    /// Up to the innermost scope that will try again; otherwise the whole job.
    fn reach(&self, frame: &Frame<'_>, class: &str, all: bool) -> Key {
        let mut all = all || self.never_revert;
        for step in frame.around.iter().rev() {
            let Some(Scope::Retry(retry)) = step.scope().scope() else { continue };
            let scope = (step.scope().name.clone(), frame.path[..step.depth].to_vec());
            let run = &self.scopes[&scope];
            if !all && run.tries() < run.most && !retry.except.iter().any(|except| except == class) {
                return (scope.0, frame.path[..step.inside].to_vec());
            }
            all |= retry.revert_all || retry.strategy == Strategy::AlwaysRevertAll;
        }
        (String::new(), Vec::new())
    }

    /// Scopes that have ended go on, those that failed turn round. True where something changed.
    fn settle_scopes(&mut self, outermost: &Frame<'_>, may_begin: bool) -> bool {
        let reaches = self.reaches(outermost);
        let is_reached = |frame: &Frame<'_>| frame.line().iter().any(|key| reaches.contains(key));
        let frames = self.forward(outermost);
        let scopes = frames.iter().flat_map(|frame| {
            let members = frame.place.members.iter().enumerate();
            members.filter(|(_, member)| !member.is_task()).map(move |(index, _)| (frame, index))
        });
        let scopes: Vec<_> = scopes.collect();
        for (frame, member) in &scopes {
            let is_reached = is_reached(frame);
            let may_begin = may_begin && !is_reached;
            if self.go_on_within(frame, *member, may_begin)
                || self.go_on_turned(frame, *member, may_begin, is_reached)
            {
                return true;
            }
        }
        for frame in frames.iter().filter(|_| may_begin) {
            let line = frame.line();
            let (own, around) = line.split_last().expect("it is in the outermost");
            if reaches.contains(own)
                && !around.iter().any(|key| reaches.contains(key))
                && self.is_quiet(frame)
            {
                let step = frame.around.last().expect("the job itself is not tried again");
                let scope = (step.scope().name.clone(), frame.path[..step.depth].to_vec());
                self.scopes.get_mut(&scope).expect("it is under way").mark = ScopeMark::Turned;
                return true;
            }
        }
        false
    }

    /// No call runs in it.
    fn is_quiet(&self, frame: &Frame<'_>) -> bool {
        let mut tasks = tasks_in(frame.place);
        tasks.extend(wholes_in(frame.place));
        let mut calling = self.calling().into_iter();
        !calling.any(|(task, path)| tasks.contains(&task) && path.starts_with(&frame.path))
    }

    fn go_on_within(&mut self, frame: &Frame<'_>, member: usize, may_begin: bool) -> bool {
        let Some(run) = self.run(frame, member).filter(|run| run.mark == ScopeMark::Within).cloned() else {
            return false;
        };
        let scope = &frame.place.members[member];
        if !self.under_way(frame, member).iter().all(|inside| self.is_done_all(inside)) {
            return false;
        }
        let mark = match scope.scope() {
            Some(Scope::Repeat(repeat)) => {
                let inside = frame.inside(member, run.number);
                match self.has_come_true(&scope.name, &inside.path, repeat, run.tries()) {
                    Some(true) => ScopeMark::Applied,
                    Some(false) if run.tries() < run.most && !may_begin => return false,
                    Some(false) if run.tries() < run.most => {
                        return self.run_again(frame, member, &repeat.backoff);
                    }
                    Some(false) => self.failed_scope("host.rounds", false),
                    None => self.failed_scope("host.expression", false),
                }
            }
            _ => ScopeMark::Applied,
        };
        self.scopes.insert((scope.name.clone(), frame.path.clone()), Run { mark, run: self.number, ..run });
        true
    }

    pub fn failed_scope(&self, class: &str, all: bool) -> ScopeMark {
        ScopeMark::Failed { class: class.to_owned(), all, at: self.now }
    }

    /// A scope runs once more, after its pause.
    fn run_again(&mut self, frame: &Frame<'_>, member: usize, backoff: &Backoff) -> bool {
        let scope = (frame.place.members[member].name.clone(), frame.path.clone());
        let now = self.now;
        let run = self.scopes.get_mut(&scope).expect("it ran before");
        match pause((backoff.pause_ms, backoff.pause_ms_max, backoff.factor_percent), run.number - run.first)
        {
            0 => {
                run.mark = ScopeMark::Within;
                run.number += 1;
            }
            pause => run.mark = ScopeMark::Paused(now + pause),
        }
        true
    }

    /// What is undone is tried again; what cannot be undone fails the job.
    fn go_on_turned(&mut self, frame: &Frame<'_>, member: usize, may_begin: bool, is_reached: bool) -> bool {
        let Some(run) = self.run(frame, member).filter(|run| run.mark == ScopeMark::Turned).cloned() else {
            return false;
        };
        let inside = frame.inside(member, run.number);
        let is_clear = (0..inside.place.members.len()).all(|member| self.is_clear(&inside, member));
        if is_clear {
            let Some(Scope::Retry(retry)) = frame.place.members[member].scope() else { return false };
            return may_begin && self.run_again(frame, member, &retry.backoff);
        }
        let is_stuck = !is_reached && self.is_quiet(&inside) && self.undoable(&inside).is_empty();
        if is_stuck {
            let name = frame.place.members[member].name.clone();
            let mark = self.failed_scope("", true);
            self.scopes.insert((name, frame.path.clone()), Run { mark, run: self.number, ..run });
        }
        is_stuck
    }
}

/// The pause after so many tries but one: the first, the longest, and by how many percent each is of the one before. All
/// are so short that the draw, which takes up to a fifth away, takes nothing.
pub fn pause((first, longest, percent): (Moment, Moment, u32), tries: u32) -> Moment {
    let grown = first * Moment::from(percent).pow(tries) / Moment::from(100_u32).pow(tries);
    assert!(longest < 10, "a draw would make it shorter");
    grown.min(longest)
}
