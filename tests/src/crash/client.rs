//! A client that may lose its host at any moment: everything it asks is an answer or a status, and may be asked again.

use std::time::Duration;

use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use windlass_core::id::Digest;
use windlass_proto::v1;
use windlass_proto::v1::event_service_client::EventServiceClient;
use windlass_proto::v1::job_service_client::JobServiceClient;
use windlass_proto::v1::plugin_service_client::PluginServiceClient;
use windlass_proto::v1::upload_plugin_request::Part;
use windlass_proto::v1::upload_plugin_response::Event;

use crate::work::duration;

/// A job of these suites ends within a second; a busy machine takes longer.
const WAIT: Duration = Duration::from_secs(60);
const CHUNK_BYTES: usize = 256 << 10;

/// See the module.
#[derive(Clone)]
pub struct Client {
    pub jobs: JobServiceClient<Channel>,
    pub plugins: PluginServiceClient<Channel>,
    pub events: EventServiceClient<Channel>,
}

impl Client {
    pub async fn connect(address: &str) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("a host prints an address");
        let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Self {
            jobs: JobServiceClient::new(channel.clone()),
            plugins: PluginServiceClient::new(channel.clone()),
            events: EventServiceClient::new(channel),
        })
    }

    /// Uploads a component; one that is known is sent all the same.
    pub async fn upload(&mut self, component: &'static [u8]) -> Result<v1::UploadResult, Status> {
        let start =
            v1::UploadStart { digest: Digest::of(component).to_string(), size_bytes: component.len() as u64 };
        let chunks = component.chunks(CHUNK_BYTES).map(|chunk| Part::Chunk(chunk.to_vec().into()));
        let parts = std::iter::once(Part::Start(start)).chain(chunks);
        let requests: Vec<_> = parts.map(|part| v1::UploadPluginRequest { part: Some(part) }).collect();
        let mut events = self.plugins.upload(tokio_stream::iter(requests)).await?.into_inner();
        while let Some(event) = events.next().await {
            if let Some(Event::Result(result)) = event?.event {
                return Ok(result);
            }
        }
        Err(Status::unavailable("the upload has no result"))
    }

    pub async fn submit(
        &mut self,
        job: v1::JobSpec,
        request_id: &str,
    ) -> Result<v1::SubmitJobResponse, Status> {
        let request = v1::SubmitJobRequest {
            job: Some(Box::new(job)),
            request_id: request_id.to_owned(),
            ..v1::SubmitJobRequest::default()
        };
        Ok(self.jobs.submit(request).await?.into_inner())
    }

    /// The job when it has ended.
    pub async fn wait(&mut self, job: &str) -> Result<v1::Job, Status> {
        let request = v1::WaitJobRequest { job: job.to_owned(), timeout: Some(duration(WAIT)) };
        let answer = self.jobs.wait(request).await?.into_inner();
        let found = answer.job.ok_or_else(|| Status::internal("no job in the answer"))?;
        assert!(answer.done, "job {job} has not ended: {found:#?}");
        Ok(found)
    }

    pub async fn get(&mut self, job: &str) -> Result<v1::GetJobResponse, Status> {
        Ok(self.jobs.get(v1::GetJobRequest { job: job.to_owned() }).await?.into_inner())
    }

    /// Every job, newest first.
    pub async fn list(&mut self) -> Result<Vec<v1::Job>, Status> {
        let request = v1::ListJobsRequest { all_owners: true, ..v1::ListJobsRequest::default() };
        Ok(self.jobs.list(request).await?.into_inner().jobs)
    }

    pub async fn cancel(&mut self, job: &str, mode: v1::CancelMode) -> Result<v1::Job, Status> {
        let request = v1::CancelJobRequest {
            job: job.to_owned(),
            mode: mode.into(),
            reason: "a test".to_owned(),
            etag: String::new(),
        };
        Ok(self.jobs.cancel(request).await?.into_inner())
    }

    /// From its first entry on.
    pub async fn watch(&mut self, job: &str) -> Result<tonic::Streaming<v1::WatchJobResponse>, Status> {
        let request = v1::WatchJobRequest { job: job.to_owned(), from_sequence: 1 };
        Ok(self.jobs.watch(request).await?.into_inner())
    }
}

/// Whether the host was lost, or is not there yet, rather than refusing what was asked.
pub fn is_lost(status: &Status) -> bool {
    // A connection that breaks in the middle of an answer is told as any of these.
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}
