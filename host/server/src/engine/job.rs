//! What operators ask of jobs, and what anybody may know of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use windlass_core::decide::advance::{Undoing, unwinding_order};
use windlass_core::decide::control::Resolution;
use windlass_core::decide::wait::Verdict;
use windlass_core::decide::{Decision, Rejected};
use windlass_core::entry::Actor;
use windlass_core::flow::{Flow, PluginPin};
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;
use windlass_core::job::{CancelMode, Job, JobSpec};
use windlass_core::own_revert::Called;
use windlass_core::permit::{Kind, Verb};
use windlass_core::plugin::Plugin;

use crate::engine::flow::unpinned;
use crate::engine::news::Bulletin;
use crate::engine::submit::{Submission, Submitted};
use crate::engine::{Engine, EngineError};
use crate::store::{Change, JobFilter, JobPage, Unit};

/// The longest that one call waits for a job: longer, and proxies hang up.
pub const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// News may be lost: look at least this often.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// Bytes of a reason: a paragraph for whoever reads the logbook.
pub const REASON_BYTES_MAX: usize = 1_024;

/// What a revert would do about one task instance, or about a flow with a revert of its own.
#[derive(Debug, Clone)]
pub struct RevertStep {
    pub name: InstanceName,
    pub by: Undoer,
    pub undo_record_count: usize,
    /// The tasks that it undoes, where that is the own revert of a flow.
    pub undoes: Vec<InstanceName>,
    /// Why it cannot be undone.
    pub obstacle: Option<String>,
}

/// What undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undoer {
    /// A call.
    Action { plugin: PluginPin, action: String },
    /// The child job that it is undoes what it did.
    Child(JobId),
}

fn obstacle(plugin: Option<&Plugin>, called: Called<'_>) -> Option<String> {
    let PluginPin { name, version, .. } = called.plugin();
    match plugin.map(|plugin| plugin.manifest.action(called.action())) {
        None => Some(format!("plugin {name} {version} is not there any more")),
        Some(Some(action)) if !action.reversible => {
            Some(format!("plugin {name} {version} says that {} has no way back", called.action()))
        }
        Some(_) => None,
    }
}

/// One thing asked of a job.
#[derive(Debug, Clone)]
pub enum Demand {
    Reschedule(DateTime<Utc>),
    Prioritise(i32),
    Cancel(CancelMode),
    Suspend,
    Resume,
    Retry,
    Revert,
    Resolve { task: InstanceName, resolution: Resolution },
    Release,
    Quarantine,
    Answer { task: InstanceName, verdict: Verdict },
}

impl Demand {
    /// The verb that a policy permits.
    fn verb(&self) -> Verb {
        match self {
            Self::Reschedule(_) | Self::Prioritise(_) => Verb::Update,
            Self::Cancel(_) => Verb::Cancel,
            Self::Suspend => Verb::Update,
            Self::Resume => Verb::Update,
            Self::Retry => Verb::Repair,
            Self::Revert => Verb::Repair,
            Self::Resolve { .. } => Verb::Repair,
            Self::Release => Verb::Repair,
            Self::Quarantine => Verb::Repair,
            Self::Answer { .. } => Verb::Answer,
        }
    }

    /// The job runs again, and needs what it was granted.
    fn goes_on(&self) -> bool {
        match self {
            Self::Resume | Self::Retry | Self::Revert | Self::Resolve { .. } | Self::Release => true,
            Self::Reschedule(_)
            | Self::Prioritise(_)
            | Self::Cancel(_)
            | Self::Suspend
            | Self::Quarantine
            | Self::Answer { .. } => false,
        }
    }

    fn decide(&self, decision: &mut Decision<'_>, reason: &str) -> Result<(), Rejected> {
        match self {
            Self::Reschedule(execute_at) => decision.reschedule(*execute_at),
            Self::Prioritise(priority) => decision.prioritise(*priority),
            Self::Cancel(mode) => decision.cancel(*mode, reason.to_owned()),
            Self::Suspend => decision.suspend(),
            Self::Resume => decision.resume(),
            Self::Retry => decision.retry(reason.to_owned()),
            Self::Revert => decision.revert(reason.to_owned()),
            Self::Resolve { task, resolution } => {
                decision.resolve(&task.task, &task.iteration, *resolution, reason.to_owned())
            }
            Self::Release => decision.release(),
            Self::Quarantine => decision.quarantine(reason.to_owned()),
            Self::Answer { task, verdict } => decision.answer(&task.task, &task.iteration, verdict.clone()),
        }
    }
}

