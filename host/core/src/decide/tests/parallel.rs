//! Several calls at once: failures, requests, pauses, lost hosts.

use super::bench::{Bench, W1, W2, applied, broken, reject, retry, seconds, spec};
use super::graph::bench;
use super::shape::{Shape, flow_of, nested, t};
use crate::call::{Direction, Prior};
use crate::decide::advance::unwinding_order;
use crate::decide::create::Timing;
use crate::flow::{Flow, Pattern};
use crate::instance::TaskState;
use crate::job::{CancelMode, Cause, JobSpec, JobState};

use Pattern::{Graph, Linear, Unordered};

fn three() -> Flow {
    flow_of(Unordered, [t("a"), t("fail"), t("c")])
}

#[test]
fn v10_siblings_of_a_failure_are_let_finish_and_then_undone() {
    let mut bench = bench(flow_of(Unordered, [t("a"), t("fail"), t("c"), t("never").priority(-1)]));
    bench = bench.script("fail", Direction::Apply, &[broken()]);
    bench.room = 3;
    bench.claim();
    assert_eq!(bench.calling(), "a fail c");
    bench.room = usize::MAX;
    bench.finish_task("fail");
    assert_eq!(bench.calling(), "a c", "nothing begins any more");
    bench.finish_task("c");
    assert_eq!((bench.calling().as_str(), bench.job.status.state), ("a", JobState::Running));
    bench.finish_task("a");
    assert_eq!((bench.calling().as_str(), bench.job.status.state), ("a fail c", JobState::Reverting));
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(
        bench.trace(),
        "a:applying fail:applying c:applying fail:apply_failed c:applied a:applied \
         c:reverting fail:reverting a:reverting a:reverted fail:reverted c:reverted"
    );
}

