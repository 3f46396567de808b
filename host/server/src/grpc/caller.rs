//! Callers: who asked for a mutation, as long as they are there.
//!
//! What they asked for is done to its end without them, but nobody need wait for more; and it is written down when it is
//! done, however long its answer takes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request};

use super::audit::Line;

/// Of one request.
#[derive(Clone, Default)]
pub(super) struct Caller {
    gone: CancellationToken,
    /// What is still to be written down of it.
    line: Arc<Mutex<Option<Line>>>,
}

impl Caller {
    pub fn new(line: Line) -> Self {
        Self { gone: CancellationToken::new(), line: Arc::new(Mutex::new(Some(line))) }
    }

    /// Of a request that may outlive its caller.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// The caller is gone when this is dropped.
    pub fn guard(&self) -> DropGuard {
        self.gone.clone().drop_guard()
    }

    pub async fn hung_up(&self) {
        self.gone.cancelled().await;
    }

    #[cfg(test)]
    pub fn is_written(&self) -> bool {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Writes down how the request ended; once.
    pub fn write(&self, code: Code) {
        if let Some(line) = self.line.lock().unwrap_or_else(PoisonError::into_inner).take() {
            line.write(code);
        }
    }
}
