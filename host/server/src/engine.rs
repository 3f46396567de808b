//! The engine: load, decide, commit.
//!
//! Everything that anybody asks of Windlass, person, program or dispatcher, goes through here. The engine
//! holds no state that matters: what it keeps in memory can be lost at any moment.
//!
//! Invariant: nothing durable changes but by a decision of the core, committed with the revision that it was
//! taken on.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use uuid::Uuid;
use windlass_core::decide::{Decision, Rejected};
use windlass_core::entry::{Actor, Fact};
use windlass_core::id::{HostId, JobId};
use windlass_core::job::{Cause, Job, JobStatus};
use windlass_core::permit::Policy;

use crate::clock::Clock;
use crate::store::{Change, CommitError, Store, Unit};

pub mod access;
pub mod backup;
pub mod board;
mod delivery;
pub mod error;
pub mod event;
pub mod family;
pub mod flow;
pub mod job;
pub mod logbook;
pub mod news;
pub mod operation;
pub mod plugin;
pub mod reference;
pub mod revision;
pub mod submit;
pub mod trigger;
mod work;

pub use error::EngineError;
// What the engine answers with, for those who may not know the store.
pub use crate::store::canonical::ExportError;
pub use crate::store::{Cursor, HostRecord, HostState, JobFilter, StoreFailure};
use news::{News, Recorded};

/// A decision is taken again when somebody else moved first. So many in a row means a livelock, not bad luck.
const DECIDE_TRIES_MAX: usize = 32;

/// Named limits of what the engine takes in.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a job's arguments as JSON. What is larger belongs in a granted directory.
    pub arguments_bytes_max: usize,
    /// Jobs of one batch submission: they are one transaction.
    pub batch_jobs_max: usize,
    /// The floor of schedules: what is due more often is a loop, not a schedule.
    pub interval_min_ms: u64,
    /// The time that one call may take where its task names none.
    pub call_timeout: std::time::Duration,
    /// How long one backup may take: at 1 MiB/s, which a slow line has, an hour is 3.5 GiB. Until it ends, the store
    /// grows by all that is written meanwhile.
    pub backup_timeout: std::time::Duration,
    /// How long a client of a backup may take nothing of it.
    pub backup_pause: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            arguments_bytes_max: 1 << 20,
            batch_jobs_max: 1_000,
            interval_min_ms: 1_000,
            call_timeout: std::time::Duration::from_secs(300),
            backup_timeout: std::time::Duration::from_secs(3_600),
            backup_pause: std::time::Duration::from_secs(60),
        }
    }
}

/// See the module.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) news: News,
    pub(crate) plugins: plugin::Plugins,
    works: work::Works,
    pub(crate) grant_rule: access::GrantRule,
    /// Held while names are given, so that two things do not get the same one.
    pub(crate) names: tokio::sync::Mutex<()>,
    /// This process.
    pub(crate) host: HostId,
    /// Rung when a job may be ready.
    pub(crate) board_bell: Notify,
    /// Rung when something may be due earlier than it was.
    pub(crate) due_bell: Notify,
    /// Rung when a job has something to tell another one.
    pub(crate) family_bell: Notify,
}

/// What a unit changes, for whoever waits for that.
#[derive(Default)]
struct Told {
    jobs: Vec<(JobId, Recorded)>,
    on_board: bool,
    has_alarm: bool,
    is_untold: bool,
}

/// What an engine is made of.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub policy: Policy,
    pub limits: Limits,
    pub grant_rule: access::GrantRule,
    pub host: HostId,
}

