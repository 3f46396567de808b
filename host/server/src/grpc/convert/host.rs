//! Hosts.

use windlass_proto::v1;

use super::time::timestamp;
use crate::engine::{HostRecord, HostState};

/// `slots` and `running`: 0 of a host that is not this one.
pub fn to_wire(host: &HostRecord, slots: usize, running: usize) -> v1::Host {
    v1::Host {
        id: host.id.to_string(),
        name: host.name.clone(),
        version: host.version.clone(),
        start_time: Some(timestamp(host.started)),
        state: match host.state {
            HostState::Live => v1::HostState::Live,
            HostState::Dead => v1::HostState::Dead,
            HostState::Draining => v1::HostState::Draining,
            HostState::Gone => v1::HostState::Gone,
        }
        .into(),
        slots: u32::try_from(slots).unwrap_or(u32::MAX),
        running: u32::try_from(running).unwrap_or(u32::MAX),
    }
}
