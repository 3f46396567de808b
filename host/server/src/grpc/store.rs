//! StoreService.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use windlass_core::permit::{Kind, Verb};
use windlass_proto::v1;
use windlass_proto::v1::store_service_server::StoreService;

use crate::engine::Engine;
use crate::grpc::Services;
use crate::grpc::principal::asked;
use crate::grpc::status::{busy, draining, of_export, too_slow};

/// Backups at once. Each keeps a snapshot open, on which the store can reuse no room; nobody needs two.
const BACKUPS_MAX: usize = 1;
/// Chunks that wait for a slow client.
const CHUNKS_MAX: usize = 2;
/// Bytes of one message: a chunk with the longest of lines may be larger, and is sent in parts.
const MESSAGE_BYTES: usize = 1 << 20;

/// See the module.
pub(super) struct StorePlane {
    engine: Arc<Engine>,
    backups: Arc<Semaphore>,
    draining: CancellationToken,
}

impl StorePlane {
    pub fn new(services: &Services) -> Self {
        Self {
            engine: services.engine.clone(),
            backups: Arc::new(Semaphore::new(BACKUPS_MAX)),
            draining: services.draining.clone(),
        }
    }
}

#[tonic::async_trait]
impl StoreService for StorePlane {
    type BackupStream = BoxStream<'static, Result<v1::BackupStoreResponse, Status>>;

    async fn backup(
        &self,
        request: Request<v1::BackupStoreRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let (principal, v1::BackupStoreRequest {}) = asked(request)?;
        self.engine.permits(&principal, Verb::Read, Kind::Store, "")?;
        let place = self.backups.clone().try_acquire_owned();
        let place = place.map_err(|_| busy("another backup is under way: try again when it has ended"))?;
        let (tell, told) = mpsc::channel(CHUNKS_MAX);
        let (fail, failed) = oneshot::channel();
        let backup = Backup { engine: self.engine.clone(), tell, _place: place };
        let stopping = self.draining.clone();
        tokio::spawn(async move {
            if let Err(status) = backup.run(stopping).await {
                // A client that is not there any more need not know.
                let _ = fail.send(status);
            }
        });
        // Beside the chunks, which may wait for a slow client for ever: it learns at last why they are not all.
        let failure = stream::once(failed).filter_map(async |failed| failed.ok().map(Err));
        Ok(Response::new(ReceiverStream::new(told).map(Ok).chain(failure).boxed()))
    }
}

/// A backup that a client takes.
struct Backup {
    engine: Arc<Engine>,
    tell: mpsc::Sender<v1::BackupStoreResponse>,
    _place: OwnedSemaphorePermit,
}

impl Backup {
    /// Sends everything, or tells why it is not whole. Dropping the work ends the snapshot.
    async fn run(self, stopping: CancellationToken) -> Result<(), Status> {
        let timeout = self.engine.limits.backup_timeout;
        tokio::select! {
            sent = self.send_all() => sent,
            () = self.tell.closed() => Ok(()),
            () = stopping.cancelled() => Err(draining("back up again when it is back")),
            () = tokio::time::sleep(timeout) => Err(too_slow(timeout)),
        }
    }

    async fn send_all(&self) -> Result<(), Status> {
        let pause = self.engine.limits.backup_pause;
        let (chunks, mut written) = mpsc::channel::<Vec<u8>>(CHUNKS_MAX);
        let sending = async {
            while let Some(chunk) = written.recv().await {
                let mut chunk = prost::bytes::Bytes::from(chunk);
                while !chunk.is_empty() {
                    let part = chunk.split_to(chunk.len().min(MESSAGE_BYTES));
                    let message = v1::BackupStoreResponse { chunk: part };
                    self.tell.send_timeout(message, pause).await.map_err(|_| too_slow(pause))?;
                }
            }
            Ok(())
        };
        let exporting = async { self.engine.backup(chunks).await.map_err(|error| of_export(&error)) };
        tokio::try_join!(sending, exporting).map(drop)
    }
}
