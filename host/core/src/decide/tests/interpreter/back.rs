//! The interpreter, leaving out and going back.

use super::frame::{Frame, Next, Rank};
use super::told::{Mark, Moment, Run, ScopeMark, Seat, Told};
use super::tree::{Member, Place};
use super::walk::Interpreter;
use crate::scope::SkipDepth;

impl Interpreter {
    pub fn skip(&mut self, frame: &Frame<'_>, index: usize, skips: SkipDepth) {
        let member = &frame.place.members[index];
        let mut places = vec![(frame.place, vec![index])];
        match skips {
            SkipDepth::Task => {}
            SkipDepth::Neighbours => places[0].1.extend(frame.place.right_after(index)),
            SkipDepth::Flow => {
                let after = frame.place.after(index);
                places[0].1.extend(after.into_iter().filter(|other| member.flow.contains(other)));
            }
            SkipDepth::All => {
                places[0].1.extend(frame.place.after(index));
                let once = frame.around.iter().rev().take_while(|step| step.scope().scope().is_none());
                places.extend(once.map(|s| (s.place, s.place.after(s.member).into_iter().collect())));
            }
        }
        for (place, members) in places {
            members.into_iter().for_each(|member| self.leave_out(&place.members[member], &frame.path));
        }
    }

    /// Leaves out a task, or a scope with the first iteration of all in it; a map has none.
    fn leave_out(&mut self, member: &Member, path: &[u32]) {
        let Some(inside) = &member.inside else {
            let seat = self.latest(member.order, path);
            if self.told.get(&seat).is_none_or(Told::is_undecided) {
                let told = Told::of(Mark::Skipped, self.told.len());
                self.told.insert(self.undecided(&seat, path.len()), told);
            }
            return;
        };
        let scope = (member.name.clone(), path.to_vec());
        if !self.scopes.get(&scope).is_none_or(Run::is_undecided) {
            return;
        }
        let mark = ScopeMark::Skipped;
        self.scopes
            .insert(scope, Run { mark, number: 0, first: 1, most: 0, list: Vec::new(), run: self.number });
        if !member.is_map() {
            let path: Vec<_> = path.iter().copied().chain(inside.scope.as_ref().map(|_| 1)).collect();
            inside.place.members.iter().for_each(|member| self.leave_out(member, &path));
        }
    }

    /// Nothing of it is left to be undone.
    pub fn is_clear(&self, frame: &Frame<'_>, index: usize) -> bool {
        let member = &frame.place.members[index];
        let tasks =
            member.inside.as_ref().map_or_else(|| vec![member.order], |inside| tasks_in(&inside.place));
        self.told
            .iter()
            .filter(|((task, path), _)| tasks.contains(task) && path.starts_with(&frame.path))
            .all(|(_, told)| told.mark.is_clear())
    }

