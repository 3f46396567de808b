//! Why the engine refuses, by what its caller does about it.

use std::fmt::Display;

use windlass_core::decide::Rejected;
use windlass_core::inputs::OutputError;
use windlass_core::permit::Denied;
use windlass_core::problem::{Problem, Problems};

use crate::store::{CommitError, Conflict, StoreFailure};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("there is no {kind} {id}")]
    NotFound { kind: &'static str, id: String },
    #[error("{0}")]
    Invalid(Problems),
    /// Possible in itself, not where the thing stands.
    #[error("{message}")]
    Precondition { subject: String, message: String },
    #[error("{kind} {id} exists already: {message}")]
    Exists { kind: &'static str, id: String, message: String },
    /// The caller decided on an older state. Read again, decide again.
    #[error("{subject} has changed since it was read: read it again")]
    Stale { subject: String },
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{subject} is being changed by too many at once: try again")]
    Busy { subject: String },
    #[error(transparent)]
    Storage(#[from] StoreFailure),
}

impl EngineError {
    pub fn not_found(kind: &'static str, id: impl Display) -> Self {
        Self::NotFound { kind, id: id.to_string() }
    }

    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(Problems(vec![Problem::new(path, message)]))
    }

    pub fn precondition(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Precondition { subject: subject.into(), message: message.into() }
    }
}

impl From<Problems> for EngineError {
    fn from(problems: Problems) -> Self {
        Self::Invalid(problems)
    }
}

impl From<Rejected> for EngineError {
    fn from(rejected: Rejected) -> Self {
        let subject = match &rejected {
            Rejected::State { job, .. }
            | Rejected::NoFailedRevert { job, .. }
            | Rejected::SeveralFailedReverts { job, .. }
            | Rejected::NoApproval { job, .. }
            | Rejected::SeveralApprovals { job, .. }
            | Rejected::Answered { job, .. }
            | Rejected::NotAsked { job, .. }
            | Rejected::Child { job, .. }
            | Rejected::Claimed { job, .. }
            | Rejected::NotClaimed { job, .. } => format!("job {job}"),
        };
        Self::Precondition { subject, message: rejected.to_string() }
    }
}

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(failure) => Self::Storage(failure),
            CommitError::Conflict(Conflict::NotEnded { job }) => {
                Self::precondition(format!("job {job}"), Conflict::NotEnded { job }.to_string())
            }
            CommitError::Conflict(Conflict::Job { job, .. }) => Self::Stale { subject: format!("job {job}") },
            CommitError::Conflict(
                Conflict::Exists { key } | Conflict::Missing { key } | Conflict::Generation { key, .. },
            ) => Self::Stale { subject: format!("{key:?}") },
            CommitError::Fenced { job, .. } => Self::Stale { subject: format!("job {job}") },
            CommitError::Taken { holder } => Self::Exists {
                kind: "job",
                id: holder.to_string(),
                message: "it was made for the same request".to_owned(),
            },
        }
    }
}

impl From<OutputError> for EngineError {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Unknown { ref name, .. } => {
                Self::NotFound { kind: "output", id: format!("{name:?} ({error})") }
            }
            OutputError::NotYet { .. } => Self::precondition("output", error.to_string()),
        }
    }
}
