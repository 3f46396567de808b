//! The dispatcher: brings what is due to the board, and what is on the board to a runner.
//!
//! Loops that run for ever, woken by a bell and by a period. There is no recovery mode: starting up is
//! dispatching.

use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windlass_core::event::DEDUPE_RETENTION_MS;
use windlass_core::id::JobId;
use windlass_core::job::{Claim, Job};

use crate::engine::news::Bulletin;
use crate::engine::submit::{Submission, Submitted};
use crate::engine::{Engine, EngineError};
use crate::runner::Runner;
use crate::store::{Change, Due, StoreFailure, Subject, Unit};

/// A bell may be missed: look at least this often.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Due things that are handled at once; their commits share transactions.
const DUE_BATCH: usize = 256;
/// How often keys of requests and events that are past their retention are forgotten: a bounded number at a time,
/// so often that it keeps up with thousands of requests a second. A turn that finds none writes nothing.
const EXPIRE_PERIOD: Duration = Duration::from_secs(1);
/// How often claims without a runner are looked for. One must be seen twice: a claim may be older than its look.
const ORPHAN_PERIOD: Duration = Duration::from_secs(5);

/// Births whose commit failed that are looked for at once; the claims of others are taken back as those of the dead are.
const TRIED_MAX: usize = 64;

/// See the module.
pub struct Dispatcher {
    engine: Arc<Engine>,
    runner: Arc<Runner>,
    slots: Arc<Semaphore>,
    slots_max: usize,
    /// Jobs that a runner has, or is about to claim.
    taken: Arc<Mutex<HashSet<JobId>>>,
    runs: TaskTracker,
    /// Ready jobs wait for a slot: no new one may come before them.
    is_crowded: AtomicBool,
    /// Births whose commit failed, and that are looked for.
    tried: Arc<Semaphore>,
    stopping: CancellationToken,
}

/// A job that was claimed with its birth.
struct Begun {
    id: JobId,
    claim: Claim,
    bulletins: Receiver<Bulletin>,
}

