//! Submission: how a job comes to be because somebody asks for it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use windlass_core::arguments::{check_labels, check_text};
use windlass_core::call::Grants;
use windlass_core::decide::create::{Timing, create_planned};
use windlass_core::entry::{Actor, Entry};
use windlass_core::flow::Flow;
use windlass_core::id::JobId;
use windlass_core::job::{Job, JobSpec, Origin};
use windlass_core::operation::check_grants;
use windlass_core::problem::Problems;
use windlass_core::revision::RevisionName;

use crate::engine::revision::FlowReference;
use crate::engine::work::Work;
use crate::engine::{Engine, EngineError};
use crate::store::{Change, CommitError, Conflict, UniqueKey, Unit};

/// Priorities beyond this are a way to shout, not an order.
pub const PRIORITY_MAX: i32 = 1_000;
/// Bytes of a request id: a UUID has 36, a sentence is not an id.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of a job type.
pub const JOB_TYPE_BYTES_MAX: usize = 64;
/// The type of a job that was submitted without one.
pub const JOB_TYPE_DIRECT: &str = "direct";

/// A job that somebody asks for.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    pub principal: String,
    /// Repeating it gives the job that the first one made.
    pub request_id: Option<String>,
    pub job_type: String,
    pub labels: BTreeMap<String, String>,
    pub flow: Option<Flow<String>>,
    /// A flow under a name, in the place of `flow`.
    pub reference: Option<FlowReference>,
    /// The revision that `flow` was taken from, where a job is repeated.
    pub flow_revision: Option<RevisionName>,
    pub arguments: Map<String, Value>,
    pub grants: Grants,
    pub timeout_ms: Option<u64>,
    pub execute_at: Option<DateTime<Utc>>,
    pub priority: i32,
    pub never_revert: bool,
    pub rerun_of: Option<JobId>,
}

/// What a submission made, or had made before.
#[derive(Debug)]
pub struct Submitted {
    pub job: Job,
    pub known: bool,
}

/// What happens to a job in the commit that makes it, beside its birth. Asked again where that commit is made again, for
/// another job.
pub type AtBirth<'a> = dyn FnMut(&mut Job) -> Vec<Entry> + Send + 'a;

