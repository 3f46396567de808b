//! Waits: sleeps, events and approvals.

use serde_json::json;

use super::bench::{Bench, W1, applied, broken, payload, seconds, spec};
use super::shape::{Shape, approval, event_wait, flow_of, literal, nested, sleep, sleep_until, t, times};
use crate::call::Direction;
use crate::decide::create::Timing;
use crate::decide::wait::Verdict;
use crate::event::tests::event;
use crate::fault::{HOST_NO_ANSWER, HOST_REFUSED, HOST_TIME};
use crate::flow::{Flow, Input, Node, Pattern};
use crate::instance::TaskState;
use crate::job::{CancelMode, Cause, JobState};
use crate::scope::SkipDepth;

fn bench(flow: Flow) -> Bench {
    Bench::of_flow(flow, spec(), Timing::default())
}

fn linear(nodes: impl IntoIterator<Item = Node>) -> Bench {
    bench(flow_of(Pattern::Linear, nodes))
}

fn yes(principal: &str) -> Verdict {
    Verdict { is_approved: true, principal: principal.to_owned(), comment: String::new() }
}

fn no(principal: &str) -> Verdict {
    Verdict { is_approved: false, comment: "not on a friday".to_owned(), ..yes(principal) }
}

/// Runs until the job waits.
fn waiting(mut bench: Bench) -> Bench {
    bench.claim();
    while bench.job.status.state.is_claimed() {
        bench.finish();
    }
    assert_eq!(bench.job.status.state, JobState::Waiting);
    bench
}

fn fault(bench: &Bench) -> &str {
    let Some(Cause::Task { fault, .. }) = &bench.job.status.cause else { panic!("a wait failed") };
    &fault.class
}

#[test]
fn a_sleep_holds_no_claim_and_outlives_its_host() {
    let mut bench = waiting(linear([t("a"), sleep("pause", 60), t("b")]));
    assert_eq!(bench.job.status.alarm(), Some(bench.now + seconds(60)));
    bench.pass(seconds(59));
    bench.decide_nothing(|d| d.wake());
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "a:applying a:applied pause:waiting pause:applied b:applying b:applied");
}

#[test]
fn a_sleep_ends_at_the_time_that_an_input_gives_and_one_that_is_past_is_none() {
    for (given, lasts) in [("2026-11-21T00:10:00Z", 600), ("2026-11-20T00:00:00Z", 0)] {
        let mut bench = linear([sleep_until("pause", literal(json!(given))), t("b")]);
        let before = bench.now;
        assert_eq!(bench.run(), JobState::Succeeded);
        assert_eq!(bench.now - before, seconds(lasts), "{given}");
    }
}

#[test]
fn a_time_that_a_task_gives_and_that_is_none_fails_the_sleep_and_undoes_the_job() {
    let flow = [t("a").provides("when"), sleep_until("pause", Input::From("when".into()))];
    let mut bench = linear(flow);
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(fault(&bench), HOST_TIME);
    assert!(bench.trace().ends_with("pause:reverted a:reverting a:reverted"), "{}", bench.trace());
}

#[test]
fn a_slow_branch_goes_on_while_another_sleeps_and_one_slot_is_enough() {
    let row = nested("row", Pattern::Linear, [sleep("pause", 60), t("c")]);
    let mut bench = bench(flow_of(Pattern::Unordered, [row, t("a"), t("b")]));
    bench.room = 1;
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(
        bench.trace(),
        "pause:waiting a:applying a:applied b:applying b:applied pause:applied c:applying c:applied"
    );
}

#[test]
fn an_approval_goes_on_when_somebody_says_yes_and_shows_who_it_was() {
    let mut bench = waiting(linear([t("a"), approval("release", &[]), t("b")]));
    bench.decide(|d| d.answer("release", &[], yes("ann"))).expect("it is asked");
    assert_eq!(bench.job.status.state, JobState::Ready);
    assert_eq!(bench.run(), JobState::Succeeded);
    let answer = bench.job.output("release").expect("it is answered");
    assert_eq!(answer, json!({"approved": true, "principal": "ann", "comment": ""}));
}

#[test]
fn a_refusal_undoes_the_job_with_the_reason() {
    let mut bench = waiting(linear([t("a"), approval("release", &[]), t("b")]));
    bench.decide(|d| d.answer("release", &[], no("ann"))).expect("it is asked");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(fault(&bench), HOST_REFUSED);
    assert!(bench.trace().ends_with("release:apply_failed release:reverted a:reverting a:reverted"));
}

