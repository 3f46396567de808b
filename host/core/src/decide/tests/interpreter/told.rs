//! What became of the tasks and scopes of a job.

use serde_json::Value;

/// How a task stands, as far as a reader of the logbook would care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Skipped,
    Applying,
    /// It asked to be called again at once.
    Again,
    Doubt,
    Applied,
    /// `true`: it did nothing at all.
    Failed(bool),
    Undoing,
    /// Its revert was cut short, or asked to be called again at once.
    UndoAgain,
    Undone,
    Stuck,
}

/// How the flow of an own revert ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Applied(Value),
    /// The first failure is not told apart: its text is empty.
    Failed(String),
    Interrupted,
}

/// A task or own revert in one iteration of the scopes around it, by its order in the definition.
pub type Seat = (usize, Vec<u32>);

/// What became of a task in one iteration.
#[derive(Debug, Clone)]
pub struct Told {
    pub mark: Mark,
    pub calls: u32,
    pub retries: u32,
    pub undo_calls: u32,
    pub undo_retries: u32,
    pub class: String,
    pub output: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeMark {
    Within,
    /// It is undone, to be tried again.
    Turned,
    Applied,
    Skipped,
    /// `all`: no scope around it is asked whether it tries again.
    Failed {
        class: String,
        all: bool,
    },
}

/// What became of a scope.
#[derive(Debug, Clone)]
pub struct Run {
    pub mark: ScopeMark,
    /// The try or round, from 1.
    pub number: u32,
    /// Tries, rounds or elements.
    pub most: u32,
    /// What it runs for.
    pub list: Vec<Value>,
}

impl Told {
    pub fn of(mark: Mark) -> Self {
        Self {
            mark,
            calls: 0,
            retries: 0,
            undo_calls: 0,
            undo_retries: 0,
            class: String::new(),
            output: None,
        }
    }
}
