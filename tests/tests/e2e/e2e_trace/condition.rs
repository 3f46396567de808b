//! Conditions: D01, D03, D05 to D07, and what reads something that may be left out.

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, SkipDepth, TaskState};
use windlass_tests::work::{
    Shape as _, flow, for_each, literal, map, named, nested, own_revert, pattern, task, times,
};

use super::play::play;

use JobState::{Reverted, Succeeded};
use Pattern::{Graph, Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn gives(name: &str, value: serde_json::Value) -> v1::Task {
    ok(name).with("value", literal(value))
}

fn optional(name: &str) -> v1::Input {
    v1::Input { source: Some(v1::input::Source::OptionalName(name.to_owned())) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_what_comes_after_a_skipped_task_is_skipped() {
    let tasks = [
        gives("a", json!("c")),
        ok("b").when("a.value == 'b'", SkipDepth::Unspecified),
        ok("b2").needs(&["b"]),
        ok("c").when("a.value == 'c'", SkipDepth::All),
    ];
    let end = play(pattern(Graph, tasks), "a { ~b ~b2 | c }").ends(Succeeded).await;
    assert_eq!((end.task("b").skipped_by.as_str(), end.task("b2").skipped_by.as_str()), ("b", "b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d03_one_no_is_enough_for_a_join() {
    let tasks = |no: &str, yes: &str| {
        [
            ok("a"),
            ok("b").needs(&["a"]).when(no, SkipDepth::All),
            ok("c").needs(&["a"]).when(yes, SkipDepth::All),
            ok("d").needs(&["b", "c"]),
            ok("e").needs(&["d"]),
        ]
    };
    play(pattern(Graph, tasks("false", "true")), "a { ~b ~d ~e | c }").ends(Succeeded).await;
    let end = play(pattern(Graph, tasks("true", "false")), "a b:applying ~c ~d ~e b:applied")
        .with_sixteen("a { ~c ~d ~e | b }");
    let end = end.ends(Succeeded).await;
    assert_eq!(end.task("e").skipped_by, "c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_a_skipped_task_is_passed_over_on_the_way_back() {
    let tasks = [ok("a"), ok("b").when("false", SkipDepth::Task), task("f", "fail")];
    play(flow(tasks), "a ~b f! -f -a").ends(Reverted).await;
    // A whole flow, beside one that was applied.
    let left = nested("l", Linear, [ok("b1"), ok("b2")]).when("false", SkipDepth::Task);
    let sides = nested("sides", Unordered, [left, nested("r", Linear, [ok("c1"), ok("c2")])]);
    let end = play(flow([ok("a"), sides, task("f", "fail")]), "a ~b1 ~b2 c1 c2 f! -f -c2 -c1 -a");
    end.ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_a_nested_flow_is_skipped_whole_by_what_all_before_it_gave() {
    let work = |a: u32| {
        let deep = nested("deep", Unordered, [ok("x2"), ok("x3")]).scope(times(2));
        let inner = nested("n", Linear, [ok("x1"), deep]);
        let inner = inner.when("a.value + b.value > 3", SkipDepth::All);
        let tasks = [gives("a", a.into()), gives("b", 2.into()), inner, ok("z").needs(&["n"])];
        pattern(Graph, tasks)
    };
    play(work(1), "{ a | b } ~x1 ~x2#1 ~x3#1 ~z").ends(Succeeded).await;
    play(work(2), "{ a | b } x1 { x2#1 | x3#1 } z").ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_a_skipped_task_runs_in_the_next_try_where_its_condition_holds_then() {
    let tasks = [
        ok("a"),
        ok("b").when("x == 'second'", SkipDepth::Task),
        task("f", "fail_n").with("n", literal(json!(1))),
    ];
    let scope = nested("s", Linear, tasks).scope(for_each(literal(json!(["first", "second"]))));
    let end = play(flow([scope]), "a#1 ~b#1 f#1! -f#1 -a#1 a#2 b#2 f#2").ends(Succeeded).await;
    assert_eq!((end.task("b#1").state, end.task("b#2").state), (TaskState::Skipped, TaskState::Applied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_given_by_a_task_that_is_left_out_is_left_out_of_the_input() {
    for (condition, trace, input) in [("false", "~a b", json!({})), ("true", "a b", json!({ "x": 7 }))] {
        let a = gives("a", 7.into()).provides("seen", "/value").when(condition, SkipDepth::Task);
        let b = task("b", "echo").with("x", optional("seen"));
        let end = play(flow([a, b]), trace).ends(Succeeded).await;
        assert_eq!(end.told("apply b").input, input);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_asks_whether_there_is_what_a_task_that_was_left_out_would_give() {
    let a = gives("a", 7.into()).when("false", SkipDepth::Task);
    let b = ok("b").when("has(names.a)", SkipDepth::Task);
    let c = ok("c").when("!has(names.a)", SkipDepth::Task);
    play(flow([a, b, c]), "~a ~b c").ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_goes_as_far_as_its_depth() {
    let depths = [
        (SkipDepth::Task, "a ~b c d e"),
        (SkipDepth::Neighbours, "a ~b ~c d e"),
        (SkipDepth::Flow, "a ~b ~c ~d e"),
        (SkipDepth::All, "a ~b ~c ~d ~e"),
    ];
    for (depth, trace) in depths {
        let inner = nested("n", Linear, [ok("a"), ok("b").when("false", depth), ok("c"), ok("d")]);
        play(flow([inner, ok("e")]), trace).ends(Succeeded).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_in_a_scope_ends_with_the_scope() {
    let inner = [ok("a"), ok("b").when("false", SkipDepth::All), ok("c")];
    let end = play(flow([nested("s", Linear, inner).scope(times(2)), ok("e")]), "a#1 ~b#1 ~c#1 e");
    end.ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_element_of_a_map_decides_for_no_other() {
    let tasks = [ok("a").when("x > 1", SkipDepth::All), ok("b")];
    let each = nested("m", Linear, tasks).scope(map(literal(json!([1, 2, 3])), 0));
    let one = "~a#0 ~b#0 a#1 a#2 b#1 b#2 z bad! -bad -z -b#2 -b#1 -a#2 -a#1";
    let sixteen = "{ ~a#0 ~b#0 | a#1 b#1 | a#2 b#2 } z bad! -bad -z { -b#2 -a#2 | -b#1 -a#1 }";
    let play = play(flow([each, ok("z"), task("bad", "fail")]), one).with_sixteen(sixteen);
    play.ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_is_left_out_is_tried_no_time_and_undone_by_nothing() {
    let scope = nested("s", Linear, [ok("a"), task("f", "fail")]).scope(times(3));
    let outer = nested("n", Linear, [scope]).when("false", SkipDepth::Task);
    let play = play(flow([ok("first"), outer, task("bad", "fail")]), "first ~a#1 ~f#1 bad! -bad -first");
    play.ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_was_left_out_is_not_undone_as_a_whole_and_one_that_was_partly_is() {
    let machine = |condition: &str, skips| {
        let tasks = [ok("a").when(condition, skips), gives("b", 1.into())];
        let inputs = [("first", optional("a")), ("second", named("b"))];
        nested("m", Linear, tasks).reverts(own_revert("echo", &inputs))
    };
    let bad = || task("bad", "fail");
    let none = play(flow([machine("false", SkipDepth::Flow), bad()]), "~a ~b bad! -bad");
    none.ends(Reverted).await;
    let trace = "~a b bad! -bad m.revert:reverting b:reverted m.revert:reverted";
    let end = play(flow([machine("false", SkipDepth::Task), bad()]), trace).ends(Reverted).await;
    assert_eq!(end.told("revert m.revert").input, json!({ "second": { "value": 1 } }));
}
