//! The interpreter, beginning: tasks, waits and scopes whose turn it is, and what is undone.

use super::frame::{Frame, Next, Rank};
use super::told::{Mark, Run, ScopeMark, Told};
use super::tree::Member;
use super::walk::{Interpreter, Request};
use crate::flow::InDoubt;
use crate::scope::{Scope, ScopeRetry, Strategy};

impl Interpreter {
    /// Begins the first that can. True where something changed.
    pub fn begin(&mut self, outermost: &Frame<'_>) -> bool {
        let mut next = self.candidates(outermost);
        next.retain(|(rank, _)| rank.2 <= self.now);
        next.sort_by(|(one, _), (other, _)| one.cmp(other));
        let calls = self.calling().len();
        let has_room = calls == 0 || calls < self.room;
        match next.into_iter().next() {
            None => false,
            Some((_, Next::Undo(seat))) => {
                if let Some(told) = self.told.get_mut(&seat).filter(|told| told.mark.did_nothing()) {
                    told.mark = Mark::Undone;
                    return true;
                }
                if has_room {
                    // Of an own revert nothing was told before.
                    let begun = self.told.len();
                    let told = self.told.entry(seat).or_insert_with(|| Told::of(Mark::Undoing, begun));
                    if told.mark == Mark::Stuck {
                        told.undo_retries = 0;
                    }
                    told.mark = Mark::Undoing;
                    told.next = None;
                    told.undo_calls += 1;
                }
                has_room
            }
            Some((_, Next::Begin(frame, member))) => self.begin_member(&frame, member, has_room),
            Some((_, Next::Settle(..))) => unreachable!("that is said before anything begins"),
        }
    }

