//! What became of the tasks, waits and scopes of a job.

use serde_json::Value;

/// Milliseconds since the job was made.
pub type Moment = u64;

/// How a task or wait stands, as far as a reader of the logbook would care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Skipped,
    Applying,
    /// It asked to be called again, after a pause.
    Again,
    Doubt,
    /// It was accepted, and goes on elsewhere until it is looked at.
    Elsewhere,
    Looking,
    /// A wait that is not over.
    Waiting,
    /// A wait that is over: of it nothing is left.
    Passed,
    Applied,
    /// `true`: it did nothing at all.
    Failed(bool),
    Undoing,
    /// Its revert was cut short, or asked to be called again after a pause.
    UndoAgain,
    Undone,
    Stuck,
    /// Its revert failed, and an operator lets its effects be: `true` where that is accepted.
    LetBe(bool),
}

impl Mark {
    /// A call is under way.
    pub fn is_calling(self) -> bool {
        matches!(self, Self::Applying | Self::Looking | Self::Undoing)
    }

    /// Something is left that a call would have to undo, or an operator let be.
    pub fn has_effects(self) -> bool {
        !matches!(self, Self::Skipped | Self::Waiting | Self::Passed | Self::Undone | Self::Failed(true))
    }

    /// It is undone without a call.
    pub fn did_nothing(self) -> bool {
        matches!(self, Self::Waiting | Self::Passed | Self::Failed(true))
    }

    /// Nobody undoes anything of it any more.
    pub fn is_clear(self) -> bool {
        matches!(self, Self::Skipped | Self::Undone | Self::LetBe(_))
    }
}

/// How an apply ended, as its revert is told; or all of a flow with a revert of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Applied(Value),
    Accepted(Value),
    /// The class of the fault, and the handle of what was accepted before.
    Failed(String, Option<Value>),
    Interrupted,
    /// Of a flow that is not all applied; which failure was the first is not told apart.
    Partial {
        outputs: Value,
        has_failed: bool,
        is_interrupted: bool,
    },
}

/// What ended a wait before its time.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// With what it gives.
    Yes(Value),
    No,
}

/// A task or own revert in one iteration of the scopes around it, by its order in the definition.
pub type Seat = (usize, Vec<u32>);

/// What became of a task or wait in one iteration.
#[derive(Debug, Clone)]
pub struct Told {
    pub mark: Mark,
    /// The run of the job in which it came to that.
    pub run: u32,
    pub calls: u32,
    pub retries: u32,
    pub looks: u32,
    pub undo_calls: u32,
    pub undo_retries: u32,
    /// When it goes on by itself.
    pub next: Option<Moment>,
    /// Until when what was accepted is to be ready; none where a look is to settle a doubt.
    pub ready_by: Option<Moment>,
    /// A person looks at it, or has.
    pub is_held: bool,
    pub answer: Option<Answer>,
    pub class: String,
    pub output: Option<Value>,
    pub handle: Option<Value>,
    pub end: End,
    pub undo: Vec<Value>,
    /// How many were begun before it.
    pub begun: usize,
    /// When its apply failed; none where nobody knows.
    pub ended: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeMark {
    Within,
    /// It is undone, to be tried again.
    Turned,
    /// It runs again at that time.
    Paused(Moment),
    Applied,
    /// With the whole job, for which an operator has it done anew.
    Undone,
    Skipped,
    /// `all`: no scope around it is asked whether it tries again.
    Failed {
        class: String,
        all: bool,
        at: Moment,
    },
}

/// What became of a scope.
#[derive(Debug, Clone)]
pub struct Run {
    pub mark: ScopeMark,
    /// The try or round, from 1.
    pub number: u32,
    /// The one that its series began with: another than 1 where an operator had it done anew.
    pub first: u32,
    /// Tries, rounds or elements of a series.
    pub most: u32,
    /// What it runs for.
    pub list: Vec<Value>,
    /// The run of the job in which it came to that.
    pub run: u32,
}

impl Run {
    /// It failed before it began: an operator's retry asks its condition again.
    pub fn is_undecided(&self) -> bool {
        self.number == 0 && matches!(self.mark, ScopeMark::Failed { .. } | ScopeMark::Undone)
    }

    /// Tries or rounds in its series so far.
    pub fn tries(&self) -> u32 {
        self.number + 1 - self.first
    }
}

impl Told {
    /// Its condition could not be evaluated, and it was never called.
    pub fn is_undecided(&self) -> bool {
        self.calls == 0
            && matches!(self.mark, Mark::Failed(_) | Mark::Undone)
            && self.class == "host.expression"
    }

    pub fn of(mark: Mark, begun: usize) -> Self {
        Self {
            mark,
            run: 1,
            calls: 0,
            retries: 0,
            looks: 0,
            undo_calls: 0,
            undo_retries: 0,
            next: None,
            ready_by: None,
            is_held: false,
            answer: None,
            class: String::new(),
            output: None,
            handle: None,
            end: End::Interrupted,
            undo: Vec::new(),
            begun,
            ended: None,
        }
    }

    /// Its apply has failed for good.
    pub fn fail(&mut self, class: &str, did_nothing: bool, now: Moment) {
        self.mark = Mark::Failed(did_nothing);
        self.class = class.to_owned();
        self.end = End::Failed(class.to_owned(), self.handle.clone());
        self.ended = Some(now);
    }
}