impl Engine {
    pub fn new(parts: Parts) -> Self {
        let Parts { store, clock, policy, limits, grant_rule, host } = parts;
        Self {
            store,
            clock,
            policy,
            limits,
            news: News::default(),
            plugins: plugin::Plugins::default(),
            works: work::Works::default(),
            grant_rule,
            names: tokio::sync::Mutex::new(()),
            host,
            board_bell: Notify::new(),
            due_bell: Notify::new(),
            family_bell: Notify::new(),
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A new id, ordered by time.
    pub(crate) fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// Commits a unit and tells whoever waits for what it changes.
    pub async fn commit(&self, unit: Unit) -> Result<(), CommitError> {
        self.commit_of(unit, None).await
    }

    /// Likewise, of a job that this unit may end: whoever waits for that is given it, and need not read it.
    pub async fn commit_of(&self, unit: Unit, job: Option<&Job>) -> Result<(), CommitError> {
        let told = self.told_of(&unit);
        let committed = self.store.commit(unit).await;
        self.tell(told, committed.is_ok(), job);
        committed
    }

    /// Commits each of these units for itself, and tells whoever waits for what they change; what came of each.
    pub async fn commit_each(&self, units: Vec<Unit>) -> Vec<Result<(), CommitError>> {
        let told: Vec<_> = units.iter().map(|unit| self.told_of(unit)).collect();
        let committed = self.store.commit_each(units).await;
        for (told, committed) in told.into_iter().zip(&committed) {
            self.tell(told, committed.is_ok(), None);
        }
        committed
    }

    /// What is to be told of a unit that is about to be committed.
    fn told_of(&self, unit: &Unit) -> Told {
        let mut told = Told::default();
        for change in &unit.changes {
            match change {
                Change::Job(change) => {
                    told.on_board |= change.status.state == windlass_core::job::JobState::Ready;
                    told.has_alarm |= change.status.alarm().is_some();
                    told.is_untold |= change.status.is_untold();
                    told.jobs.push((change.job, Recorded::of(&change.status)));
                    if let Some(birth) = &change.birth {
                        self.news.born(change.job, &birth.spec.owner);
                    }
                }
                Change::Put { record, .. } => told.has_alarm |= record.alarm().is_some(),
                _ => {}
            }
        }
        told
    }

    /// Where nobody knows whether it was made, no bulletin tells of it. `job`: which it may have ended.
    fn tell(&self, told: Told, is_made: bool, job: Option<&Job>) {
        if !is_made {
            told.jobs.iter().for_each(|(job, _)| self.news.unborn(*job));
            return;
        }
        for (id, recorded) in told.jobs {
            let ended = job.filter(|job| job.id() == id && recorded.is_ended && self.news.is_awaited(id));
            self.news.recorded(id, recorded, ended.map(|job| Arc::new(job.clone())));
        }
        if told.on_board {
            self.board_bell.notify_one();
        }
        if told.has_alarm {
            self.due_bell.notify_one();
        }
        if told.is_untold {
            self.family_bell.notify_one();
        }
    }

    /// Another engine recorded something of a job, whose status is this now: who has to do with it here hears of it. For
    /// whoever has several on one store, and knows.
    pub fn hear(&self, job: JobId, status: &JobStatus) {
        self.news.recorded(job, Recorded::of(status), None);
    }

    pub async fn load(&self, id: JobId) -> Result<Job, EngineError> {
        let job = self.store.job(id).await?;
        job.ok_or_else(|| EngineError::not_found("job", id))
    }

    /// Loads a job, decides, commits; again where somebody else moved first.
    pub async fn decide(
        &self,
        id: JobId,
        actor: &Actor,
        mut decide: impl FnMut(&mut Decision<'_>) -> Result<(), Rejected>,
    ) -> Result<Job, EngineError> {
        for _ in 0..DECIDE_TRIES_MAX {
            let mut job = self.load(id).await?;
            let mut decision = Decision::new(&mut job, self.now(), actor.clone());
            decide(&mut decision)?;
            let entries = decision.into_entries();
            if entries.is_empty() {
                return Ok(job);
            }
            // Cancelling makes room, in the end: it must be possible on a full disk.
            let urgent = entries.iter().any(|entry| is_cancelling(&entry.fact));
            let changes = vec![Change::recorded(&job, entries, None)];
            match self.commit(Unit { changes, urgent }).await {
                Ok(()) => return Ok(job),
                Err(CommitError::Conflict(_) | CommitError::Fenced { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject: format!("job {id}") })
    }

    pub fn host_actor(&self) -> Actor {
        Actor::Host(self.host)
    }
}

fn is_cancelling(fact: &Fact) -> bool {
    match fact {
        Fact::CancelRequested { .. } | Fact::Ended { .. } => true,
        Fact::Unwinding { cause } => matches!(cause, Cause::Cancelled { .. }),
        _ => false,
    }
}