#[test]
fn the_first_of_two_failures_is_the_cause() {
    let mut bench = bench(three());
    bench.claim();
    let (fail, a) = (bench.call_of("fail"), bench.call_of("a"));
    bench.finish_with(&fail, broken()).expect("it is under way");
    bench.pass(seconds(1));
    bench.finish_with(&a, broken()).expect("it is under way");
    bench.finish_task("c");
    let Some(Cause::Task { task, .. }) = &bench.job.status.cause else { panic!("a task failed") };
    assert_eq!(task.to_string(), "fail");
    assert_eq!(
        bench.job.failures().iter().map(|(name, _)| name.task.as_str()).collect::<Vec<_>>(),
        ["a", "fail"]
    );
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn v12_a_failed_revert_stops_its_own_path_only() {
    let path = nested("path", Linear, [t("t2"), t("nasty_fail")]);
    let flow = flow_of(Linear, [t("first"), nested("both", Unordered, [t("t1"), path])]);
    let mut bench = bench(flow).script("nasty_fail", Direction::Apply, &[broken()]).script(
        "nasty_fail",
        Direction::Revert,
        &[broken()],
    );
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.residue(), ["first", "t2", "nasty_fail"]);
    let trace = bench.trace();
    assert!(trace.contains("t1:reverted") && trace.contains("nasty_fail:revert_failed"), "{trace}");
    assert!(!trace.contains("t2:reverting") && !trace.contains("first:reverting"), "{trace}");
    // An operator accepts it, and what was behind it goes on.
    let accept = crate::decide::control::Resolution::Accept;
    bench.decide(|d| d.resolve("nasty_fail", &[], accept, "known".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.residue(), ["nasty_fail"]);
}

#[test]
fn a_linear_flow_is_undone_one_by_one_beside_others_that_are_undone_at_once() {
    let side = nested("side", Linear, [t("a"), t("b")]);
    let flow = flow_of(Linear, [nested("both", Unordered, [side, t("c")]), t("fail")]);
    let mut bench = bench(flow).script("fail", Direction::Apply, &[reject()]);
    bench.run_until("fail:apply_failed");
    assert_eq!(bench.calling(), "b c", "a lone rejection is passed, and a waits for b");
    bench.finish_task("b");
    assert_eq!(bench.calling(), "a c");
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn s01_a_suspension_lets_all_running_tasks_finish() {
    let mut bench = bench(flow_of(Linear, [nested("both", Unordered, [t("a"), t("b")]), t("c")]));
    bench.claim();
    bench.decide(|d| d.suspend()).expect("it runs");
    bench.finish_task("a");
    assert_eq!((bench.calling().as_str(), bench.job.status.state), ("b", JobState::Suspending));
    bench.finish_task("b");
    assert_eq!((bench.calling().as_str(), bench.job.status.state), ("", JobState::Suspended));
    bench.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "a:applying b:applying a:applied b:applied c:applying c:applied");
}

#[test]
fn s02_a_suspension_lets_all_running_reverts_finish_and_the_failure_stays_the_cause() {
    let both = nested("both", Unordered, [t("a"), t("b")]);
    let mut bench =
        bench(flow_of(Linear, [t("first"), both, t("fail")])).script("fail", Direction::Apply, &[broken()]);
    bench.run_until("a:reverting");
    bench.decide(|d| d.suspend()).expect("it reverts");
    bench.finish_task("b");
    bench.finish_task("a");
    assert_eq!(bench.job.status.state, JobState::Suspended);
    bench.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(bench.trace().ends_with("b:reverted a:reverted first:reverting first:reverted"));
    assert!(matches!(&bench.job.status.cause, Some(Cause::Task { task, .. }) if task.task == "fail"));
}

#[test]
fn s03_a_suspension_while_the_last_tasks_run_changes_nothing() {
    let mut bench = bench(flow_of(Unordered, [t("a"), t("b")]));
    bench.claim();
    bench.decide(|d| d.suspend()).expect("it runs");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_cancel_lets_all_running_tasks_finish_and_then_reverts_or_leaves() {
    for (mode, end) in [(CancelMode::Revert, JobState::Reverted), (CancelMode::Leave, JobState::Failed)] {
        let mut bench = bench(flow_of(Linear, [nested("both", Unordered, [t("a"), t("b")]), t("c")]));
        bench.claim();
        bench.decide(|d| d.cancel(mode, "enough".into())).expect("it runs");
        bench.finish_task("b");
        assert_eq!((bench.calling().as_str(), bench.job.status.state), ("a", JobState::Running));
        bench.finish_task("a");
        assert_eq!(bench.run(), end);
        assert!(!bench.trace().contains("c:"), "{}", bench.trace());
    }
}

#[test]
fn a_lost_host_leaves_all_its_calls_in_doubt_and_each_goes_on_under_its_own_key() {
    let mut bench = bench(three());
    bench.claim();
    bench.make();
    bench.finish_task("c");
    bench.crash();
    assert_eq!(bench.calling(), "a fail");
    assert_eq!(bench.job.status.claims_lost, 1, "one claim was lost, however many calls it had");
    for task in ["a", "fail"] {
        let instance = bench.job.current(task).expect("it was begun");
        assert_eq!((instance.attempt, instance.prior), (2, Prior::Interrupted));
    }
    assert_eq!(bench.run(), JobState::Succeeded);
    let keys: Vec<_> = bench.made.iter().filter(|made| made.task == "a").map(|made| &made.key).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn a_host_that_is_lost_after_a_failure_starts_nothing_again_and_unwinds() {
    let mut bench = bench(three());
    bench.claim();
    let fail = bench.call_of("fail");
    bench.finish_with(&fail, broken()).expect("it is under way");
    bench.crash();
    assert_eq!(bench.job.status.state, JobState::Reverting);
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.trace().matches(":applying").count(), 3, "{}", bench.trace());
}

#[test]
fn never_revert_lets_siblings_finish_and_leaves_everything() {
    let mut bench = Bench::of_flow(three(), JobSpec { never_revert: true, ..spec() }, Timing::default())
        .script("fail", Direction::Apply, &[broken()]);
    bench.claim();
    bench.finish_task("fail");
    assert_eq!(bench.job.status.state, JobState::Running);
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.residue(), ["a", "fail", "c"]);
    // A retry from the failure applies only what failed.
    bench.decide(|d| d.retry("fixed".into())).expect("it failed");
    bench.claim();
    assert_eq!(bench.calling(), "fail");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_pause_of_one_task_holds_up_no_other_and_ends_while_they_run() {
    let mut bench = bench(flow_of(Unordered, [t("a"), t("slow"), t("c")]));
    bench.room = 2;
    bench = bench.script("a", Direction::Apply, &[retry()]);
    bench.claim();
    bench.finish_task("a");
    assert_eq!(bench.calling(), "slow c", "another takes its place");
    bench.finish_task("c");
    let wake = bench.job.next_try().expect("a rests");
    bench.decide_nothing(|d| d.proceed(W1)).expect("it is claimed");
    bench.now = wake;
    bench.decide(|d| d.proceed(W1)).expect("it is claimed");
    assert_eq!(bench.calling(), "a slow");
    bench.decide_nothing(|d| d.proceed(W2)).expect_err("another host has it");
    bench.finish_task("slow");
    bench.finish_task("a");
    assert_eq!(bench.job.status.state, JobState::Succeeded);
}

#[test]
fn a_job_waits_only_when_nothing_runs_and_wakes_for_the_first_pause() {
    let mut bench = bench(flow_of(Unordered, [t("a"), t("b")]))
        .script("a", Direction::Apply, &[retry()])
        .script("b", Direction::Apply, &[retry()]);
    bench.claim();
    bench.finish_task("a");
    let first = bench.job.next_try().expect("a rests");
    bench.pass(seconds(60));
    bench.finish_task("b");
    // The pause of a was over while b ran.
    assert_eq!((bench.calling().as_str(), bench.job.status.state), ("a", JobState::Running));
    bench.finish_task("a");
    assert_eq!(bench.job.status.state, JobState::Waiting);
    assert!(bench.job.status.wake.expect("it waits") > first);
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_deadline_lets_running_tasks_finish_and_begins_no_more() {
    let spec = JobSpec { timeout_ms: Some(10_000), ..spec() };
    let flow = flow_of(Unordered, [t("a"), t("b"), t("c")]);
    let mut bench = Bench::of_flow(flow, spec, Timing::default());
    bench.room = 2;
    bench.claim();
    bench.pass(seconds(11));
    bench.finish_task("a");
    assert_eq!(bench.calling(), "b");
    bench.finish_task("b");
    assert_eq!(bench.job.status.cause, Some(Cause::Timeout));
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(!bench.trace().contains("c:"));
}

#[test]
fn the_flow_bounds_its_calls_and_so_does_the_room() {
    let tasks = || ["a", "b", "c", "d"].map(t);
    let mut bounded = bench(Flow { parallel_max: Some(2), ..flow_of(Unordered, tasks()) });
    bounded.claim();
    assert_eq!(bounded.calling(), "a b");
    bounded.finish_task("b");
    assert_eq!(bounded.calling(), "a c");
    let mut roomy = bench(flow_of(Unordered, tasks()));
    roomy.room = 0;
    roomy.claim();
    assert_eq!(roomy.calling(), "a", "a claimed job has room for one call");
    roomy.room = 2;
    roomy.decide(|d| d.proceed(W1)).expect("it is claimed");
    assert_eq!(roomy.calling(), "a b c");
    assert_eq!(roomy.run(), JobState::Succeeded);
}

#[test]
fn outcomes_that_come_together_are_recorded_together() {
    let mut bench = bench(flow_of(Linear, [nested("both", Unordered, [t("a"), t("b")]), t("c")]));
    bench.claim();
    let ended = [(bench.call_of("a"), applied()), (bench.call_of("b"), applied())];
    bench.decide(|d| d.finish_all(&ended)).expect("they are under way");
    assert_eq!(bench.calling(), "c");
    bench.decide_nothing(|d| d.finish_all(&ended)).expect_err("they are stale");
}

#[test]
fn a_host_that_stops_begins_nothing_and_gives_the_job_up_after_the_last_call() {
    let mut bench = bench(flow_of(Unordered, [t("a"), t("b"), t("c")]));
    bench.room = 2;
    bench.claim();
    for (task, state) in [("a", JobState::Running), ("b", JobState::Ready)] {
        let call = bench.call_of(task);
        bench.finish_stopping(&call, applied());
        assert_eq!(bench.job.status.state, state);
    }
    assert_eq!(bench.job.current("c"), None);
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_graph_is_undone_in_the_order_that_is_told_before() {
    let flow = flow_of(
        Graph,
        [
            t("d").needs(&["b", "c"]),
            t("b").needs(&["a"]),
            t("c").needs(&["a"]),
            t("a"),
            t("alone").priority(5),
        ],
    );
    let mut bench = bench(flow);
    bench.room = 0;
    assert_eq!(bench.run(), JobState::Succeeded);
    let told: Vec<_> = unwinding_order(&bench.job).iter().map(|instance| instance.name.to_string()).collect();
    assert_eq!(told, ["d", "c", "b", "a", "alone"]);
    bench.decide(|d| d.revert("undo".into())).expect("it succeeded");
    let from = bench.made.len();
    assert_eq!(bench.run(), JobState::Reverted);
    let undone: Vec<_> = bench.made[from..].iter().map(|made| made.task.clone()).collect();
    assert_eq!(undone, told);
    assert!(bench.job.instances.values().all(|instance| instance.state == TaskState::Reverted));
}

#[test]
fn an_entry_that_is_out_of_turn_is_no_history() {
    let mut bench = bench(flow_of(Graph, [t("b").needs(&["a"]), t("a")]));
    bench.claim();
    let mut entries = bench.entries.clone();
    let last = entries.last_mut().expect("a is applied");
    let crate::entry::Fact::TaskApplying { task, .. } = &mut last.fact else { panic!("a is applied") };
    task.task = "b".to_owned();
    let job = crate::job::Job::replay(bench.job.spec.clone(), bench.job.flow.clone(), &entries);
    assert!(job.expect_err("b needs a").to_string().ends_with("it is not the turn of b"));
}
