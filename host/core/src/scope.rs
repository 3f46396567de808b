//! Scopes: flows that run again, or once for each of several values; and conditions, under which nodes run at all.
//!
//! Every time that a scope runs is an *iteration*, with task instances, keys and undo records of its own.

use serde::{Deserialize, Serialize};

use crate::flow::Input;

/// What makes a flow run again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Retry(ScopeRetry),
    Repeat(Repeat),
    Map(Map),
}

impl Scope {
    /// The name by which the tasks in it see the value that it runs for.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Retry(retry) => match &retry.strategy {
                Strategy::ForEach { name, .. } => Some(name),
                Strategy::Times(_) | Strategy::AlwaysRevert | Strategy::AlwaysRevertAll => None,
            },
            Self::Repeat(_) => None,
            Self::Map(map) => Some(&map.name),
        }
    }

    /// Where the list comes from of which it runs for each.
    pub fn over(&self) -> Option<&Input> {
        match self {
            Self::Retry(retry) => match &retry.strategy {
                Strategy::ForEach { over, .. } => Some(over),
                Strategy::Times(_) | Strategy::AlwaysRevert | Strategy::AlwaysRevertAll => None,
            },
            Self::Repeat(_) => None,
            Self::Map(map) => Some(&map.over),
        }
    }
}

/// When something in the flow has failed for good, all that it did is undone, and it is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScopeRetry {
    pub strategy: Strategy,
    #[serde(default, skip_serializing_if = "Backoff::is_none")]
    pub backoff: Backoff,
    /// Classes of faults after which it is not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// When it is not tried again, the whole job is undone, whatever the scopes around it would do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revert_all: bool,
}

/// How often a scope is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// So many times in all; 0 is once, as 1 is.
    Times(u32),
    /// Once for each value of a list, in its order, until it goes well.
    ForEach {
        over: Input,
        /// The name by which the scope's tasks see the value.
        name: String,
    },
    /// Once: the scope around it decides what next.
    AlwaysRevert,
    /// Once: the whole job is undone.
    AlwaysRevertAll,
}

/// How long to wait between two iterations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Milliseconds after the first iteration; none where 0.
    pub pause_ms: u64,
    pub pause_ms_max: u64,
    /// What each pause is multiplied with for the next, in percent; at least 100.
    pub factor_percent: u32,
}

impl Backoff {
    fn is_none(&self) -> bool {
        self.pause_ms == 0
    }
}

/// The flow runs until a condition holds after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// A CEL expression over what is visible at the end of the flow, and `round`, from 1.
    pub until: String,
    /// Where it does not hold after so many rounds, the scope has failed.
    pub rounds_max: u32,
    #[serde(default, skip_serializing_if = "Backoff::is_none")]
    pub backoff: Backoff,
}

/// The flow runs once for each value of a list, side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    pub over: Input,
    /// The name by which the flow's tasks see the value.
    pub name: String,
    /// Elements that are under way at once; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_max: Option<u32>,
}

/// Under which condition a node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// A CEL expression over the names that an input of the node could take.
    pub condition: String,
    /// What is left out where it does not hold.
    #[serde(default)]
    pub skips: SkipDepth,
}

/// What is left out with a node whose condition does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipDepth {
    /// Only the node.
    Task,
    /// And what comes right after it.
    Neighbours,
    /// And everything that comes after it in the flow that it is a member of.
    Flow,
    /// And everything that comes after it, up to the end of the innermost scope that runs again.
    #[default]
    All,
}

impl SkipDepth {
    pub fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Neighbours => "neighbours",
            Self::Flow => "flow",
            Self::All => "all",
        }
    }
}
