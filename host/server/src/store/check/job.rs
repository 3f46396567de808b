//! One job under the check.

use std::sync::Arc;

use windlass_core::entry::Entry;
use windlass_core::flow::Flow;
use windlass_core::id::Digest;
use windlass_core::instance::TaskInstance;
use windlass_core::job::{JobSpec, JobState, JobStatus, Origin};

use super::item::{Seen, Tell, Watched, plugins_of};
use super::{Finding, RESTORE};
use crate::store::admit::needs_plugins;
use crate::store::canonical::Replay;
use crate::store::{Store, StoreFailure, UniqueKey};

/// The job whose items are being read.
pub(super) struct Current {
    replay: Replay,
    status: JobStatus,
}

impl Current {
    /// Begins with what was told of it, and looks whether its flow is the one that it names.
    pub fn begin(spec: Arc<JobSpec>, flow: Arc<Flow>, status: JobStatus, tell: Tell<'_>) -> Self {
        let found = flow.digest();
        if found != spec.flow {
            let what = format!("its flow is {}, and what is stored under that name is {found}", spec.flow);
            tell(Finding { place: place(&spec), what, advice: RESTORE });
        }
        Self { replay: Replay::begin(spec, flow, status.clone()), status }
    }

    /// What the store answers about it is what it exported.
    pub async fn check_answers(&self, store: &dyn Store, tell: Tell<'_>) -> Result<(), StoreFailure> {
        let spec = &self.replay.job.spec;
        let Origin::Operation { operation, occurrence, .. } = &spec.origin else { return Ok(()) };
        let key = UniqueKey::Occurrence { key: occurrence.key(*operation).to_vec() };
        match store.holder(&key).await {
            Ok(Some(holder)) if holder == spec.id => {}
            Ok(holder) => {
                let what = format!(
                    "its occurrence of {} is held by {}, so it could be made again",
                    occurrence.nominal,
                    holder.map_or("nobody".to_owned(), |holder| format!("job {holder}"))
                );
                tell(Finding { place: place(spec), what, advice: RESTORE });
            }
            // The export tells of it.
            Err(StoreFailure::Corrupt(_)) => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    pub fn instance(&mut self, instance: TaskInstance) {
        self.replay.instance(instance);
    }

    pub fn entry(&mut self, entry: &Entry, tell: Tell<'_>) {
        if let Err(what) = self.replay.entry(entry) {
            tell(Finding { place: place(&self.replay.job.spec), what, advice: RESTORE });
        }
    }

    /// Compares, and keeps what the indexes must say of it.
    pub fn end(self, seen: &mut Seen, tell: Tell<'_>) {
        let spec = &self.replay.job.spec;
        let id = spec.id;
        for what in self.replay.differences() {
            tell(Finding { place: place(spec), what, advice: RESTORE });
        }
        let is_claimed = self.status.state.is_claimed();
        if is_claimed != self.status.claim.is_some() {
            let has = if is_claimed { "no claim" } else { "a claim" };
            let what = format!("it is {} with {has}", self.status.state.word());
            tell(Finding { place: place(spec), what, advice: RESTORE });
        }
        if let Origin::Operation { operation, .. } = &spec.origin
            && !seen.operations.contains_key(operation)
        {
            let what = format!("its operation {operation} is missing");
            tell(Finding { place: place(spec), what, advice: RESTORE });
        }
        seen.jobs.insert(id, self.status.sequence);
        if self.status.state == JobState::Ready {
            let since = self.status.triggered.unwrap_or(self.status.due);
            seen.board.insert((-i64::from(self.status.priority), since, id));
        }
        if let Some(at) = self.status.alarm() {
            seen.due.insert(Watched::Job(id), at);
        }
        if let Some(claim) = self.status.claim {
            seen.claims.insert((claim.host, id));
        }
        for event_type in self.status.awaited_events() {
            seen.awaiting.entry(event_type.to_owned()).or_default().push(id);
        }
        if self.status.is_untold() {
            seen.untold.insert(id);
        }
        if needs_plugins(self.status.state) {
            for plugin in plugins_of(&self.replay.job.flow) {
                self.need(plugin, seen, tell);
            }
        }
    }

    fn need(&self, plugin: Digest, seen: &mut Seen, tell: Tell<'_>) {
        let spec = &self.replay.job.spec;
        if !seen.plugins.contains_key(&plugin) {
            let what = format!("it needs the plugin {plugin}, which is missing");
            tell(Finding { place: place(spec), what, advice: REBUILD_PLUGIN });
        }
        seen.needed.entry(plugin).or_default().insert(spec.id);
    }
}

/// What to do about a plugin that is missing.
pub(super) const REBUILD_PLUGIN: &str = "upload the very same plugin again";

fn place(spec: &JobSpec) -> String {
    format!("job {}", spec.id)
}
