//! Child jobs: made once, waited for without a claim, undone with their parents, and never lost between two jobs.

use serde_json::json;

use super::bench::{applied, broken, reject, seconds, spec};
use super::family::Family;
use super::shape::{Shape, approval, child, flow_of, literal, nested, t, times};
use crate::call::{Function, Outcome};
use crate::decide::control::Resolution;
use crate::decide::wait::Verdict;
use crate::fault::{Fault, HOST_CHILD, HOST_LATE};
use crate::flow::{Flow, Input, Node, Pattern};
use crate::instance::TaskState;
use crate::job::{CancelMode, Cause, JobSpec, JobState};
use crate::payload::Payload;
use crate::scope::{Map, Scope};

fn linear(nodes: impl IntoIterator<Item = Node>) -> Flow {
    flow_of(Pattern::Linear, nodes)
}

/// a, then a job of x and y, then b.
fn between() -> Flow {
    linear([t("a"), child("job", linear([t("x"), t("y")]), &[]), t("b")])
}

const FORWARD: &str = "a:applying a:applied job:child_ordered job:child_told job:answered job:applied";

#[test]
fn a_child_is_a_job_of_its_own_and_its_parent_waits_without_a_claim() {
    let mut family = Family::of(between());
    family.parent().claim();
    family.parent().finish();
    assert_eq!(family.parent().job.status.state, JobState::Waiting);
    assert_eq!(family.parent().job.status.claim, None);
    assert_eq!(family.run(), JobState::Succeeded);
    assert_eq!(family.parent().trace(), format!("{FORWARD} b:applying b:applied"));
    assert_eq!(family.child("job").trace(), "x:applying x:applied y:applying y:applied");
    let states = ["created", "triggered", "parent_ordered", "claimed", "ended", "parent_told"];
    assert_eq!(family.child("job").states(), states);
    assert!(family.jobs.values().all(|bench| !bench.job.status.is_untold()), "nothing is left to tell");
}

#[test]
fn a_child_runs_on_behalf_of_whoever_its_parent_runs_for() {
    let labels = [("team".to_owned(), "red".to_owned())].into();
    let mut family = Family::with(between(), JobSpec { labels, ..spec() });
    family.run();
    let (parent, spec) = (family.eldest, family.child("job").job.spec.clone());
    assert_eq!((spec.principal.as_str(), spec.labels["team"].as_str()), ("local", "red"));
    assert_eq!(family.child("job").job.parent().map(|parent| parent.job), Some(parent));
    assert!(spec.id > parent, "its id is of its time");
}

#[test]
fn a_child_is_given_what_its_inputs_say_and_gives_all_that_it_provides() {
    let inner = linear([t("x").takes(Input::Argument("size".into())).provides("made")]);
    let asked = [("size", Input::From("found".into())), ("mode", literal(json!("fast")))];
    let Node::Wait(mut node) = child("job", inner, &asked) else { unreachable!() };
    node.provides.insert("image".to_owned(), "/made".to_owned());
    let flow = linear([
        t("a").provides("found"),
        Node::Wait(node),
        t("b").takes(Input::From("image".into())),
        t("c").takes(Input::Output { task: "job".into(), pointer: "/x".into() }),
    ]);
    let output = |text: &str| Outcome::Applied { output: Payload::json(&json!(text)), undo: None };
    let mut family = Family::of(flow).script("a", Function::Apply, &[output("large")]).script(
        "x",
        Function::Apply,
        &[output("image 7")],
    );
    assert_eq!(family.run(), JobState::Succeeded);
    let arguments = json!({ "size": "large", "mode": "fast" });
    assert_eq!(json!(family.child("job").job.spec.arguments), arguments);
    let parent = &family.parent().job;
    let input = |task: &str| {
        let name = parent.current(task).expect("it ran").name.clone();
        parent.input(&name, crate::call::Direction::Apply).expect("it has inputs")
    };
    assert_eq!((input("b"), input("c")), (json!({ "x": "image 7" }), json!({ "x": "image 7" })));
    assert_eq!(parent.outputs()["job"], json!({ "made": "image 7", "x": "image 7" }));
}