    /// What can be undone next in a frame that goes back: that after which nothing is left.
    pub fn undoable<'t>(&self, frame: &Frame<'t>) -> Vec<(Rank, Next<'t>)> {
        let mut found = Vec::new();
        for (index, member) in frame.place.members.iter().enumerate() {
            let is_last = frame.place.after(index).iter().all(|after| self.is_clear(frame, *after));
            if !is_last || self.is_clear(frame, index) {
                continue;
            }
            if member.is_task() {
                found.extend(self.undoable_task(frame, index));
                continue;
            }
            if let Some(own_revert) = member.own_revert() {
                found.extend(self.undoable_whole(frame, index, own_revert));
                continue;
            }
            let run = self.run(frame, index).expect("something in it was applied");
            let is_left = |inside: &Frame<'_>| {
                (0..inside.place.members.len()).any(|member| !self.is_clear(inside, member))
            };
            if member.is_map() {
                let elements = (0..run.most).map(|element| frame.inside(index, element));
                found.extend(elements.flat_map(|element| self.undoable(&element)));
            } else {
                // Rounds, the last one first.
                let rounds = (1..=run.number).rev().map(|number| frame.inside(index, number));
                let last = rounds.filter(is_left).take(1);
                found.extend(last.flat_map(|round| self.undoable(&round)));
            }
        }
        found
    }

    /// A flow is undone by its own revert, whatever is in it.
    fn undoable_whole<'t>(
        &self,
        frame: &Frame<'t>,
        index: usize,
        own_revert: usize,
    ) -> Option<(Rank, Next<'t>)> {
        let mut path: Vec<_> = frame.path.iter().map(|number| -i64::from(*number)).collect();
        if self.told_in(frame, index).all(|(_, told)| !is_to_be_undone(told.mark)) {
            path.clear();
            return Some(((0, false, 0, 0, 0, path), Next::Settle(frame.clone(), index)));
        }
        let seat = self.latest(own_revert, &frame.path);
        let told = self.told.get(&seat);
        let until = self.undone_from(told);
        let rank = (1, until.is_none(), until.unwrap_or(0), 0, -(own_revert as i64), path);
        // What it undid, or an operator let be, was done anew.
        let is_anew = told.is_some_and(|told| told.mark.is_clear());
        let wants = is_anew || told.is_none_or(|told| self.is_called_again(told));
        let seat = if is_anew { self.anew(&seat, frame.path.len()) } else { seat };
        wants.then_some((rank, Next::Undo(seat)))
    }

    /// What became of the tasks in a scope.
    fn told_in(&self, frame: &Frame<'_>, index: usize) -> impl Iterator<Item = (&Seat, &Told)> {
        let tasks = frame.place.members[index].inside.as_ref().map_or_else(Vec::new, |i| tasks_in(&i.place));
        let path = frame.path.clone();
        self.told.iter().filter(move |((task, at), _)| tasks.contains(task) && at.starts_with(&path))
    }

    /// Of a flow that is undone as a whole: what is in it is undone, and what is to be said of its parts is said.
    pub fn undo_whole(&mut self, frame: &Frame<'_>, index: usize, is_left: impl Fn(Mark) -> bool) {
        let seats: Vec<_> =
            self.told_in(frame, index).filter(|(_, t)| is_left(t.mark)).map(|(s, _)| s.clone()).collect();
        for seat in seats {
            self.told.get_mut(&seat).expect("it was there").mark = Mark::Undone;
        }
    }

    /// Its own revert went well. Those of flows in it that did not have nothing left to do.
    pub fn undone_by(&mut self, own_revert: &Seat) {
        self.whole_becomes(own_revert, Mark::Undone);
    }

    /// Everything that an own revert was to undo is undone, or let be, with it.
    pub fn whole_becomes(&mut self, (own_revert, path): &Seat, mark: Mark) {
        let tree = self.tree.clone();
        let outermost = Frame::outermost(&tree);
        let (frame, index) = holder(&outermost, *own_revert).expect("it is of a flow");
        let path = &path[..frame.path.len()];
        let inside = frame.place.members[index].inside.as_ref().expect("it has one");
        let (tasks, wholes) = (tasks_in(&inside.place), wholes_in(&inside.place));
        for ((called, _), told) in self.told.iter_mut().filter(|((_, at), _)| at.starts_with(path)) {
            let is_half = wholes.contains(called) && matches!(told.mark, Mark::Stuck | Mark::UndoAgain);
            if tasks.contains(called) && is_to_be_undone(told.mark) || is_half {
                told.mark = mark;
            }
        }
    }

    /// Of one flow of which that is all that is to be said, on the way back. True where there was one.
    pub fn settle_wholes(&mut self, outermost: &Frame<'_>) -> bool {
        let mut going_back = Vec::new();
        if self.is_reverting {
            going_back.push(outermost.clone());
        } else {
            going_back.extend(self.turned(outermost));
        }
        let next =
            going_back.iter().flat_map(|frame| self.undoable(frame)).find_map(|(_, next)| match next {
                Next::Settle(frame, index) => Some((frame, index)),
                Next::Begin(..) | Next::Undo(_) => None,
            });
        let Some((frame, index)) = next else { return false };
        self.undo_whole(&frame, index, Mark::did_nothing);
        true
    }

    fn undoable_task<'t>(&self, frame: &Frame<'t>, index: usize) -> Option<(Rank, Next<'t>)> {
        let member = &frame.place.members[index];
        // Of what was done anew the last one first.
        let seats = self.told.range((member.order, frame.path.clone())..);
        let seats = seats.take_while(|((task, at), _)| *task == member.order && at.starts_with(&frame.path));
        let (seat, told) = seats.filter(|(_, told)| !told.mark.is_clear()).last()?;
        let wants = match told.mark {
            Mark::UndoAgain | Mark::Stuck => self.is_called_again(told),
            mark => mark.did_nothing() || mark.has_effects() && !mark.is_calling() && !mark.is_clear(),
        };
        let path = frame.path.iter().map(|number| -i64::from(*number)).collect();
        let until = self.undone_from(Some(told));
        let order = -(member.order as i64);
        let rank = (1, until.is_none(), until.unwrap_or(0), member.priority, order, path);
        wants.then(|| (rank, Next::Undo(seat.clone())))
    }

    /// When the next call that undoes something may be made, after a pause.
    fn undone_from(&self, told: Option<&Told>) -> Option<Moment> {
        told.filter(|told| told.mark == Mark::UndoAgain).and_then(|told| told.next)
    }

    /// What undoes it was called before, and is called again: it asked for that, or an operator did since it failed.
    fn is_called_again(&self, told: &Told) -> bool {
        told.mark == Mark::UndoAgain || told.mark == Mark::Stuck && told.run < self.number
    }
}

/// Something is left to be undone by a call.
pub fn is_to_be_undone(mark: Mark) -> bool {
    mark.has_effects() && !mark.is_clear()
}

/// The own reverts in a place.
pub fn wholes_in(place: &Place) -> Vec<usize> {
    let inside = place.members.iter().filter_map(|member| member.inside.as_ref());
    inside.flat_map(|inside| inside.own_revert.into_iter().chain(wholes_in(&inside.place))).collect()
}

/// Where the flow of an own revert is a member, in whatever iteration.
fn holder<'t>(frame: &Frame<'t>, own_revert: usize) -> Option<(Frame<'t>, usize)> {
    frame.place.members.iter().enumerate().find_map(|(index, member)| match member.own_revert() {
        Some(found) if found == own_revert => Some((frame.clone(), index)),
        _ if member.is_task() => None,
        _ => holder(&frame.inside(index, 1), own_revert),
    })
}

pub fn tasks_in(place: &Place) -> Vec<usize> {
    let tasks = place.members.iter().flat_map(|member| match &member.inside {
        None => vec![member.order],
        Some(inside) => tasks_in(&inside.place),
    });
    tasks.collect()
}
