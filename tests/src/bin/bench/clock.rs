//! The time of day, which the host that is measured goes by as well.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

pub fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