#[test]
fn a_child_that_fails_has_undone_itself_and_its_parent_goes_back() {
    let mut family = Family::of(between()).script("y", Function::Apply, &[broken()]);
    assert_eq!(family.run(), JobState::Reverted);
    let trace = "a:applying a:applied job:child_ordered job:child_told job:answered job:apply_failed job:reverted \
                 a:reverting a:reverted";
    assert_eq!(family.parent().trace(), trace);
    let Some(Cause::Task { fault, .. }) = family.parent().job.status.cause.clone() else { panic!("a cause") };
    assert_eq!(fault.class, "fixture.broken", "a failure keeps its class");
    assert!(fault.message.contains("task y of job"), "{}", fault.message);
    assert_eq!((family.child("job").job.status.state, family.is_clean()), (JobState::Reverted, true));
}

#[test]
fn a_parent_that_fails_undoes_a_child_that_succeeded() {
    let mut family = Family::of(between()).script("b", Function::Apply, &[broken()]);
    assert_eq!(family.run(), JobState::Reverted);
    let trace = format!(
        "{FORWARD} b:applying b:apply_failed b:reverting b:reverted job:child_ordered job:child_told job:answered \
         job:reverted a:reverting a:reverted"
    );
    assert_eq!(family.parent().trace(), trace);
    assert!(family.child("job").trace().ends_with("y:reverting y:reverted x:reverting x:reverted"));
    assert_eq!((family.child("job").job.status.state, family.is_clean()), (JobState::Reverted, true));
}

#[test]
fn a_parent_that_fails_cancels_a_child_that_runs_and_waits_until_it_is_undone() {
    let inner = linear([t("x"), approval("sure", &[]), t("y")]);
    let flow = flow_of(Pattern::Unordered, [child("job", inner, &[]), t("c")]);
    let mut family = Family::of(flow).script("c", Function::Apply, &[broken()]);
    assert_eq!(family.run(), JobState::Reverted);
    assert_eq!(family.child("job").job.status.state, JobState::Reverted);
    assert_eq!((family.calls("x", Function::Revert), family.calls("y", Function::Apply)), (1, 0));
    assert!(family.is_clean());
}

#[test]
fn a_child_without_effects_is_undone_without_an_order() {
    let sleep = super::shape::sleep("pause", 5);
    let mut family = Family::of(linear([child("job", linear([sleep]), &[]), t("b")])).script(
        "b",
        Function::Apply,
        &[reject()],
    );
    assert_eq!(family.run(), JobState::Reverted);
    assert!(family.parent().trace().ends_with("b:apply_failed b:reverted job:reverted"));
    assert_eq!(family.child("job").job.status.state, JobState::Succeeded, "nothing of it was to be undone");
}

#[test]
fn what_is_told_twice_counts_once_and_a_lost_host_loses_nothing() {
    for (tells_twice, crashes) in [(true, false), (false, true), (true, true)] {
        for fails in [false, true] {
            let mut family = Family::of(between());
            if fails {
                family = family.script("b", Function::Apply, &[broken(), broken()]);
            }
            (family.tells_twice, family.crashes) = (tells_twice, crashes);
            let state = if fails { JobState::Reverted } else { JobState::Succeeded };
            assert_eq!(family.run(), state);
            assert_eq!((family.jobs.len(), family.is_clean()), (2, fails));
        }
    }
}

#[test]
fn an_end_that_was_told_before_the_order_to_undo_came_is_no_answer_to_it() {
    let flow = flow_of(Pattern::Unordered, [child("job", linear([t("x")]), &[]), t("c")]);
    let mut family = Family::of(flow).script("c", Function::Apply, &[broken()]);
    family.parent().claim();
    family.tell();
    // The child succeeds, and its parent, which does not know, goes back.
    family.child("job").claim();
    family.child("job").finish();
    let early = family.child("job").job.end_for_parent().expect("it has ended");
    family.parent().finish_task("c");
    family.parent().finish();
    let name = family.parent().job.current("job").expect("it was begun").name.clone();
    family.parent().decide_nothing(|decision| decision.hear_end(&name, early));
    assert_eq!(family.run(), JobState::Reverted);
    assert_eq!((family.calls("x", Function::Revert), family.is_clean()), (1, true));
}

