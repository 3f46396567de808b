//! References under the check: what one thing names of another is there, and the store knows who names it.

use std::collections::BTreeSet;

use windlass_core::id::{Digest, JobId, OperationId};
use windlass_core::revision::RevisionName;

use super::item::{Seen, Tell};
use super::job::REBUILD_PLUGIN;
use super::{ALL, DELETE, Finding, REBUILD, RESTORE};
use crate::store::{Reference, Store, StoreFailure};

pub(super) async fn check(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    blobs(seen, tell);
    operations(seen, tell);
    flows(seen, tell);
    for plugin in seen.plugins.keys() {
        references(store, seen, *plugin, tell).await?;
    }
    Ok(())
}

fn blobs(seen: &Seen, tell: Tell<'_>) {
    for (plugin, size) in &seen.plugins {
        let what = match seen.blobs.get(plugin) {
            Some(found) if found == size => continue,
            Some(found) => format!("it has {size} bytes, and those that are stored are {found}"),
            None => "its bytes are missing".to_owned(),
        };
        tell(Finding { place: format!("plugin {plugin}"), what, advice: REBUILD_PLUGIN });
    }
}

fn operations(seen: &Seen, tell: Tell<'_>) {
    let living = seen.operations.iter().filter(|(_, bound)| !bound.is_deleted);
    for (id, bound) in living {
        let place = || format!("operation {id}");
        if !seen.triggers.contains(&bound.trigger) {
            let what = format!("its trigger {} is missing", bound.trigger);
            tell(Finding { place: place(), what, advice: DELETE });
        }
        for plugin in bound.plugins.iter().filter(|plugin| !seen.plugins.contains_key(plugin)) {
            let what = format!("it needs the plugin {plugin}, which is missing");
            tell(Finding { place: place(), what, advice: REBUILD_PLUGIN });
        }
    }
}

/// A name has the revisions that it says, each of which has its plugins.
fn flows(seen: &Seen, tell: Tell<'_>) {
    for flow in seen.flows.values().filter(|flow| flow.deleted.is_none()) {
        let revisions = flow.first..=flow.latest;
        for revision in revisions.filter(|revision| !seen.revisions.contains_key(&(flow.id, *revision))) {
            let what = format!("its revision {revision} is missing");
            tell(Finding { place: format!("flow {}", flow.name), what, advice: RESTORE });
        }
    }
    for ((id, revision), (name, plugins)) in &seen.revisions {
        let place = || format!("flow {name}");
        if !seen.flows.get(id).is_some_and(|flow| flow.has(*revision) && flow.name == name.name) {
            let what = "its name knows nothing of this revision".to_owned();
            tell(Finding { place: place(), what, advice: RESTORE });
        }
        for plugin in plugins.iter().filter(|plugin| !seen.plugins.contains_key(plugin)) {
            let what = format!("it needs the plugin {plugin}, which is missing");
            tell(Finding { place: place(), what, advice: REBUILD_PLUGIN });
        }
    }
}

/// A plugin may be deleted where nobody is answered here.
async fn references(
    store: &dyn Store,
    seen: &Seen,
    plugin: Digest,
    tell: Tell<'_>,
) -> Result<(), StoreFailure> {
    let place = || format!("what needs plugin {plugin}");
    let answered = match store.references(plugin, ALL).await {
        Ok(answered) => answered,
        Err(StoreFailure::Corrupt(what)) => {
            tell(Finding { place: place(), what, advice: REBUILD });
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let (mut jobs, mut operations, mut revisions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for reference in answered {
        match reference {
            Reference::Job(job) => jobs.insert(job),
            Reference::Operation(operation) => operations.insert(operation),
            Reference::FlowRevision(revision) => revisions.insert(revision),
        };
    }
    let none = BTreeSet::new();
    let wanted: &BTreeSet<JobId> = seen.needed.get(&plugin).unwrap_or(&none);
    let bound =
        seen.operations.iter().filter(|(_, bound)| !bound.is_deleted && bound.plugins.contains(&plugin));
    let bound: BTreeSet<OperationId> = bound.map(|(id, _)| *id).collect();
    let pinned = seen.revisions.values().filter(|(_, plugins)| plugins.contains(&plugin));
    let pinned: BTreeSet<RevisionName> = pinned.map(|(name, _)| name.clone()).collect();
    let unpinned = pinned.symmetric_difference(&revisions);
    let unpinned = unpinned.map(|name| format!("flow {name} is answered wrongly"));
    let missing = wanted.difference(&jobs).map(|job| format!("job {job} needs it, and is not answered"));
    let strange = jobs.difference(wanted).map(|job| format!("job {job} is answered, and does not need it"));
    let unbound = bound.symmetric_difference(&operations);
    let unbound = unbound.map(|id| format!("operation {id} is answered wrongly"));
    for what in missing.chain(strange).chain(unbound).chain(unpinned) {
        tell(Finding { place: place(), what, advice: REBUILD });
    }
    Ok(())
}
