//! What can go wrong with a store, by what its caller does about it.

use windlass_core::id::JobId;

use crate::store::record::RecordKey;

/// The store could not answer. Nothing is known to have changed, nothing is lost.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreFailure {
    /// Reads, cancel and purge still work; writes do again when there is room.
    #[error("the disk is full: free some space, writes go on by themselves")]
    Full,
    /// Try again later: the store is being reopened.
    #[error("the store does not answer: {0}")]
    Down(String),
    /// Stored bytes are not what was written. Nothing is changed any more.
    #[error("the store is corrupt: {0}; restore a backup or run the check")]
    Corrupt(String),
}

/// Why a unit was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Somebody else moved first. Drop the decision, load again, decide again.
    #[error("{0}")]
    Conflict(Conflict),
    /// The job has another claim, or none: the decision's taker must stop.
    #[error("job {job} has moved past the claim epoch {epoch}")]
    Fenced { job: JobId, epoch: u64 },
    /// The unique key is held already.
    #[error("that was done before, by job {holder}")]
    Taken { holder: JobId },
    #[error(transparent)]
    Storage(#[from] StoreFailure),
}

/// What was not as expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("job {job} is at entry {found}, not {expected}")]
    Job { job: JobId, expected: u64, found: u64 },
    #[error("job {job} has not ended: cancel it first")]
    NotEnded { job: JobId },
    #[error("{key:?} exists already")]
    Exists { key: RecordKey },
    #[error("{key:?} does not exist")]
    Missing { key: RecordKey },
    #[error("{key:?} is at generation {found}, not {expected}")]
    Generation { key: RecordKey, expected: u64, found: u64 },
}
