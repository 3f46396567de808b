//! The clock: the only way by which the host learns the time.
//!
//! Decide by the wall clock, wait on the monotonic one.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Tells the time and waits for it. Two implementations: the system's, and one that tests move.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;

    /// Returns when `now` has reached `at`, or a little before where the wall clock was set meanwhile:
    /// look at `now` again.
    async fn wait_until(&self, at: DateTime<Utc>);
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

/// The wall clock may be set while we wait on the monotonic one: look again at least this often.
const WAIT_MAX: Duration = Duration::from_secs(5);

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn wait_until(&self, at: DateTime<Utc>) {
        let left = (at - self.now()).to_std().unwrap_or(Duration::ZERO);
        tokio::time::sleep(left.min(WAIT_MAX)).await;
    }
}
