//! News: who waits for what happens to a job, in this process.
//!
//! News only wakes: whoever is woken reads the store. A lost bulletin costs time, never correctness.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::broadcast::{Receiver, Sender, channel};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::{CancelMode, Claim, JobStatus, Request};

/// A watcher that falls behind by more than this misses progress values, never entries.
const BULLETINS_MAX: usize = 64;

/// Something happened to a job.
#[derive(Debug, Clone)]
pub enum Bulletin {
    /// Entries up to this one are in the store.
    Recorded {
        sequence: u64,
        is_ended: bool,
        cancels: Option<CancelMode>,
        claim: Option<Claim>,
    },
    Progress {
        task: InstanceName,
        fraction: f32,
        message: String,
    },
}

/// See the module.
#[derive(Default)]
pub struct News {
    jobs: Mutex<Subscriptions>,
    /// Rung at every commit, for tails across jobs.
    pub any: tokio::sync::Notify,
}

#[derive(Default)]
struct Subscriptions {
    by_job: HashMap<JobId, Sender<Bulletin>>,
    /// At this size those that nobody listens to are removed.
    sweep_at: usize,
}

/// Below this size sweeping is not worth its while.
const SWEEP_FROM: usize = 1_024;

impl News {
    pub fn subscribe(&self, job: JobId) -> Receiver<Bulletin> {
        let mut jobs = self.lock();
        // Nothing happens any more to a job that has ended: no bulletin would find out that nobody listens.
        if jobs.by_job.len() >= jobs.sweep_at.max(SWEEP_FROM) {
            jobs.by_job.retain(|_, sender| sender.receiver_count() > 0);
            jobs.sweep_at = 2 * jobs.by_job.len();
        }
        jobs.by_job.entry(job).or_insert_with(|| channel(BULLETINS_MAX).0).subscribe()
    }

    pub(super) fn recorded(&self, job: JobId, status: &JobStatus) {
        let cancels = match &status.request {
            Some(Request::Cancel { mode, .. }) => Some(*mode),
            Some(Request::Suspend) | None => None,
        };
        let sequence = status.sequence;
        let is_ended = status.state.is_ended();
        self.tell(job, || Bulletin::Recorded { sequence, is_ended, cancels, claim: status.claim });
        self.any.notify_waiters();
    }

    pub fn progress(&self, job: JobId, task: &InstanceName, fraction: f32, message: &str) {
        self.tell(job, || Bulletin::Progress { task: task.clone(), fraction, message: message.to_owned() });
    }

    fn tell(&self, job: JobId, bulletin: impl FnOnce() -> Bulletin) {
        let mut jobs = self.lock();
        let Some(sender) = jobs.by_job.get(&job) else { return };
        // An error means that nobody listens any more.
        if sender.send(bulletin()).is_err() {
            jobs.by_job.remove(&job);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Subscriptions> {
        self.jobs.lock().expect("nothing panics while it holds the subscriptions")
    }
}
