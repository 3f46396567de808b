//! The interpreter: walks the places of a flow from the outermost inwards, each time anew, and tells what can go on.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::back::{tasks_in, wholes_in};
use super::frame::{Frame, Key, Next, Rank};
use super::told::{Mark, Run, ScopeMark, Seat, Told};
use super::tree::{Member, Names, Place};
use crate::flow::Flow;
use crate::job::{CancelMode, JobState};
use crate::scope::{Scope, ScopeRetry, Strategy};

pub struct Interpreter {
    pub flow: Flow,
    pub arguments: BTreeMap<String, Value>,
    pub never_revert: bool,
    pub room: usize,
    pub told: BTreeMap<Seat, Told>,
    pub scopes: BTreeMap<(String, Vec<u32>), Run>,
    pub request: Option<Request>,
    pub is_reverting: bool,
    pub is_suspended: bool,
    pub end: Option<JobState>,
    pub tree: Rc<Place>,
    pub names: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Suspend,
    Cancel(CancelMode),
}

impl Interpreter {
    pub fn new(flow: &Flow, arguments: BTreeMap<String, Value>, room: usize) -> Self {
        Self {
            arguments,
            never_revert: false,
            room: room.min(flow.parallel_max.map_or(usize::MAX, |most| most as usize)),
            told: BTreeMap::new(),
            scopes: BTreeMap::new(),
            request: None,
            is_reverting: false,
            is_suspended: false,
            end: None,
            tree: Rc::new(Place::of(flow)),
            names: Names::of(flow),
            flow: flow.clone(),
        }
    }

    pub fn calling(&self) -> Vec<Seat> {
        let calling = |told: &Told| matches!(told.mark, Mark::Applying | Mark::Undoing);
        self.told.iter().filter(|(_, told)| calling(told)).map(|(seat, _)| seat.clone()).collect()
    }

    /// Goes on until calls run for which there is room, or the job rests.
    pub fn go_on(&mut self) {
        let tree = self.tree.clone();
        let outermost = Frame::outermost(&tree);
        while self.end.is_none() && !self.is_suspended {
            let is_failed = !self.is_reverting && self.reaches(&outermost).contains(&outermost.key());
            let may_begin = self.request.is_none() && !is_failed;
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
            self.rest(&outermost, is_failed);
        }
    }

    /// Nothing runs, and nothing may begin.
    fn rest(&mut self, outermost: &Frame<'_>, is_failed: bool) {
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
                self.is_reverting = true;
            }
            Some(Request::Cancel(CancelMode::Leave)) if self.is_reverting && is_clean => {
                // What did nothing is undone without a call.
                let failed = self.told.values_mut().filter(|told| told.mark == Mark::Failed(true));
                failed.for_each(|told| told.mark = Mark::Undone);
                self.end = Some(JobState::Reverted);
            }
            Some(Request::Cancel(CancelMode::Leave)) if self.is_reverting || !is_done => self.leave(),
            _ if is_failed && self.never_revert => self.end = Some(JobState::Failed),
            _ if is_failed => self.is_reverting = true,
            _ if self.is_reverting => {
                self.end = Some(if is_clean { JobState::Reverted } else { JobState::Failed });
            }
            _ => {
                assert!(is_done, "something can always go on");
                self.end = Some(JobState::Succeeded);
            }
        }
    }

    pub fn leave(&mut self) {
        self.end = Some(if self.residue().is_empty() { JobState::Cancelled } else { JobState::Failed });
    }

    /// What has effects, or may.
    pub fn residue(&self) -> Vec<Seat> {
        let remains = |mark| !matches!(mark, Mark::Skipped | Mark::Undone | Mark::Failed(true));
        let told = self.told.iter().filter(|((called, _), _)| self.names.flow_of(*called).is_none());
        told.filter(|(_, told)| remains(told.mark)).map(|(seat, _)| seat.clone()).collect()
    }
}

/// Going forward.
impl Interpreter {
    pub fn seat(&self, frame: &Frame<'_>, member: usize) -> Seat {
        (frame.place.members[member].order, frame.path.clone())
    }

    pub fn mark(&self, frame: &Frame<'_>, member: usize) -> Option<Mark> {
        self.told.get(&self.seat(frame, member)).map(|told| told.mark)
    }

    pub fn run(&self, frame: &Frame<'_>, member: usize) -> Option<&Run> {
        self.scopes.get(&(frame.place.members[member].name.clone(), frame.path.clone()))
    }

