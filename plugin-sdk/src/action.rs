//! Actions: what a plugin can do, and how it undoes it.
//!
//! Invariant: whatever `apply` did, in any number of attempts and however they ended, `revert` can undo from its
//! input and its evidence alone: every call is made in a fresh instance, possibly on another host.

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use crate::context::Context;
use crate::failure::{Failure, Fault};

/// One thing that a plugin can do, and its undoing. Where what it begins may finish elsewhere, later than its call, it is
/// an [`ObservedAction`](crate::ObservedAction) instead.
///
/// Both functions may be called again for the same task instance: after a failure that asked for it, and after a
/// crash that left nobody knowing how far they came. [`Context::prior`] tells which. So write them to be
/// *idempotent*: look what is there already, and name things after [`Context::idempotency_key`], which stays.
pub trait Action {
    /// The name, unique in the plugin: what operations and flows call it by.
    const NAME: &'static str;
    /// One line for people, shown with the plugin.
    const DESCRIPTION: &'static str;
    /// Whether [`Action::revert`] undoes the effect. Say `false` where it cannot, such as for a sent letter.
    const REVERSIBLE: bool = true;

    /// The arguments. Input that does not decode is rejected with the class `input.invalid`, without a call.
    type Input: DeserializeOwned + JsonSchema;
    /// What a successful apply gives to the tasks after it, and to its own revert.
    type Output: Serialize + DeserializeOwned + JsonSchema;
    /// What revert needs to know, written ahead of the effect. `()` where the input says it all.
    type Undo: Serialize + DeserializeOwned;

    /// Does it.
    fn apply(
        context: &Context<'_, Self::Undo>,
        input: Self::Input,
    ) -> Result<Applied<Self::Output, Self::Undo>, Failure>;

    /// Undoes it. What is gone already is success. Also called for an apply that failed or was interrupted, except
    /// after a lone [`Failure::reject`]. The value that it may return is kept with the job, for people to read.
    fn revert(
        context: &Context<'_, Self::Undo>,
        input: Self::Input,
        evidence: Evidence<Self::Output, Self::Undo>,
    ) -> Result<Option<serde_json::Value>, Failure>;
}

/// A successful apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied<Output, Undo> {
    pub output: Output,
    /// A last undo record, beside those written by [`Context::undo_ahead`]. It is durable only with the outcome:
    /// what a crash must not forget belongs in `undo_ahead`.
    pub undo: Option<Undo>,
}

impl<Output, Undo> Applied<Output, Undo> {
    pub fn new(output: Output) -> Self {
        Applied { output, undo: None }
    }

    #[must_use]
    pub fn with_undo(mut self, undo: Undo) -> Self {
        self.undo = Some(undo);
        self
    }
}

/// What revert, and the observation of an [`ObservedAction`](crate::ObservedAction), are told of the apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence<Output, Undo, Handle = NoHandle> {
    pub end: End<Output, Handle>,
    /// Every undo record of every attempt, oldest first. Attempts that were repeated have written theirs again. What most
    /// reverts want is [`Evidence::into_records`].
    pub undo: Vec<UndoRecord<Undo>>,
}

/// An undo record, and who wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoRecord<Undo> {
    /// The task that wrote it: of a revert of its own, the task that is undone; of the own revert of a flow, any in the flow.
    pub task: String,
    /// Which of the task's instances: see [`Context::iteration`].
    pub iteration: Vec<u32>,
    /// The attempt of apply that wrote it, from 1. 0 where that is not known: an older version of the host kept it.
    pub attempt: u32,
    pub undo: Undo,
}

/// How the apply ended. Only an [`ObservedAction`](crate::ObservedAction) has handles.
#[derive(Debug, Clone, PartialEq)]
pub enum End<Output, Handle = NoHandle> {
    /// Also where it was accepted first, and found present. The own revert of a flow is told what each task in the flow gave,
    /// by their names. So the output of an action that is meant for that is a map, or a struct that takes any part of them.
    Applied(Output),
    /// Begun, and not known to be there yet.
    Accepted(Handle),
    /// The handle, where it was accepted first.
    Failed { fault: Fault, handle: Option<Handle> },
    /// Nobody knows how far it came: the host was lost while it ran.
    Interrupted,
    /// Told to the own revert of a flow, and to nobody else: not everything in the flow is applied or skipped.
    Partial(Partial<Output>),
}

/// A flow of which not everything is applied or skipped, as its own revert is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partial<Output> {
    /// What each of its tasks that is applied gave, by their names.
    pub outputs: Output,
    /// The first failure of what is not undone yet, where something in it failed. [`Context::failures`] tells of all.
    pub failure: Option<Fault>,
    /// Of the apply of something in it nobody knows how it ended.
    pub is_interrupted: bool,
}

/// The handle of an [`Action`]: there is none, for its apply is never accepted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum NoHandle {}

impl<'de> Deserialize<'de> for NoHandle {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("the action never answers `accepted`, so that it belongs to another plugin"))
    }
}

impl<Output, Undo, Handle> Evidence<Output, Undo, Handle> {
    /// The output, if the apply succeeded.
    pub fn output(&self) -> Option<&Output> {
        match &self.end {
            End::Applied(output) => Some(output),
            End::Accepted(_) | End::Failed { .. } | End::Interrupted | End::Partial(_) => None,
        }
    }

    /// What was written to be undone, oldest first, whoever wrote it.
    pub fn into_records(self) -> Vec<Undo> {
        self.undo.into_iter().map(|record| record.undo).collect()
    }

    /// The handle, if the apply was accepted and has not become ready. One that has left its output instead.
    pub fn handle(&self) -> Option<&Handle> {
        match &self.end {
            End::Accepted(handle) => Some(handle),
            End::Failed { handle, .. } => handle.as_ref(),
            End::Applied(_) | End::Interrupted | End::Partial(_) => None,
        }
    }
}
