//! What must hold of a store whatever happened on it: checked after every end-to-end test, and usable by any suite.
//!
//! X01 order, X02 terminal honesty, X04 no occurrence disappears, X07 nothing half-written; and that a job's entries
//! replayed give the job, through transitions that the design's table has.

use std::collections::{BTreeMap, HashMap, HashSet};

use windlass_core::child::Order;
use windlass_core::entry::{Entry, Fact};
use windlass_core::id::JobId;
use windlass_core::instance::{InstanceName, TaskState};
use windlass_core::job::{Job, JobState};
use windlass_core::own_revert::SUFFIX;
use windlass_host::store::{JobFilter, Store};

use crate::ledger::LedgerLine;

mod family;
mod occurrence;
#[cfg(test)]
mod tests;
mod transition;

/// Rows read at once.
const PAGE: usize = 500;

/// Panics with everything that is wrong. `ledger` is what the fixtures really did, in order.
pub async fn check(store: &dyn Store, ledger: &[LedgerLine]) {
    let mut problems = Vec::new();
    let jobs = jobs(store).await;
    let mut by_job: HashMap<&str, Vec<&LedgerLine>> = HashMap::new();
    for line in ledger {
        by_job.entry(&line.job).or_default().push(line);
    }
    let mut histories = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let entries = entries(store, job.id()).await;
        let calls = by_job.get(job.id().to_string().as_str()).cloned().unwrap_or_default();
        let mut found = Vec::new();
        found.extend(replay(job, &entries));
        found.extend(transition::check(&entries));
        found.extend(order(job, &entries));
        found.extend(honesty(job));
        found.extend(effects(job, &calls));
        problems.extend(found.into_iter().map(|problem| format!("job {}: {problem}", job.id())));
        histories.push((job.clone(), entries));
    }
    problems.extend(family::check(&histories));
    problems.extend(claims(store, &jobs).await);
    problems.extend(occurrence::check(store, &jobs).await);
    assert!(problems.is_empty(), "invariants are broken:\n{}", problems.join("\n"));
}

async fn jobs(store: &dyn Store) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut after = None;
    loop {
        let page = store.jobs(&JobFilter::default(), after, PAGE).await.expect("jobs can be listed");
        for (spec, status) in page.jobs {
            let job =
                store.job(spec.id).await.expect("a job can be read").expect("a listed job is there whole");
            assert_eq!(job.status, status, "the list and the row of job {} differ", spec.id);
            jobs.push(job);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return jobs,
        }
    }
}

async fn entries(store: &dyn Store, job: JobId) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| entry.sequence);
        let page = store.entries(job, after, PAGE).await.expect("entries can be read");
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// What entries make of a job is what is stored of it, but for what an older version of the host did not keep.
fn is_told_by(replayed: &Job, stored: &Job) -> bool {
    let mut instances = replayed.instances.values().zip(stored.instances.values());
    (&replayed.spec, &replayed.flow, &replayed.status) == (&stored.spec, &stored.flow, &stored.status)
        && replayed.instances.keys().eq(stored.instances.keys())
        && instances.all(|(replayed, stored)| replayed.is_told_by(stored))
}

/// The logbook, replayed, gives the stored state.
fn replay(job: &Job, entries: &[Entry]) -> Option<String> {
    if let Some((index, entry)) = (1..).zip(entries).find(|(index, entry)| *index != entry.sequence) {
        return Some(format!("entry {index} has the sequence {}", entry.sequence));
    }
    match Job::replay(job.spec.clone(), job.flow.clone(), entries) {
        Ok(replayed) if is_told_by(&replayed, job) => None,
        Ok(replayed) => Some(format!("replayed it is\n{replayed:#?}\nand stored\n{job:#?}")),
        Err(illegal) => Some(format!("its logbook cannot be replayed: {illegal}")),
    }
}

