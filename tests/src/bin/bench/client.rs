//! A client as a program would be one: a few connections, jobs submitted and waited for.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tonic::transport::Channel;
use windlass_proto::v1;
use windlass_proto::v1::job_service_client::JobServiceClient;
use windlass_proto::v1::submit_job_result::Outcome;
use windlass_tests::crash::client::Client as Connection;
use windlass_tests::work::duration;

/// Each is served by one task of the host at a time: with fewer, that task would be what is measured.
const CONNECTIONS: usize = 4;
/// Longer than anything takes, so that what hangs is told.
const PATIENCE: Duration = Duration::from_secs(120);

/// See the module.
pub struct Client {
    connections: Vec<Connection>,
}

impl Client {
    pub async fn connect(address: &str) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::connect(address).await?);
        }
        Ok(Self { connections })
    }

    pub async fn upload(&mut self, component: &'static [u8]) -> Result<()> {
        let first = self.connections.first_mut().context("there are connections")?;
        first.upload(component).await?;
        Ok(())
    }

    /// The service, on the connection of a lane.
    pub fn jobs(&self, lane: usize) -> JobServiceClient<Channel> {
        self.connections[lane % CONNECTIONS].jobs.clone()
    }

    /// Submits a job; its id. It is durable then.
    pub async fn submit(&self, lane: usize, spec: v1::JobSpec) -> Result<String> {
        let request = v1::SubmitJobRequest { job: Some(Box::new(spec)), ..v1::SubmitJobRequest::default() };
        let answer = self.jobs(lane).submit(request).await?.into_inner();
        Ok(answer.job.context("a submission answers the job")?.id)
    }

    /// Submits as many jobs as there are specs, in one call; their ids.
    pub async fn submit_batch(&self, lane: usize, specs: Vec<v1::JobSpec>) -> Result<Vec<String>> {
        let request =
            |spec| v1::SubmitJobRequest { job: Some(Box::new(spec)), ..v1::SubmitJobRequest::default() };
        let requests = specs.into_iter().map(request).collect();
        let batch = v1::SubmitJobBatchRequest { requests, view: v1::JobView::Id.into() };
        let answer = self.jobs(lane).submit_batch(batch).await?.into_inner();
        let id = |result: v1::SubmitJobResult| match result.outcome {
            Some(Outcome::Submitted(submitted)) => Ok(submitted.job.context("it answers the job")?.id),
            other => anyhow::bail!("a job of a batch was refused: {other:?}"),
        };
        answer.results.into_iter().map(id).collect()
    }

    /// The job when it has ended.
    pub async fn wait(&self, lane: usize, job: String) -> Result<v1::Job> {
        let request = v1::WaitJobRequest { job: job.clone(), timeout: Some(duration(PATIENCE)) };
        let answer = self.jobs(lane).wait(request).await?.into_inner();
        ensure!(answer.done, "job {job} has not ended after {PATIENCE:?}: {:?}", answer.job);
        answer.job.context("a wait answers the job")
    }

    /// Submits a job and waits for its end, which must be this, in one call; its id.
    pub async fn run(&self, lane: usize, spec: v1::JobSpec, end: v1::JobState) -> Result<String> {
        let (job, wait) = (Some(Box::new(spec)), Some(duration(PATIENCE)));
        let request = v1::SubmitJobRequest { job, wait, ..v1::SubmitJobRequest::default() };
        let answer = self.jobs(lane).submit(request).await?.into_inner();
        let job = answer.job.context("a submission answers the job")?;
        let id = job.id.clone();
        ensure!(job.state() == end, "job {id} is {:?} in the place of {end:?}: {:?}", job.state(), job.cause);
        Ok(id)
    }

    pub async fn get(&self, lane: usize, job: &str) -> Result<v1::GetJobResponse> {
        Ok(self.jobs(lane).get(v1::GetJobRequest { job: job.to_owned() }).await?.into_inner())
    }
}
