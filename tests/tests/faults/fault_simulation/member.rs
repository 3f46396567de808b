//! A member: an engine and its runner, as one host among several on a store. No dispatcher: the simulation decides
//! who takes what, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use windlass_core::id::{HostId, JobId};
use windlass_core::permit::Policy;
use windlass_core::problem::Problems;
use windlass_host::clock::Clock;
use windlass_host::engine::{Engine, Limits, Parts};
use windlass_host::registry::Registry;
use windlass_host::runner::Runner;
use windlass_host::store::Store;
use windlass_tests::scripted::Scripted;

/// Calls that a member makes at once: no run waits for its first, and a flow has several under way.
const SLOTS: usize = 32;
/// Runs look at the store by a clock that the simulation does not move: one that looked by itself on a slow machine would
/// record what it finds in the middle of a check. The simulation spreads the news.
const LOOK_PERIOD: Duration = Duration::from_secs(24 * 3_600);

/// See the module.
pub struct Member {
    pub engine: Arc<Engine>,
    pub host: HostId,
    runner: Arc<Runner>,
    slots: Arc<Semaphore>,
    stopping: CancellationToken,
    aborting: CancellationToken,
    runs: Vec<Run>,
    /// Rises when a run has ended.
    ended: Arc<watch::Sender<u64>>,
}

struct Run {
    job: JobId,
    is_over: Arc<AtomicBool>,
}

impl Member {
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        scripted: Arc<Scripted>,
        ended: Arc<watch::Sender<u64>>,
    ) -> Self {
        let host = HostId(Uuid::now_v7());
        let engine = Arc::new(Engine::new(Parts {
            store,
            clock,
            policy: Policy::default(),
            limits: Limits::default(),
            grant_rule: Box::new(|_| Problems::default()),
            host,
        }));
        let registry = Arc::new(Registry::new(engine.clone(), scripted));
        let (stopping, aborting) = (CancellationToken::new(), CancellationToken::new());
        let guests = tokio::runtime::Handle::current();
        let slots = Arc::new(Semaphore::new(SLOTS));
        let runner =
            Runner::new(engine.clone(), registry, slots.clone(), guests, stopping.clone(), aborting.clone());
        Self {
            engine,
            host,
            runner: Arc::new(runner.looking_every(LOOK_PERIOD)),
            slots,
            stopping,
            aborting,
            runs: Vec::new(),
            ended,
        }
    }

    /// Runs the job, unless it does already. False where it does.
    pub fn take(&mut self, job: JobId) -> bool {
        self.runs.retain(|run| !run.is_over.load(Ordering::SeqCst));
        if self.runs.iter().any(|run| run.job == job) {
            return false;
        }
        let is_over = Arc::new(AtomicBool::new(false));
        self.runs.push(Run { job, is_over: is_over.clone() });
        let (runner, slots, ended) = (self.runner.clone(), self.slots.clone(), self.ended.clone());
        tokio::spawn(async move {
            let slot = slots.acquire_owned().await.expect("slots are never closed");
            runner.run(job, slot).await;
            is_over.store(true, Ordering::SeqCst);
            ended.send_modify(|count| *count += 1);
        });
        true
    }

    /// Runs that have not ended.
    pub fn running(&self) -> usize {
        self.runs.iter().filter(|run| !run.is_over.load(Ordering::SeqCst)).count()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// No new call is begun.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Running calls are cut short.
    pub fn abort(&self) {
        self.stopping.cancel();
        self.aborting.cancel();
    }
}
