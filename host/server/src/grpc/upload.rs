//! Uploads: a plugin's bytes as they arrive.
//!
//! Invariant: of a client's bytes no more are kept than it declared, and never more than [`UPLOAD_BYTES_MAX`].

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};
use windlass_core::id::Digest;
use windlass_core::plugin::Plugin;
use windlass_proto::v1;
use windlass_proto::v1::upload_plugin_request::Part;
use windlass_proto::v1::upload_plugin_response::Event;

use crate::engine::EngineError;
use crate::grpc::convert::plugin;
use crate::grpc::plugin::{CHUNK_BYTES_MAX, CHUNK_TIMEOUT};
use crate::registry::{Progress, Registry, UploadPhase};

/// Bytes of one plugin. A Python component has 18 MiB; each upload is in memory as a whole.
pub const UPLOAD_BYTES_MAX: usize = 64 << 20;
/// How many times an upload tells how much has arrived.
const RECEIVED_REPORTS: usize = 50;

/// An upload whose first message has arrived.
pub(super) struct Upload {
    registry: Arc<Registry>,
    principal: String,
    received: Streaming<v1::UploadPluginRequest>,
    tell: mpsc::Sender<Result<v1::UploadPluginResponse, Status>>,
    digest: Digest,
    size: usize,
}

impl Upload {
    /// Reads what is going to be sent.
    pub async fn begin(
        registry: Arc<Registry>,
        principal: String,
        mut received: Streaming<v1::UploadPluginRequest>,
        tell: mpsc::Sender<Result<v1::UploadPluginResponse, Status>>,
    ) -> Result<Self, Status> {
        let Some(Part::Start(start)) = next(&mut received).await? else {
            return Err(EngineError::invalid("start", "is missing: it is the first message, and only that"))?;
        };
        let (digest, size) = plugin::start(&start, UPLOAD_BYTES_MAX)?;
        if size > UPLOAD_BYTES_MAX {
            let message = format!("the plugin has {size} bytes: this host takes at most {UPLOAD_BYTES_MAX}");
            return Err(Status::resource_exhausted(message));
        }
        Ok(Self { registry, principal, received, tell, digest, size })
    }

    /// Receives, checks and compiles; tells how it goes, and how it ended.
    pub async fn run(mut self) {
        let end = match self.settle().await {
            Ok(result) => Ok(v1::UploadPluginResponse { event: Some(Event::Result(result)) }),
            Err(status) => {
                tracing::info!(plugin = %self.digest, principal = %self.principal, %status, "upload refused");
                Err(status)
            }
        };
        // A client that hung up finds the plugin by its digest.
        let _ = self.tell.send(end).await;
    }

    async fn settle(&mut self) -> Result<v1::UploadResult, Status> {
        if let Some(known) = self.registry.upload_begin(self.digest, &self.principal).await? {
            return Ok(result(&known, true));
        }
        let bytes = self.receive().await?;
        let plugin = self.register(bytes).await?;
        tracing::info!(plugin = %plugin.digest, name = %plugin.manifest.name, version = %plugin.manifest.version,
            principal = %self.principal, "plugin uploaded");
        Ok(result(&plugin, false))
    }

    async fn receive(&mut self) -> Result<Vec<u8>, Status> {
        let mut bytes = Vec::with_capacity(self.size);
        let report_every = self.size / RECEIVED_REPORTS;
        let mut report_at = 0;
        // The first report is what a client waits for before it sends anything: it is never left out.
        let begun = self.report(v1::UploadPhase::Receiving, 0, 0.0);
        if self.tell.send(Ok(begun)).await.is_err() {
            return Err(Status::cancelled("the client hung up"));
        }
        while let Some(part) = next(&mut self.received).await? {
            let Part::Chunk(chunk) = part else {
                return Err(EngineError::invalid("start", "is sent twice: send it once, then chunks"))?;
            };
            if chunk.is_empty() || chunk.len() > CHUNK_BYTES_MAX {
                let message = format!("has {} bytes: give 1 to {CHUNK_BYTES_MAX}", chunk.len());
                return Err(EngineError::invalid("chunk", message))?;
            }
            if bytes.len() + chunk.len() > self.size {
                let message = format!("is {}, and more bytes than that are sent", self.size);
                return Err(EngineError::invalid("start.size_bytes", message))?;
            }
            bytes.extend_from_slice(&chunk);
            if bytes.len() >= report_at {
                report_at = bytes.len() + report_every;
                self.tell_if_it_listens(v1::UploadPhase::Receiving, bytes.len(), self.part(bytes.len()));
            }
        }
        if bytes.len() < self.size {
            let message = format!("is {}, and only {} bytes were sent", self.size, bytes.len());
            return Err(EngineError::invalid("start.size_bytes", message))?;
        }
        Ok(bytes)
    }

    async fn register(&self, bytes: Vec<u8>) -> Result<Arc<Plugin>, Status> {
        let (report, mut reported) = watch::channel::<Progress>((UploadPhase::Checking, 0.0));
        let upload = self.registry.upload(bytes, self.digest, &self.principal, report);
        tokio::pin!(upload);
        let mut is_reporting = true;
        loop {
            tokio::select! {
                uploaded = &mut upload => return Ok(uploaded?),
                changed = reported.changed(), if is_reporting => {
                    is_reporting = changed.is_ok();
                    let (phase, fraction) = *reported.borrow_and_update();
                    self.tell_if_it_listens(plugin::phase_to_wire(phase), self.size, fraction);
                }
            }
        }
    }

    /// Progress that a slow client misses is no loss: the next one says more.
    fn tell_if_it_listens(&self, phase: v1::UploadPhase, received: usize, fraction: f32) {
        let _ = self.tell.try_send(Ok(self.report(phase, received, fraction)));
    }

    fn report(&self, phase: v1::UploadPhase, received: usize, fraction: f32) -> v1::UploadPluginResponse {
        let progress = v1::UploadProgress {
            phase: phase.into(),
            received_bytes: received as u64,
            fraction: Some(fraction.clamp(0.0, 1.0)),
        };
        v1::UploadPluginResponse { event: Some(Event::Progress(progress)) }
    }

    fn part(&self, received: usize) -> f32 {
        received as f32 / self.size.max(1) as f32
    }
}

async fn next(received: &mut Streaming<v1::UploadPluginRequest>) -> Result<Option<Part>, Status> {
    let message = tokio::time::timeout(CHUNK_TIMEOUT, received.message()).await;
    let message = message.map_err(|_| {
        Status::deadline_exceeded(format!("the upload was given up: nothing arrived for {CHUNK_TIMEOUT:?}"))
    })??;
    match message {
        None => Ok(None),
        Some(v1::UploadPluginRequest { part: Some(part) }) => Ok(Some(part)),
        Some(v1::UploadPluginRequest { part: None }) => {
            Err(EngineError::invalid("part", "is not given: send a start, then chunks"))?
        }
    }
}

fn result(found: &Plugin, known: bool) -> v1::UploadResult {
    v1::UploadResult { plugin: Some(plugin::to_wire(found)), known }
}