/// X01: a task is applied when those before it in its flow are, and reverted when those behind it have no effects any
/// more.
fn order(job: &Job, entries: &[Entry]) -> Vec<String> {
    let names: Vec<&str> = job.flow.leaves().map(|leaf| leaf.name()).chain(job.own_reverts()).collect();
    let before: HashMap<&str, Vec<&str>> =
        names.iter().map(|name| (*name, job.plan.predecessors(name))).collect();
    let mut states: BTreeMap<InstanceName, TaskState> = BTreeMap::new();
    let mut problems = Vec::new();
    for entry in entries {
        let Some(name) = entry.fact.task().cloned() else { continue };
        if entry.fact.is_of_scope() {
            states.extend(state_after(&entry.fact).map(|state| (name, state)));
            continue;
        }
        let depth = job.plan.depth(&name.task);
        let is_beside = |other: &InstanceName| other.iteration.get(..depth) == name.iteration.get(..depth);
        let Some(needed) = before.get(name.task.as_str()) else {
            problems
                .push(format!("entry {} is of a task {name} that the flow does not have", entry.sequence));
            continue;
        };
        match &entry.fact {
            Fact::TaskApplying { .. }
            | Fact::TaskWaiting { .. }
            | Fact::ChildOrdered { order: Order::Start | Order::Retry, .. } => {
                for needed in needed {
                    let needs = states.iter().rfind(|(other, _)| other.task == *needed && is_beside(other));
                    let is_met = |state| matches!(state, TaskState::Applied | TaskState::Skipped);
                    if !needs.is_some_and(|(_, state)| is_met(*state)) {
                        problems.push(format!("{name} is applied before {needed} was"));
                    }
                }
            }
            Fact::TaskReverting { .. } | Fact::ChildOrdered { order: Order::Undo, .. } => {
                // An own revert undoes its flow, behind which others are.
                let is_own_revert = job.own_reverts().any(|own_revert| own_revert == name.task);
                let flow = name.task.strip_suffix(SUFFIX).filter(|_| is_own_revert);
                let undone = flow.unwrap_or(&name.task);
                let is_behind = |other: &str| before.get(other).is_some_and(|b| b.contains(&undone));
                for (other, state) in &states {
                    if is_behind(&other.task) && is_beside(other) && !is_out_of_the_way(*state) {
                        problems.push(format!("{name} is reverted while {other} is {}", state.word()));
                    }
                }
            }
            _ => {}
        }
        if let Some(state) = state_after(&entry.fact) {
            states.insert(name, state);
        }
    }
    problems
}

fn is_out_of_the_way(state: TaskState) -> bool {
    use TaskState::{Accepted, Pending, Reverted, Skipped, SkippedRevert};
    matches!(state, Pending | Skipped | Reverted | Accepted | SkippedRevert)
}

fn state_after(fact: &Fact) -> Option<TaskState> {
    Some(match fact {
        Fact::TaskApplying { .. } => TaskState::Applying,
        Fact::TaskApplied { .. } => TaskState::Applied,
        Fact::TaskAccepted { .. } | Fact::TaskObserving { .. } | Fact::TaskNotReady { .. } => {
            TaskState::Observing
        }
        Fact::TaskWaiting { .. } | Fact::ChildOrdered { order: Order::Start | Order::Retry, .. } => {
            TaskState::Waiting
        }
        Fact::ChildOrdered { order: Order::Undo, .. } => TaskState::Reverting,
        Fact::TaskBackoff { .. } => TaskState::Backoff,
        Fact::TaskApplyFailed { .. } => TaskState::ApplyFailed,
        Fact::TaskInDoubt { .. } => TaskState::InDoubt,
        Fact::TaskReverting { .. } | Fact::TaskRevertInterrupted { .. } | Fact::TaskRevertBackoff { .. } => {
            TaskState::Reverting
        }
        Fact::TaskReverted { .. } => TaskState::Reverted,
        Fact::TaskRevertFailed { .. } => TaskState::RevertFailed,
        Fact::TaskRevertAccepted { .. } => TaskState::Accepted,
        Fact::TaskRevertSkipped { .. } => TaskState::SkippedRevert,
        Fact::TaskSkipped { .. } | Fact::ScopeSkipped { .. } => TaskState::Skipped,
        Fact::ScopeApplying { .. } => TaskState::Applying,
        Fact::ScopeReverting { .. } => TaskState::Reverting,
        Fact::ScopeBackoff { .. } => TaskState::Backoff,
        Fact::ScopeApplied { .. } => TaskState::Applied,
        Fact::ScopeApplyFailed { .. } => TaskState::ApplyFailed,
        Fact::ScopeReverted { .. } => TaskState::Reverted,
        _ => return None,
    })
}