#[test]
fn a_scope_that_is_tried_again_makes_a_job_of_each_try_and_undoes_the_failed_one() {
    let inner = linear([t("x"), t("y")]);
    let scope = nested("tries", Pattern::Linear, [child("job", inner, &[]), t("b")]).scope(times(2));
    let mut family = Family::of(linear([scope])).script("b", Function::Apply, &[broken()]);
    assert_eq!(family.run(), JobState::Succeeded);
    assert_eq!((family.jobs.len(), family.calls("x", Function::Revert)), (3, 1));
    let states: Vec<_> = family.parent().job.instances_of("job").map(|i| i.state.word()).collect();
    assert_eq!(states, ["reverted", "applied"]);
}

#[test]
fn the_class_of_a_childs_failure_decides_whether_a_scope_tries_again() {
    let Scope::Retry(mut retry) = times(3) else { unreachable!() };
    retry.except = vec!["fixture.broken".to_owned()];
    let job = child("job", linear([t("x")]), &[]);
    let scope = nested("tries", Pattern::Linear, [job]).scope(Scope::Retry(retry));
    let mut family = Family::of(linear([scope])).script("x", Function::Apply, &[broken()]);
    assert_eq!((family.run(), family.jobs.len()), (JobState::Reverted, 2));
}

#[test]
fn a_map_spreads_over_child_jobs_and_their_results_are_in_order() {
    let job = child("job", linear([t("x").provides("made")]), &[("item", Input::From("item".into()))]);
    let over = literal(json!([3, 1, 2]));
    let map = Scope::Map(Map { over, name: "item".to_owned(), parallel_max: Some(2) });
    let mut family = Family::of(linear([nested("each", Pattern::Linear, [job]).scope(map)]));
    assert_eq!(family.run(), JobState::Succeeded);
    assert_eq!(family.jobs.len(), 4);
    let parent = family.eldest;
    let items: Vec<_> =
        family.parent().job.instances_of("job").map(|i| i.child.clone().unwrap().job).collect();
    let items: Vec<_> = items.iter().map(|job| family.jobs[job].job.spec.arguments["item"].clone()).collect();
    assert_eq!(items, [3, 1, 2]);
    assert_eq!(family.jobs[&parent].job.outputs()["job"].as_array().map(Vec::len), Some(3));
}

#[test]
fn grandchildren_are_undone_from_the_youngest_on() {
    let inner = linear([t("x"), child("grandchild", linear([t("y")]), &[])]);
    let flow = linear([child("job", inner, &[]), t("b")]);
    let mut family = Family::of(flow).script("b", Function::Apply, &[broken()]);
    assert_eq!((family.run(), family.jobs.len(), family.is_clean()), (JobState::Reverted, 3, true));
    assert!(family.child("job").trace().ends_with("grandchild:reverted x:reverting x:reverted"));
}

#[test]
fn a_failed_revert_in_a_child_is_told_of_in_its_parent_and_mended_there_and_retried() {
    let mut family = Family::of(between()).script("b", Function::Apply, &[reject()]).script(
        "x",
        Function::Revert,
        &[broken()],
    );
    assert_eq!(family.run(), JobState::Failed);
    assert_eq!(family.parent().residue(), ["a", "job"]);
    let fault = family.parent().job.current("job").and_then(|i| i.revert_fault.clone()).expect("it failed");
    let child = family.child("job").job.id();
    assert!(fault.message.contains(&format!("see job {child}")), "{}", fault.message);
    assert_eq!(family.child("job").residue(), ["x"]);
    // Asked again, the child calls the failed revert again.
    family.parent().decide(|d| d.resolve("job", &[], Resolution::Retry, "mended".into())).expect("it may");
    assert_eq!((family.run(), family.is_clean()), (JobState::Reverted, true));
}

