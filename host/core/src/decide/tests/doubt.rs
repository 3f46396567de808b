//! What becomes of a task whose host was lost while it was applied.

use super::bench::{Bench, spec};
use super::shape::{Shape, flow_of, nested, t, times};
use crate::call::{End, Function, Prior};
use crate::decide::create::Timing;
use crate::flow::{Flow, InDoubt, Pattern};
use crate::job::{CancelMode, Cause, JobState};

fn lost(flow: Flow) -> Bench {
    let mut bench = Bench::of_flow(flow, spec(), Timing::default());
    bench.run_until("b:applying");
    bench.make();
    bench.crash();
    bench
}

fn flow(in_doubt: InDoubt) -> Flow {
    flow_of(Pattern::Linear, [t("a"), t("b").in_doubt(in_doubt), t("c")])
}

#[test]
fn it_is_applied_again_under_the_same_key_unless_it_says_otherwise() {
    let mut bench = lost(flow(InDoubt::Reapply));
    assert_eq!(bench.run(), JobState::Succeeded);
    let calls: Vec<_> = bench.made.iter().filter(|made| made.task == "b").collect();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].key, calls[1].key);
    assert_eq!((calls[1].attempt, calls[1].prior), (2, Prior::Interrupted));
}

#[test]
fn it_is_undone_with_evidence_of_an_interruption_where_it_asks_for_that() {
    let mut bench = lost(flow(InDoubt::Revert));
    assert_eq!(bench.run(), JobState::Reverted);
    let calls: Vec<_> = bench.made.iter().map(|made| (made.task.as_str(), made.function)).collect();
    let (apply, revert) = (Function::Apply, Function::Revert);
    assert_eq!(calls, [("a", apply), ("b", apply), ("b", revert), ("a", revert)]);
    assert_eq!(bench.made[2].evidence.as_ref().map(|evidence| &evidence.end), Some(&End::Interrupted));
    let Some(Cause::Task { task, fault }) = &bench.job.status.cause else { panic!("b failed") };
    assert_eq!((task.task.as_str(), fault.class.as_str()), ("b", "host.in_doubt"));
}

#[test]
fn a_scope_around_it_tries_again() {
    let scope = nested("s", Pattern::Linear, [t("b").in_doubt(InDoubt::Revert)]).scope(times(2));
    let mut bench = Bench::of_flow(flow_of(Pattern::Linear, [t("a"), scope]), spec(), Timing::default());
    bench.run_until("b#1:applying");
    bench.crash();
    assert_eq!(bench.run(), JobState::Succeeded);
    let made: Vec<_> = bench.made.iter().map(|made| made.task.as_str()).collect();
    assert_eq!(made, ["a", "b#1", "b#2"]);
}

#[test]
fn it_is_held_for_a_person_where_it_asks_for_that() {
    let mut bench = lost(flow(InDoubt::Hold));
    assert_eq!(bench.job.status.state, JobState::Suspended);
    assert!(bench.states().contains(&"suspended"));
    assert!(bench.trace().ends_with("b:in_doubt b:held"), "{}", bench.trace());
    let mut undone = lost(flow(InDoubt::Hold));
    bench.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.job.current("b").map(|b| (b.attempt, b.is_held)), Some((2, false)));
    undone.decide(|d| d.cancel(CancelMode::Revert, "it did something".into())).expect("it is suspended");
    assert_eq!(undone.run(), JobState::Reverted);
    assert_eq!(undone.job.current("b").map(|b| b.attempt), Some(1));
}

#[test]
fn what_runs_beside_a_held_task_is_let_finish() {
    let flow = flow_of(Pattern::Unordered, [t("b").in_doubt(InDoubt::Hold), t("c")]);
    let mut bench = Bench::of_flow(flow, spec(), Timing::default());
    bench.claim();
    bench.finish_task("c");
    bench.crash();
    assert_eq!(bench.job.status.state, JobState::Suspended);
    // Lost again while it is applied, it is held again.
    bench.decide(|d| d.resume()).expect("it is suspended");
    bench.claim();
    assert_eq!(bench.calling(), "b");
    bench.crash();
    assert_eq!(bench.job.status.state, JobState::Suspended);
}