#[test]
fn nobody_answering_in_time_undoes_the_job() {
    let mut bench = linear([t("a"), approval("release", &[]), t("b")]);
    let before = bench.now;
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!((fault(&bench), bench.now - before), (HOST_NO_ANSWER, seconds(3_600)));
}

#[test]
fn only_those_who_are_asked_may_answer_and_an_answer_counts_once() {
    let mut bench = waiting(linear([approval("release", &["ann", "bob"]), t("b")]));
    let refused = bench.refused(|d| d.answer("release", &[], yes("eve")));
    assert!(refused.ends_with("is not asked of eve; it is asked of ann, bob"), "{refused}");
    let refused = bench.refused(|d| d.answer("b", &[], yes("ann")));
    assert!(refused.ends_with("waits for no approval \"b\"; it waits for release"), "{refused}");
    bench.decide(|d| d.answer("release", &[], yes("ann"))).expect("it is asked");
    bench.decide_nothing(|d| d.answer("release", &[], yes("bob"))).expect("the same again");
    let refused = bench.refused(|d| d.answer("release", &[], no("bob")));
    assert!(refused.ends_with("was answered before: ann said yes"), "{refused}");
    assert_eq!(bench.run(), JobState::Succeeded);
    let refused = bench.refused(|d| d.answer("release", &[], no("bob")));
    assert!(refused.contains("it has ended"), "{refused}");
}

#[test]
fn an_answer_that_comes_while_another_task_runs_or_the_job_is_suspended_counts() {
    let flow = flow_of(Pattern::Unordered, [approval("release", &[]), t("a")]);
    let mut running = bench(flow.clone());
    running.claim();
    running.decide(|d| d.answer("release", &[], yes("ann"))).expect("it is asked");
    running.decide(|d| d.proceed(W1)).expect("it is claimed");
    assert_eq!(running.job.current("release").map(|release| release.state), Some(TaskState::Applied));
    assert_eq!(running.run(), JobState::Succeeded);
    let mut suspended = waiting(bench(flow));
    suspended.decide(|d| d.suspend()).expect("it waits");
    suspended.decide(|d| d.answer("release", &[], yes("ann"))).expect("it is asked");
    assert_eq!(suspended.job.status.state, JobState::Suspended);
    suspended.decide(|d| d.resume()).expect("it is suspended");
    assert_eq!(suspended.run(), JobState::Succeeded);
}

#[test]
fn an_approval_in_several_iterations_is_answered_in_each() {
    let each = nested("each", Pattern::Linear, [approval("release", &[]), t("a")]);
    let mut bench = waiting(linear([each.scope(super::shape::map(literal(json!(["x", "y"])), None))]));
    let refused = bench.refused(|d| d.answer("release", &[], yes("ann")));
    assert!(refused.ends_with("name one of release#0, release#1"), "{refused}");
    bench.decide(|d| d.answer("release", &[1], yes("ann"))).expect("it is asked");
    bench.claim();
    bench.finish();
    bench.decide(|d| d.answer("release", &[], yes("bob"))).expect("only one is left");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn an_event_goes_to_the_waits_that_it_is_meant_for_and_only_once() {
    let row = |name: &str, nodes: [Node; 2]| nested(name, Pattern::Linear, nodes);
    let first = row("one", [event_wait("image", "built", Some("event.data.size > 3")), t("a")]);
    let second = row("two", [event_wait("again", "built", None), event_wait("then", "built", None)]);
    let mut bench = waiting(bench(flow_of(Pattern::Unordered, [first, second])));
    assert_eq!(bench.job.status.awaited_events().collect::<Vec<_>>(), ["built"]);
    assert!(!bench.decide_nothing(|d| d.deliver(&event("other", "/ci", "1"))), "of another type");
    let mut small = event("built", "/ci", "2");
    small.data = Some(json!({"size": 2}));
    assert!(bench.decide(|d| d.deliver(&small)));
    assert!(!bench.decide_nothing(|d| d.deliver(&small)), "it was given before");
    bench.claim();
    assert_eq!(bench.job.current("then").map(|then| then.state), Some(TaskState::Waiting));
    assert!(!bench.decide_nothing(|d| d.deliver(&small)), "also to a wait that began later");
    let mut large = event("built", "/ci", "3");
    large.data = Some(json!({"size": 4}));
    assert!(bench.decide(|d| d.deliver(&large)));
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.job.output("image").expect("it came"), large.to_json());
    assert_eq!(bench.job.status.awaited_events().count(), 0);
}

