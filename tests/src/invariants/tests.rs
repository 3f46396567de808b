//! That the checks find what they look for.

use std::sync::Arc;

use serde_json::Value;
use windlass_core::call::{Direction, Prior};
use windlass_core::decide::create::{Timing, create};

use super::*;
use crate::conformance::fixture::{actor, at, flow, host_id, spec};

fn fresh() -> (Job, Vec<Entry>) {
    let flow = flow("plugin", 2);
    create(Arc::new(spec(1, &flow)), flow, Timing::default(), actor())
}

fn entry(sequence: u64, fact: Fact) -> Entry {
    Entry { sequence, at: at(0), epoch: 1, actor: actor(), fact }
}

fn name(task: &str) -> InstanceName {
    InstanceName { task: task.to_owned(), iteration: Vec::new() }
}

fn applying(sequence: u64, task: &str) -> Entry {
    entry(sequence, Fact::TaskApplying { task: name(task), attempt: 1, prior: Prior::None })
}

fn claimed(sequence: u64) -> Entry {
    entry(sequence, Fact::Claimed { host: host_id(1), epoch: 1 })
}

fn call(job: &Job, task: &str, attempt: u32) -> LedgerLine {
    LedgerLine {
        kind: "apply".to_owned(),
        action: "act".to_owned(),
        job: job.id().to_string(),
        task: task.to_owned(),
        iteration: Vec::new(),
        key: name(task).key(job.id(), Direction::Apply),
        attempt,
        prior: "none".to_owned(),
        fence: 1,
        input: Value::Null,
        evidence: Value::Null,
        failures: Value::Null,
    }
}

/// A job whose first task is being applied.
fn applying_first() -> (Job, Vec<Entry>) {
    let (mut job, mut entries) = fresh();
    for more in [claimed(3), applying(4, "task-1")] {
        job.record(&more).expect("the table allows it");
        entries.push(more);
    }
    (job, entries)
}

#[test]
fn a_sound_job_has_no_problems() {
    let (job, entries) = applying_first();
    assert_eq!(replay(&job, &entries), None);
    assert_eq!(transition::check(&entries), Vec::<String>::new());
    assert_eq!(order(&job, &entries), Vec::<String>::new());
    assert_eq!(honesty(&job), Vec::<String>::new());
    assert_eq!(effects(&job, &[&call(&job, "task-1", 1)]), Vec::<String>::new());
}

#[test]
fn an_entry_too_few_is_found() {
    let (job, mut entries) = applying_first();
    entries.pop();
    assert!(replay(&job, &entries).is_some());
    entries.remove(1);
    assert!(replay(&job, &entries).is_some());
}

#[test]
fn a_task_before_its_turn_is_found() {
    let (job, mut entries) = fresh();
    entries.extend([claimed(3), applying(4, "task-2")]);
    assert_eq!(order(&job, &entries).len(), 1);
}

#[test]
fn a_step_that_the_table_does_not_have_is_found() {
    let (_, mut entries) = fresh();
    entries.retain(|entry| entry.fact != Fact::Triggered);
    entries.push(claimed(2));
    assert_eq!(transition::check(&entries).len(), 1);
}

#[test]
fn an_end_that_is_not_honest_is_found() {
    let (mut job, _) = applying_first();
    for state in [JobState::Succeeded, JobState::Reverted, JobState::Cancelled, JobState::Failed] {
        job.status.state = state;
        assert!(!honesty(&job).is_empty(), "{}", state.word());
    }
}

#[test]
fn calls_without_intent_or_under_a_wrong_key_are_found() {
    let (job, _) = applying_first();
    let (unmeant, more) = (call(&job, "task-2", 1), call(&job, "task-1", 2));
    let strange = LedgerLine { key: "another".to_owned(), ..call(&job, "task-1", 1) };
    for line in [&unmeant, &more, &strange] {
        assert_eq!(effects(&job, &[line]).len(), 1, "{line:?}");
    }
    let twice = call(&job, "task-1", 1);
    assert_eq!(effects(&job, &[&twice, &twice]).len(), 1);
}
