//! Failures, and how what was done is undone.

use serde_json::json;

use super::bench::{Bench, applied, broken, payload, reject, retry, seconds, spec};
use super::shape::{Shape, flow_of, for_each, literal, nested, t, times};
use crate::call::{Direction, End, Outcome, Prior};
use crate::decide::control::Resolution;
use crate::decide::create::Timing;
use crate::flow::Pattern;
use crate::instance::{InstanceName, TaskState};
use crate::job::{CancelMode, Cause, JobSpec, JobState};

const APPLY: Direction = Direction::Apply;
const REVERT: Direction = Direction::Revert;

fn state(bench: &Bench, task: &str) -> TaskState {
    bench.job.current(task).expect("it was touched").state
}

fn cause_task(bench: &Bench) -> String {
    match &bench.job.status.cause {
        Some(Cause::Task { task, fault }) => format!("{task} {}", fault.class),
        other => panic!("the cause is {other:?}"),
    }
}

#[test]
fn v01_all_that_was_applied_is_reverted_in_reverse() {
    let mut bench = Bench::of(&["a", "b", "fail"]).script("fail", APPLY, &[broken()]);
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(
        bench.trace(),
        "a:applying a:applied b:applying b:applied fail:applying fail:apply_failed fail:reverting fail:reverted \
         b:reverting b:reverted a:reverting a:reverted"
    );
    assert_eq!(cause_task(&bench), "fail fixture.broken");
    assert_eq!(bench.states(), ["created", "triggered", "claimed", "unwinding", "ended"]);
}

#[test]
fn v02_a_task_that_never_ran_is_not_reverted() {
    let mut bench = Bench::of(&["fail", "never"]).script("fail", APPLY, &[broken()]);
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.trace(), "fail:applying fail:apply_failed fail:reverting fail:reverted");
    assert!(bench.job.current("never").is_none());
}

#[test]
fn v04_the_revert_of_a_failed_task_is_told_of_its_failure() {
    let mut bench = Bench::of(&["fail"]).script("fail", APPLY, &[broken()]);
    bench.run();
    let revert = bench.made.last().expect("a call was made");
    let Outcome::Broken { fault } = broken() else { unreachable!() };
    assert_eq!((revert.function, revert.attempt, revert.prior), (REVERT.into(), 1, Prior::None));
    assert_eq!(
        revert.evidence.as_ref().map(|e| &e.end),
        Some(&End::Failed { fault: fault.clone(), handle: None })
    );
    // P04: the failure can still be read.
    assert_eq!(bench.job.current("fail").and_then(|i| i.fault.clone()), Some(fault));
}

#[test]
fn v05_a_revert_is_told_what_its_apply_returned_and_all_failures() {
    let output = Outcome::Applied { output: payload("R"), undo: Some(payload("undo R")) };
    let mut bench =
        Bench::of(&["a", "fail1"]).script("a", APPLY, &[output]).script("fail1", APPLY, &[broken()]);
    bench.run();
    let revert = bench.made.last().expect("a call was made");
    let evidence = revert.evidence.as_ref().expect("it is a revert");
    assert_eq!((revert.task.as_str(), &evidence.end), ("a", &End::Applied(payload("R"))));
    assert_eq!(bench.undo_told(), [("a".to_owned(), 1, payload("undo R"))]);
    let Outcome::Broken { fault } = broken() else { unreachable!() };
    assert_eq!(fault.causes, ["the disk is full"]);
    let fail1 = InstanceName { task: "fail1".to_owned(), iteration: vec![] };
    assert_eq!(revert.failures, [(fail1, fault)]);
}

#[test]
fn v05_a_task_that_was_applied_in_the_end_is_no_failure() {
    let mut bench = Bench::of(&["a", "fail"]).script("a", APPLY, &[retry(), applied()]).script(
        "fail",
        APPLY,
        &[broken()],
    );
    bench.run();
    let revert = bench.made.last().expect("a call was made");
    assert_eq!(revert.failures.iter().map(|(name, _)| name.task.as_str()).collect::<Vec<_>>(), ["fail"]);
}

#[test]
fn v07_a_revert_that_fails_leaves_the_job_failed_with_both_failures() {
    let mut bench = Bench::of(&["a", "nasty", "fail"]).script("nasty", REVERT, &[broken()]).script(
        "fail",
        APPLY,
        &[broken()],
    );
    assert_eq!(bench.run(), JobState::Failed);
    assert!(
        bench.trace().ends_with("fail:reverted nasty:reverting nasty:revert_failed"),
        "{}",
        bench.trace()
    );
    assert_eq!(bench.residue(), ["a", "nasty"]);
    assert_eq!(cause_task(&bench), "fail fixture.broken");
    assert!(bench.job.current("nasty").is_some_and(|i| i.revert_fault.is_some() && i.fault.is_none()));
}

