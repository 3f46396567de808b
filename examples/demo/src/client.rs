//! The client: one connection to the host, and the questions that the acts ask.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tonic::transport::{Channel, Endpoint};
use windlass_proto::v1;
use windlass_proto::v1::event_service_client::EventServiceClient;
use windlass_proto::v1::job_service_client::JobServiceClient;
use windlass_proto::v1::logbook_service_client::LogbookServiceClient;
use windlass_proto::v1::operation_service_client::OperationServiceClient;
use windlass_proto::v1::plugin_service_client::PluginServiceClient;
use windlass_proto::v1::trigger_service_client::TriggerServiceClient;

/// The host is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that a host puts on one page.
const PAGE_SIZE_MAX: i32 = 1_000;

/// A connection.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let endpoint =
            Endpoint::from_shared(url.to_owned()).with_context(|| format!("{url:?} is no address"))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        let channel = endpoint.connect().await.with_context(|| format!("{url} cannot be reached"))?;
        Ok(Self { channel })
    }

    pub fn plugins(&self) -> PluginServiceClient<Channel> {
        PluginServiceClient::new(self.channel.clone())
    }

    pub fn triggers(&self) -> TriggerServiceClient<Channel> {
        TriggerServiceClient::new(self.channel.clone())
    }

    pub fn operations(&self) -> OperationServiceClient<Channel> {
        OperationServiceClient::new(self.channel.clone())
    }

    pub fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone())
    }

    pub fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel.clone())
    }

    pub fn logbook(&self) -> LogbookServiceClient<Channel> {
        LogbookServiceClient::new(self.channel.clone())
    }

    /// A job with its tasks.
    pub async fn job(&self, id: &str) -> anyhow::Result<Detail> {
        let request = v1::GetJobRequest { job: id.to_owned() };
        let answer = self.jobs().get(request).await.with_context(|| format!("the job {id}"))?.into_inner();
        let job = answer.job.with_context(|| format!("the host answered without the job {id}"))?;
        Ok(Detail { job, tasks: answer.tasks })
    }

    /// Every entry of a job, checked to be without gaps.
    pub async fn entries(&self, job: &str) -> anyhow::Result<Vec<v1::Entry>> {
        let mut entries: Vec<v1::Entry> = Vec::new();
        let mut request = v1::ListEntriesRequest {
            page_size: PAGE_SIZE_MAX,
            job: job.to_owned(),
            ..v1::ListEntriesRequest::default()
        };
        loop {
            let answer = self.logbook().list(request.clone()).await.context("the logbook")?.into_inner();
            entries.extend(answer.entries);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        for (entry, sequence) in entries.iter().zip(1..) {
            ensure!(
                entry.sequence == sequence,
                "the logbook of {job} has entry {} where {sequence} should be",
                entry.sequence
            );
        }
        Ok(entries)
    }
}

/// A job with its tasks.
pub struct Detail {
    pub job: v1::Job,
    pub tasks: Vec<v1::TaskInstance>,
}

impl Detail {
    /// A task in its first iteration.
    pub fn task(&self, name: &str) -> anyhow::Result<&v1::TaskInstance> {
        let is_it = |task: &&v1::TaskInstance| {
            task.name.as_ref().is_some_and(|found| found.task == name && found.iteration.is_empty())
        };
        self.tasks.iter().find(is_it).with_context(|| format!("the job {} has no task {name}", self.job.id))
    }

    /// What a task gave.
    pub fn output(&self, task: &str) -> anyhow::Result<serde_json::Value> {
        let output = self.task(task)?.output.as_ref();
        let output = output.with_context(|| format!("the task {task} of {} gave nothing", self.job.id))?;
        serde_json::from_slice(&output.bytes).with_context(|| format!("the output of {task} is no JSON"))
    }
}
