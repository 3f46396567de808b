//! What was seen of a store, item by item.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use windlass_core::flow::Flow;
use windlass_core::id::{Digest, FlowId, HostId, JobId, OperationId, TriggerId};
use windlass_core::revision::{NamedFlow, RevisionName};

use super::job::Current;
use super::{Finding, REBUILD, RESTORE};
use crate::store::canonical::Counts;
use crate::store::{Exported, Record, RecordKey, Store, StoreFailure, UniqueKey};

/// Hears of what is wrong.
pub(super) type Tell<'a> = &'a mut (dyn FnMut(Finding) + Send);

/// What was seen, as far as later checks need it.
#[derive(Default)]
pub(super) struct Seen {
    pub counts: Counts,
    pub blobs: BTreeMap<Digest, u64>,
    /// Plugin -> size.
    pub plugins: BTreeMap<Digest, u64>,
    pub triggers: BTreeSet<TriggerId>,
    pub operations: BTreeMap<OperationId, Bound>,
    pub flows: BTreeMap<FlowId, NamedFlow>,
    /// Revision -> plugins.
    pub revisions: BTreeMap<(FlowId, u32), (RevisionName, BTreeSet<Digest>)>,
    /// Job -> sequence of its last entry.
    pub jobs: BTreeMap<JobId, u64>,
    /// Ready jobs: inverted priority, since when, which.
    pub board: BTreeSet<(i64, DateTime<Utc>, JobId)>,
    pub due: BTreeMap<Watched, DateTime<Utc>>,
    pub claims: BTreeSet<(HostId, JobId)>,
    /// Type of events -> jobs that wait for some.
    pub awaiting: BTreeMap<String, Vec<JobId>>,
    /// Jobs that have something to tell another one.
    pub untold: BTreeSet<JobId>,
    /// Plugin -> jobs that may call it again.
    pub needed: BTreeMap<Digest, BTreeSet<JobId>>,
    current: Option<Current>,
}

/// What an operation names.
pub(super) struct Bound {
    pub trigger: TriggerId,
    pub plugins: BTreeSet<Digest>,
    pub is_deleted: bool,
}

/// What may be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Watched {
    Job(JobId),
    Trigger(TriggerId),
}

impl Seen {
    /// Looks at the next item.
    pub async fn look(
        &mut self,
        store: &dyn Store,
        item: Exported,
        tell: Tell<'_>,
    ) -> Result<(), StoreFailure> {
        match item {
            Exported::Broken(what) => {
                tell(Finding { place: "a row".to_owned(), what, advice: RESTORE });
            }
            Exported::Blob { digest, size_bytes } => {
                self.counts.blobs += 1;
                self.blobs.insert(digest, size_bytes);
            }
            Exported::Piece(_) => {}
            Exported::Record(record) => {
                self.record(*record);
            }
            Exported::Job { spec, flow, status } => {
                self.end(tell);
                self.counts.jobs += 1;
                let current = Current::begin(spec, flow, *status, tell);
                current.check_answers(store, tell).await?;
                self.current = Some(current);
            }
            Exported::Instance(instance) => {
                self.counts.instances += 1;
                if let Some(current) = &mut self.current {
                    current.instance(*instance);
                }
            }
            Exported::Entry(entry) => {
                self.counts.entries += 1;
                if let Some(current) = &mut self.current {
                    current.entry(&entry, tell);
                }
            }
            Exported::Note { .. } => self.counts.notes += 1,
            Exported::Key { key, job, .. } => {
                self.end(tell);
                self.counts.keys += 1;
                check_holder(store, &key, job, tell).await?;
            }
        }
        Ok(())
    }

    /// The job before has no further items.
    pub fn end(&mut self, tell: Tell<'_>) {
        if let Some(current) = self.current.take() {
            current.end(self, tell);
        }
    }

    fn record(&mut self, record: Record) {
        self.counts.records += 1;
        if let (RecordKey::Trigger(id), Some(at)) = (record.key(), record.alarm()) {
            self.due.insert(Watched::Trigger(id), at);
        }
        match record {
            Record::Plugin(plugin) => {
                self.plugins.insert(plugin.digest, plugin.size_bytes);
            }
            Record::Trigger(trigger) => {
                self.triggers.insert(trigger.id);
            }
            Record::Operation(operation) => {
                let bound = Bound {
                    trigger: operation.trigger,
                    plugins: plugins_of(&operation.flow),
                    is_deleted: operation.deleted.is_some(),
                };
                self.operations.insert(operation.id, bound);
            }
            Record::Flow(flow) => {
                self.flows.insert(flow.id, flow);
            }
            Record::FlowRevision(revision) => {
                let plugins = plugins_of(&revision.flow);
                self.revisions.insert((revision.id, revision.revision), (revision.name(), plugins));
            }
            Record::Host(_) | Record::Import(_) => {}
        }
    }
}

pub(super) fn plugins_of(flow: &Flow) -> BTreeSet<Digest> {
    flow.plugins().map(|pin| pin.digest).collect()
}

/// What the store answers for a key is what it exported of it. The job may have been purged since.
async fn check_holder(
    store: &dyn Store,
    key: &UniqueKey,
    job: JobId,
    tell: Tell<'_>,
) -> Result<(), StoreFailure> {
    let found = match store.holder(key).await {
        Ok(found) => found,
        // The export told of it.
        Err(StoreFailure::Corrupt(_)) => return Ok(()),
        Err(failure) => return Err(failure),
    };
    if found != Some(job) {
        let what = format!("it is held by {job}, and the store answers {found:?}");
        tell(Finding { place: format!("key {key:?}"), what, advice: REBUILD });
    }
    Ok(())
}
