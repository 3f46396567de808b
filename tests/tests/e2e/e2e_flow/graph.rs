//! Order and data in patterns: F03, F04, F05, F06, F07, F08, F09, F11, F14, F15, F17, F19, F20, X08.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, TaskState};
use windlass_tests::harness::{HostOptions, TestHost, field_paths};
use windlass_tests::work::{Shape as _, flow, gate, literal, named, nested, output, pattern, task};

use Pattern::{Graph, Linear, Unordered};

fn slots(slots: usize) -> HostOptions {
    HostOptions { slots, ..HostOptions::default() }
}

fn echo(name: &str, x: v1::Input) -> v1::Task {
    task(name, "echo").with("x", x)
}

fn optional(name: &str) -> v1::Input {
    v1::Input { source: Some(v1::input::Source::OptionalName(name.to_owned())) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_unordered_tasks_run_at_once() {
    let host = TestHost::start_with(slots(2)).await;
    let job = host.submit(pattern(Unordered, [gate("a"), gate("b")])).await;
    host.until_called(&job, "apply a").await;
    host.until_called(&job, "apply b").await;
    let both = host.get(&job).await.tasks;
    assert!(both.iter().all(|task| task.state() == TaskState::Applying), "{both:?}");
    ["a", "b"].iter().for_each(|name| host.open_gate(name));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f04_with_one_slot_the_higher_priority_begins_first() {
    let host = TestHost::start_with(slots(1)).await;
    let tasks = (0..10).map(|priority| task(&format!("t{priority}"), "ok").priority(priority));
    let job = host.run(pattern(Unordered, tasks)).await;
    let calls: Vec<_> = (0..10).rev().map(|priority| format!("apply t{priority}")).collect();
    assert_eq!(host.calls(&job.id), calls.join(", "));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_tasks_that_are_declared_out_of_order_run_by_their_data() {
    let host = TestHost::start_with(slots(4)).await;
    let tasks = [
        echo("d", named("of_c")),
        echo("c", named("of_b")).provides("of_c", "/x"),
        echo("b", output("a", "/x")).provides("of_b", "/x"),
        echo("a", literal(json!(7))),
    ];
    let job = host.run(pattern(Graph, tasks)).await;
    assert_eq!(
        host.trace(&job.id).await,
        "a:applying a:applied b:applying b:applied c:applying c:applied d:applying d:applied"
    );
    assert_eq!(host.output(&job.id, "d").await, json!({ "x": 7 }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_f07_f08_f09_all_that_is_wrong_with_a_graph_is_told_before_anything_runs() {
    let host = TestHost::start().await;
    let inner = [echo("a", literal(json!(1))).provides("twice", ""), echo("q", named("nobody"))];
    let work = pattern(
        Graph,
        [
            echo("a", named("y")).provides("x", ""),
            echo("b", named("x")).provides("y", ""),
            nested("n", Unordered, inner),
            task("c", "ok").needs(&["ghost"]).provides("twice", ""),
            echo("d", named("twice")).revert_with("z", named("nowhere")),
        ],
    );
    let refused = host.try_submit(host.spec(work)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        field_paths(&refused),
        [
            "job.work.flow.tasks[2].flow.tasks[0].name",
            "job.work.flow.tasks[2].flow.tasks[1].inputs.x",
            "job.work.flow.tasks[3].needs[0]",
            "job.work.flow.tasks[4].inputs.x",
            "job.work.flow.tasks[4].revert_inputs.z",
            "job.work.flow.tasks[0]",
        ]
    );
    assert_eq!(host.list(v1::ListJobsRequest::default()).await, [], "nothing of it is there");
    assert_eq!(host.ledger(), []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_literal_outranks_an_argument_and_that_the_nearest_visible_task() {
    let host = TestHost::start().await;
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
        let job = host.run_with(work(input), arguments).await;
        assert_eq!(host.output(&job.id, "reader").await, json!({ "x": seen }));
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_f15_names_are_bound_to_others_and_to_parts_of_what_a_task_gives() {
    let host = TestHost::start().await;
    let tasks = [
        task("s", "sum").with("x", named("a")).with("y", named("r0")),
        task("m", "multi").provides("p", "/p").provides("r0", "/r/0").provides("all", ""),
        echo("whole", named("all")),
    ];
    let job = host.run_with(pattern(Graph, tasks), json!({ "a": 17, "x": 1, "z": 9 })).await;
    assert_eq!(host.output(&job.id, "s").await, json!({ "sum": 20 }));
    assert_eq!(host.output(&job.id, "whole").await["x"], host.output(&job.id, "m").await);
    assert_eq!(host.output(&job.id, "p").await, json!(1));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_an_optional_input_is_left_out_or_the_argument_or_what_is_injected() {
    let host = TestHost::start().await;
    for (input, arguments, seen) in [
        (optional("x"), json!({}), json!({})),
        (optional("x"), json!({ "x": 3 }), json!({ "x": 3 })),
        (literal(json!(5)), json!({ "x": 3 }), json!({ "x": 5 })),
    ] {
        let job = host.run_with(flow([echo("e", input)]), arguments).await;
        assert_eq!(host.output(&job.id, "e").await, seen);
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_what_joins_waits_for_both_and_what_forks_for_it() {
    let host = TestHost::start_with(slots(4)).await;
    let tasks = [
        gate("a"),
        gate("b"),
        gate("c").needs(&["a", "b"]),
        gate("d").needs(&["c"]),
        gate("e").needs(&["c"]),
    ];
    let job = host.submit(pattern(Graph, tasks)).await;
    host.until_called(&job, "apply a").await;
    host.until_called(&job, "apply b").await;
    host.open_gate("a");
    host.until(&job, "task.applied", "a").await;
    assert_eq!(host.task(&job, "c").await.state(), TaskState::Pending);
    host.open_gate("b");
    host.until_called(&job, "apply c").await;
    assert_eq!(host.task(&job, "d").await.state(), TaskState::Pending);
    host.open_gate("c");
    host.until_called(&job, "apply d").await;
    host.until_called(&job, "apply e").await;
    ["d", "e"].iter().for_each(|name| host.open_gate(name));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_slow_task_delays_nothing_of_another_component() {
    let host = TestHost::start_with(slots(2)).await;
    let slow = nested("left", Linear, [gate("slow"), task("after", "ok")]);
    let fast = nested("right", Linear, ["p", "q", "r"].map(|name| task(name, "ok")));
    let job = host.submit(pattern(Unordered, [slow, fast])).await;
    host.until(&job, "task.applied", "r").await;
    assert_eq!(host.task(&job, "slow").await.state(), TaskState::Applying);
    assert_eq!(host.state(&job).await, JobState::Running, "it ends only after both");
    host.open_gate("slow");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

/// What a host of so many slots makes of a few jobs: states, residues and effects that remain.
async fn ends(count: usize) -> Vec<(JobState, Vec<String>, Vec<String>)> {
    let host = TestHost::start_with(slots(count)).await;
    let layer = |name: &str, last: &str| {
        let tasks = (0..3).map(|n| task(&format!("{name}{n}"), "ok"));
        nested(name, Unordered, tasks.chain([task(&format!("{name}-last"), last)]))
    };
    let works = [
        flow([layer("a", "ok"), layer("b", "multi")]),
        flow([layer("a", "ok"), layer("b", "fail")]),
        flow([layer("a", "nasty"), layer("b", "ok"), task("f", "fail")]),
        pattern(Graph, [layer("b", "giver").needs(&["a"]), layer("a", "fail_reject")]),
    ];
    let mut jobs = Vec::new();
    for work in works {
        jobs.push(host.submit(work).await);
    }
    let mut ends = Vec::new();
    for job in jobs {
        let ended = host.wait(&job).await;
        let mut residue: Vec<_> = ended.residue.iter().map(|name| name.task.clone()).collect();
        residue.sort();
        let tasks = host.get(&job).await.tasks;
        let applied = tasks.iter().filter(|task| task.state() == TaskState::Applied);
        let mut applied: Vec<_> = applied.filter_map(|task| Some(task.name.as_ref()?.task.clone())).collect();
        applied.sort();
        ends.push((ended.state(), residue, applied));
    }
    host.finish().await;
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x08_one_slot_and_sixteen_come_to_the_same_ends() {
    let one = ends(1).await;
    let states: Vec<_> = one.iter().map(|(state, _, _)| *state).collect();
    use JobState::{Failed, Reverted, Succeeded};
    assert_eq!(states, [Succeeded, Reverted, Failed, Reverted]);
    assert_eq!(one, ends(16).await);
}
