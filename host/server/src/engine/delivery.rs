//! Deliveries: an event is given to the jobs that wait for it.
//!
//! Invariant: no job is given an event whose key is taken, and each that waited for it before its publication began has
//! it when the key is taken. A publication delivers first and takes the key last, so that one that is cut short by a
//! crash, and was never acknowledged, is done again as a whole; who has the event already says so, and is given nothing.
//!
//! Of two publications of the same event at the same time each delivers to every job that it finds, and a job is given
//! it by the first of them. The one that takes the key has delivered to all. The other finds the key taken by a unit
//! that would deliver, or by that which would take it, and gives the event to nobody any more: in particular to no job
//! that began to wait after the first was acknowledged. A job that begins to wait in the midst of a publication may be
//! given the event or not, as if it had begun a moment earlier or later.

use futures::future::join_all;
use windlass_core::decide::Decision;
use windlass_core::entry::Actor;
use windlass_core::event::CloudEvent;
use windlass_core::id::JobId;

use crate::engine::{DECIDE_TRIES_MAX, Engine, EngineError};
use crate::store::{Change, CommitError, StoreFailure, UniqueKey, Unit};

/// Jobs that are given an event at once: together they fill a transaction of the store, and one page is held in memory.
const PAGE_JOBS: usize = 64;
/// Jobs that an error names: enough to look for what they have in common.
const NAMED_JOBS_MAX: usize = 3;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// To so many jobs.
    Made(usize),
    /// Another publication of the event has taken its key.
    Taken,
}

/// What became of it for one job.
enum Given {
    Now,
    /// It does not wait for this event, or has it.
    NotMeant,
    Taken,
}

impl Engine {
    /// Gives the event to every job that waits for it. One that cannot be given it keeps it from no other; then the
    /// error says so, and the key must not be taken.
    pub(super) async fn deliver(
        &self,
        actor: &Actor,
        event: &CloudEvent,
        key: &UniqueKey,
    ) -> Result<Delivery, EngineError> {
        let (mut count, mut failed, mut after) = (0, Vec::new(), None);
        loop {
            let jobs = self.store.awaiting(&event.type_, after, PAGE_JOBS).await?;
            let given = join_all(jobs.iter().map(|job| self.give(*job, actor, event, key))).await;
            for (job, given) in jobs.iter().zip(given) {
                match given {
                    Ok(Given::Now) => count += 1,
                    Ok(Given::NotMeant) => {}
                    Ok(Given::Taken) => return Ok(Delivery::Taken),
                    Err(error) => failed.push((*job, error)),
                }
            }
            after = jobs.last().copied();
            if jobs.len() < PAGE_JOBS {
                break;
            }
        }
        if failed.is_empty() { Ok(Delivery::Made(count)) } else { Err(undelivered(event, failed)) }
    }

    async fn give(
        &self,
        id: JobId,
        actor: &Actor,
        event: &CloudEvent,
        key: &UniqueKey,
    ) -> Result<Given, EngineError> {
        for _ in 0..DECIDE_TRIES_MAX {
            // It may have ended and been purged since it was listed.
            let Some(mut job) = self.store.job(id).await? else { return Ok(Given::NotMeant) };
            let mut decision = Decision::new(&mut job, self.now(), actor.clone());
            if !decision.deliver(event) {
                return Ok(Given::NotMeant);
            }
            let entries = decision.into_entries();
            let free = Change::ExpectFree { key: key.clone() };
            match self.commit(Unit::of(vec![free, Change::recorded(&job, entries, None)])).await {
                Ok(()) => return Ok(Given::Now),
                Err(CommitError::Taken { .. }) => return Ok(Given::Taken),
                Err(CommitError::Conflict(_) | CommitError::Fenced { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject: format!("job {id}") })
    }
}

/// What the publisher is told. A store that does not answer says so itself; of jobs that change too fast, trying again
/// is all there is to do.
fn undelivered(event: &CloudEvent, mut failed: Vec<(JobId, EngineError)>) -> EngineError {
    let is_of_store = |error: &EngineError| {
        matches!(error, EngineError::Storage(StoreFailure::Down(_) | StoreFailure::Full))
    };
    if let Some(place) = failed.iter().position(|(_, error)| is_of_store(error)) {
        return failed.swap_remove(place).1;
    }
    let (id, source, count) = (&event.id, &event.source, failed.len());
    if failed.iter().all(|(_, error)| matches!(error, EngineError::Busy { .. })) {
        return EngineError::Busy { subject: format!("{count} jobs that wait for event {id} of {source}") };
    }
    let named = failed.iter().take(NAMED_JOBS_MAX).map(|(job, error)| format!("job {job}: {error}"));
    let named = named.collect::<Vec<_>>().join("; ");
    let message = format!(
        "event {id} of {source} could not be given to {count} of the jobs that wait for it, and is not taken ({named}); the \
         others have it: mend or cancel those, and publish it again, which gives it to nobody twice"
    );
    EngineError::precondition(format!("event {id}"), message)
}