impl Engine {
    /// A job that this principal may see.
    pub async fn job(&self, id: JobId, principal: &str) -> Result<Job, EngineError> {
        let job = self.load(id).await?;
        self.permits(principal, Verb::Read, Kind::Job, &job.spec.owner)?;
        Ok(job)
    }

    /// Does all that is demanded, in one commit, or nothing. `sequence` is what the caller has seen.
    pub async fn demand(
        &self,
        id: JobId,
        principal: &str,
        demands: &[Demand],
        reason: &str,
        sequence: Option<u64>,
    ) -> Result<Job, EngineError> {
        if reason.len() > REASON_BYTES_MAX {
            let message = format!("has {} bytes: at most {REASON_BYTES_MAX}", reason.len());
            return Err(EngineError::invalid("reason", message));
        }
        let job = self.load(id).await?;
        for demand in demands {
            self.permits(principal, demand.verb(), Kind::Job, &job.spec.owner)?;
        }
        if demands.iter().any(Demand::goes_on) {
            self.check_needs(&job).await?;
        }
        let mut is_stale = false;
        let actor = Actor::Principal(principal.to_owned());
        let decided = self.decide(id, &actor, |decision| {
            is_stale = sequence.is_some_and(|seen| seen != decision.job.status.sequence);
            if is_stale {
                return Ok(());
            }
            demands.iter().try_for_each(|demand| demand.decide(decision, reason))
        });
        let job = decided.await?;
        if is_stale { Err(EngineError::Stale { subject: format!("job {id}") }) } else { Ok(job) }
    }

    /// Whether the host still has, and allows, what a stored job needs: that may have changed since it was submitted.
    async fn check_needs(&self, job: &Job) -> Result<(), EngineError> {
        let mut problems = self.check_host_grants(&job.spec.grants);
        let pins: BTreeMap<_, _> = job.flow.plugins().map(|plugin| (plugin.digest, plugin)).collect();
        for (digest, PluginPin { name, version, .. }) in pins {
            if self.plugin(digest).await?.is_none() {
                problems.add("work", format!("plugin {name} {version} ({digest}) is not there any more"));
            }
        }
        if problems.0.is_empty() {
            return Ok(());
        }
        let message = format!(
            "job {} cannot go on: {problems}; give back what is missing, or cancel the job",
            job.id()
        );
        Err(EngineError::precondition(format!("job {}", job.id()), message))
    }

    /// What a revert would undo, in that order.
    pub async fn preview_revert(
        &self,
        id: JobId,
        principal: &str,
    ) -> Result<(Job, Vec<RevertStep>), EngineError> {
        let job = self.job(id, principal).await?;
        let mut tried = job.clone();
        Decision::new(&mut tried, self.now(), Actor::Principal(principal.to_owned())).revert(String::new())?;
        let mut steps = Vec::new();
        for Undoing { name, undoes } in unwinding_order(&job) {
            let child = undoes.iter().find_map(|instance| instance.child.as_ref());
            if let Some(child) = child.filter(|_| job.child(&name.task).is_some()) {
                steps.push(self.undoing_by_child(name, child.job).await?);
                continue;
            }
            let Some(called) = job.called(&name.task) else { continue };
            let plugin = self.plugin(called.plugin().digest).await?;
            let undo_record_count = undoes.iter().map(|instance| instance.undo.len()).sum();
            let undoes = match called {
                Called::Task(_) => Vec::new(),
                Called::OwnRevert(_) => undoes.into_iter().map(|instance| instance.name.clone()).collect(),
            };
            steps.push(RevertStep {
                name,
                by: Undoer::Action { plugin: called.plugin().clone(), action: called.action().to_owned() },
                undo_record_count,
                undoes,
                obstacle: obstacle(plugin.as_deref(), called),
            });
        }
        Ok((job, steps))
    }

