//! The desk: the one copy in memory of a job that this host has, shared by all its calls.
//!
//! Invariant: whoever decides does so on what is stored. A decision changes the copy before it is committed; until the
//! commit is known to have been made the copy is doubtful, and the next one to decide reads it again. So a caller may be
//! dropped in the middle, and no decision needs a copy of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use windlass_core::decide::Decision;
use windlass_core::entry::Entry;
use windlass_core::id::JobId;
use windlass_core::job::Job;

use super::LetGo;
use crate::engine::Engine;
use crate::executors::Stop;
use crate::store::{Change, CommitError, StoreFailure, Unit};

/// The first pause when the store does not answer; doubled up to the last.
pub(super) const STORE_PAUSE_MIN: Duration = Duration::from_millis(50);
pub(super) const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A guest's decision is taken again when another changed the job meanwhile; more often than this is no coincidence.
const TRIES_MAX: usize = 32;

/// See the module.
pub(super) struct Desk {
    engine: Arc<Engine>,
    aborting: CancellationToken,
    id: JobId,
    /// The claim under which everything is written.
    pub epoch: u64,
    /// The claim is known to be lost: whatever still runs under it has to end.
    pub lost: CancellationToken,
    held: Mutex<Held>,
}

struct Held {
    job: Job,
    /// The copy is what is stored, or what was stored before somebody else changed it: a commit would tell.
    is_sure: bool,
}

impl Desk {
    pub fn new(engine: Arc<Engine>, aborting: CancellationToken, job: Job, epoch: u64) -> Self {
        let id = job.id();
        let held = Mutex::new(Held { job, is_sure: true });
        Self { engine, aborting, id, epoch, lost: CancellationToken::new(), held }
    }

    pub fn id(&self) -> JobId {
        self.id
    }

    /// What the job says as this host knows it.
    pub async fn read<T>(&self, read: impl FnOnce(&Job) -> T) -> T {
        read(&self.held.lock().await.job)
    }

    /// Whether the copy is not what is stored, as far as anybody knows who has heard of this entry. Whoever decides next
    /// reads the job again then.
    pub async fn is_behind(&self, sequence: u64) -> bool {
        let mut held = self.held.lock().await;
        held.is_sure &= sequence <= held.job.status.sequence;
        !held.is_sure
    }

    /// Decides on the job as it is and commits, again after a conflict, and until the store answers. Gives what was
    /// recorded.
    pub async fn record(
        &self,
        decide: impl Fn(Decision<'_>) -> Result<Vec<Entry>, LetGo>,
    ) -> Result<Vec<Entry>, LetGo> {
        let mut pause = STORE_PAUSE_MIN;
        loop {
            // The lock is given back while the store is down: a guest that wants to write is told so.
            let (entries, failure) = match self.record_once(&decide, &mut pause).await? {
                (entries, None) => return Ok(entries),
                (entries, Some(failure)) => (entries, failure),
            };
            tracing::warn!(job = %self.id, %failure, "an outcome is kept, and written later");
            self.wait(&mut pause).await?;
            if self.is_recorded(&entries, &mut pause).await? {
                return Ok(entries);
            }
        }
    }

    /// What was decided, and why nobody knows whether it was recorded, where nobody does.
    async fn record_once(
        &self,
        decide: &impl Fn(Decision<'_>) -> Result<Vec<Entry>, LetGo>,
        pause: &mut Duration,
    ) -> Result<(Vec<Entry>, Option<StoreFailure>), LetGo> {
        let mut held = self.held.lock().await;
        loop {
            if !held.is_sure {
                held.job = self.reload(pause).await?;
            }
            held.is_sure = false;
            let entries = decide(Decision::new(&mut held.job, self.engine.now(), self.engine.host_actor()))?;
            match self.commit(&held.job, &entries).await {
                Ok(()) => {
                    held.is_sure = true;
                    return Ok((entries, None));
                }
                Err(CommitError::Fenced { .. } | CommitError::Taken { .. }) => return Err(LetGo::Fenced),
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Storage(failure)) => return Ok((entries, Some(failure))),
            }
        }
    }

    /// As `record`, for a guest that waits: where the store does not answer, it is told so.
    pub async fn try_record(&self, decide: impl Fn(&mut Decision<'_>) -> bool) -> Result<(), Stop> {
        let mut held = self.held.lock().await;
        for _ in 0..TRIES_MAX {
            if !held.is_sure {
                held.job = match self.engine.store.job(self.id).await {
                    Ok(Some(stored)) => stored,
                    Ok(None) => return Err(Stop::ClaimLost),
                    Err(_) => return Err(Stop::StoreDown),
                };
            }
            held.is_sure = false;
            let mut decision = Decision::new(&mut held.job, self.engine.now(), self.engine.host_actor());
            if !decide(&mut decision) {
                return Err(Stop::ClaimLost);
            }
            let entries = decision.into_entries();
            match self.commit(&held.job, &entries).await {
                Ok(()) => {
                    held.is_sure = true;
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Fenced { .. } | CommitError::Taken { .. }) => return Err(Stop::ClaimLost),
                Err(CommitError::Storage(_)) => return Err(Stop::StoreDown),
            }
        }
        Err(Stop::StoreDown)
    }

    async fn commit(&self, job: &Job, entries: &[Entry]) -> Result<(), CommitError> {
        if entries.is_empty() {
            return Ok(());
        }
        let change = Change::recorded(job, entries.to_vec(), Some(self.epoch));
        self.engine.commit_of(Unit::of(vec![change]), Some(job)).await
    }

    /// Whether a commit that failed was made all the same: its answer may have been lost.
    async fn is_recorded(&self, entries: &[Entry], pause: &mut Duration) -> Result<bool, LetGo> {
        let Some(first) = entries.first() else { return Ok(true) };
        loop {
            match self.engine.store.entries(self.id, first.sequence - 1, entries.len()).await {
                Ok(stored) => return Ok(stored == entries),
                Err(failure) => self.down(&failure, pause).await?,
            }
        }
    }

    async fn reload(&self, pause: &mut Duration) -> Result<Job, LetGo> {
        loop {
            match self.engine.store.job(self.id).await {
                Ok(job) => return job.ok_or(LetGo::Fenced),
                Err(failure) => self.down(&failure, pause).await?,
            }
        }
    }

    async fn down(&self, failure: &StoreFailure, pause: &mut Duration) -> Result<(), LetGo> {
        tracing::warn!(job = %self.id, %failure, "the store does not answer");
        self.wait(pause).await
    }

    /// Pauses, longer each time. Lets go where the host stops and the store has not come back for long: the next
    /// host finds the calls in doubt, as after a crash.
    async fn wait(&self, pause: &mut Duration) -> Result<(), LetGo> {
        if self.aborting.is_cancelled() && *pause >= STORE_PAUSE_MAX {
            return Err(LetGo::Fenced);
        }
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(STORE_PAUSE_MAX);
        Ok(())
    }
}
