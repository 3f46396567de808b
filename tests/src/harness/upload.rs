//! Uploads in tests.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use windlass_core::id::Digest;
use windlass_proto::v1;
use windlass_proto::v1::plugin_service_client::PluginServiceClient;
use windlass_proto::v1::upload_plugin_request::Part;
use windlass_proto::v1::upload_plugin_response::Event;

use super::TestHost;
use crate::plugins;

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// How an upload went.
#[derive(Debug)]
pub struct UploadAnswer {
    pub plugin: v1::Plugin,
    pub known: bool,
    /// Bytes that the host asked for, and got.
    pub sent_bytes: usize,
    pub phases: Vec<v1::UploadPhase>,
}

impl TestHost {
    /// Uploads the fixtures; their digest.
    pub async fn upload_fixtures(&self) -> String {
        self.upload(plugins::fixtures()).await.plugin.digest
    }

    pub async fn upload(&self, component: &[u8]) -> UploadAnswer {
        self.try_upload(component).await.expect("the upload is accepted")
    }

    pub async fn try_upload(&self, component: &[u8]) -> Result<UploadAnswer, Status> {
        try_upload(self.plugins(), &digest_text(component), component.len() as u64, component).await
    }
}

/// The digest of bytes, as the API writes it.
pub fn digest_text(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// Uploads bytes as of this digest and size, as the protocol wants it: nothing is sent before the host asks for it.
pub async fn try_upload(
    mut client: PluginServiceClient<tonic::transport::Channel>,
    digest: &str,
    size_bytes: u64,
    component: &[u8],
) -> Result<UploadAnswer, Status> {
    let (requests, receiver) = mpsc::channel(4);
    let start = v1::UploadStart { digest: digest.to_owned(), size_bytes };
    let send = |part| v1::UploadPluginRequest { part: Some(part) };
    requests.send(send(Part::Start(start))).await.expect("the client listens");
    let mut answers = client.upload(ReceiverStream::new(receiver)).await?.into_inner();
    let mut requests = Some(requests);
    let (mut sent_bytes, mut phases) = (0, Vec::new());
    while let Some(answer) = answers.message().await? {
        match answer.event.expect("an answer says something") {
            Event::Progress(progress) => {
                phases.push(progress.phase());
                // The first one asks for the bytes.
                let Some(requests) = requests.take() else { continue };
                for chunk in component.chunks(CHUNK_BYTES) {
                    let part = send(Part::Chunk(chunk.to_vec().into()));
                    // A host that has refused takes no more.
                    if requests.send(part).await.is_err() {
                        break;
                    }
                    sent_bytes += chunk.len();
                }
            }
            Event::Result(result) => {
                let plugin = result.plugin.expect("a result has the plugin");
                return Ok(UploadAnswer { plugin, known: result.known, sent_bytes, phases });
            }
        }
    }
    Err(Status::internal("the upload ended without a result"))
}