#[test]
fn an_operator_may_resolve_a_childs_failed_revert_and_its_parent_learns_of_it_when_it_is_retried() {
    let mut family = Family::of(between()).script("b", Function::Apply, &[reject()]).script(
        "x",
        Function::Revert,
        &[broken()],
    );
    family.run();
    let child = family.child("job");
    child.decide(|d| d.resolve("x", &[], Resolution::Retry, "by hand".into())).expect("it may");
    family.settle();
    assert_eq!(family.child("job").job.status.state, JobState::Reverted);
    assert_eq!(family.parent().job.status.state, JobState::Failed, "what has ended stays so");
    family.parent().decide(|d| d.retry("look again".into())).expect("it may");
    assert_eq!((family.run(), family.is_clean()), (JobState::Reverted, true));
}

#[test]
fn a_child_is_neither_retried_nor_reverted_but_by_its_parent() {
    let mut family = Family::of(between());
    family.run();
    let parent = family.eldest.to_string();
    for refused in [
        family.child("job").refused(|d| d.revert("please".into())),
        family.child("job").refused(|d| d.retry("please".into())),
    ] {
        assert!(refused.contains(&format!("a child of job {parent}; re")), "{refused}");
    }
    family.parent().decide(|d| d.revert("please".into())).expect("it may");
    assert_eq!((family.run(), family.is_clean()), (JobState::Reverted, true));
}

#[test]
fn a_child_that_is_cancelled_fails_its_parent() {
    let inner = linear([t("x"), approval("sure", &[])]);
    let mut family = Family::of(linear([t("a"), child("job", inner, &[])]));
    family.settle();
    let cancel = |d: &mut crate::decide::Decision<'_>| d.cancel(CancelMode::Revert, "enough".into());
    family.child("job").decide(cancel).expect("it may");
    assert_eq!((family.run(), family.is_clean()), (JobState::Reverted, true));
    let Some(Cause::Task { fault, .. }) = family.parent().job.status.cause.clone() else { panic!("a cause") };
    assert_eq!(fault.class, HOST_CHILD);
    assert!(fault.message.ends_with("ended reverted: enough"), "{}", fault.message);
}

#[test]
fn a_parent_that_is_cancelled_and_leaves_stops_its_child_which_leaves_too() {
    let inner = linear([t("x"), approval("sure", &[]), t("y")]);
    let mut family = Family::of(linear([t("a"), child("job", inner, &[])]));
    family.settle();
    let cancel = |d: &mut crate::decide::Decision<'_>| d.cancel(CancelMode::Leave, "enough".into());
    family.parent().decide(cancel).expect("it may");
    family.settle();
    let child = &family.child("job").job.status;
    assert_eq!((child.state, child.residue.len()), (JobState::Failed, 1), "it left what it had done");
    assert_eq!(family.parent().residue(), ["a", "job"]);
    // Whoever reverts the parent later undoes what both left.
    family.parent().decide(|d| d.revert("after all".into())).expect("it may");
    assert_eq!((family.run(), family.is_clean()), (JobState::Reverted, true));
}

#[test]
fn a_child_that_had_done_nothing_when_its_parent_left_is_no_residue() {
    let inner = linear([approval("sure", &[]), t("y")]);
    let mut family = Family::of(linear([t("a"), child("job", inner, &[])]));
    family.settle();
    let cancel = |d: &mut crate::decide::Decision<'_>| d.cancel(CancelMode::Leave, "enough".into());
    family.parent().decide(cancel).expect("it may");
    assert_eq!(family.parent().residue(), ["a", "job"], "nobody knows yet");
    family.settle();
    assert_eq!(family.parent().residue(), ["a"]);
    assert_eq!(family.child("job").job.status.state, JobState::Cancelled);
}

