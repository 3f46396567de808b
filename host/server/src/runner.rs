//! The runner: takes one ready job and makes its calls, until the job ends, waits, or is lost.
//!
//! Between two commits it knows exactly one thing that the store does not: the outcomes of the calls that just
//! ended. While the store is down it keeps them, and neither spins nor gives them up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use windlass_core::decide::Decision;
use windlass_core::entry::Entry;
use windlass_core::id::JobId;
use windlass_core::job::{Cause, Claim, Job, JobState};

use crate::engine::news::Bulletin;
use crate::engine::{Engine, EngineError};
use crate::registry::Registry;
use crate::store::{Change, CommitError, StoreFailure, Unit};
use desk::{STORE_PAUSE_MAX, STORE_PAUSE_MIN};

mod attendance;
mod course;
mod desk;
mod journal;
mod preparation;

/// How often the stored job is looked at while its calls run: a bulletin may be lost, and another process sends none.
const LOOK_PERIOD: Duration = Duration::from_secs(3);

/// What a runner needs. One for all jobs.
pub struct Runner {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    /// One for each call that runs at once on this host.
    slots: Arc<Semaphore>,
    /// Guests run apart from timers and gRPC.
    guests: tokio::runtime::Handle,
    /// No new call is begun.
    stopping: CancellationToken,
    /// Running calls are cut short.
    aborting: CancellationToken,
    look_period: Duration,
}

/// Why a runner lets go of a job. None of them is an error of the job.
enum LetGo {
    /// The job ended, waits, or is another host's.
    Done,
    /// The claim is lost: nothing more may be written.
    Fenced,
}

impl Runner {
    pub fn new(
        engine: Arc<Engine>,
        registry: Arc<Registry>,
        slots: Arc<Semaphore>,
        guests: tokio::runtime::Handle,
        stopping: CancellationToken,
        aborting: CancellationToken,
    ) -> Self {
        Self { engine, registry, slots, guests, stopping, aborting, look_period: LOOK_PERIOD }
    }

    /// Looks at the stored jobs as often as that, in the place of every three seconds.
    #[must_use]
    pub fn looking_every(self, look_period: Duration) -> Self {
        Self { look_period, ..self }
    }

    /// Claims the job, if it is still to be had, and runs it as far as it goes. `slot` is for its first call.
    pub async fn run(self: Arc<Self>, id: JobId, slot: OwnedSemaphorePermit) {
        let mut slots = vec![slot];
        // From now on: what is recorded of the job after it was claimed is heard of.
        let bulletins = self.engine.news.subscribe(id);
        if let Some(job) = self.claim(id, None, &mut slots).await {
            self.run_claimed(job, slots, bulletins).await;
        }
    }

    /// Claims a job in the commit that makes it, and begins as many of its first calls as there are slots. Where it is not
    /// to be run now, or may not be, the slots are given back, and the board has it.
    pub fn claim_at_birth(&self, job: &mut Job, slots: &mut Vec<OwnedSemaphorePermit>) -> Vec<Entry> {
        if job.status.state != JobState::Ready || self.engine.permits_run(job).is_err() {
            slots.clear();
        }
        if slots.is_empty() {
            return Vec::new();
        }
        match self.decide_claim(job, slots, None) {
            Some(entries) => entries,
            None => {
                slots.clear();
                Vec::new()
            }
        }
    }

    /// Runs a job that was claimed with its birth. `bulletins`: of the job, from before that was committed.
    pub async fn run_claimed(
        self: Arc<Self>,
        job: Job,
        slots: Vec<OwnedSemaphorePermit>,
        bulletins: Receiver<Bulletin>,
    ) {
        let Some(epoch) = job.status.claim.map(|claim| claim.epoch) else { return };
        course::Course::new(self.clone(), job, epoch, slots, bulletins).run().await;
    }

