//! Lines: how each item is written down.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use windlass_core::entry::Entry;
use windlass_core::flow::Flow;
use windlass_core::id::{Digest, JobId};
use windlass_core::instance::{InstanceName, TaskInstance};
use windlass_core::job::{JobSpec, JobStatus};
use windlass_core::operation::Operation;
use windlass_core::plugin::Plugin;
use windlass_core::revision::{FlowRevision, NamedFlow};
use windlass_core::trigger::Trigger;

use crate::store::{HostRecord, UniqueKey};

/// The first line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct First {
    pub format: String,
    pub version: u32,
}

/// Any further line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Blob(BlobLine),
    Piece(Bytes),
    Plugin(Box<Plugin>),
    Trigger(Box<Trigger>),
    Operation(Box<Operation>),
    Host(HostRecord),
    NamedFlow(Box<NamedFlow>),
    FlowRevision(Box<FlowRevision>),
    /// Of the jobs that follow, up to the next flow: it is written where it is not that of the job before.
    Flow(std::sync::Arc<Flow>),
    Job(Box<JobLine>),
    Instance(Box<TaskInstance>),
    Entry(Box<Entry>),
    Note(NoteLine),
    Key(KeyLine),
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlobLine {
    pub digest: Digest,
    pub size_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobLine {
    pub spec: std::sync::Arc<JobSpec>,
    pub status: Box<JobStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteLine {
    pub task: InstanceName,
    pub name: String,
    pub value: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine {
    #[serde(with = "UniqueKeyLine")]
    pub unique: UniqueKey,
    /// Absent for occurrences, which are kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<DateTime<Utc>>,
    pub job: JobId,
}

/// How a unique key is written down.
#[derive(Serialize, Deserialize)]
#[serde(remote = "UniqueKey", rename_all = "snake_case")]
enum UniqueKeyLine {
    Request {
        principal: String,
        request_id: String,
    },
    Occurrence {
        #[serde(with = "base64_of")]
        key: Vec<u8>,
    },
    Event {
        source: String,
        id: String,
    },
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub counts: Counts,
    /// Of all bytes before this line.
    pub sha256: Digest,
}

/// How much of each a form holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub blobs: u64,
    pub records: u64,
    pub jobs: u64,
    pub instances: u64,
    pub entries: u64,
    pub notes: u64,
    pub keys: u64,
}

/// Bytes, in base64.
#[derive(Debug, PartialEq)]
pub(super) struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        base64_of::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64_of::deserialize(deserializer).map(Self)
    }
}

mod base64_of {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}