    /// What can be begun or undone, now or when a pause is over.
    pub fn candidates<'t>(&self, outermost: &Frame<'t>) -> Vec<(Rank, Next<'t>)> {
        if self.is_reverting {
            return self.undoable(outermost);
        }
        let mut next = Vec::new();
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
        next
    }

    fn can_begin(&self, frame: &Frame<'_>, index: usize) -> bool {
        let wants = if frame.place.members[index].is_task() {
            self.told.get(&self.seat(frame, index)).is_none_or(|told| match told.mark {
                Mark::Again | Mark::Doubt | Mark::Elsewhere | Mark::Waiting => true,
                // An operator has it done again, or anew.
                Mark::Failed(_) => told.run < self.number,
                Mark::Undone | Mark::LetBe(_) => true,
                _ => false,
            })
        } else {
            self.run(frame, index).is_none_or(|run| match run.mark {
                ScopeMark::Paused(_) | ScopeMark::Undone => true,
                ScopeMark::Failed { .. } => run.run < self.number,
                _ => false,
            })
        };
        wants && frame.place.before[index].iter().all(|before| self.is_done(frame, *before))
    }

    fn rank(&self, frame: &Frame<'_>, member: &Member) -> Rank {
        let path = frame.path.iter().map(|number| i64::from(*number)).collect();
        let until = if member.is_task() {
            let told = self.told.get(&self.latest(member.order, &frame.path));
            let rests = |told: &&Told| match told.mark {
                Mark::Waiting => told.answer.is_none(),
                mark => matches!(mark, Mark::Again | Mark::Elsewhere),
            };
            told.filter(rests).and_then(|told| told.next)
        } else {
            match self.scopes.get(&(member.name.clone(), frame.path.clone())).map(|run| &run.mark) {
                Some(ScopeMark::Paused(until)) => Some(*until),
                _ => None,
            }
        };
        let sort = if member.is_call() { 2 } else { 0 };
        // Scopes come behind all waits, which miss what happens before they begin.
        let order = member.order + if member.is_task() { 0 } else { self.names.called.len() };
        (sort, until.is_none(), until.unwrap_or(0), -member.priority, order as i64, path)
    }

    fn begin_member(&mut self, frame: &Frame<'_>, index: usize, has_room: bool) -> bool {
        let member = &frame.place.members[index];
        let is_fresh = if member.is_task() {
            self.told.get(&self.seat(frame, index)).is_none_or(Told::is_undecided)
        } else {
            self.run(frame, index).is_none_or(Run::is_undecided)
        };
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
        match (member.is_task(), member.is_call()) {
            (false, _) => self.begin_scope(frame, index),
            (true, false) => self.go_on_waiting(frame, index),
            (true, true) => return self.begin_call(frame, index, has_room),
        }
        true
    }

    /// Applies a task, looks at what it began, or decides about what is in doubt.
    fn begin_call(&mut self, frame: &Frame<'_>, index: usize, has_room: bool) -> bool {
        let seat = self.seat(frame, index);
        let in_doubt = self.task(seat.0).in_doubt;
        let number = self.number;
        let told = self.told.get_mut(&seat);
        let mark = told.as_ref().map(|told| (told.mark, told.is_held));
        let looks = match (mark, in_doubt) {
            (Some((Mark::Elsewhere, _)), _) => true,
            (Some((Mark::Doubt, false)), InDoubt::Hold) => {
                told.expect("it is in doubt").is_held = true;
                self.request = Some(Request::Suspend);
                return true;
            }
            (Some((Mark::Doubt, _)), InDoubt::Revert) => {
                let told = told.expect("it is in doubt");
                told.mark = Mark::Failed(false);
                told.class = "host.in_doubt".to_owned();
                told.run = number;
                told.ended = None;
                return true;
            }
            (Some((Mark::Doubt, false)), InDoubt::Observe) => true,
            _ => false,
        };
        if !has_room {
            return false;
        }
        let seat = match mark {
            Some((Mark::Undone | Mark::LetBe(_), _)) => self.anew(&seat, frame.path.len()),
            _ => seat,
        };
        let begun = self.told.len();
        let told = self.told.entry(seat).or_insert_with(|| Told::of(Mark::Applying, begun));
        if looks {
            told.ready_by = told.ready_by.filter(|_| told.mark == Mark::Elsewhere);
            told.looks += 1;
        } else {
            told.apply_again();
        }
        told.mark = if looks { Mark::Looking } else { Mark::Applying };
        told.next = None;
        true
    }

    fn fail_without_call(&mut self, frame: &Frame<'_>, index: usize) {
        let class = "host.expression";
        if frame.place.members[index].is_task() {
            let mut told = Told { run: self.number, ..Told::of(Mark::Failed(true), self.told.len()) };
            told.fail(class, true, self.now);
            let seat = self.undecided(&self.seat(frame, index), frame.path.len());
            self.told.insert(seat, told);
        } else {
            self.fail_scope(frame, index, class);
        }
    }

    fn fail_scope(&mut self, frame: &Frame<'_>, index: usize, class: &str) {
        let mark = self.failed_scope(class, false);
        let name = frame.place.members[index].name.clone();
        let name = (name, frame.path.clone());
        let known = self.scopes.get(&name).cloned();
        let known = known.unwrap_or(Run {
            mark: mark.clone(),
            number: 0,
            first: 1,
            most: 0,
            list: Vec::new(),
            run: 0,
        });
        self.scopes.insert(name, Run { mark, run: self.number, ..known });
    }

    fn begin_scope(&mut self, frame: &Frame<'_>, index: usize) {
        let scope = &frame.place.members[index];
        let name = (scope.name.clone(), frame.path.clone());
        let known = self.scopes.get(&name).cloned();
        if let Some(run) = known.as_ref().filter(|run| run.number > 0 && run.mark != ScopeMark::Undone) {
            let mut run = Run { mark: ScopeMark::Within, ..run.clone() };
            match &known.as_ref().expect("it ran before").mark {
                // An operator has it go on where it failed; where its rounds were used up, by one more.
                ScopeMark::Failed { class, .. } if class != "host.rounds" => {}
                // Its pause is over.
                _ => run.number += 1,
            }
            run.most = run.most.max(if scope.is_map() { 0 } else { run.tries() });
            self.scopes.insert(name, run);
            return;
        }
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
        // What was undone is done anew, in a series of its own.
        let first =
            known.filter(|_| scope.scope().is_some() && !scope.is_map()).map_or(1, |run| run.number + 1);
        let run = Run { mark: ScopeMark::Within, number: first, first, most, list, run: self.number };
        self.scopes.insert(name, run);
    }
}