    async fn undoing_by_child(&self, name: InstanceName, child: JobId) -> Result<RevertStep, EngineError> {
        let is_there = self.store.job(child).await?.is_some();
        let gone = || format!("job {child} is not there any more, and it alone knows what it did");
        let (by, obstacle) = (Undoer::Child(child), (!is_there).then(gone));
        Ok(RevertStep { name, by, undo_record_count: 0, undoes: Vec::new(), obstacle })
    }

    /// The same work once more, as a job of its own.
    pub async fn rerun(
        &self,
        id: JobId,
        principal: &str,
        request_id: Option<String>,
        execute_at: Option<DateTime<Utc>>,
    ) -> Result<Submitted, EngineError> {
        let job = self.load(id).await?;
        self.permits(principal, Verb::Repair, Kind::Job, &job.spec.owner)?;
        self.submit(Submission {
            principal: principal.to_owned(),
            request_id,
            execute_at,
            priority: job.status.priority,
            rerun_of: Some(id),
            ..again(&job.spec, &job.flow)
        })
        .await
    }

    /// Removes an ended job with its history.
    pub async fn purge(&self, id: JobId, principal: &str, sequence: Option<u64>) -> Result<(), EngineError> {
        let job = self.load(id).await?;
        self.permits(principal, Verb::Delete, Kind::Job, &job.spec.owner)?;
        if !job.status.state.is_ended() {
            let message = format!("job {id} is {}: cancel it first", job.status.state.word());
            return Err(EngineError::precondition(format!("job {id}"), message));
        }
        if sequence.is_some_and(|seen| seen != job.status.sequence) {
            return Err(EngineError::Stale { subject: format!("job {id}") });
        }
        self.check_family_lets_go(&job).await?;
        let purge = Change::Purge { job: id, sequence: job.status.sequence };
        Ok(self.commit(Unit::urgent(vec![purge])).await?)
    }

    pub async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<JobPage, EngineError> {
        let mut page = self.store.jobs(filter, after, limit).await?;
        // The store looks at a bounded number of rows: go on until there is something to show.
        while page.jobs.is_empty() && page.next.is_some() {
            page = self.store.jobs(filter, page.next, limit).await?;
        }
        Ok(page)
    }

    /// Returns when the job has ended, or when the time is up.
    pub async fn wait(&self, id: JobId, principal: &str, timeout: Duration) -> Result<Arc<Job>, EngineError> {
        let until = tokio::time::Instant::now() + timeout.min(WAIT_MAX);
        let mut news = self.news.subscribe(id);
        // Of a job that was made here and has not ended a bulletin will tell: it is not read before.
        let mut is_young = match self.news.owner_of_young(id) {
            Some(owner) => {
                self.permits(principal, Verb::Read, Kind::Job, &owner)?;
                true
            }
            None => false,
        };
        loop {
            if !std::mem::take(&mut is_young) {
                let job = self.job(id, principal).await?;
                if job.status.state.is_ended() {
                    return Ok(Arc::new(job));
                }
            }
            let look_again = until.min(tokio::time::Instant::now() + LOOK_PERIOD);
            loop {
                match tokio::time::timeout_at(look_again, news.recv()).await {
                    Ok(Ok(Bulletin::Recorded { ended: Some(job), .. })) => return Ok(job),
                    Ok(Ok(Bulletin::Recorded { recorded, .. })) if recorded.is_ended => break,
                    Err(_) => break,
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => {
                        news = self.news.subscribe(id);
                        break;
                    }
                }
            }
            if tokio::time::Instant::now() >= until {
                return Ok(Arc::new(self.job(id, principal).await?));
            }
        }
    }
}

fn again(spec: &JobSpec, flow: &Flow) -> Submission {
    Submission {
        flow: Some(unpinned(flow)),
        flow_revision: spec.flow_revision.clone(),
        job_type: spec.job_type.clone(),
        labels: spec.labels.clone(),
        arguments: spec.arguments.clone(),
        grants: spec.grants.clone(),
        timeout_ms: spec.timeout_ms,
        never_revert: spec.never_revert,
        ..Submission::default()
    }
}
