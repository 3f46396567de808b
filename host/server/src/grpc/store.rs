//! StoreService.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use windlass_core::permit::{Kind, Verb};
use windlass_proto::v1;
use windlass_proto::v1::store_service_server::StoreService;

use crate::engine::Engine;
use crate::grpc::Services;
use crate::grpc::plugin::CHUNK_TIMEOUT;
use crate::grpc::principal::asked;
use crate::grpc::status::{busy, draining, of_export, too_slow};

/// Backups at once. Each keeps a snapshot open, on which the store can reuse no room; nobody needs two.
const BACKUPS_MAX: usize = 1;
/// How long one backup may take: at 1 MiB/s, which a slow line has, 3.5 GiB. Until it ends, the store grows by all
/// that is written meanwhile.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(3_600);
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
    type BackupStream = ReceiverStream<Result<v1::BackupStoreResponse, Status>>;

    async fn backup(
        &self,
        request: Request<v1::BackupStoreRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let (principal, v1::BackupStoreRequest {}) = asked(request)?;
        self.engine.permits(&principal, Verb::Read, Kind::Store, "")?;
        let place = self.backups.clone().try_acquire_owned();
        let place = place.map_err(|_| busy("another backup is under way: try again when it has ended"))?;
        let (tell, told) = mpsc::channel(CHUNKS_MAX);
        let backup = Backup { engine: self.engine.clone(), tell, _place: place };
        tokio::spawn(backup.run(self.draining.clone()));
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

/// A backup that a client takes.
struct Backup {
    engine: Arc<Engine>,
    tell: mpsc::Sender<Result<v1::BackupStoreResponse, Status>>,
    _place: OwnedSemaphorePermit,
}

impl Backup {
    /// Sends everything, and at its end why it is not whole if it is not. Dropping the work ends the snapshot.
    async fn run(self, stopping: CancellationToken) {
        let failed = tokio::select! {
            sent = self.send_all() => sent.err(),
            () = self.tell.closed() => None,
            () = stopping.cancelled() => Some(draining("back up again when it is back")),
            () = tokio::time::sleep(BACKUP_TIMEOUT) => Some(too_slow(BACKUP_TIMEOUT)),
        };
        if let Some(status) = failed {
            // A client that takes nothing more finds the stream ended without its last line.
            drop(self.tell.send_timeout(Err(status), CHUNK_TIMEOUT).await);
        }
    }

    async fn send_all(&self) -> Result<(), Status> {
        let (chunks, mut written) = mpsc::channel::<Vec<u8>>(CHUNKS_MAX);
        let sending = async {
            while let Some(chunk) = written.recv().await {
                let mut chunk = prost::bytes::Bytes::from(chunk);
                while !chunk.is_empty() {
                    let part = chunk.split_to(chunk.len().min(MESSAGE_BYTES));
                    let message = v1::BackupStoreResponse { chunk: part };
                    let sent = self.tell.send_timeout(Ok(message), CHUNK_TIMEOUT).await;
                    sent.map_err(|_| too_slow(CHUNK_TIMEOUT))?;
                }
            }
            Ok(())
        };
        let exporting = async { self.engine.backup(chunks).await.map_err(|error| of_export(&error)) };
        tokio::try_join!(sending, exporting).map(drop)
    }
}