impl Dispatcher {
    /// `slots`: one for each call that runs at once, shared with the runner; a job begins with one.
    pub fn new(
        engine: Arc<Engine>,
        runner: Arc<Runner>,
        slots: Arc<Semaphore>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            engine,
            runner,
            slots_max: slots.available_permits(),
            slots,
            taken: Arc::default(),
            runs: TaskTracker::new(),
            is_crowded: AtomicBool::new(false),
            tried: Arc::new(Semaphore::new(TRIED_MAX)),
            stopping,
        }
    }

    /// How many slots are taken now.
    pub fn running(&self) -> usize {
        self.slots_max - self.slots.available_permits()
    }

    pub fn slots_max(&self) -> usize {
        self.slots_max
    }

    /// Submits a job. Where a slot is free that nobody waits for, its first calls are begun in the commit that makes it: the
    /// board is for jobs that have to wait.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, EngineError> {
        // The host does not stop between the commit and the run.
        let _run = self.runs.token();
        let may_begin = !self.stopping.is_cancelled() && !self.is_crowded.load(Ordering::Relaxed);
        let slot = may_begin.then(|| self.slots.clone().try_acquire_owned().ok()).flatten();
        let Some(slot) = slot else { return self.engine.submit(submission).await };
        let mut slots = vec![slot];
        let mut begun: Option<Begun> = None;
        let mut claim = |job: &mut Job| {
            self.forget(begun.take());
            let entries = self.runner.claim_at_birth(job, &mut slots);
            if let Some(claim) = job.status.claim {
                let bulletins = self.engine.news.subscribe(job.id());
                // Before it is stored: its claim is never one that nobody serves.
                self.taken().insert(job.id());
                begun = Some(Begun { id: job.id(), claim, bulletins });
            }
            entries
        };
        let submitted = self.engine.submit_and(submission, &mut claim).await;
        let Some(Begun { id, claim, bulletins }) = begun else { return submitted };
        let runner = self.runner.clone();
        match &submitted {
            Ok(Submitted { job, known: false }) => {
                let job = job.clone();
                self.spawn(id, async move { runner.run_claimed(job, slots, bulletins).await });
            }
            // It may have been made, and is this host's then. With a slot, when there is something to do.
            Err(EngineError::Storage(StoreFailure::Down(_) | StoreFailure::Corrupt(_))) => {
                drop(slots);
                match self.tried.clone().try_acquire_owned() {
                    Ok(turn) => self.spawn(id, async move {
                        runner.run_tried((id, claim), bulletins).await;
                        drop(turn);
                    }),
                    // Should it be there, nobody serves its claim, and it is taken back.
                    Err(_) => self.forget(Some(Begun { id, claim, bulletins })),
                }
            }
            _ => self.forget(Some(Begun { id, claim, bulletins })),
        }
        submitted
    }

    fn forget(&self, begun: Option<Begun>) {
        if let Some(Begun { id, .. }) = begun {
            self.taken().remove(&id);
        }
    }

    /// Dispatches until the host stops. Runs may still be under way when it returns.
    pub async fn run(&self) {
        tokio::join!(
            self.run_board(),
            self.run_due(),
            self.run_family(),
            self.run_orphans(),
            self.run_expiry()
        );
    }

    /// Returns when no job runs any more.
    pub async fn finished(&self) {
        self.runs.close();
        self.runs.wait().await;
    }

    async fn run_board(&self) {
        loop {
            let permit = tokio::select! {
                () = self.stopping.cancelled() => return,
                permit = self.slots.clone().acquire_owned() => permit.expect("the slots are never closed"),
            };
            if !self.hand_out(permit).await {
                tokio::select! {
                    () = self.stopping.cancelled() => return,
                    () = self.engine.board_bell.notified() => {}
                    () = tokio::time::sleep(LOOK_PERIOD) => {}
                }
            }
        }
    }

    /// Gives as many ready jobs to runners as there are slots. False where there was none.
    async fn hand_out(&self, first: OwnedSemaphorePermit) -> bool {
        let taken_count = self.taken().len();
        let limit = 1 + self.slots.available_permits() + taken_count;
        let ready = match self.engine.ready(limit).await {
            Ok(ready) => ready,
            Err(error) => {
                tracing::warn!(%error, "the board cannot be read");
                return false;
            }
        };
        let mut permit = Some(first);
        let (mut is_any, mut is_crowded) = (false, false);
        for id in ready {
            if self.taken().contains(&id) {
                continue;
            }
            let Some(slot) = permit.take().or_else(|| self.slots.clone().try_acquire_owned().ok()) else {
                is_crowded = true;
                break;
            };
            self.start(id, slot);
            is_any = true;
        }
        self.is_crowded.store(is_crowded, Ordering::Relaxed);
        is_any
    }

    fn start(&self, id: JobId, slot: OwnedSemaphorePermit) {
        let runner = self.runner.clone();
        self.spawn(id, async move { runner.run(id, slot).await });
    }

    fn spawn(&self, id: JobId, run: impl Future<Output = ()> + Send + 'static) {
        self.taken().insert(id);
        let (taken, engine) = (self.taken.clone(), self.engine.clone());
        self.runs.spawn(async move {
            // Even a panic, which was told of, must not keep the job from being taken again.
            if AssertUnwindSafe(run).catch_unwind().await.is_err() {
                tracing::error!(job = %id, "a runner failed: its claim is taken back");
            }
            taken.lock().expect("nothing panics while it holds the set").remove(&id);
            // It may be on the board again, or its place may let another one in.
            engine.board_bell.notify_one();
        });
    }

    async fn run_due(&self) {
        let mut last: Vec<Due> = Vec::new();
        loop {
            let due = match self.engine.due(DUE_BATCH).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "what is due cannot be read");
                    Vec::new()
                }
            };
            // What is due for a second time and stays so must not keep the host busy.
            let is_stuck = !due.is_empty() && due == last;
            if (due.is_empty() || is_stuck) && self.rest(is_stuck).await {
                return;
            }
            join_all(due.iter().map(|due| self.handle(*due))).await;
            last = due;
            if self.stopping.is_cancelled() {
                return;
            }
        }
    }

    /// Waits for the next thing to be due. True where the host stops.
    async fn rest(&self, is_stuck: bool) -> bool {
        let next = if is_stuck { None } else { self.engine.next_due().await.ok().flatten() };
        let until = async {
            match next {
                Some(at) => self.engine.clock.wait_until(at).await,
                None => tokio::time::sleep(LOOK_PERIOD).await,
            }
        };
        tokio::select! {
            () = self.stopping.cancelled() => true,
            () = self.engine.due_bell.notified(), if !is_stuck => false,
            () = until => false,
        }
    }

    async fn handle(&self, due: Due) {
        let handled = match due.subject {
            Subject::Job(id) => {
                let actor = self.engine.host_actor();
                let woken = self.engine.decide(id, &actor, |decision| {
                    decision.wake();
                    Ok(())
                });
                woken.await.map(|_| ())
            }
            Subject::Trigger(id) => self.engine.fire_due(id).await,
        };
        match handled {
            Ok(()) | Err(EngineError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(?due, %error, "something due could not be handled, it will be again")
            }
        }
    }

    /// Has jobs told what others have to tell them, as long as there is anything that can be told.
    async fn run_family(&self) {
        // What could not be told is not tried again at each bell of others.
        let (mut resting, mut rested) = (BTreeSet::new(), Instant::now());
        while !self.stopping.is_cancelled() {
            if rested.elapsed() >= LOOK_PERIOD {
                resting.clear();
                rested = Instant::now();
            }
            match self.engine.tell_families(&resting).await {
                Ok(told) => {
                    resting.extend(told.failed);
                    if told.count > 0 {
                        continue;
                    }
                }
                Err(error) => tracing::warn!(%error, "what jobs have to tell each other cannot be read"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.engine.family_bell.notified() => {}
                () = tokio::time::sleep(LOOK_PERIOD) => {}
            }
        }
    }

    async fn run_orphans(&self) {
        let mut last = Vec::new();
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(ORPHAN_PERIOD) => {}
            }
            let found = match self.engine.orphans(|job| self.taken().contains(&job)).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, "the claims cannot be read");
                    continue;
                }
            };
            let lasting: Vec<_> = found.iter().filter(|orphan| last.contains(*orphan)).copied().collect();
            if let Err(error) = self.engine.take_over(&lasting).await {
                tracing::warn!(%error, "claims without a runner could not be taken back");
            }
            last = found;
        }
    }

    async fn run_expiry(&self) {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(EXPIRE_PERIOD) => {}
            }
            let retention = TimeDelta::milliseconds(i64::try_from(DEDUPE_RETENTION_MS).unwrap_or(i64::MAX));
            let expire = Change::ExpireKeys { before: self.engine.now() - retention };
            if let Err(error) = self.engine.commit(Unit::of(vec![expire])).await {
                tracing::warn!(%error, "old request and event keys could not be forgotten");
            }
        }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, HashSet<JobId>> {
        self.taken.lock().expect("nothing panics while it holds the set")
    }
}
