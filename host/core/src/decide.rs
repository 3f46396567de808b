//! Decisions: what is asked of a job, and the entries that answer it.
//!
//! A decision changes the job in memory and gives the entries to commit with the sequence number that it
//! was taken on. Where the commit is refused, the job in memory is stale: drop it and load it again.

use chrono::{DateTime, Utc};

use crate::entry::{Actor, Entry, Fact};
use crate::job::{Job, JobState};

pub mod advance;
pub mod child;
pub mod claim;
pub mod control;
pub mod create;
pub mod outcome;
mod own_revert;
pub(crate) mod scope;
pub mod wait;

/// Claims lost in a row with a call in flight before the job is taken off the board: one more than the
/// crashes that a bad afternoon of an innocent job may see.
pub const CLAIMS_LOST_MAX: u32 = 5;

/// A job, and what is being recorded of it now.
#[derive(Debug)]
pub struct Decision<'a> {
    pub job: &'a mut Job,
    now: DateTime<Utc>,
    actor: Actor,
    /// The host that stops: no call is begun, the job is given up instead.
    stopping: Option<crate::id::HostId>,
    /// Calls that may be begun.
    room: usize,
    entries: Vec<Entry>,
}

/// Why something asked of a job is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("cannot {verb} job {job}: it is {}; {advice}", .state.word())]
    State { job: crate::id::JobId, verb: &'static str, state: JobState, advice: &'static str },
    #[error("job {job} has no task {task:?} whose revert failed")]
    NoFailedRevert { job: crate::id::JobId, task: String },
    #[error("the revert of task {task} of job {job} failed in several iterations; name one of {}", .names.join(", "))]
    SeveralFailedReverts { job: crate::id::JobId, task: String, names: Vec<String> },
    #[error("job {job} waits for no approval {task:?}; it waits for {}", names(.waiting))]
    NoApproval { job: crate::id::JobId, task: String, waiting: Vec<String> },
    #[error("job {job} waits for several approvals; name one of {}", .names.join(", "))]
    SeveralApprovals { job: crate::id::JobId, names: Vec<String> },
    #[error("approval {task} of job {job} was answered before: {principal} said {answer}")]
    Answered { job: crate::id::JobId, task: String, principal: String, answer: &'static str },
    #[error("approval {task} of job {job} is not asked of {principal}; it is asked of {principals}")]
    NotAsked { job: crate::id::JobId, task: String, principal: String, principals: String },
    #[error("cannot {verb} job {job}: it is a child of job {parent}; {verb} that, which takes it along")]
    Child { job: crate::id::JobId, parent: crate::id::JobId, verb: &'static str },
    #[error("job {job} is claimed by host {host}")]
    Claimed { job: crate::id::JobId, host: crate::id::HostId },
    #[error("job {job} is not claimed by host {host}")]
    NotClaimed { job: crate::id::JobId, host: crate::id::HostId },
}

fn names(waiting: &[String]) -> String {
    if waiting.is_empty() { "none".to_owned() } else { waiting.join(", ") }
}

impl<'a> Decision<'a> {
    pub fn new(job: &'a mut Job, now: DateTime<Utc>, actor: Actor) -> Self {
        // A clock that went back must not make a job end before it began.
        let now = now.max(job.status.updated);
        Self { job, now, actor, stopping: None, room: usize::MAX, entries: Vec::new() }
    }

    /// The host stops: where the next call would begin, the job goes back to the board.
    pub fn stopping(mut self, host: crate::id::HostId) -> Self {
        self.stopping = Some(host);
        self
    }

    /// No more calls than this may be begun; where none is under way, one may.
    pub fn with_room(mut self, room: usize) -> Self {
        self.room = room;
        self
    }

    /// What is to be committed. Empty where nothing changes.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// # Panics
    /// On a fact that the tables of states do not allow: a bug in the decision.
    pub fn record(&mut self, fact: Fact) {
        let entry = Entry {
            sequence: self.job.status.sequence + 1,
            at: self.now,
            epoch: self.job.status.epoch,
            actor: self.actor.clone(),
            fact,
        };
        self.job.record(&entry).expect("a decision records only what the tables of states allow");
        // A claim's own entry carries the epoch that it opens.
        self.entries.push(Entry { epoch: self.job.status.epoch, ..entry });
    }

    fn refused(&self, verb: &'static str, advice: &'static str) -> Rejected {
        Rejected::State { job: self.job.id(), verb, state: self.job.status.state, advice }
    }
}

#[cfg(test)]
pub(crate) mod tests;
