//! Records: the stored things that are not jobs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use windlass_core::id::{Digest, FlowId, HostId, OperationId, TriggerId};
use windlass_core::operation::Operation;
use windlass_core::plugin::Plugin;
use windlass_core::revision::{FlowRevision, NamedFlow};
use windlass_core::trigger::Trigger;

/// One stored thing. Each carries a generation that rises with every change.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // Pages of records are short; operations and revisions are large anyway.
pub enum Record {
    Plugin(Plugin),
    Trigger(Trigger),
    Operation(Operation),
    Host(HostRecord),
    Import(ImportRecord),
    Flow(NamedFlow),
    FlowRevision(FlowRevision),
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    Plugin(Digest),
    Trigger(TriggerId),
    Operation(OperationId),
    Host(HostId),
    /// There is one at most.
    Import,
    Flow(FlowId),
    FlowRevision(FlowId, u32),
}

/// What sort of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    Plugin,
    Trigger,
    Operation,
    Host,
    Import,
    Flow,
    FlowRevision,
}

/// One running process of Windlass, or one that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    pub id: HostId,
    pub name: String,
    pub version: String,
    pub state: HostState,
    pub started: DateTime<Utc>,
    pub generation: u64,
}

/// Says that an import into this store was begun and has not ended: what else is in the store is not whole. Written
/// first and removed last, and never exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    pub began: DateTime<Utc>,
    pub generation: u64,
}

/// Where a host is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    Live,
    /// Lost: its successor found its claims.
    Dead,
    Draining,
    Gone,
}

impl RecordKey {
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Plugin(_) => RecordKind::Plugin,
            Self::Trigger(_) => RecordKind::Trigger,
            Self::Operation(_) => RecordKind::Operation,
            Self::Host(_) => RecordKind::Host,
            Self::Import => RecordKind::Import,
            Self::Flow(_) => RecordKind::Flow,
            Self::FlowRevision(..) => RecordKind::FlowRevision,
        }
    }
}

impl RecordKind {
    /// In the order of their records.
    pub const ALL: [Self; 7] = [
        Self::Plugin,
        Self::Trigger,
        Self::Operation,
        Self::Host,
        Self::Import,
        Self::Flow,
        Self::FlowRevision,
    ];
}

impl Record {
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Plugin(plugin) => RecordKey::Plugin(plugin.digest),
            Self::Trigger(trigger) => RecordKey::Trigger(trigger.id),
            Self::Operation(operation) => RecordKey::Operation(operation.id),
            Self::Host(host) => RecordKey::Host(host.id),
            Self::Import(_) => RecordKey::Import,
            Self::Flow(flow) => RecordKey::Flow(flow.id),
            Self::FlowRevision(revision) => RecordKey::FlowRevision(revision.id, revision.revision),
        }
    }

    /// What a change of it expects, and raises.
    pub fn generation(&self) -> u64 {
        match self {
            Self::Plugin(plugin) => plugin.generation,
            // A trigger's generation is that of its schedule, and part of its occurrences: firing does not change it.
            Self::Trigger(trigger) => trigger.revision,
            Self::Operation(operation) => operation.generation,
            Self::Host(host) => host.generation,
            Self::Import(import) => import.generation,
            Self::Flow(flow) => flow.generation,
            // It never changes.
            Self::FlowRevision(_) => 1,
        }
    }

    /// When it wants to be looked at without anybody asking: triggers, at their next occurrence.
    pub fn alarm(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Trigger(trigger) => trigger.alarm(),
            Self::Plugin(_)
            | Self::Operation(_)
            | Self::Host(_)
            | Self::Import(_)
            | Self::Flow(_)
            | Self::FlowRevision(_) => None,
        }
    }
}
