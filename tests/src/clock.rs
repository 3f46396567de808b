//! A clock that tests move.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use tokio::sync::watch;
use windlass_host::clock::Clock;

/// Stands still until a test moves it, forward or back; whoever waits is woken as it passes.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<DateTime<Utc>>,
}

impl ManualClock {
    /// A round instant: Tuesday, 2030-01-01 00:00:00 UTC.
    pub fn start() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2030, 1, 1, 0, 0, 0).single().expect("a valid date")
    }

    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now: watch::Sender::new(now) }
    }

    pub fn advance(&self, by: TimeDelta) {
        self.now.send_modify(|now| *now += by);
    }

    pub fn set(&self, now: DateTime<Utc>) {
        self.now.send_replace(now);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Self::start())
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.borrow()
    }

    async fn wait_until(&self, at: DateTime<Utc>) {
        let mut now = self.now.subscribe();
        now.wait_for(|now| *now >= at).await.expect("the clock holds the sender while it is borrowed");
    }
}
