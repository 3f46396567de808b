//! PluginService.

use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use windlass_core::permit::{Kind, Verb};
use windlass_core::plugin::Plugin;
use windlass_proto::v1;
use windlass_proto::v1::download_plugin_response::Part;
use windlass_proto::v1::plugin_service_server::PluginService;

use crate::engine::{Engine, EngineError};
use crate::grpc::Services;
use crate::grpc::convert::{plugin, revision};
use crate::grpc::page::Page;
use crate::grpc::principal::asked;
use crate::grpc::status::draining;
use crate::grpc::upload::Upload;
use crate::registry::Registry;

/// Uploads and downloads at once, each of which keeps a plugin's bytes in memory. More wait for their turn.
const TRANSFERS_MAX: usize = 8;
/// Bytes of one chunk: a message of it is well below the bound of messages.
pub(super) const CHUNK_BYTES_MAX: usize = 1 << 20;
/// How long a client may keep a transfer waiting: it keeps others from theirs.
pub(super) const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);
/// Messages that wait for a slow client.
const MESSAGES_MAX: usize = 2;

/// See the module.
pub(super) struct PluginPlane {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    draining: CancellationToken,
}

impl PluginPlane {
    pub fn new(services: &Services) -> Self {
        Self {
            engine: services.engine.clone(),
            registry: services.registry.clone(),
            uploads: Arc::new(Semaphore::new(TRANSFERS_MAX)),
            downloads: Arc::new(Semaphore::new(TRANSFERS_MAX)),
            draining: services.draining.clone(),
        }
    }

    async fn turn(&self, transfers: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Status> {
        tokio::select! {
            permit = transfers.clone().acquire_owned() => {
                Ok(permit.expect("the semaphore of transfers is never closed"))
            }
            () = self.draining.cancelled() => Err(draining("try again when it is back")),
        }
    }

    async fn find(&self, reference: &str, principal: &str, verb: Verb) -> Result<Arc<Plugin>, EngineError> {
        let plugin = self.engine.find_plugin(reference).await?;
        self.engine.permits(principal, verb, Kind::Plugin, &plugin.owner)?;
        Ok(plugin)
    }
}

#[tonic::async_trait]
impl PluginService for PluginPlane {
    type UploadStream = ReceiverStream<Result<v1::UploadPluginResponse, Status>>;
    type DownloadStream = ReceiverStream<Result<v1::DownloadPluginResponse, Status>>;

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadPluginRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        let (principal, received) = asked(request)?;
        let permit = self.turn(&self.uploads).await?;
        let (tell, told) = mpsc::channel(MESSAGES_MAX);
        let upload = Upload::begin(self.registry.clone(), principal, received, tell).await?;
        tokio::spawn(async move {
            upload.run().await;
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }

    async fn get(&self, request: Request<v1::GetPluginRequest>) -> Result<Response<v1::Plugin>, Status> {
        let (principal, request) = asked(request)?;
        let found = self.find(&request.plugin, &principal, Verb::Read).await?;
        Ok(Response::new(plugin::to_wire(&found)))
    }

    async fn list(
        &self,
        request: Request<v1::ListPluginsRequest>,
    ) -> Result<Response<v1::ListPluginsResponse>, Status> {
        let (principal, mut request) = asked(request)?;
        let (size, token) = (std::mem::take(&mut request.page_size), std::mem::take(&mut request.page_token));
        let page = Page::asked(&request, &principal, size, &token)?;
        let after = page.after(place_of)?;
        let filter = plugin::filter(&request)?;
        self.engine.permits(&principal, Verb::List, Kind::Plugin, "")?;
        let mut plugins = self.engine.plugins().await?.to_vec();
        plugins.retain(|plugin| {
            filter.matches(plugin) && after.as_ref().is_none_or(|after| is_behind(plugin, after))
        });
        let place = |plugin: &Arc<Plugin>| {
            format!("{}@{}", plugin.manifest.name, plugin.manifest.version).into_bytes()
        };
        let (plugins, next_page_token) = page.cut(plugins, place, |found| plugin::to_wire(found));
        Ok(Response::new(v1::ListPluginsResponse { plugins, next_page_token }))
    }

    async fn retire(
        &self,
        request: Request<v1::RetirePluginRequest>,
    ) -> Result<Response<v1::Plugin>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        self.find(&request.plugin, &principal, Verb::Update).await?;
        let retired = self.engine.retire_plugin(&request.plugin, seen).await?;
        Ok(Response::new(plugin::to_wire(&retired)))
    }

    async fn delete(
        &self,
        request: Request<v1::DeletePluginRequest>,
    ) -> Result<Response<v1::DeletePluginResponse>, Status> {
        let (principal, request) = asked(request)?;
        let seen = revision("etag", &request.etag)?;
        self.registry.delete(&request.plugin, seen, &principal).await?;
        Ok(Response::new(v1::DeletePluginResponse {}))
    }

    async fn download(
        &self,
        request: Request<v1::DownloadPluginRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let (principal, request) = asked(request)?;
        let digest = self.find(&request.plugin, &principal, Verb::Read).await?.digest;
        let permit = self.turn(&self.downloads).await?;
        let (_, bytes) = self.registry.download(&digest.to_string()).await?;
        let (tell, told) = mpsc::channel(MESSAGES_MAX);
        let start = v1::DownloadStart { digest: digest.to_string(), size_bytes: bytes.len() as u64 };
        tokio::spawn(async move {
            send_all(start, bytes.into(), tell).await;
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

async fn send_all(
    start: v1::DownloadStart,
    mut bytes: prost::bytes::Bytes,
    tell: mpsc::Sender<Result<v1::DownloadPluginResponse, Status>>,
) {
    let mut part = Part::Start(start);
    loop {
        let message = v1::DownloadPluginResponse { part: Some(part) };
        match tell.send_timeout(Ok(message), CHUNK_TIMEOUT).await {
            Ok(()) if bytes.is_empty() => return,
            Ok(()) => part = Part::Chunk(bytes.split_to(bytes.len().min(CHUNK_BYTES_MAX))),
            // Dropping the channel ends the stream; a cut one has fewer bytes than its start told.
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                tracing::debug!("a download was cut: its client took nothing for {CHUNK_TIMEOUT:?}");
                return;
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return,
        }
    }
}

/// The place of a plugin among all: its name and version.
fn place_of(place: &[u8]) -> Option<(String, Option<Version>)> {
    let (name, version) = std::str::from_utf8(place).ok()?.split_once('@')?;
    Some((name.to_owned(), Version::parse(version).ok()))
}

/// Whether a plugin comes after a place: by name, then the highest version first.
fn is_behind(plugin: &Plugin, (name, version): &(String, Option<Version>)) -> bool {
    match plugin.manifest.name.cmp(name) {
        std::cmp::Ordering::Equal => Version::parse(&plugin.manifest.version).ok() < *version,
        order => order.is_gt(),
    }
}