/// X02, by the rows: what a terminal state promises.
fn honesty(job: &Job) -> Vec<String> {
    let mut problems = Vec::new();
    let left: Vec<_> = job.task_instances().filter(|i| i.has_effects()).map(|i| i.name.clone()).collect();
    match job.status.state {
        JobState::Succeeded => {
            for leaf in job.flow.leaves() {
                let is_done = |state| matches!(state, TaskState::Applied | TaskState::Skipped);
                // A map of nothing has no instances.
                if job.current(leaf.name()).is_some_and(|instance| !is_done(instance.state)) {
                    problems.push(format!("it succeeded, and {} is not applied", leaf.name()));
                }
            }
        }
        JobState::Reverted | JobState::Cancelled | JobState::Dropped | JobState::Superseded
            if left.is_empty() => {}
        JobState::Reverted | JobState::Cancelled | JobState::Dropped | JobState::Superseded => {
            problems.push(format!("it is {}, and {left:?} have effects", job.status.state.word()));
        }
        JobState::Failed => {
            let named: HashSet<_> = job.status.residue.iter().collect();
            if named != left.iter().collect() {
                problems.push(format!("its residue names {named:?}, and {left:?} have effects"));
            }
        }
        _ => {}
    }
    let is_claimed = job.status.state.is_claimed();
    if is_claimed != job.status.claim.is_some() {
        problems.push(format!("it is {} with the claim {:?}", job.status.state.word(), job.status.claim));
    }
    problems
}

/// X02, by the ledger: no call without its intent, each under its key, and nothing that remains unnamed.
fn effects(job: &Job, calls: &[&LedgerLine]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    for call in calls {
        let name = InstanceName { task: call.task.clone(), iteration: call.iteration.clone() };
        let Some(instance) = job.instances.get(&name) else {
            problems.push(format!("{} of {name} was made, and no intent was recorded", call.kind));
            continue;
        };
        let (direction, attempts) = match call.kind.as_str() {
            "apply" => (windlass_core::call::Direction::Apply, instance.attempt),
            "observe" => (windlass_core::call::Direction::Apply, instance.observations),
            _ => (windlass_core::call::Direction::Revert, instance.revert_attempt),
        };
        if call.key != name.key(job.id(), direction) {
            problems.push(format!("{} of {name} had the key {} of another call", call.kind, call.key));
        }
        if call.attempt == 0 || call.attempt > attempts {
            problems.push(format!(
                "{} {} of {name} was made, and {attempts} were meant",
                call.kind, call.attempt
            ));
        }
        if !seen.insert((call.kind.clone(), call.key.clone(), call.attempt)) {
            problems.push(format!("{} {} of {name} was made twice", call.kind, call.attempt));
        }
        let remains = call.kind == "apply" && instance.has_effects();
        if remains && job.status.state == JobState::Failed && !job.status.residue.contains(&name) {
            problems.push(format!("{name} has effects that the residue does not name"));
        }
        let undone = instance.state == TaskState::Reverted && instance.revert_attempt > 0;
        let was_called = calls
            .iter()
            .any(|line| line.kind == "revert" && line.task == call.task && line.iteration == call.iteration);
        if call.kind == "apply" && undone && !was_called {
            problems.push(format!("{name} counts as reverted, and its revert was never called"));
        }
    }
    problems
}

/// X07: no claim without its job.
async fn claims(store: &dyn Store, jobs: &[Job]) -> Vec<String> {
    let claims = store.claims().await.expect("claims can be listed");
    let indexed: HashSet<_> = claims.into_iter().map(|(host, job)| (job, host)).collect();
    let held: HashSet<_> = jobs.iter().filter_map(|job| Some((job.id(), job.status.claim?.host))).collect();
    let differ = indexed.symmetric_difference(&held);
    differ.map(|(job, _)| format!("job {job}: its row and the index of claims differ")).collect()
}