    /// Runs a job whose birth failed, where it was made all the same. Without slots until then: most were not.
    pub async fn run_tried(self: Arc<Self>, (id, claim): (JobId, Claim), bulletins: Receiver<Bulletin>) {
        let mut slots = Vec::new();
        if let Some(job) = self.claim(id, Some(claim), &mut slots).await {
            self.run_claimed(job, slots, bulletins).await;
        }
    }

    /// Claims and begins the first calls in one commit; while the store does not answer, again after a pause.
    /// `tried`: the claim of a commit that failed, which may have been made all the same.
    async fn claim(
        &self,
        id: JobId,
        mut tried: Option<Claim>,
        slots: &mut Vec<OwnedSemaphorePermit>,
    ) -> Option<Job> {
        let mut pause = STORE_PAUSE_MIN;
        loop {
            let failure = match self.engine.load(id).await {
                Ok(job) if tried.is_some() && job.status.claim == tried => return Some(job),
                Ok(job) => match self.try_claim(job, slots).await {
                    Ok(claimed) => return claimed,
                    Err((claim, failure)) => {
                        tried = claim;
                        failure
                    }
                },
                Err(EngineError::Storage(failure)) => failure,
                Err(EngineError::NotFound { .. }) if tried.is_some() => return None,
                Err(error) => {
                    tracing::warn!(job = %id, %error, "a ready job could not be loaded");
                    return None;
                }
            };
            tracing::warn!(job = %id, %failure, "a ready job cannot be claimed now");
            tokio::select! {
                () = self.stopping.cancelled() => return None,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(STORE_PAUSE_MAX),
            }
        }
    }

    /// The last entry of a job as it is stored; none where the store does not tell.
    async fn stored_sequence(&self, id: JobId) -> Option<u64> {
        let stored = self.engine.store.job(id).await;
        stored.ok().flatten().map(|job| job.status.sequence)
    }

    /// None where there is nothing to claim any more. The error: the claim that was tried, and why nobody knows
    /// whether it was made.
    async fn try_claim(
        &self,
        mut job: Job,
        slots: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<Option<Job>, (Option<Claim>, StoreFailure)> {
        let refusal = self.refusal(&job).await;
        let Some(entries) = self.decide_claim(&mut job, slots, refusal) else { return Ok(None) };
        let change = Change::recorded(&job, entries, None);
        match self.engine.commit(Unit::of(vec![change])).await {
            Ok(()) => Ok(Some(job)),
            // Somebody else was faster, or changed it: the board will show it again.
            Err(CommitError::Conflict(_) | CommitError::Fenced { .. } | CommitError::Taken { .. }) => {
                Ok(None)
            }
            Err(CommitError::Storage(failure)) => Err((job.status.claim, failure)),
        }
    }

    /// What claims the job, with as many slots as it can use and there are. None where it cannot be claimed.
    fn decide_claim(
        &self,
        job: &mut Job,
        slots: &mut Vec<OwnedSemaphorePermit>,
        refusal: Option<Cause>,
    ) -> Option<Vec<Entry>> {
        let now = self.engine.now();
        let more = job.wanted_calls(now).saturating_sub(slots.len());
        slots.extend((0..more).map_while(|_| self.slots.clone().try_acquire_owned().ok()));
        let decision = Decision::new(job, now, self.engine.host_actor());
        let mut decision = decision.with_room(slots.len());
        let decided = match refusal {
            Some(cause) => decision.refuse(cause),
            None => decision.claim(self.engine.host),
        };
        decided.ok().map(|()| decision.into_entries())
    }

    /// Why a job that never started may not start now.
    async fn refusal(&self, job: &Job) -> Option<Cause> {
        if job.status.epoch > 0 || job.status.state != JobState::Ready {
            return None;
        }
        if let Err(denied) = self.engine.permits_run(job) {
            return Some(Cause::Permission { message: denied.to_string() });
        }
        match self.engine.check_runnable(job).await {
            Ok(Ok(())) => None,
            Ok(Err(problems)) => Some(Cause::Invalid { message: problems.to_string() }),
            // The store is down: the claim will fail as well.
            Err(_) => None,
        }
    }
}
