//! Clients that hang up: what they asked for is done to its end all the same, but nobody need wait for more.

use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Request;

/// Of one request: whether its client is still there.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone(CancellationToken);

impl Gone {
    /// Of a request that may outlive its client.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// The client is gone when this is dropped.
    pub fn guard(&self) -> DropGuard {
        self.0.clone().drop_guard()
    }

    pub async fn hung_up(&self) {
        self.0.cancelled().await;
    }
}