    fn is_done(&self, frame: &Frame<'_>, member: usize) -> bool {
        if frame.place.members[member].is_task() {
            return matches!(self.mark(frame, member), Some(Mark::Applied | Mark::Skipped));
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

    /// The frames that go forward, from the outside in.
    fn forward<'t>(&self, frame: &Frame<'t>) -> Vec<Frame<'t>> {
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
    fn reaches(&self, outermost: &Frame<'_>) -> BTreeSet<Key> {
        let mut reaches = BTreeSet::new();
        for frame in self.forward(outermost) {
            for (index, member) in frame.place.members.iter().enumerate() {
                let failed = if member.is_task() {
                    let told = self.told.get(&self.seat(&frame, index));
                    let told = told.filter(|told| matches!(told.mark, Mark::Failed(_)));
                    told.map(|told| (told.class.clone(), false))
                } else {
                    match self.run(&frame, index).map(|run| run.mark.clone()) {
                        Some(ScopeMark::Failed { class, all }) => Some((class, all)),
                        _ => None,
                    }
                };
                reaches.extend(failed.map(|(class, all)| self.reach(&frame, &class, all)));
            }
        }
        reaches
    }

    /// Up to the innermost scope that will try again; otherwise the whole job.
    fn reach(&self, frame: &Frame<'_>, class: &str, all: bool) -> Key {
        let mut all = all || self.never_revert;
        for step in frame.around.iter().rev() {
            let Some(Scope::Retry(retry)) = step.scope().scope() else { continue };
            let scope = (step.scope().name.clone(), frame.path[..step.depth].to_vec());
            let run = &self.scopes[&scope];
            if !all && run.number < run.most && !retry.except.iter().any(|except| except == class) {
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
                match self.has_come_true(&scope.name, &inside.path, repeat, run.number) {
                    Some(true) => ScopeMark::Applied,
                    Some(false) if run.number < run.most && !may_begin => return false,
                    Some(false) if run.number < run.most => ScopeMark::Within,
                    Some(false) => ScopeMark::Failed { class: "host.rounds".to_owned(), all: false },
                    None => ScopeMark::Failed { class: "host.expression".to_owned(), all: false },
                }
            }
            _ => ScopeMark::Applied,
        };
        let number = run.number + u32::from(mark == ScopeMark::Within);
        self.scopes.insert((scope.name.clone(), frame.path.clone()), Run { mark, number, ..run });
        true
    }

    /// What is undone is tried again; what cannot be undone fails the job.
    fn go_on_turned(&mut self, frame: &Frame<'_>, member: usize, may_begin: bool, is_reached: bool) -> bool {
        let Some(run) = self.run(frame, member).filter(|run| run.mark == ScopeMark::Turned).cloned() else {
            return false;
        };
        let inside = frame.inside(member, run.number);
        let is_clear = (0..inside.place.members.len()).all(|member| self.is_clear(&inside, member));
        let is_stuck = !is_reached && self.is_quiet(&inside) && self.undoable(&inside).is_empty();
        let (mark, number) = match (is_clear, may_begin) {
            (true, true) => (ScopeMark::Within, run.number + 1),
            (false, _) if is_stuck => (ScopeMark::Failed { class: String::new(), all: true }, run.number),
            _ => return false,
        };
        let name = frame.place.members[member].name.clone();
        self.scopes.insert((name, frame.path.clone()), Run { mark, number, ..run });
        true
    }

    /// Begins the first that can. True where something changed.
    fn begin(&mut self, outermost: &Frame<'_>) -> bool {
        let mut next: Vec<(Rank, Next<'_>)> = Vec::new();
        if self.is_reverting {
            next.extend(self.undoable(outermost));
        } else {
            let reaches = self.reaches(outermost);
            for frame in self.forward(outermost) {
                if frame.line().iter().any(|key| reaches.contains(key)) {
                    continue;
                }
                for (index, member) in frame.place.members.iter().enumerate() {
                    let run = self.run(&frame, index).filter(|run| run.mark == ScopeMark::Turned);
                    if let Some(run) = run {
                        next.extend(self.undoable(&frame.inside(index, run.number)));
                    } else if self.can_begin(&frame, index) {
                        next.push((self.rank(&frame, member), Next::Begin(frame.clone(), index)));
                    }
                }
            }
        }
        next.sort_by(|(one, _), (other, _)| one.cmp(other));
        let calls = self.calling().len();
        let has_room = calls == 0 || calls < self.room;
        match next.into_iter().next() {
            None => false,
            Some((_, Next::Undo(seat))) => {
                if let Some(told) = self.told.get_mut(&seat).filter(|told| told.mark == Mark::Failed(true)) {
                    told.mark = Mark::Undone;
                    return true;
                }
                if has_room {
                    // Of an own revert nothing was told before.
                    let told = self.told.entry(seat).or_insert_with(|| Told::of(Mark::Undoing));
                    told.mark = Mark::Undoing;
                    told.undo_calls += 1;
                }
                has_room
            }
            Some((_, Next::Begin(frame, member))) => self.begin_member(&frame, member, has_room),
            Some((_, Next::Settle(..))) => unreachable!("that is said before anything begins"),
        }
    }

    fn can_begin(&self, frame: &Frame<'_>, index: usize) -> bool {
        let wants = match frame.place.members[index].is_task() {
            true => matches!(self.mark(frame, index), None | Some(Mark::Again | Mark::Doubt)),
            false => self.run(frame, index).is_none(),
        };
        wants && frame.place.before[index].iter().all(|before| self.is_done(frame, *before))
    }

    fn rank(&self, frame: &Frame<'_>, member: &Member) -> Rank {
        let path = frame.path.iter().map(|number| i64::from(*number)).collect();
        let seat = (member.order, frame.path.clone());
        let mark = self.told.get(&seat).filter(|_| member.is_task()).map(|told| told.mark);
        let sort = if member.is_task() { 2 } else { 0 };
        (sort, mark != Some(Mark::Again), -member.priority, member.order as i64, path)
    }

    fn begin_member(&mut self, frame: &Frame<'_>, index: usize, has_room: bool) -> bool {
        let member = &frame.place.members[index];
        let is_fresh = if member.is_task() { self.mark(frame, index).is_none() } else { true };
        if let Some(when) = member.when.as_ref().filter(|_| is_fresh) {
            match self.is_wanted(&member.name, &frame.path, when) {
                Some(true) => {}
                Some(false) => {
                    self.skip(frame, index, when.skips);
                    return true;
                }
                None => {
                    self.fail_without_call(frame, index);
                    return true;
                }
            }
        }
        if !member.is_task() {
            self.begin_scope(frame, index);
            return true;
        }
        if has_room {
            let told = self.told.entry(self.seat(frame, index)).or_insert_with(|| Told::of(Mark::Applying));
            told.mark = Mark::Applying;
            told.calls += 1;
        }
        has_room
    }

    fn fail_without_call(&mut self, frame: &Frame<'_>, index: usize) {
        let class = "host.expression".to_owned();
        if frame.place.members[index].is_task() {
            let told = Told { class, ..Told::of(Mark::Failed(true)) };
            self.told.insert(self.seat(frame, index), told);
        } else {
            self.fail_scope(frame, index, &class);
        }
    }

    fn fail_scope(&mut self, frame: &Frame<'_>, index: usize, class: &str) {
        let mark = ScopeMark::Failed { class: class.to_owned(), all: false };
        let name = frame.place.members[index].name.clone();
        let run = Run { mark, number: 0, most: 0, list: Vec::new() };
        self.scopes.insert((name, frame.path.clone()), run);
    }

    fn begin_scope(&mut self, frame: &Frame<'_>, index: usize) {
        let scope = &frame.place.members[index];
        let list = scope.scope().and_then(Scope::over).map(|over| {
            let list = self.resolve(&scope.name, &frame.path, over);
            list.and_then(|list| list.as_array().cloned())
        });
        let (most, list) = match (scope.scope(), list) {
            (_, Some(None)) => return self.fail_scope(frame, index, "host.list"),
            (Some(Scope::Retry(_)), Some(Some(list))) if list.is_empty() => {
                return self.fail_scope(frame, index, "host.nothing_to_try");
            }
            (_, Some(Some(list))) => (list.len() as u32, list),
            (Some(Scope::Retry(ScopeRetry { strategy: Strategy::Times(times), .. })), None) => {
                ((*times).max(1), Vec::new())
            }
            (Some(Scope::Repeat(repeat)), None) => (repeat.rounds_max, Vec::new()),
            (_, None) => (1, Vec::new()),
        };
        let run = Run { mark: ScopeMark::Within, number: 1, most, list };
        self.scopes.insert((scope.name.clone(), frame.path.clone()), run);
    }
}
