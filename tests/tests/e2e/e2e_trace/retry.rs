//! Scopes that are tried again: R01, R02, R04, R05, R07, R08, R10, R12 to R14, R16, R18, and in each other.

use std::time::Duration;

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::flow::Scope;
use windlass_proto::v1::scope_retry::Strategy;
use windlass_proto::v1::{JobState, Pattern, SkipDepth, TaskState};
use windlass_tests::work::{
    Shape as _, argument, flow, for_each, gate, literal, map, named, nested, output, pattern, repeat, task,
    times, tried,
};

use super::play::play;

use JobState::{Failed, Reverted, Succeeded};
use Pattern::{Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

/// Fails so many times.
fn fail_n(name: &str, count: u32) -> v1::Task {
    task(name, "fail_n").with("n", literal(count.into()))
}

fn always_revert() -> Scope {
    tried(Strategy::AlwaysRevert(true))
}

fn all(scope: Scope) -> Scope {
    match scope {
        Scope::Retry(retry) => Scope::Retry(v1::ScopeRetry { revert_all: true, ..retry }),
        scope => scope,
    }
}

fn except(scope: Scope, class: &str) -> Scope {
    match scope {
        Scope::Retry(retry) => Scope::Retry(v1::ScopeRetry { except: vec![class.to_owned()], ..retry }),
        scope => scope,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_scope_is_undone_in_reverse_and_tried_again_and_tasks_are_told_which_try_it_is() {
    let scope = nested("s", Linear, [ok("t1"), fail_n("f", 1)]).scope(times(4));
    let end = play(flow([scope]), "t1#1 f#1! -f#1 -t1#1 t1#2 f#2").ends(Succeeded).await;
    assert_eq!(end.scopes["s"], "applying reverting applying applied");
    let tries = ["apply t1#1", "revert t1#1", "apply t1#2", "apply f#2"];
    assert_eq!(tries.map(|call| end.told(call).scope_attempt), [1, 1, 2, 2]);
    assert_eq!((end.task("f#1").state, end.task("f#2").state), (TaskState::Reverted, TaskState::Applied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_the_outermost_flow_can_be_the_scope() {
    let outermost =
        v1::Flow { tasks: vec![ok("t1"), fail_n("f", 1)], scope: Some(times(4)), ..v1::Flow::default() };
    let work = windlass_tests::work::whole(outermost);
    let end = play(work, "t1#1 f#1! -f#1 -t1#1 t1#2 f#2").ends(Succeeded).await;
    assert_eq!(end.scopes["flow"], "applying reverting applying applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_tries_that_are_used_up_undo_the_job() {
    let scope = nested("s", Linear, [fail_n("f", 9)]).scope(times(2));
    let end = play(flow([ok("a"), scope]), "a f#1! -f#1 f#2! -f#2 -a").ends(Reverted).await;
    assert_eq!(end.scopes["s"], "applying reverting applying apply_failed reverted");
    end.assert_failed_by("f#2", "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_only_the_inner_scope_is_done_again() {
    let inner = nested("inner", Linear, [ok("t2"), fail_n("f", 1)]).scope(times(3));
    let outer = nested("outer", Linear, [ok("t1"), inner, ok("t4")]).scope(always_revert());
    let trace = "t1#1 t2#1#1 f#1#1! -f#1#1 -t2#1#1 t2#1#2 f#1#2 t4#1";
    play(flow([outer]), trace).ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r05_an_inner_scope_that_was_applied_is_undone_and_begins_anew_with_its_tries() {
    let inner = nested("inner", Linear, [ok("t2"), fail_n("t3", 1)]).scope(times(3));
    let outer = nested("outer", Linear, [ok("t1"), inner, fail_n("f", 1)]).scope(times(3));
    let trace = "t1#1 t2#1#1 t3#1#1! -t3#1#1 -t2#1#1 t2#1#2 t3#1#2 f#1! -f#1 -t3#1#2 -t2#1#2 -t1#1 \
                 t1#2 t2#2#1 t3#2#1 f#2";
    let end = play(flow([outer]), trace).ends(Succeeded).await;
    let tries = ["apply t2#1#1", "apply t2#1#2", "apply t2#2#1"];
    assert_eq!(tries.map(|call| end.told(call).scope_attempt), [1, 2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r07_r08_what_reverts_all_asks_no_scope_around_it() {
    let all_of_it = tried(Strategy::AlwaysRevertAll(true));
    for inner in [all(times(0)), all_of_it] {
        let inner = nested("inner", Linear, [fail_n("f", 1)]).scope(inner);
        let outer = nested("outer", Linear, [ok("t1"), inner]).scope(times(3));
        let trace = "t0 t1#1 f#1#1! -f#1#1 -t1#1 -t0";
        play(flow([ok("t0"), outer]), trace).ends(Reverted).await;
    }
    let inner = nested("inner", Linear, [fail_n("f", 1)]).scope(all(times(0)));
    play(flow([ok("t1"), inner]), "t1 f#1! -f#1 -t1").ends(Reverted).await;
    // Without it the scope around it tries again.
    let inner = nested("inner", Linear, [fail_n("f", 1)]).scope(times(0));
    let outer = nested("outer", Linear, [ok("t1"), inner]).scope(times(3));
    play(flow([ok("t0"), outer]), "t0 t1#1 f#1#1! -f#1#1 -t1#1 t1#2 f#2#1").ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_each_value_is_tried_in_turn_twice_where_it_is_there_twice() {
    let scope = |fails: u32| {
        let f = fail_n("f", fails);
        let tasks = [task("e", "echo").with("x", named("x")), f];
        nested("s", Linear, tasks).scope(for_each(literal(json!([3, 2, 3]))))
    };
    let trace = "e#1 f#1! -f#1 -e#1 e#2 f#2! -f#2 -e#2 e#3 f#3! -f#3 -e#3";
    let end = play(flow([scope(9)]), trace).ends(Reverted).await;
    let seen = [1, 2, 3].map(|number| end.told(&format!("apply e#{number}")).input["x"].clone());
    assert_eq!(seen, [json!(3), json!(2), json!(3)]);
    let trace = "e#1 f#1! -f#1 -e#1 e#2 f#2 after";
    let after = task("after", "echo").with("x", output("e", "/x"));
    let end = play(flow([scope(1), after]), trace).ends(Succeeded).await;
    assert_eq!(end.task("after").output, Some(json!({ "x": 2 })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_an_empty_list_fails_before_any_apply() {
    for over in [literal(json!([])), argument("none")] {
        let scope = nested("s", Linear, [ok("f")]).scope(for_each(over));
        let end = play(flow([scope, ok("z")]), "").given(json!({ "none": [] })).ends(Reverted).await;
        end.assert_failed_by("s", "host.nothing_to_try");
    }
    // Also behind a task, which is undone.
    let scope = nested("s", Linear, [ok("f")]).scope(for_each(literal(json!([]))));
    play(flow([ok("a"), scope]), "a -a").ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_the_list_comes_from_an_earlier_task() {
    let tasks = [task("e", "echo").with("x", named("x")), fail_n("f", 1)];
    let scope = nested("s", Linear, tasks).scope(for_each(output("find", "/found")));
    let find = task("find", "echo").with("found", literal(json!(["a", "b", "c"])));
    let end = play(flow([find, scope]), "find e#1 f#1! -f#1 -e#1 e#2 f#2").ends(Succeeded).await;
    assert_eq!(end.told("apply e#2").input, json!({ "x": "b" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_what_runs_beside_a_failure_in_a_scope_is_awaited_undone_and_tried_again() {
    let scope = nested("s", Unordered, [gate("t1"), fail_n("f", 1)]).scope(times(3));
    let trace = "{ t1#1 | f#1! } { -f#1 | -t1#1 } { t1#2 | f#2 }";
    play(flow([scope]), trace)
        .directed(Succeeded, async |stage| {
            if stage.is_wide {
                stage.until("task.apply_failed", "f").await;
                stage.until_called("apply t1#1").await;
                assert!(!stage.host.calls(&stage.job).contains("revert"), "t1 is awaited");
            }
            stage.host.open_gate("t1");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_what_was_not_reached_is_not_undone() {
    let scope = nested("s", Linear, [fail_n("f", 1), ok("never")]).scope(times(2));
    play(flow([scope]), "f#1! -f#1 f#2 never#2").ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r18_a_source_that_is_no_list_is_the_failure_and_no_try_was_made() {
    for found in [json!({ "found": 3 }), json!({})] {
        let find = task("find", "ok").with("value", literal(found));
        let scope = nested("s", Linear, [task("e", "echo").with("x", named("x"))]);
        let scope = scope.scope(for_each(output("find", "/value/found")));
        let end = play(flow([find, scope]), "find -find").ends(Reverted).await;
        end.assert_failed_by("s", "host.list");
        assert!(end.tasks.keys().all(|name| !name.starts_with("e#")), "{:#?}", end.tasks);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r18_a_condition_that_cannot_be_evaluated_is_the_failure_of_its_task() {
    let find = || task("find", "ok").with("value", literal(json!({})));
    let b = ok("b").when("find.value.missing", SkipDepth::All);
    let end = play(flow([find(), b]), "find b:apply_failed b:reverted -find").ends(Reverted).await;
    end.assert_failed_by("b", "host.expression");
    let n = nested("n", Linear, [ok("c")]).when("find.value.missing", SkipDepth::All);
    play(flow([find(), n]), "find -find").ends(Reverted).await.assert_failed_by("n", "host.expression");
    // In a scope that is tried again it fails again.
    let s = nested("s", Linear, [ok("a"), ok("b").when("find.value.missing", SkipDepth::All)]);
    let trace = "find a#1 b#1:apply_failed b#1:reverted -a#1 a#2 b#2:apply_failed b#2:reverted -a#2 -find";
    play(flow([find(), s.scope(times(2))]), trace).ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excepted_failures_are_not_tried_again_and_the_scope_around_decides() {
    let inner = nested("inner", Linear, [ok("a"), fail_n("f", 1)]).scope(except(times(3), "fixture.fail"));
    let outer = nested("outer", Linear, [ok("t1"), inner]).scope(times(2));
    let trace = "t1#1 a#1#1 f#1#1! -f#1#1 -a#1#1 -t1#1 t1#2 a#2#1 f#2#1";
    play(flow([outer]), trace).ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_scopes_beside_each_other_are_tried_again_each_by_itself() {
    let left = nested("l", Linear, [ok("a"), fail_n("f", 2)]).scope(times(3));
    let right = nested("r", Linear, [ok("b"), fail_n("g", 1)]).scope(times(2));
    let trace = "{ a#1 f#1! -f#1 -a#1 a#2 f#2! -f#2 -a#2 a#3 f#3 | b#1 g#1! -g#1 -b#1 b#2 g#2 }";
    let play = play(pattern(Unordered, [left, right]), trace);
    play.ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_gave_up_beside_one_that_goes_well_undoes_both() {
    let left = nested("l", Linear, [ok("a"), gate("g")]).scope(times(3));
    let right = nested("r", Linear, [ok("b"), fail_n("f", 9)]).scope(times(2));
    let trace = "first { a#1 g#1 | b#1 f#1! -f#1 -b#1 b#2 f#2! } { -f#2 -b#2 | -g#1 -a#1 } -first";
    let sides = nested("sides", Unordered, [left, right]);
    let play = play(flow([ok("first"), sides, ok("never")]), trace);
    let end = play
        .directed(Reverted, async |stage| {
            if stage.is_wide {
                stage.until_called("apply g#1").await;
                stage.until_called("apply f#2").await;
            }
            stage.host.open_gate("g");
        })
        .await;
    end.assert_failed_by("f#2", "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_in_a_scope_is_tried_again_whole_with_all_its_elements() {
    let each = nested("m", Linear, [task("e", "echo").with("x", named("x"))]);
    let each = each.scope(map(literal(json!(["p", "q"])), 0));
    let scope = nested("s", Linear, [each, fail_n("f", 1)]).scope(times(2));
    let trace = "{ e#1#0 | e#1#1 } f#1! -f#1 { -e#1#1 | -e#1#0 } { e#2#0 | e#2#1 } f#2";
    play(flow([scope]), trace).ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_in_each_round_has_all_its_tries_and_a_job_undoes_the_rounds_from_the_last() {
    let inner = nested("s", Linear, [ok("a"), fail_n("f", 1)]).scope(times(2));
    let rounds = nested("r", Linear, [inner]).scope(repeat("round == 2", 3, Duration::ZERO));
    let trace = "a#1#1 f#1#1! -f#1#1 -a#1#1 a#1#2 f#1#2 a#2#1 f#2#1 bad! -bad -f#2#1 -a#2#1 -f#1#2 -a#1#2";
    let end = play(flow([rounds, task("bad", "fail")]), trace).ends(Reverted).await;
    end.assert_residue(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_revert_nothing_is_tried_again() {
    let scope = nested("s", Linear, [ok("a"), fail_n("f", 1)]).scope(times(3));
    let end = play(flow([scope, ok("z")]), "a#1 f#1!").never_reverts().ends(Failed).await;
    end.assert_residue(&["a#1", "f#1"]);
}
