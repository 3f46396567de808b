//! JobService.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryFutureExt as _};
use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use windlass_core::id::{JobId, OperationId, TriggerId};
use windlass_core::permit::Kind;
use windlass_core::problem::Problems;
use windlass_proto::v1;
use windlass_proto::v1::job_service_server::JobService;

use crate::engine::job::Demand;
use crate::engine::{Engine, EngineError};
use crate::grpc::Services;
use crate::grpc::caller::Caller;
use crate::grpc::convert::time::{instant, millis};
use crate::grpc::convert::{checked, demand, given, id, instance, job, revision};
use crate::grpc::page::{Page, fitting};
use crate::grpc::principal::asked;
use crate::grpc::status::draining;
use crate::grpc::submit::{Intake, failed};
use crate::grpc::watch::Watch;

/// Requests of a batch that are checked one after the other, and given to the store together: some tenths of a millisecond,
/// after which others get their turn.
const BATCH_PART: usize = 32;
/// Parts of one batch that are under way at once: their commits share transactions, and the next are checked meanwhile.
const BATCH_PARTS_MAX: usize = 8;
/// How long a wait takes where the client says nothing.
const WAIT_DEFAULT: Duration = Duration::from_secs(60);
/// Bytes of all outputs in one answer; the largest single one is well below it.
const OUTPUTS_BYTES_MAX: usize = 3 << 20;

/// See the module.
#[derive(Clone)]
pub(super) struct JobPlane {
    engine: Arc<Engine>,
    intake: Intake,
    draining: CancellationToken,
}

impl JobPlane {
    pub fn new(services: &Services) -> Self {
        let (engine, draining) = (services.engine.clone(), services.draining.clone());
        let dispatcher = services.dispatcher.clone();
        let intake = Intake { engine: engine.clone(), dispatcher, draining: draining.clone() };
        Self { engine, intake, draining }
    }

    /// One thing that is asked of a job.
    async fn demand(
        &self,
        principal: &str,
        (reference, etag): (&str, &str),
        demands: &[Demand],
        reason: &str,
    ) -> Result<Response<v1::Job>, Status> {
        let (id, seen) = (id("job", reference)?, revision("etag", etag)?);
        let changed = self.engine.demand(id, principal, demands, reason, seen).await?;
        Ok(Response::new(job::to_wire(&changed)))
    }

    async fn filter(
        &self,
        principal: &str,
        request: &v1::ListJobsRequest,
    ) -> Result<crate::engine::JobFilter, EngineError> {
        let mut filter = job::filter(request)?;
        filter.owner =
            self.engine.list_owner(principal, Kind::Job, given(&request.owner), request.all_owners)?;
        // What was deleted is still found by its id.
        filter.operation = match (request.operation.as_str(), request.operation.parse::<OperationId>()) {
            ("", _) => None,
            (_, Ok(id)) => Some(id),
            (name, Err(_)) => Some(self.engine.operation(name).await?.id),
        };
        filter.trigger = match (request.trigger.as_str(), request.trigger.parse::<TriggerId>()) {
            ("", _) => None,
            (_, Ok(id)) => Some(id),
            (name, Err(_)) => Some(self.engine.trigger(name).await?.id),
        };
        Ok(filter)
    }
}

#[tonic::async_trait]
impl JobService for JobPlane {
    type WatchStream = ReceiverStream<Result<v1::WatchJobResponse, Status>>;

    async fn submit(
        &self,
        request: Request<v1::SubmitJobRequest>,
    ) -> Result<Response<v1::SubmitJobResponse>, Status> {
        let caller = Caller::of(&request);
        let (principal, request) = asked(request)?;
        Ok(Response::new(self.intake.submit(principal, request, &caller).await?))
    }

