//! News: who waits for what happens to a job, in this process.
//!
//! News wakes, and hands on a job that has ended: whoever misses it reads the store. A lost bulletin costs time, never
//! correctness.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast::{Receiver, Sender, channel};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::{CancelMode, Claim, Job, JobStatus, Request};

/// A watcher that falls behind by more than this misses progress values, never entries.
const BULLETINS_MAX: usize = 16;

/// What of a job whoever hears of it wants to know, after entries were recorded.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    /// The last of them.
    pub sequence: u64,
    pub is_ended: bool,
    pub cancels: Option<CancelMode>,
    pub claim: Option<Claim>,
}

impl Recorded {
    pub(super) fn of(status: &JobStatus) -> Self {
        let cancels = match &status.request {
            Some(Request::Cancel { mode, .. }) => Some(*mode),
            Some(Request::Suspend) | None => None,
        };
        let (sequence, is_ended) = (status.sequence, status.state.is_ended());
        Self { sequence, is_ended, cancels, claim: status.claim }
    }
}

/// Something happened to a job.
#[derive(Debug, Clone)]
pub enum Bulletin {
    /// Entries up to this one are in the store.
    Recorded {
        recorded: Recorded,
        /// The job as it ended, where whoever recorded that had it.
        ended: Option<Arc<Job>>,
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
    young: Mutex<Young>,
    /// Rung at every commit, for tails across jobs.
    pub any: tokio::sync::Notify,
}

#[derive(Default)]
struct Subscriptions {
    by_job: HashMap<JobId, Sender<Bulletin>>,
    /// At this size those that nobody listens to are removed.
    sweep_at: usize,
}

/// Jobs that this process made lately, and that nobody has told to have ended.
#[derive(Default)]
struct Young {
    owners: HashMap<JobId, String>,
    /// The oldest first; some have ended.
    born: VecDeque<JobId>,
}

/// Young jobs that are remembered: whoever waits for a job asks soon after its birth.
const YOUNG_MAX: usize = 4_096;

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

    /// This process is about to make the job. Not when it has: others may have run it to its end by then.
    pub(super) fn born(&self, job: JobId, owner: &str) {
        let mut young = self.young();
        if young.born.len() >= YOUNG_MAX
            && let Some(oldest) = young.born.pop_front()
        {
            young.owners.remove(&oldest);
        }
        young.born.push_back(job);
        young.owners.insert(job, owner.to_owned());
    }

    /// It was not made, or nobody will tell here of its end.
    pub(super) fn unborn(&self, job: JobId) {
        self.young().owners.remove(&job);
    }

    /// The owner of a job that was made, and of whose end a bulletin is to come; none where this process does not know.
    pub(super) fn owner_of_young(&self, job: JobId) -> Option<String> {
        self.young().owners.get(&job).cloned()
    }

    /// Whether anybody beside its runner hears of the job.
    pub(super) fn is_awaited(&self, job: JobId) -> bool {
        self.lock().by_job.get(&job).is_some_and(|sender| sender.receiver_count() > 1)
    }

    /// `ended`: the job, where it has, and whoever recorded that has it.
    pub(super) fn recorded(&self, job: JobId, recorded: Recorded, ended: Option<Arc<Job>>) {
        if recorded.is_ended {
            self.young().owners.remove(&job);
        }
        self.tell(job, || Bulletin::Recorded { recorded, ended });
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

    fn young(&self) -> std::sync::MutexGuard<'_, Young> {
        self.young.lock().expect("nothing panics while it holds the young jobs")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Subscriptions> {
        self.jobs.lock().expect("nothing panics while it holds the subscriptions")
    }
}
