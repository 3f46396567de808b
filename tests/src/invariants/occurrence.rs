//! X04: no occurrence disappears, and none makes two jobs of one operation.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use windlass_core::id::OperationId;
use windlass_core::job::{Job, Origin};
use windlass_core::occurrence::Origin as Due;
use windlass_core::operation::Operation;
use windlass_core::trigger::{GAP_THRESHOLD, Trigger, TriggerKind};
use windlass_host::store::{Record, RecordKind, Store};

/// Records read at once; tests make fewer.
const RECORDS_MAX: usize = 1_000;

pub(super) async fn check(store: &dyn Store, jobs: &[Job]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut by_occurrence: HashMap<(OperationId, Vec<u8>), u32> = HashMap::new();
    let mut scheduled: HashMap<OperationId, Vec<DateTime<Utc>>> = HashMap::new();
    for job in jobs {
        let Origin::Operation { operation, occurrence, .. } = &job.spec.origin else { continue };
        *by_occurrence.entry((*operation, occurrence.key(*operation).to_vec())).or_default() += 1;
        if occurrence.origin == Due::Schedule {
            scheduled.entry(*operation).or_default().push(occurrence.nominal);
        }
    }
    let twice = by_occurrence.iter().filter(|(_, count)| **count > 1);
    problems
        .extend(twice.map(|((operation, _), count)| {
            format!("operation {operation}: an occurrence made {count} jobs")
        }));
    let triggers = triggers(store).await;
    for operation in operations(store).await {
        let Some(trigger) = triggers.iter().find(|trigger| trigger.id == operation.trigger) else { continue };
        let Some(expected) = expected(trigger, &operation) else { continue };
        let mut found = scheduled.remove(&operation.id).unwrap_or_default();
        found.sort();
        if found != expected {
            problems.push(format!(
                "operation {}: its trigger was due at {expected:?}, and its jobs are of {found:?}",
                operation.name
            ));
        }
    }
    problems
}

/// The nominal times that must each have a job: where nobody edited, paused, disabled or fired anything, and no gap
/// stands for some of them.
fn expected(trigger: &Trigger, operation: &Operation) -> Option<Vec<DateTime<Utc>>> {
    let TriggerKind::Schedule(schedule) = &trigger.kind else { return None };
    if trigger.generation > 1 || operation.generation > 1 || !operation.enabled {
        return None;
    }
    let since = trigger.created.max(operation.created);
    let mut times = schedule.preview(since, GAP_THRESHOLD).expect("a stored schedule can be evaluated");
    times.retain(|time| *time <= trigger.high_water);
    (times.len() < GAP_THRESHOLD).then_some(times)
}

async fn triggers(store: &dyn Store) -> Vec<Trigger> {
    let records =
        store.records(RecordKind::Trigger, None, RECORDS_MAX).await.expect("triggers can be listed");
    let triggers = records.into_iter().map(|record| match record {
        Record::Trigger(trigger) => trigger,
        other => panic!("{other:?} is listed as a trigger"),
    });
    triggers.collect()
}

async fn operations(store: &dyn Store) -> Vec<Operation> {
    let records =
        store.records(RecordKind::Operation, None, RECORDS_MAX).await.expect("operations can be listed");
    let operations = records.into_iter().map(|record| match record {
        Record::Operation(operation) => operation,
        other => panic!("{other:?} is listed as an operation"),
    });
    operations.collect()
}
