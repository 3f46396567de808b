//! Order and data: F02 to F05, F11, F14, F15, F17 to F20, F22.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, Phase, TaskState};
use windlass_tests::harness::code;
use windlass_tests::work::{
    Shape as _, action, argument, flow, gate, literal, named, nested, output, pattern, task,
};

use super::play::play;

use JobState::{Reverted, Succeeded};
use Pattern::{Graph, Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn echo(name: &str, x: v1::Input) -> v1::Task {
    task(name, "echo").with("x", x)
}

fn optional(name: &str) -> v1::Input {
    v1::Input { source: Some(v1::input::Source::OptionalName(name.to_owned())) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_linear_tasks_run_in_order_whatever_the_slots() {
    play(flow([ok("a"), ok("b"), ok("c")]), "a b c").ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_unordered_tasks_are_applied_at_once_where_there_are_slots() {
    let play = play(pattern(Unordered, [gate("a"), gate("b")]), "{ a | b }");
    play.directed(Succeeded, async |stage| stage.meet(&["a", "b"]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f04_the_higher_priority_begins_first() {
    let tasks = (0..10).map(|priority| ok(&format!("t{priority}")).priority(priority));
    play(pattern(Unordered, tasks), "{ t9 | t8 | t7 | t6 | t5 | t4 | t3 | t2 | t1 | t0 }")
        .ends(Succeeded)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f04_what_becomes_ready_with_a_higher_priority_overtakes_what_was_ready_before() {
    let inner = nested("n", Linear, [ok("a"), ok("urgent").priority(9)]);
    let tasks = [ok("b"), inner, ok("c").priority(1), ok("d")];
    // With one slot: c, which is the first; b and a as they are defined, and urgent before d.
    play(pattern(Unordered, tasks), "{ c | b | a urgent | d }").ends(Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_tasks_out_of_order_run_by_their_data_and_are_undone_against_it() {
    let tasks = |last: &str| {
        [
            task("e", last).needs(&["d"]),
            echo("d", named("of_c")),
            echo("c", named("of_b")).provides("of_c", "/x"),
            echo("b", output("a", "/x")).provides("of_b", "/x"),
            echo("a", literal(json!(7))),
        ]
    };
    let end = play(pattern(Graph, tasks("ok")), "a b c d e").ends(Succeeded).await;
    assert_eq!(end.task("d").output, Some(json!({ "x": 7 })));
    play(pattern(Graph, tasks("fail")), "a b c d e! -e -d -c -b -a").ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_data_orders_tasks_across_nested_flows_also_for_the_input_of_a_revert() {
    let free = echo("free", literal(json!(1))).revert_with("y", output("maker", "/x"));
    let reader = nested("n", Linear, [free, ok("after")]);
    let maker = nested("m", Linear, [ok("before"), echo("maker", literal(json!(3)))]);
    let tasks = [reader, task("bad", "fail").needs(&["n"]), maker.needs(&["first"]), ok("first")];
    let trace = "first before maker free after bad! -bad -after -free -maker -before -first";
    let end = play(pattern(Graph, tasks), trace).ends(Reverted).await;
    assert_eq!(end.told("revert free").input, json!({ "y": 3 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_literal_outranks_an_argument_and_that_the_nearest_visible_task() {
    let work = |x| {
        let near = echo("near", literal(json!("near"))).provides("x", "/x");
        let inner = nested("inner", Linear, [near, echo("reader", x)]);
        flow([echo("far", literal(json!("far"))).provides("x", "/x"), inner])
    };
    for (input, arguments, seen) in [
        (literal(json!("injected")), json!({ "x": "argument" }), "injected"),
        (named("x"), json!({ "x": "argument" }), "argument"),
        (named("x"), json!({}), "near"),
    ] {
        let end = play(work(input), "far near reader").given(arguments).ends(Succeeded).await;
        assert_eq!(end.told("apply reader").input, json!({ "x": seen }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_f15_names_are_bound_to_others_and_to_parts_of_what_a_task_gives() {
    let tasks = [
        task("s", "sum").with("x", named("a")).with("y", named("y")),
        task("m", "multi").provides("p", "/p").provides("r0", "/r/0").provides("all", ""),
        echo("part", named("r0")),
        echo("whole", named("all")),
    ];
    let arguments = json!({ "a": 17, "y": 4, "z": 9 });
    let play = play(pattern(Graph, tasks), "{ s | m { part | whole } }").given(arguments);
    let end = play.ends(Succeeded).await;
    assert_eq!(end.told("apply s").input, json!({ "x": 17, "y": 4 }));
    assert_eq!(end.told("apply part").input, json!({ "x": 3 }));
    assert_eq!(end.told("apply whole").input, json!({ "x": { "p": 1, "q": "two", "r": [3, 3, 3] } }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_an_optional_input_is_left_out_or_the_argument_or_what_is_injected() {
    for (input, arguments, seen) in [
        (optional("x"), json!({}), json!({})),
        (optional("x"), json!({ "x": 3 }), json!({ "x": 3 })),
        (literal(json!(5)), json!({ "x": 3 }), json!({ "x": 5 })),
    ] {
        let end = play(flow([echo("e", input)]), "e").given(arguments).ends(Succeeded).await;
        assert_eq!(end.task("e").output, Some(seen));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_an_output_is_read_by_name_once_it_is_there_and_is_what_the_whole_says() {
    let tasks = [echo("a", argument("x")).provides("seen", "/x"), gate("b")];
    let play = play(flow(tasks), "a b").given(json!({ "x": "early" }));
    play.directed(Succeeded, async |stage| {
        let (host, job) = (&stage.host, stage.job.as_str());
        let ask = async |name: &str| {
            let request = v1::GetJobOutputRequest { job: job.to_owned(), name: name.to_owned() };
            host.jobs().get_output(request).await
        };
        stage.until_called("apply b").await;
        assert_eq!(host.output(job, "seen").await, json!("early"));
        assert_eq!(code(ask("b").await), Code::FailedPrecondition, "not yet");
        assert_eq!(code(ask("nobody").await), Code::NotFound);
        host.open_gate("b");
        host.wait(job).await;
        assert_eq!(host.output(job, "b").await, json!({ "passed": "b" }));
        let whole = ask("").await.expect("it has succeeded").into_inner().outputs;
        for (name, payload) in whole {
            assert_eq!(windlass_tests::work::json_of(&payload), host.output(job, &name).await, "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_what_joins_waits_for_both_and_what_forks_for_it() {
    let tasks = || {
        [gate("d").needs(&["c"]), gate("a"), gate("c").needs(&["a", "b"]), gate("b"), gate("e").needs(&["c"])]
    };
    let play = play(pattern(Graph, tasks()), "{ a | b } c { d | e }");
    play.directed(Succeeded, async |stage| {
        stage.host.open_gate("a");
        stage.until("task.applied", "a").await;
        assert_eq!(stage.host.task(&stage.job, "c").await.state(), TaskState::Pending);
        stage.host.open_gate("b");
        stage.until_called("apply c").await;
        assert_eq!(stage.host.task(&stage.job, "d").await.state(), TaskState::Pending);
        stage.host.open_gate("c");
        stage.meet(&["d", "e"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_a_diamond_is_undone_from_its_leaves_to_its_roots() {
    let tasks = [
        ok("a"),
        ok("b"),
        ok("c").needs(&["a", "b"]),
        ok("d").needs(&["c"]),
        task("e", "fail").needs(&["c"]),
    ];
    play(pattern(Graph, tasks), "{ a | b } c { d | e! } { -e | -d } -c { -b | -a }").ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_slow_task_delays_nothing_of_another_component() {
    let slow = nested("left", Linear, [gate("slow"), ok("after")]);
    let fast = nested("right", Linear, ["p", "q", "r"].map(ok));
    let play = play(pattern(Graph, [slow, fast]), "{ slow after | p q r }");
    play.directed(Succeeded, async |stage| {
        stage.until_called("apply slow").await;
        if stage.is_wide {
            stage.until("task.applied", "r").await;
            assert_eq!(stage.host.state(&stage.job).await, JobState::Running, "it ends only after both");
        }
        stage.host.open_gate("slow");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_a_single_action_is_a_flow_of_one_task() {
    let end = play(action("echo"), "echo").given(json!({ "x": 1 })).ends(Succeeded).await;
    assert_eq!(end.task("echo").output, Some(json!({ "x": 1 })));
    play(action("fail"), "fail! -fail").ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phases_are_applied_one_after_the_other_and_undone_the_other_way_round() {
    let configure = nested("c", Unordered, [ok("c1"), ok("c2")]).phase(Phase::Configure);
    let tasks = |last: &str| {
        [
            ok("q1").phase(Phase::Acquire),
            configure.clone(),
            ok("r1").phase(Phase::Reserve),
            task("q2", last).phase(Phase::Acquire),
            ok("r2").phase(Phase::Reserve),
        ]
    };
    play(pattern(Graph, tasks("ok")), "{ r1 | r2 } { c1 | c2 } { q1 | q2 }").ends(Succeeded).await;
    let undone = "{ r1 | r2 } { c1 | c2 } { q1 | q2! } { -q2 | -q1 } { -c2 | -c1 } { -r2 | -r1 }";
    play(pattern(Graph, tasks("fail")), undone).ends(Reverted).await;
}
