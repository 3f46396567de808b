//! That the checks find what they look for.

use std::sync::Arc;

use serde_json::Value;
use windlass_core::call::{Direction, Prior};
use windlass_core::decide::create::{Timing, create};

use super::*;
use crate::conformance::fixture::{actor, at, born_of_parent, decide, family_flow, flow, host_id, spec};

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
        scope_attempt: 1,
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

/// A parent that waits, and its child, which is ready.
fn family() -> (Job, Job) {
    let flow = family_flow();
    let (mut parent, _) = create(Arc::new(spec(1, &flow)), flow, Timing::default(), actor());
    decide(&mut parent, at(5), |decision| decision.claim(host_id(1)).expect("it is ready"));
    let (child, _) = born_of_parent(&parent, at(6));
    (parent, child)
}

fn ordered(job: &Job, sequence: u64, attempt: u32) -> Entry {
    let link = job.instances[&name("child")].child.clone().expect("it is a child");
    let (task, child, until) = (name("child"), link.job, at(9));
    entry(sequence, Fact::ChildOrdered { task, attempt, child, order: link.order, number: 1, until })
}

#[test]
fn a_child_that_nobody_ordered_or_that_is_made_twice_is_found() {
    let (parent, child) = family();
    let first = ordered(&parent, 4, 1);
    let sound = [(parent.clone(), vec![first.clone()]), (child.clone(), vec![])];
    assert_eq!(family::check(&sound), Vec::<String>::new());
    let unordered = [(parent.clone(), vec![]), (child, vec![])];
    assert_eq!(family::check(&unordered).len(), 1);
    for (attempt, problems) in [(1, 2), (2, 1)] {
        let twice = vec![first.clone(), ordered(&parent, 5, attempt)];
        assert_eq!(family::check(&[(parent.clone(), twice)]).len(), problems, "attempt {attempt}");
    }
}

#[test]
fn a_parent_that_says_what_its_child_does_not_is_found() {
    let (parent, child) = family();
    let entries = vec![ordered(&parent, 4, 1)];
    let mut with_effects = child.clone();
    decide(&mut with_effects, at(7), |decision| decision.claim(host_id(1)).expect("it is ready"));
    for (state, child) in
        [(TaskState::Applied, &child), (TaskState::Reverted, &child), (TaskState::Reverted, &with_effects)]
    {
        let mut parent = parent.clone();
        parent.instances.get_mut(&name("child")).expect("it has one").state = state;
        let jobs = [(parent, entries.clone()), (child.clone(), vec![])];
        assert_eq!(family::check(&jobs).len(), 1, "{}", state.word());
    }
}
