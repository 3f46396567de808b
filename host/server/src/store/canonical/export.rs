//! Exporting: a store's canonical form, in chunks.

use tokio::sync::mpsc;

use super::line::Counts;
use super::write::{WriteError, Writer};
use crate::store::{Exported, ImportRecord, Record, RecordKey, Store, StoreFailure};

/// Items between the store and the writer: enough that neither waits for the other's every step.
const ITEMS_MAX: usize = 64;

/// Bytes of a chunk, beyond which it is handed on.
const CHUNK_BYTES: usize = 256 * 1024;

/// Why no form came of a store.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(
        "an import that began at {0} has not ended: the store is not whole; import into an empty store again"
    )]
    Unfinished(chrono::DateTime<chrono::Utc>),
    #[error("{0}; `windlass store check` on the stopped host's store tells of every such place")]
    Corrupt(WriteError),
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// Whoever received the chunks is gone.
    #[error("the receiver of the export is gone")]
    Gone,
}

/// The import that was begun and has not ended, if there is one.
pub async fn unfinished(store: &dyn Store) -> Result<Option<ImportRecord>, StoreFailure> {
    Ok(store.record(RecordKey::Import).await?.and_then(|record| match record {
        Record::Import(import) => Some(import),
        Record::Plugin(_)
        | Record::Trigger(_)
        | Record::Operation(_)
        | Record::Host(_)
        | Record::Flow(_)
        | Record::FlowRevision(_) => None,
    }))
}

/// Writes everything of one moment. The chunks are the whole form when this returns well, and no form otherwise.
pub async fn export(store: &dyn Store, chunks: mpsc::Sender<Vec<u8>>) -> Result<Counts, ExportError> {
    if let Some(import) = unfinished(store).await? {
        return Err(ExportError::Unfinished(import.began));
    }
    let (items, exported) = mpsc::channel(ITEMS_MAX);
    // Where writing fails the items' receiver is dropped, which ends the store's part.
    let (sent, written) = tokio::join!(store.export(items), write(exported, &chunks));
    let writer = written?;
    sent?;
    let (last, counts) = writer.end().map_err(ExportError::Corrupt)?;
    chunks.send(last).await.map_err(|_| ExportError::Gone)?;
    Ok(counts)
}

async fn write(
    mut items: mpsc::Receiver<Exported>,
    chunks: &mpsc::Sender<Vec<u8>>,
) -> Result<Writer, ExportError> {
    let mut writer = Writer::begin();
    while let Some(item) = items.recv().await {
        writer.write(item).map_err(ExportError::Corrupt)?;
        if writer.waiting() >= CHUNK_BYTES {
            chunks.send(writer.take()).await.map_err(|_| ExportError::Gone)?;
        }
    }
    Ok(writer)
}