    async fn submit_batch(
        &self,
        request: Request<v1::SubmitJobBatchRequest>,
    ) -> Result<Response<v1::SubmitJobBatchResponse>, Status> {
        let (principal, request) = asked(request)?;
        let (count, max) = (request.requests.len(), self.engine.limits.batch_jobs_max);
        if count == 0 || count > max {
            Err(EngineError::invalid("requests", format!("are {count}: give 1 to {max}")))?;
        }
        let view = job::view(request.view)?;
        let mut requests = request.requests.into_iter();
        let parts = std::iter::from_fn(|| {
            let part: Vec<_> = requests.by_ref().take(BATCH_PART).collect();
            (!part.is_empty()).then_some(part)
        });
        let submitted = parts.map(|part| {
            let (intake, principal, count) = (self.intake.clone(), principal.clone(), part.len());
            // Tasks of their own, for every core: one is checked while another is committed.
            let submitted = tokio::spawn(async move { intake.submit_each(&principal, part, view).await });
            submitted.unwrap_or_else(move |error| failed(count, &error))
        });
        let mut results = Vec::with_capacity(count);
        let mut parts = futures::stream::iter(submitted).buffered(BATCH_PARTS_MAX);
        while let Some(part) = parts.next().await {
            results.extend(part);
        }
        Ok(Response::new(v1::SubmitJobBatchResponse { results }))
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::GetJobResponse>, Status> {
        let (principal, request) = asked(request)?;
        let found = self.engine.job(id("job", &request.job)?, &principal).await?;
        let (tasks, scopes) = (instance::all_to_wire(&found), instance::scopes_to_wire(&found));
        Ok(Response::new(v1::GetJobResponse { job: Some(job::to_wire(&found)), tasks, scopes }))
    }

    async fn get_output(
        &self,
        request: Request<v1::GetJobOutputRequest>,
    ) -> Result<Response<v1::GetJobOutputResponse>, Status> {
        let (principal, request) = asked(request)?;
        let found = self.engine.job(id("job", &request.job)?, &principal).await?;
        let outputs = match request.name.as_str() {
            "" => found.outputs(),
            name => [(name.to_owned(), found.output(name).map_err(EngineError::from)?)].into(),
        };
        let outputs = outputs.iter().map(|(name, value)| (name.clone(), instance::value_to_wire(value)));
        let answer = v1::GetJobOutputResponse { outputs: outputs.collect() };
        if answer.encoded_len() > OUTPUTS_BYTES_MAX {
            let message = format!(
                "the outputs are more than {OUTPUTS_BYTES_MAX} bytes together: ask for one by its name"
            );
            Err(EngineError::precondition(format!("job {}", request.job), message))?;
        }
        Ok(Response::new(answer))
    }

    async fn list(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let (principal, mut request) = asked(request)?;
        let (size, token) = (std::mem::take(&mut request.page_size), std::mem::take(&mut request.page_token));
        let page = Page::asked(&request, &principal, size, &token)?;
        let after = page.after(|place| Uuid::from_slice(place).ok().map(JobId))?;
        let filter = self.filter(&principal, &request).await?;
        let found = self.engine.jobs(&filter, after, page.size).await?;
        let mut jobs: Vec<_> = found.jobs.iter().map(|(spec, status)| job::listed(spec, status)).collect();
        let fits = fitting(&jobs);
        let next =
            if fits < jobs.len() { found.jobs.get(fits - 1).map(|(spec, _)| spec.id) } else { found.next };
        jobs.truncate(fits);
        let next_page_token = next.map(|id| page.token(id.0.as_bytes())).unwrap_or_default();
        Ok(Response::new(v1::ListJobsResponse { jobs, next_page_token }))
    }

    async fn update(&self, request: Request<v1::UpdateJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        let demands = demand::update(&request, self.engine.now())?;
        self.demand(&principal, (&request.job, &request.etag), &demands, "").await
    }

    async fn cancel(&self, request: Request<v1::CancelJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        let cancel = demand::cancel(request.mode)?;
        self.demand(&principal, (&request.job, &request.etag), &[cancel], &request.reason).await
    }

    async fn suspend(&self, request: Request<v1::SuspendJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        self.demand(&principal, (&request.job, &request.etag), &[Demand::Suspend], "").await
    }

    async fn resume(&self, request: Request<v1::ResumeJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        self.demand(&principal, (&request.job, &request.etag), &[Demand::Resume], "").await
    }

    async fn retry(&self, request: Request<v1::RetryJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        self.demand(&principal, (&request.job, &request.etag), &[Demand::Retry], &request.reason).await
    }

    async fn revert(
        &self,
        request: Request<v1::RevertJobRequest>,
    ) -> Result<Response<v1::RevertJobResponse>, Status> {
        let (principal, request) = asked(request)?;
        let (found, steps) = self.engine.preview_revert(id("job", &request.job)?, &principal).await?;
        let to_revert = steps.iter().map(|step| instance::name_to_wire(&step.name)).collect();
        let remaining = found.task_instances().filter(|instance| request.dry_run && instance.is_let_be());
        let remaining = remaining.map(|instance| instance::name_to_wire(&instance.name)).collect();
        let steps = steps.iter().filter(|_| request.dry_run).map(instance::step_to_wire).collect();
        let job = match request.dry_run {
            true => job::to_wire(&found),
            false => {
                let target = (request.job.as_str(), request.etag.as_str());
                self.demand(&principal, target, &[Demand::Revert], &request.reason).await?.into_inner()
            }
        };
        Ok(Response::new(v1::RevertJobResponse { job: Some(job), to_revert, steps, remaining }))
    }

    async fn rerun(&self, request: Request<v1::RerunJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        let mut problems = Problems::default();
        let execute_at = instant(&mut problems, "execute_time", request.execute_time.as_ref());
        let execute_at = checked(problems, execute_at)?;
        let (id, request_id) = (id("job", &request.job)?, given(&request.request_id));
        let submitted = self.engine.rerun(id, &principal, request_id, execute_at).await?;
        Ok(Response::new(job::to_wire(&submitted.job)))
    }

    async fn resolve(&self, request: Request<v1::ResolveJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        let resolve = demand::resolve(request.task.as_ref(), request.resolution)?;
        self.demand(&principal, (&request.job, &request.etag), &[resolve], &request.reason).await
    }

    async fn answer(&self, request: Request<v1::AnswerJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        let answer = demand::answer(&request, &principal)?;
        self.demand(&principal, (&request.job, &request.etag), &[answer], "").await
    }

    async fn release(&self, request: Request<v1::ReleaseJobRequest>) -> Result<Response<v1::Job>, Status> {
        let (principal, request) = asked(request)?;
        self.demand(&principal, (&request.job, &request.etag), &[Demand::Release], "").await
    }

    async fn purge(
        &self,
        request: Request<v1::PurgeJobRequest>,
    ) -> Result<Response<v1::PurgeJobResponse>, Status> {
        let (principal, request) = asked(request)?;
        let (id, seen) = (id("job", &request.job)?, revision("etag", &request.etag)?);
        self.engine.purge(id, &principal, seen).await?;
        Ok(Response::new(v1::PurgeJobResponse {}))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchJobRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (principal, request) = asked(request)?;
        let id = id("job", &request.job)?;
        let told = Watch::begin(&self.engine, &self.draining, id, &principal, request.from_sequence).await?;
        Ok(Response::new(ReceiverStream::new(told)))
    }

    async fn wait(
        &self,
        request: Request<v1::WaitJobRequest>,
    ) -> Result<Response<v1::WaitJobResponse>, Status> {
        let (principal, request) = asked(request)?;
        let mut problems = Problems::default();
        let timeout = millis(&mut problems, "timeout", request.timeout.as_ref());
        let timeout = checked(problems, timeout)?.map_or(WAIT_DEFAULT, Duration::from_millis);
        let id = id("job", &request.job)?;
        let found = tokio::select! {
            found = self.engine.wait(id, &principal, timeout) => found?,
            () = self.draining.cancelled() => Err(draining("wait again when it is back"))?,
        };
        let done = found.status.state.is_ended();
        Ok(Response::new(v1::WaitJobResponse { done, job: Some(job::to_wire(&found)) }))
    }
}
