//! Submissions: from a request, or many of them, to what came of it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use windlass_core::job::Job;
use windlass_proto::v1;
use windlass_proto::v1::submit_job_result::Outcome;

use crate::dispatcher::Dispatcher;
use crate::engine::reference::References;
use crate::engine::submit::{Submission, Submitted};
use crate::engine::{Engine, EngineError};
use crate::grpc::caller::Caller;
use crate::grpc::convert::{field, job, submission};
use crate::grpc::status::refusal;

/// What takes submissions.
#[derive(Clone)]
pub(super) struct Intake {
    pub engine: Arc<Engine>,
    pub dispatcher: Arc<Dispatcher>,
    pub draining: CancellationToken,
}

/// What came of a submission.
enum Taken {
    Stored(Submitted),
    /// Checked only.
    Tried(Job),
}

impl Taken {
    fn to_wire(&self, view: v1::JobView) -> v1::SubmitJobResponse {
        match self {
            Self::Stored(Submitted { job, known }) => {
                v1::SubmitJobResponse { job: Some(Box::new(job::viewed(job, view))), known: *known }
            }
            Self::Tried(job) => {
                v1::SubmitJobResponse { job: Some(Box::new(job::tried(job, view))), known: false }
            }
        }
    }
}

/// A request as the engine takes it.
struct Asked {
    submission: Submission,
    judge: Judge,
    dry_run: bool,
}

/// What an answer to a request has to say beside what the engine does.
struct Judge {
    /// The stored flows that its child jobs name, which are in their places.
    references: References,
    /// Where in the request the engine's problems are.
    locate: Box<dyn Fn(EngineError) -> EngineError + Send + Sync>,
}

impl Asked {
    fn is_to_be_stored(&self) -> bool {
        !self.dry_run && self.judge.references.are_found()
    }
}

impl Judge {
    fn judged<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        self.references.judged(result).map_err(&self.locate)
    }
}

impl Intake {
    /// One request; it may wait for the end of its job, as long as its client is there.
    pub async fn submit(
        &self,
        principal: String,
        request: v1::SubmitJobRequest,
        caller: &Caller,
    ) -> Result<v1::SubmitJobResponse, Status> {
        let wait = submission::wait(&request)?;
        let asked = self.asked(principal.clone(), request).await?;
        match (wait, self.take(asked).await?) {
            (Some(timeout), Taken::Stored(Submitted { job, known })) if !job.status.state.is_ended() => {
                // It is done; what is waited for may take an hour.
                caller.write(Code::Ok);
                let job = self.attend(job, &principal, timeout, caller).await;
                Ok(v1::SubmitJobResponse { job: Some(Box::new(job::to_wire(&job))), known })
            }
            (_, taken) => Ok(taken.to_wire(v1::JobView::Full)),
        }
    }

    /// A part of a batch: each request for itself, and what is to be stored in few commits. Their jobs begin by way of the
    /// board.
    pub async fn submit_each(
        &self,
        principal: &str,
        requests: Vec<v1::SubmitJobRequest>,
        view: v1::JobView,
    ) -> Vec<v1::SubmitJobResult> {
        let count = requests.len();
        // Of each request what became of it, or who judges what the engine makes of it.
        let mut judged = Vec::with_capacity(count);
        let mut submissions = Vec::with_capacity(count);
        for request in requests {
            judged.push(match self.asked_of_batch(principal.to_owned(), request).await {
                Ok(asked) if asked.is_to_be_stored() => {
                    submissions.push(asked.submission);
                    Err(asked.judge)
                }
                Ok(asked) => Ok(Box::new(result(self.take(asked).await, view))),
                Err(status) => Ok(Box::new(result(Err(status), view))),
            });
        }
        let mut submitted = self.engine.submit_each(submissions).await.into_iter();
        let told = judged.into_iter().map(|judged| match judged {
            Ok(told) => *told,
            Err(judge) => {
                let submitted = submitted.next().expect("each submission has a result");
                result(judge.judged(submitted).map(Taken::Stored).map_err(Status::from), view)
            }
        });
        told.collect()
    }

    async fn asked(&self, principal: String, request: v1::SubmitJobRequest) -> Result<Asked, EngineError> {
        let locate = field::of_job(request.job.as_ref().and_then(|wanted| wanted.work.as_ref()));
        let dry_run = request.dry_run;
        let mut submission = submission::submission(request, principal)?;
        let references = match &mut submission.flow {
            Some(flow) => self.engine.fill_children(flow, &submission.principal).await?,
            None => References::default(),
        };
        Ok(Asked { submission, judge: Judge { references, locate: Box::new(locate) }, dry_run })
    }

    async fn asked_of_batch(
        &self,
        principal: String,
        request: v1::SubmitJobRequest,
    ) -> Result<Asked, Status> {
        if submission::wait(&request)?.is_some() {
            Err(EngineError::invalid("wait", "is not for a batch: wait for each of its jobs by itself"))?;
        }
        Ok(self.asked(principal, request).await?)
    }

    async fn take(&self, asked: Asked) -> Result<Taken, Status> {
        let is_to_be_stored = asked.is_to_be_stored();
        let Asked { submission, judge, dry_run } = asked;
        if is_to_be_stored {
            let submitted = judge.judged(self.dispatcher.submit(submission).await)?;
            return Ok(Taken::Stored(submitted));
        }
        // A flow that is gone since does not matter to who repeats a request.
        if !dry_run && let Some(before) = self.engine.submitted_before(&submission).await? {
            return Ok(Taken::Stored(before));
        }
        let tried = judge.judged(self.engine.try_submit(&submission).await)?;
        Ok(Taken::Tried(tried))
    }

    /// The job as it is when it has ended, when the time is up, or when nobody is there any more to be told. It is stored:
    /// whatever goes wrong meanwhile, its client is told of it, at least as it was made.
    async fn attend(&self, job: Job, principal: &str, timeout: Duration, caller: &Caller) -> Arc<Job> {
        let id = job.id();
        let ended = tokio::select! {
            ended = self.engine.wait(id, principal, timeout) => ended.ok(),
            () = self.draining.cancelled() => self.engine.job(id, principal).await.ok().map(Arc::new),
            () = caller.hung_up() => None,
        };
        ended.unwrap_or_else(|| Arc::new(job))
    }
}

fn result(taken: Result<Taken, Status>, view: v1::JobView) -> v1::SubmitJobResult {
    let outcome = match taken {
        Ok(taken) => Outcome::Submitted(taken.to_wire(view)),
        Err(status) => Outcome::Refused(refusal(&status)),
    };
    v1::SubmitJobResult { outcome: Some(outcome) }
}

/// Where a part of a batch was not answered, as the host has a bug.
pub(super) fn failed(count: usize, error: &tokio::task::JoinError) -> Vec<v1::SubmitJobResult> {
    let status = || Status::internal(format!("the host failed in the call: {error}"));
    (0..count).map(|_| result(Err(status()), v1::JobView::Full)).collect()
}
