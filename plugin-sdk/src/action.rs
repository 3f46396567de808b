//! Actions: what a plugin can do, and how it undoes it.
//!
//! Invariant: whatever `apply` did, in any number of attempts and however they ended, `revert` can undo from its
//! input and its evidence alone: every call is made in a fresh instance, possibly on another host.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::failure::{Failure, Fault};

/// One thing that a plugin can do, and its undoing.
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

/// What revert is told of the apply that it undoes.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence<Output, Undo> {
    pub end: End<Output>,
    /// Every undo record of every attempt, oldest first. Attempts that were repeated have written theirs again.
    pub undo: Vec<Undo>,
}

/// How the apply ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End<Output> {
    Applied(Output),
    Failed(Fault),
    /// Nobody knows how far it came: the host was lost while it ran.
    Interrupted,
}

impl<Output, Undo> Evidence<Output, Undo> {
    /// The output, if the apply succeeded.
    pub fn output(&self) -> Option<&Output> {
        match &self.end {
            End::Applied(output) => Some(output),
            End::Failed(_) | End::Interrupted => None,
        }
    }
}
