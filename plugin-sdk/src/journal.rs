//! What can come of asking the host's journal: undo records, notes, progress.
//!
//! Invariant: a write that returned is durable; one that was refused is not, and its effect must not be made.

/// Why the host refused. `?` makes [`Stop::ClaimLost`], [`Stop::Cancelled`] and [`Stop::StoreDown`] a retry and the
/// others broken: see [`crate::Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Another host has the job now: end at once, whatever is written here is refused.
    ClaimLost,
    /// Somebody wants the job to end: leave things so that revert can undo them, and end.
    Cancelled,
    /// Not allowed here, such as an undo record from a revert.
    Denied,
    /// Beyond the host's bound for one record.
    TooLarge,
    /// The host cannot write at present.
    StoreDown,
}

impl Stop {
    fn reason(self) -> &'static str {
        match self {
            Stop::ClaimLost => "another host has the job now",
            Stop::Cancelled => "the job is being cancelled",
            Stop::Denied => "it is not allowed here",
            Stop::TooLarge => "it is larger than the host accepts",
            Stop::StoreDown => "the store cannot be written",
        }
    }
}

/// Why something could not be written to, or read from, the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the host refused the record: {}", .0.reason())]
    Stopped(Stop),
    #[error("{what} has no JSON form")]
    Encoding { what: String, source: serde_json::Error },
    #[error("{what} does not decode")]
    Decoding { what: String, source: serde_json::Error },
}

impl From<Stop> for JournalError {
    fn from(stop: Stop) -> Self {
        JournalError::Stopped(stop)
    }
}
