//! The runner: takes one ready job and makes its calls, until the job ends, waits, or is lost.
//!
//! Between two commits it knows exactly one thing that the store does not: the outcome of the call that just
//! ended. While the store is down it keeps that, and neither spins nor gives it up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use windlass_core::call::{Call, Direction, Outcome};
use windlass_core::decide::Decision;
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::Entry;
use windlass_core::fault::Fault;
use windlass_core::id::JobId;
use windlass_core::instance::TaskInstance;
use windlass_core::job::{Cause, Claim, Job, JobState};
use windlass_core::payload::Payload;

use crate::engine::{Engine, EngineError};
use crate::registry::Registry;
use crate::store::{Change, CommitError, StoreFailure, Unit};

mod attendance;
mod journal;
mod preparation;

/// The first pause when the store does not answer; doubled up to the last.
const STORE_PAUSE_MIN: Duration = Duration::from_millis(50);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a runner needs. One for all jobs.
pub struct Runner {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    /// Guests run apart from timers and gRPC.
    guests: tokio::runtime::Handle,
    /// No new call is begun.
    stopping: CancellationToken,
    /// Running calls are cut short.
    aborting: CancellationToken,
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
        guests: tokio::runtime::Handle,
        stopping: CancellationToken,
        aborting: CancellationToken,
    ) -> Self {
        Self { engine, registry, guests, stopping, aborting }
    }

    /// Claims the job, if it is still to be had, and runs it as far as it goes.
    pub async fn run(&self, id: JobId) {
        let Some(job) = self.claim(id).await else { return };
        let Some(epoch) = job.status.claim.map(|claim| claim.epoch) else { return };
        let shared = Arc::new(Mutex::new(job));
        while let Some((call_name, call)) = self.next_call(&shared).await {
            let outcome = match call {
                Ok(call) => match self.make_call(&shared, &call_name, call, epoch).await {
                    Some(outcome) => outcome,
                    None => return self.give_up(&shared, epoch).await,
                },
                Err(outcome) => outcome,
            };
            if let Err(LetGo::Fenced) = self.finish(&shared, &call_name, outcome, epoch).await {
                tracing::warn!(job = %id, "the claim is lost, the outcome is not recorded");
                return;
            }
        }
    }

    /// Claims and begins the first call in one commit; while the store does not answer, again after a pause.
    async fn claim(&self, id: JobId) -> Option<Job> {
        let mut pause = STORE_PAUSE_MIN;
        // The claim of a commit that failed: it may have been made all the same.
        let mut tried = None;
        loop {
            let failure = match self.engine.load(id).await {
                Ok(job) if tried.is_some() && job.status.claim == tried => return Some(job),
                Ok(job) => match self.try_claim(job).await {
                    Ok(claimed) => return claimed,
                    Err((claim, failure)) => {
                        tried = claim;
                        failure
                    }
                },
                Err(EngineError::Storage(failure)) => failure,
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

    /// None where there is nothing to claim any more. The error: the claim that was tried, and why nobody knows
    /// whether it was made.
    async fn try_claim(&self, mut job: Job) -> Result<Option<Job>, (Option<Claim>, StoreFailure)> {
        let refusal = self.refusal(&job).await;
        let mut decision = Decision::new(&mut job, self.engine.now(), self.engine.host_actor());
        let decided = match refusal {
            Some(cause) => decision.refuse(cause),
            None => decision.claim(self.engine.host),
        };
        if decided.is_err() {
            return Ok(None);
        }
        let entries = decision.into_entries();
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

    /// The call that the job wants made now.
    async fn next_call(&self, shared: &Mutex<Job>) -> Option<(CallName, Result<Call, Outcome>)> {
        let job = shared.lock().await.clone();
        if !job.status.state.is_claimed() || job.status.claim.map(|c| c.host) != Some(self.engine.host) {
            return None;
        }
        let instance = job.in_flight()?;
        let direction = match instance.state {
            windlass_core::instance::TaskState::Applying => Direction::Apply,
            _ => Direction::Revert,
        };
        let attempt = match direction {
            Direction::Apply => instance.attempt,
            Direction::Revert => instance.revert_attempt,
        };
        let name = CallName { task: instance.name.clone(), direction, attempt };
        let call = self.prepare(&job, instance, direction).await;
        Some((name, call))
    }

    /// Records the outcome, for as long as it takes: it exists nowhere else.
    async fn finish(
        &self,
        shared: &Mutex<Job>,
        name: &CallName,
        outcome: Outcome,
        epoch: u64,
    ) -> Result<(), LetGo> {
        let is_stopping = self.stopping.is_cancelled();
        let host = self.engine.host;
        self.record(shared, epoch, |mut decision| {
            if is_stopping {
                decision = decision.stopping(host);
            }
            let finished = decision.finish(name, outcome.clone());
            finished.map(|()| decision.into_entries()).map_err(|_| LetGo::Fenced)
        })
        .await
    }

    /// The host stops and the call was cut short: what it did is in doubt.
    async fn give_up(&self, shared: &Mutex<Job>, epoch: u64) {
        let host = self.engine.host;
        let given_up = self.record(shared, epoch, |mut decision| match decision.give_up(host) {
            Ok(()) => Ok(decision.into_entries()),
            Err(_) => Err(LetGo::Done),
        });
        if given_up.await.is_err() {
            tracing::debug!("a job that was to be given up has no claim of this host any more");
        }
    }

    /// Decides on the job as it is and commits, again after a conflict, and until the store answers.
    async fn record(
        &self,
        shared: &Mutex<Job>,
        epoch: u64,
        decide: impl Fn(Decision<'_>) -> Result<Vec<Entry>, LetGo>,
    ) -> Result<(), LetGo> {
        let mut pause = STORE_PAUSE_MIN;
        let mut job = shared.lock().await;
        loop {
            let decision = Decision::new(&mut job, self.engine.now(), self.engine.host_actor());
            let entries = decide(decision)?;
            let change = Change::recorded(&job, entries.clone(), Some(epoch));
            match self.engine.commit(Unit::of(vec![change])).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Fenced { .. } | CommitError::Taken { .. }) => return Err(LetGo::Fenced),
                Err(CommitError::Conflict(_)) => *job = self.reload(job.id(), &mut pause).await?,
                Err(CommitError::Storage(failure)) => {
                    tracing::warn!(job = %job.id(), %failure, "an outcome is kept, and written later");
                    self.wait(&mut pause).await?;
                    *job = self.reload(job.id(), &mut pause).await?;
                    if self.is_recorded(job.id(), &entries, &mut pause).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether a commit that failed was made all the same: its answer may have been lost.
    async fn is_recorded(&self, id: JobId, entries: &[Entry], pause: &mut Duration) -> Result<bool, LetGo> {
        let Some(first) = entries.first() else { return Ok(true) };
        loop {
            match self.engine.store.entries(id, first.sequence - 1, entries.len()).await {
                Ok(stored) => return Ok(stored == entries),
                Err(failure) => {
                    tracing::warn!(job = %id, %failure, "the store does not answer");
                    self.wait(pause).await?;
                }
            }
        }
    }

    async fn reload(&self, id: JobId, pause: &mut Duration) -> Result<Job, LetGo> {
        loop {
            match self.engine.store.job(id).await {
                Ok(job) => return job.ok_or(LetGo::Fenced),
                Err(failure) => {
                    tracing::warn!(job = %id, %failure, "the store does not answer");
                    self.wait(pause).await?;
                }
            }
        }
    }

    /// Pauses, longer each time. Lets go where the host stops and the store has not come back for long: the next
    /// host finds the call in doubt, as after a crash.
    async fn wait(&self, pause: &mut Duration) -> Result<(), LetGo> {
        if self.aborting.is_cancelled() && *pause >= STORE_PAUSE_MAX {
            return Err(LetGo::Fenced);
        }
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(STORE_PAUSE_MAX);
        Ok(())
    }
}