impl Engine {
    /// Checks everything, then stores the job. Durable when it returns.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, EngineError> {
        self.submit_and(submission, &mut |_| Vec::new()).await
    }

    /// Likewise, and what `at_birth` records of the job is stored with it.
    pub async fn submit_and(
        &self,
        submission: Submission,
        at_birth: &mut AtBirth<'_>,
    ) -> Result<Submitted, EngineError> {
        if let Some(known) = self.submitted_before(&submission).await? {
            return Ok(known);
        }
        // A plugin may be retired, or a flow revised, between the check and the commit: checked once more, that is the
        // answer.
        for is_last in [false, true] {
            let (job, unit) = self.draft(&submission, at_birth).await?;
            match self.commit(unit).await {
                Ok(()) => return Ok(Submitted { job, known: false }),
                Err(CommitError::Taken { holder }) => return self.known(holder).await,
                Err(CommitError::Conflict(
                    conflict @ (Conflict::Generation { .. } | Conflict::Missing { .. }),
                )) if !is_last => self.forget_conflicting(&conflict),
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject: "a plugin of the flow".to_owned() })
    }

    /// Each of these for itself, as `submit` does it, and all of them committed together; what came of each, in their order.
    /// For a few dozen: they are checked one after the other.
    pub async fn submit_each(&self, submissions: Vec<Submission>) -> Vec<Result<Submitted, EngineError>> {
        let mut units = Vec::with_capacity(submissions.len());
        let mut drafts = Vec::with_capacity(submissions.len());
        for submission in &submissions {
            drafts.push(match self.submitted_before(submission).await {
                Ok(None) => match self.draft(submission, &mut |_| Vec::new()).await {
                    Ok((job, unit)) => {
                        units.push(unit);
                        Ok(Submitted { job, known: false })
                    }
                    Err(error) => Err(error),
                },
                Ok(Some(known)) => Ok(known),
                Err(error) => Err(error),
            });
        }
        let mut committed = self.commit_each(units).await.into_iter();
        let mut results = Vec::with_capacity(drafts.len());
        for (submission, draft) in submissions.into_iter().zip(drafts) {
            results.push(match draft {
                Ok(drafted) if !drafted.known => match committed.next().expect("each unit has a result") {
                    Ok(()) => Ok(drafted),
                    Err(CommitError::Taken { holder }) => self.known(holder).await,
                    Err(CommitError::Conflict(
                        conflict @ (Conflict::Generation { .. } | Conflict::Missing { .. }),
                    )) => {
                        self.forget_conflicting(&conflict);
                        self.submit(submission).await
                    }
                    Err(error) => Err(error.into()),
                },
                told => told,
            });
        }
        results
    }

    /// What `submit` would make. Nothing is stored.
    pub async fn try_submit(&self, submission: &Submission) -> Result<Job, EngineError> {
        Ok(self.draft(submission, &mut |_| Vec::new()).await?.0)
    }

    /// The job that an earlier request with the same id made.
    pub async fn submitted_before(&self, submission: &Submission) -> Result<Option<Submitted>, EngineError> {
        let Some(key) = request_key(submission) else { return Ok(None) };
        match self.store.holder(&key).await? {
            Some(holder) => Ok(Some(self.known(holder).await?)),
            None => Ok(None),
        }
    }

    /// What an earlier request made, as long as it is there.
    async fn known(&self, holder: JobId) -> Result<Submitted, EngineError> {
        match self.load(holder).await {
            Ok(job) => Ok(Submitted { job, known: true }),
            Err(EngineError::NotFound { .. }) => Err(EngineError::precondition(
                format!("job {holder}"),
                format!("this request id made job {holder}, which was purged: use another request id"),
            )),
            Err(error) => Err(error),
        }
    }

    async fn draft(
        &self,
        submission: &Submission,
        at_birth: &mut AtBirth<'_>,
    ) -> Result<(Job, Unit), EngineError> {
        self.permits_submit(&submission.principal)?;
        let (flow, flow_revision, expectation) = self.flow_of(submission).await?;
        let mut problems = self.check_submission(submission);
        let key = self.work_key(&flow, &submission.principal);
        let known = self.works.get(&key);
        let work = match known {
            Some(work) => {
                problems.0.extend(work.pinned.check_planned(&work.plan, &submission.arguments).0);
                problems.or(())?;
                work
            }
            None => {
                let pinned = match self.pin_flow(flow.into_owned(), &submission.principal, None).await {
                    Ok(pinned) => Arc::new(pinned),
                    Err(EngineError::Invalid(more)) => {
                        problems.0.extend(more.0);
                        return Err(problems.into());
                    }
                    Err(error) => return Err(error),
                };
                problems.0.extend(pinned.check(&submission.arguments, &[]).0);
                problems.or(())?;
                self.works.put(key, pinned)
            }
        };
        let (job, mut unit) = self.born(submission, &work, flow_revision, at_birth);
        unit.changes.splice(0..0, expectation);
        Ok((job, unit))
    }

    /// The flow, which revision it is, and what of that must still be so.
    async fn flow_of<'a>(
        &self,
        submission: &'a Submission,
    ) -> Result<(Cow<'a, Flow<String>>, Option<RevisionName>, Option<Change>), EngineError> {
        match (&submission.reference, &submission.flow) {
            (Some(reference), _) => {
                let resolved = self.resolve_flow(reference, &submission.principal).await?;
                Ok((Cow::Owned(resolved.flow), Some(resolved.name), Some(resolved.expectation)))
            }
            (None, Some(flow)) => Ok((Cow::Borrowed(flow), submission.flow_revision.clone(), None)),
            (None, None) => Err(EngineError::invalid("job.work", "give an action, a flow or a reference")),
        }
    }

    fn check_submission(&self, submission: &Submission) -> Problems {
        let mut problems = Problems::default();
        let limits = &self.limits;
        let bytes = json_bytes(&submission.arguments);
        if bytes > limits.arguments_bytes_max {
            let message = format!(
                "are {bytes} bytes as JSON: at most {}; put large data into a granted directory",
                limits.arguments_bytes_max
            );
            problems.add("arguments", message);
        }
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&submission.priority) {
            let message = format!("is {}: give -{PRIORITY_MAX} to {PRIORITY_MAX}", submission.priority);
            problems.add("priority", message);
        }
        if submission.job_type.len() > JOB_TYPE_BYTES_MAX {
            let message = format!("has {} bytes: at most {JOB_TYPE_BYTES_MAX}", submission.job_type.len());
            problems.add("type", message);
        }
        if let Some(id) = &submission.request_id
            && (id.is_empty() || id.len() > REQUEST_ID_BYTES_MAX)
        {
            problems.add("request_id", format!("has {} bytes: give 1 to {REQUEST_ID_BYTES_MAX}", id.len()));
        }
        if submission.timeout_ms == Some(0) {
            problems.add("timeout", "is 0: give a duration, or leave it out for none");
        }
        check_text(&mut problems, "principal", &submission.principal);
        check_labels(&mut problems, "labels", submission.labels.iter());
        check_grants(&mut problems, &submission.grants);
        problems.0.extend(self.check_host_grants(&submission.grants).0);
        problems
    }

    fn born(
        &self,
        submission: &Submission,
        work: &Work,
        flow_revision: Option<RevisionName>,
        at_birth: &mut AtBirth<'_>,
    ) -> (Job, Unit) {
        let now = self.now();
        let job_type = match submission.job_type.as_str() {
            "" => JOB_TYPE_DIRECT.to_owned(),
            given => given.to_owned(),
        };
        let spec = JobSpec {
            id: JobId(self.new_id()),
            owner: submission.principal.clone(),
            principal: submission.principal.clone(),
            job_type,
            labels: submission.labels.clone(),
            flow: work.digest,
            flow_revision,
            arguments: submission.arguments.clone(),
            grants: submission.grants.clone(),
            timeout_ms: submission.timeout_ms,
            origin: Origin::Submitted,
            rerun_of: submission.rerun_of,
            never_revert: submission.never_revert,
            created: now,
        };
        let mut changes: Vec<_> = work.pinned.expectations().collect();
        if let Some(key) = request_key(submission) {
            changes.push(Change::Take { key, at: now, job: spec.id });
        }
        let timing = Timing { execute_at: submission.execute_at, priority: submission.priority };
        let actor = Actor::Principal(submission.principal.clone());
        let planned = (work.pinned.flow.clone(), work.plan.clone());
        let (mut job, mut entries) = create_planned(Arc::new(spec), planned, timing, actor);
        entries.extend(at_birth(&mut job));
        changes.push(Change::birth(&job, entries));
        (job, Unit::of(changes))
    }
}

/// Bytes of an object as JSON.
fn json_bytes(object: &Map<String, Value>) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, object).expect("an object has only string keys");
    count.0
}

fn request_key(submission: &Submission) -> Option<UniqueKey> {
    let request_id = submission.request_id.clone()?;
    Some(UniqueKey::Request { principal: submission.principal.clone(), request_id })
}
