//! Order and data in patterns: F06, F07, F08, F09, F14, F15, X08. The exact traces of the others are in `e2e_trace`.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, TaskState};
use windlass_tests::harness::{HostOptions, TestHost, field_paths};
use windlass_tests::work::{Shape as _, flow, literal, named, nested, pattern, task};

use Pattern::{Graph, Unordered};

fn slots(slots: usize) -> HostOptions {
    HostOptions { slots, ..HostOptions::default() }
}

fn echo(name: &str, x: v1::Input) -> v1::Task {
    task(name, "echo").with("x", x)
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