#[test]
fn v13_a_reverted_job_is_not_retried_but_rerun() {
    let mut bench = Bench::of(&["fail"]).script("fail", APPLY, &[broken()]);
    bench.run();
    let refusal = bench.refused(|d| d.retry("again".into()));
    assert!(refusal.contains("it is reverted") && refusal.contains("rerun it"), "{refusal}");
    bench.decide_nothing(|d| d.revert("undo it".into())).expect("it is so already");
}

#[test]
fn v14_retrying_what_succeeded_executes_nothing() {
    let mut bench = Bench::of(&["a"]);
    bench.run();
    bench.decide_nothing(|d| d.retry("again".into())).expect("it is so already");
    assert_eq!(bench.job.status.state, JobState::Succeeded);
}

#[test]
fn v15_a_job_that_never_reverts_stops_and_names_what_remains() {
    let spec = JobSpec { never_revert: true, ..spec() };
    let mut bench = Bench::with(&["a", "b", "fail", "never"], spec, Timing::default()).script(
        "fail",
        APPLY,
        &[broken(), applied()],
    );
    assert_eq!(bench.run(), JobState::Failed);
    assert!(bench.trace().ends_with("b:applied fail:applying fail:apply_failed"));
    assert_eq!(bench.residue(), ["a", "b", "fail"]);
    assert_eq!(cause_task(&bench), "fail fixture.broken");

    // Retried from the failure: same key, the next attempt, told of what went before.
    bench.decide(|d| d.retry("the disk has room now".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert!(bench.trace().ends_with("fail:applying fail:applied never:applying never:applied"));
    let calls: Vec<_> = bench.made.iter().filter(|made| made.task == "fail").collect();
    assert_eq!(calls[0].key, calls[1].key);
    assert_eq!((calls[1].attempt, calls[1].prior), (2, Prior::Failed));
    assert_eq!((bench.job.status.cause.as_ref(), bench.residue().len()), (None, 0));
}

#[test]
fn v15_a_job_that_never_reverts_is_reverted_when_somebody_asks() {
    let spec = JobSpec { never_revert: true, ..spec() };
    let mut bench =
        Bench::with(&["a", "fail"], spec.clone(), Timing::default()).script("fail", APPLY, &[broken()]);
    bench.run();
    bench.decide(|d| d.revert("clean up".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Reverted);

    // Also where the call fails after the cancel was asked for.
    let mut bench = Bench::with(&["a", "fail"], spec, Timing::default()).script("fail", APPLY, &[broken()]);
    bench.run_until("fail:applying");
    bench.decide(|d| d.cancel(CancelMode::Revert, "enough".into())).expect("it runs");
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn a_lone_reject_is_reverted_without_a_call() {
    let mut bench = Bench::of(&["a", "b"]).script("b", APPLY, &[reject()]);
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(bench.trace().ends_with("b:applying b:apply_failed b:reverted a:reverting a:reverted"));
    assert_eq!(bench.made.iter().filter(|made| made.function == REVERT.into()).count(), 1);
}

#[test]
fn a_reject_after_an_earlier_attempt_is_reverted() {
    let mut bench = Bench::of(&["a"]).script("a", APPLY, &[retry(), reject()]);
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.trace(), "a:applying a:backoff a:applying a:apply_failed a:reverting a:reverted");

    // An attempt that was cut short may have had effects, too.
    let mut bench = Bench::of(&["a"]).script("a", APPLY, &[reject()]);
    bench.claim();
    bench.crash();
    assert_eq!(bench.run(), JobState::Reverted);
    assert!(bench.trace().ends_with("a:apply_failed a:reverting a:reverted"));
}

#[test]
fn a_reject_after_an_undo_record_is_reverted() {
    let mut bench = Bench::of(&["a"]).script("a", APPLY, &[reject()]);
    bench.claim();
    let call = bench.call();
    bench.decide(|d| d.record_undo(&call, payload("undo"))).expect("it is under way");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.trace(), "a:applying a:apply_failed a:reverting a:reverted");
    assert_eq!(bench.undo_told(), [("a".to_owned(), 1, payload("undo"))]);
}

#[test]
fn undo_records_of_every_attempt_are_kept_oldest_first() {
    let good = Outcome::Applied { output: payload("done"), undo: Some(payload("third")) };
    let mut bench =
        Bench::of(&["a", "fail"]).script("a", APPLY, &[retry(), good]).script("fail", APPLY, &[broken()]);
    bench.claim();
    for undo in ["first", "second"] {
        let call = bench.call();
        bench.decide(|d| d.record_undo(&call, payload(undo))).expect("it is under way");
    }
    bench.run();
    let told = [(1, "first"), (1, "second"), (2, "third")];
    assert_eq!(bench.undo_told(), told.map(|(attempt, undo)| ("a".to_owned(), attempt, payload(undo))));
}

fn stuck() -> Bench {
    let mut bench = Bench::of(&["a", "nasty", "fail"]).script("nasty", REVERT, &[broken()]).script(
        "fail",
        APPLY,
        &[broken()],
    );
    assert_eq!(bench.run(), JobState::Failed);
    bench
}

#[test]
fn a_failed_revert_that_is_retried_goes_on_unwinding() {
    let retry: [fn(&mut Bench); 3] = [
        |bench| bench.decide(|d| d.retry("fixed".into())).expect("it failed"),
        |bench| bench.decide(|d| d.revert("fixed".into())).expect("it failed"),
        |bench| {
            bench
                .decide(|d| d.resolve("nasty", &[], Resolution::Retry, "fixed".into()))
                .expect("its revert failed");
        },
    ];
    for retry in retry {
        let mut bench = stuck();
        retry(&mut bench);
        assert_eq!(bench.job.status.state, JobState::Ready);
        assert_eq!(bench.residue(), [""; 0]);
        assert_eq!(bench.run(), JobState::Reverted);
        assert!(
            bench
                .trace()
                .ends_with("nasty:revert_failed nasty:reverting nasty:reverted a:reverting a:reverted")
        );
        assert_eq!(cause_task(&bench), "fail fixture.broken");
        let reverts: Vec<_> =
            bench.made.iter().filter(|made| made.task == "nasty" && made.function == REVERT.into()).collect();
        assert_eq!(reverts[0].key, reverts[1].key);
        assert_eq!((reverts[1].attempt, reverts[1].prior), (2, Prior::Failed));
    }
}

#[test]
fn a_failed_revert_that_is_let_be_stays_in_the_residue() {
    for (resolution, word) in [(Resolution::Accept, "accepted"), (Resolution::Skip, "skipped_revert")] {
        let mut bench = stuck();
        bench
            .decide(|d| d.resolve("nasty", &[], resolution, "done by hand".into()))
            .expect("its revert failed");
        assert_eq!(bench.run(), JobState::Failed);
        let end = format!("nasty:{word} a:reverting a:reverted");
        assert!(bench.trace().ends_with(&end), "{}", bench.trace());
        assert_eq!(bench.residue(), ["nasty"]);
        assert!(
            bench
                .refused(|d| d.resolve("nasty", &[], resolution, "again".into()))
                .contains("no task \"nasty\"")
        );
    }
}

#[test]
fn resolving_what_is_no_failed_revert_is_refused() {
    let mut bench = stuck();
    for task in ["a", "fail", "unheard-of"] {
        bench.refused(|d| d.resolve(task, &[], Resolution::Accept, "why not".into()));
    }
    bench.decide(|d| d.retry("fixed".into())).expect("it failed");
    let refusal = bench.refused(|d| d.resolve("nasty", &[], Resolution::Accept, "too late".into()));
    assert!(refusal.contains("it has not ended"), "{refusal}");
}

#[test]
fn a_reapply_after_a_revert_has_a_key_of_its_own() {
    let mut bench = stuck();
    bench
        .decide(|d| d.resolve("nasty", &[], Resolution::Accept, "done by hand".into()))
        .expect("its revert failed");
    bench.run();
    bench.decide(|d| d.retry("all over again".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert!(bench.trace().ends_with(
        "a#1:applying a#1:applied nasty#1:applying nasty#1:applied fail#1:applying fail#1:applied"
    ));
    let keys = |task: &str, direction: Direction| -> Vec<_> {
        bench
            .made
            .iter()
            .filter(|m| m.task == task && m.function == direction.into())
            .map(|m| m.key.clone())
            .collect()
    };
    assert_ne!(keys("a", APPLY), keys("a#1", APPLY));
    assert_ne!(keys("a", APPLY), keys("a", REVERT));
    let again = bench.made.iter().find(|made| made.task == "a#1").expect("it was called");
    assert_eq!((again.attempt, again.prior), (1, Prior::None));
    assert_eq!(state(&bench, "nasty"), TaskState::Applied);
    let first = InstanceName { task: "nasty".into(), iteration: Vec::new() };
    assert_eq!(bench.job.instances[&first].state, TaskState::Accepted, "the old one keeps its history");
}

#[test]
fn a_job_that_times_out_is_reverted_at_the_next_boundary() {
    let spec = JobSpec { timeout_ms: Some(10_000), ..spec() };
    let mut bench = Bench::with(&["a", "b", "c"], spec.clone(), Timing::default());
    bench.pass(seconds(100));
    bench.claim();
    assert_eq!(bench.job.status.deadline, Some(bench.now + seconds(10)), "counted from the start");
    bench.finish();
    bench.pass(seconds(10));
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.job.status.cause, Some(Cause::Timeout));
    assert!(bench.trace().ends_with("b:applying b:applied b:reverting b:reverted a:reverting a:reverted"));

    // What is done in time is done, whenever it is recorded.
    let mut bench = Bench::with(&["a"], spec.clone(), Timing::default());
    bench.claim();
    bench.pass(seconds(11));
    assert_eq!(bench.run(), JobState::Succeeded);

    let spec = JobSpec { never_revert: true, ..spec };
    let mut bench = Bench::with(&["a", "b"], spec, Timing::default());
    bench.claim();
    bench.pass(seconds(10));
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!((&bench.job.status.cause, bench.residue()), (&Some(Cause::Timeout), vec!["a".to_owned()]));
}

#[test]
fn a_job_that_waits_for_a_retry_times_out_on_time() {
    let spec = JobSpec { timeout_ms: Some(10_000), ..spec() };
    let later = Outcome::Retry { fault: crate::fault::Fault::new("busy", "busy"), after_ms: Some(60_000) };
    let mut bench = Bench::with(&["a"], spec, Timing::default()).script("a", APPLY, &[later]);
    bench.claim();
    bench.finish();
    assert_eq!(bench.job.status.alarm(), Some(bench.now + seconds(10)));
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(bench.job.status.cause, Some(Cause::Timeout));
    assert_eq!(bench.trace(), "a:applying a:backoff a:reverting a:reverted");
}

#[test]
fn an_answer_of_the_wrong_kind_is_a_failure() {
    let nonsense = Outcome::Reverted { output: None };
    let mut bench = Bench::of(&["a"]).script("a", APPLY, &[nonsense]).script("a", REVERT, &[applied()]);
    assert_eq!(bench.run(), JobState::Failed);
    assert_eq!(bench.trace(), "a:applying a:apply_failed a:reverting a:revert_failed");
}

#[test]
fn a_retry_of_a_scope_that_has_nothing_to_try_still_fails_again() {
    let scope = nested("s", Pattern::Linear, [t("a")]).scope(for_each(literal(json!([]))));
    let spec = JobSpec { never_revert: true, ..spec() };
    let mut bench = Bench::of_flow(flow_of(Pattern::Linear, [scope]), spec, Timing::default());
    for _ in 0..2 {
        assert_eq!(bench.run(), JobState::Failed);
        assert_eq!(cause_task(&bench), "s host.nothing_to_try");
        bench.decide(|d| d.retry("again".into())).expect("it failed");
    }
}

#[test]
fn a_scope_that_was_left_in_the_middle_of_being_undone_is_not_taken_for_applied() {
    let scope = nested("s", Pattern::Linear, [t("a"), t("b")]).scope(times(2));
    let flow = flow_of(Pattern::Linear, [scope, t("c")]);
    let mut bench = Bench::of_flow(flow, spec(), Timing::default()).script("c", APPLY, &[broken()]);
    bench.run_until("b#1:reverting");
    bench.decide(|d| d.suspend()).expect("it is being undone");
    bench.finish();
    assert_eq!(bench.job.status.state, JobState::Suspended);
    bench.decide(|d| d.cancel(CancelMode::Leave, "enough".into())).expect("it is suspended");
    assert_eq!(bench.residue(), ["a#1"]);
    // Applied anew it could not be, for half of it is there: its undoing comes first.
    bench.decide(|d| d.retry("again".into())).expect("it failed");
    assert_eq!(bench.run(), JobState::Reverted, "{}", bench.trace());
    assert!(bench.trace().ends_with("b#1:reverted a#1:reverting a#1:reverted"), "{}", bench.trace());
}