#[test]
fn in_never_revert_mode_a_failed_child_keeps_what_it_did_and_a_retry_goes_on_in_it() {
    let spec = JobSpec { never_revert: true, ..spec() };
    let mut family = Family::with(between(), spec).script("y", Function::Apply, &[broken()]);
    assert_eq!(family.run(), JobState::Failed);
    assert_eq!(family.parent().residue(), ["a", "job"]);
    family.parent().decide(|d| d.retry("again".into())).expect("it may");
    assert_eq!((family.run(), family.jobs.len()), (JobState::Succeeded, 2));
    assert_eq!((family.calls("x", Function::Apply), family.calls("y", Function::Apply)), (1, 2));
    assert!(
        family.parent().trace().contains("job:apply_failed job:child_ordered job:child_told job:answered")
    );
}

#[test]
fn a_retry_after_a_child_that_left_nothing_makes_another_one() {
    let spec = JobSpec { never_revert: true, ..spec() };
    let mut family = Family::with(between(), spec).script("x", Function::Apply, &[reject()]);
    assert_eq!(family.run(), JobState::Failed);
    // The scripts are those of whoever is born.
    family = family.script("x", Function::Apply, &[applied()]);
    family.parent().decide(|d| d.retry("again".into())).expect("it may");
    assert_eq!((family.run(), family.jobs.len()), (JobState::Succeeded, 3));
}

#[test]
fn a_child_that_is_late_fails_and_is_undone() {
    let inner = linear([t("x"), approval("sure", &[])]);
    let Node::Wait(mut node) = child("job", inner, &[]) else { unreachable!() };
    if let crate::wait::Until::Child(child) = &mut node.until {
        child.timeout_ms = 60_000;
    }
    let mut family = Family::of(linear([Node::Wait(node)]));
    let before = family.parent().now;
    assert_eq!(family.run(), JobState::Reverted);
    assert_eq!(family.parent().now - before, seconds(60));
    let fault: Option<Fault> = family.parent().job.current("job").and_then(|i| i.fault.clone());
    assert_eq!(fault.map(|fault| fault.class), Some(HOST_LATE.to_owned()));
    assert!(family.is_clean());
}

#[test]
fn a_parent_that_is_suspended_lets_its_child_go_on_and_takes_its_end_when_resumed() {
    let inner = linear([approval("sure", &[]), t("x")]);
    let mut family = Family::of(linear([child("job", inner, &[]), t("b")]));
    family.settle();
    family.parent().decide(|d| d.suspend()).expect("it may");
    let verdict = Verdict { is_approved: true, principal: "ann".into(), comment: String::new() };
    family.child("job").decide(|d| d.answer("sure", &[], verdict)).expect("it may");
    family.settle();
    assert_eq!(family.child("job").job.status.state, JobState::Succeeded);
    assert_eq!(family.parent().job.status.state, JobState::Suspended);
    family.parent().decide(|d| d.resume()).expect("it may");
    assert_eq!(family.run(), JobState::Succeeded);
}

#[test]
fn a_suspended_child_is_woken_to_be_undone() {
    let inner = linear([t("x"), approval("sure", &[])]);
    let flow = flow_of(Pattern::Unordered, [child("job", inner, &[]), approval("other", &[])]);
    let mut family = Family::of(flow);
    family.settle();
    family.child("job").decide(|d| d.suspend()).expect("it may");
    let verdict = Verdict { is_approved: false, principal: "ann".into(), comment: String::new() };
    family.parent().decide(|d| d.answer("other", &[], verdict)).expect("it may");
    assert_eq!((family.run(), family.is_clean()), (JobState::Reverted, true));
}

#[test]
fn the_same_order_makes_the_same_job_wherever_it_is_worked_out() {
    let mut one = Family::of(between());
    let mut other = Family::of(between());
    one.run();
    other.run();
    assert_eq!(one.jobs.keys().collect::<Vec<_>>(), other.jobs.keys().collect::<Vec<_>>());
    assert_eq!(one.instance(one.eldest, "job").state, TaskState::Applied);
}
