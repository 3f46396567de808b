//! Frames: iterations of places that are under way, and what in them can go on.

use super::told::{Moment, Seat};
use super::tree::{Inside, Member, Place};

/// An iteration of a place that is under way.
#[derive(Debug, Clone)]
pub struct Frame<'t> {
    pub place: &'t Place,
    pub path: Vec<u32>,
    /// The scopes that it is in, the outermost first.
    pub around: Vec<Step<'t>>,
}

/// A scope on the way to a frame.
#[derive(Debug, Clone, Copy)]
pub struct Step<'t> {
    pub place: &'t Place,
    pub member: usize,
    /// Numbers in the path of the frame that the scope is in, and of its inside.
    pub depth: usize,
    pub inside: usize,
}

/// The scope and path of a frame; no scope for the outermost.
pub type Key = (String, Vec<u32>);

impl<'t> Frame<'t> {
    pub fn outermost(place: &'t Place) -> Self {
        Self { place, path: Vec::new(), around: Vec::new() }
    }

    /// The inside of a scope of it, in an iteration.
    pub fn inside(&self, member: usize, number: u32) -> Self {
        let inside: &Inside = self.place.members[member].inside.as_ref().expect("it is a scope");
        let mut path = self.path.clone();
        path.extend(inside.scope.is_some().then_some(number));
        let step = Step { place: self.place, member, depth: self.path.len(), inside: path.len() };
        let around = self.around.iter().copied().chain([step]).collect();
        Self { place: &inside.place, path, around }
    }

    /// The frames that it is in, itself last.
    pub fn line(&self) -> Vec<Key> {
        let around = self.around.iter();
        let around = around.map(|step| (step.scope().name.clone(), self.path[..step.inside].to_vec()));
        [(String::new(), Vec::new())].into_iter().chain(around).collect()
    }

    pub fn key(&self) -> Key {
        self.line().pop().expect("it is in the outermost")
    }
}

impl<'t> Step<'t> {
    pub fn scope(&self) -> &'t Member {
        &self.place.members[self.member]
    }
}

/// What can go on.
#[derive(Debug, Clone)]
pub enum Next<'t> {
    Begin(Frame<'t>, usize),
    Undo(Seat),
    /// A flow with a revert of its own, in which nothing is left but what did nothing.
    Settle(Frame<'t>, usize),
}

/// The smaller goes first: scopes and waits, which take no call, then what is undone; what rests no more, the earliest
/// first; the higher priority; the first. Going back the other way round.
pub type Rank = (u8, bool, Moment, i32, i64, Vec<i64>);