#[test]
fn an_event_that_never_comes_undoes_the_job_and_a_condition_that_cannot_be_evaluated_does_not_hold() {
    let mut bench = waiting(linear([t("a"), event_wait("image", "built", Some("event.data.size > 3"))]));
    assert!(!bench.decide_nothing(|d| d.deliver(&event("built", "/ci", "1"))), "it has no data");
    assert_eq!(bench.run(), JobState::Reverted);
    assert_eq!(fault(&bench), HOST_NO_ANSWER);
    assert_eq!(bench.job.status.awaited_events().count(), 0);
}

#[test]
fn a_wait_is_left_out_by_its_condition_and_gives_what_it_provides_to_later_tasks() {
    let mut bench = linear([sleep("pause", 60).when("has(names.none)", SkipDepth::Task), t("a")]);
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.trace(), "pause:skipped a:applying a:applied");
    let reader = t("a").takes(Input::Output { task: "release".into(), pointer: "/principal".into() });
    let mut bench = waiting(linear([approval("release", &[]), reader]));
    bench.decide(|d| d.answer("release", &[], yes("ann"))).expect("it is asked");
    bench.claim();
    let name = bench.call().task;
    assert_eq!(bench.job.input(&name, Direction::Apply).ok(), Some(json!({"x": "ann"})));
}

#[test]
fn a_scope_that_is_tried_again_asks_again() {
    let scope = nested("deploy", Pattern::Linear, [approval("release", &[]), t("a")]).scope(times(2));
    let mut bench = waiting(linear([scope]).script("a", Direction::Apply, &[broken(), applied()]));
    bench.decide(|d| d.answer("release", &[], yes("ann"))).expect("it is asked");
    bench.claim();
    while bench.job.status.state.is_claimed() {
        bench.finish();
    }
    assert_eq!(bench.job.status.state, JobState::Waiting, "{}", bench.trace());
    bench.decide(|d| d.answer("release", &[], yes("bob"))).expect("it is asked again");
    assert_eq!(bench.run(), JobState::Succeeded);
}

#[test]
fn a_cancel_ends_a_wait_either_way_and_an_operators_retry_waits_again() {
    for (mode, end) in [(CancelMode::Revert, JobState::Reverted), (CancelMode::Leave, JobState::Failed)] {
        let mut bench = waiting(linear([t("a"), approval("release", &[]), t("b")]));
        bench.decide(|d| d.cancel(mode, "enough".into())).expect("it waits");
        assert_eq!(bench.run(), end);
        let residue: &[&str] = if mode == CancelMode::Leave { &["a"] } else { &[] };
        assert_eq!(bench.residue(), residue, "a wait leaves nothing");
    }
    let mut spec = spec();
    spec.never_revert = true;
    let flow = flow_of(Pattern::Linear, [t("a"), approval("release", &[]), t("b")]);
    let mut bench = waiting(Bench::of_flow(flow, spec, Timing::default()));
    bench.decide(|d| d.answer("release", &[], no("ann"))).expect("it is asked");
    assert_eq!(bench.run(), JobState::Failed);
    bench.decide(|d| d.retry("asked again".into())).expect("it failed");
    let mut bench = waiting(bench);
    bench.decide(|d| d.answer("release", &[], yes("bob"))).expect("it is asked again");
    assert_eq!(bench.run(), JobState::Succeeded);
    assert_eq!(bench.job.output("a"), Ok(payload("output").value().expect("it is JSON")));
}

#[test]
fn a_job_that_is_being_undone_waits_for_nothing_any_more() {
    let nodes = [approval("release", &[]), event_wait("image", "built", None), t("a"), t("b")];
    let mut bench = bench(flow_of(Pattern::Unordered, nodes)).script("a", Direction::Apply, &[broken()]);
    bench.room = 16;
    bench.claim();
    bench.finish_task("b");
    bench.finish_task("a");
    assert_eq!(bench.job.status.state, JobState::Reverting);
    assert_eq!(bench.job.status.awaited_events().count(), 0);
    assert!(!bench.decide_nothing(|d| d.deliver(&event("built", "/ci", "1"))));
    bench.refused(|d| d.answer("release", &[], yes("ann")));
    assert_eq!(bench.run(), JobState::Reverted);
}

#[test]
fn a_wait_takes_no_slot_and_is_never_behind_a_task_that_there_is_no_room_for() {
    let nodes = [t("a"), t("b"), t("c"), event_wait("image", "built", None)];
    let mut bench = bench(flow_of(Pattern::Unordered, nodes));
    bench.room = 1;
    bench.claim();
    assert_eq!(bench.trace(), "image:waiting a:applying");
    assert!(bench.decide(|d| d.deliver(&event("built", "/ci", "1"))), "what a causes is not missed");
    assert_eq!(bench.run(), JobState::Succeeded);
}
