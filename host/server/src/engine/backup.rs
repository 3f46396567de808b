//! The backup: everything of one moment, while work goes on.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use crate::engine::{Engine, EngineError};
use crate::store::canonical::{self, ExportError};

impl Engine {
    /// Sends the canonical form of the store, as it is now. The chunks are a backup only where this returns well. The
    /// store keeps what it would otherwise let go until then: a receiver must not take for ever.
    pub async fn backup(&self, chunks: mpsc::Sender<Vec<u8>>) -> Result<(), ExportError> {
        canonical::export(&*self.store, chunks).await.map(drop)
    }

    /// When an import into the store began that has not ended.
    pub async fn unfinished_import(&self) -> Result<Option<DateTime<Utc>>, EngineError> {
        Ok(canonical::unfinished(&*self.store).await?.map(|import| import.began))
    }
}
