//! The interpreter, leaving out and going back.

use super::frame::{Frame, Next, Rank};
use super::told::{Mark, Run, ScopeMark, Told};
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
            let seat = (member.order, path.to_vec());
            self.told.entry(seat).or_insert_with(|| Told::of(Mark::Skipped));
            return;
        };
        let scope = (member.name.clone(), path.to_vec());
        if self.scopes.contains_key(&scope) {
            return;
        }
        self.scopes.insert(scope, Run { mark: ScopeMark::Skipped, number: 0, most: 0, list: Vec::new() });
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
            .all(|(_, told)| matches!(told.mark, Mark::Skipped | Mark::Undone))
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

    fn undoable_task<'t>(&self, frame: &Frame<'t>, index: usize) -> Option<(Rank, Next<'t>)> {
        let member = &frame.place.members[index];
        let mark = self.mark(frame, index)?;
        let wants =
            matches!(mark, Mark::Applied | Mark::Failed(_) | Mark::Doubt | Mark::Again | Mark::UndoAgain);
        let path = frame.path.iter().map(|number| -i64::from(*number)).collect();
        let rank = (1, mark != Mark::UndoAgain, member.priority, -(member.order as i64), path);
        wants.then(|| (rank, Next::Undo(self.seat(frame, index))))
    }
}

pub fn tasks_in(place: &Place) -> Vec<usize> {
    let tasks = place.members.iter().flat_map(|member| match &member.inside {
        None => vec![member.order],
        Some(inside) => tasks_in(&inside.place),
    });
    tasks.collect()
}
