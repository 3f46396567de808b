//! Scopes that run again, and conditions, with real plugins: R01, D01, D06. The exact traces of all are in `e2e_trace`.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, SkipDepth, TaskState};
use windlass_tests::harness::{TestHost, field_paths};
use windlass_tests::work::{
    Shape as _, flow, for_each, literal, map, named, nested, output, repeat, task, times,
};

fn n(count: u32) -> v1::Input {
    literal(count.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_scope_is_undone_in_reverse_and_tried_again_with_keys_of_its_own() {
    let host = TestHost::start().await;
    let scope = nested("s", Pattern::Linear, [task("t1", "ok"), task("f", "fail_n").with("n", n(1))]);
    let job = host.run(flow([scope.scope(times(4))])).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.calls(&job.id), "apply t1#1, apply f#1, revert f#1, revert t1#1, apply t1#2, apply f#2");
    let told = host.get(&job.id).await;
    let attempts: Vec<_> = told.tasks.iter().map(|task| (task.scope_attempt, task.state())).collect();
    let (undone, done) = (TaskState::Reverted, TaskState::Applied);
    assert_eq!(attempts, [(1, undone), (2, done), (1, undone), (2, done)]);
    let mut keys: Vec<_> = told.tasks.iter().map(|task| task.idempotency_key.clone()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 4, "each instance has a key of its own");
    let [scope] = told.scopes.as_slice() else { panic!("one scope: {:?}", told.scopes) };
    assert_eq!((scope.state(), scope.attempt, scope.attempts_max), (TaskState::Applied, 2, 4));
    assert_eq!(scope.fault.as_ref().map(|fault| fault.class.as_str()), Some("fixture.fail"));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_runs_side_by_side_and_gives_a_list_in_order() {
    let host = TestHost::start().await;
    let each = nested("m", Pattern::Linear, [task("e", "echo").with("x", named("x"))]);
    let work = flow([
        each.scope(map(literal(json!(["a", "b", "c"])), 2)),
        task("all", "echo").with("list", output("e", "/x")),
    ]);
    let job = host.run(work).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.output(&job.id, "all").await, json!({"list": ["a", "b", "c"]}));
    assert_eq!(host.output(&job.id, "e").await, json!([{"x": "a"}, {"x": "b"}, {"x": "c"}]));
    let undone = host.revert(&job.id).await.expect("it succeeded");
    assert_eq!(undone.job.expect("it is told").state(), JobState::Ready);
    assert_eq!(host.wait(&job.id).await.state(), JobState::Reverted);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_scope_pauses_durably_between_its_rounds() {
    let mut host = TestHost::start().await;
    let scope = nested("s", Pattern::Linear, [task("p", "ok")]);
    let scope = scope.scope(repeat("round == 3", 5, Duration::from_secs(60)));
    let job = host.submit(flow([scope])).await;
    for round in 1..3 {
        host.until_state(&job, JobState::Waiting).await;
        assert_eq!(host.get(&job).await.scopes[0].attempt, round);
        host.restart().await;
        host.advance(TimeDelta::seconds(61));
        host.until(&job, "task.applied", "p").await;
        host.until_holds("the next round has run", async || host.get(&job).await.scopes[0].attempt > round)
            .await;
    }
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&job), "apply p#1, apply p#2, apply p#3");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_d06_conditions_leave_out_tasks_and_flows() {
    let host = TestHost::start().await;
    let work = || {
        let inner = nested("n", Pattern::Unordered, [task("x1", "ok"), task("x2", "ok")]);
        let tasks = [
            task("m", "multi"),
            task("b", "ok").when("m.p == 2", SkipDepth::Unspecified),
            task("b2", "ok").needs(&["b"]),
            task("c", "ok").when("m.q == 'two' && mode == 'go'", SkipDepth::All),
            inner.when("size(m.r) > 3", SkipDepth::Task),
            task("z", "ok").needs(&["n"]),
        ];
        v1::Work {
            kind: Some(v1::work::Kind::Flow(v1::Flow {
                tasks: tasks.into(),
                pattern: Pattern::Graph.into(),
                ..v1::Flow::default()
            })),
        }
    };
    let spec = v1::JobSpec { arguments_json: json!({"mode": "go"}).to_string(), ..host.spec(work()) };
    let job = host.run_spec(spec).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!((job.task_count, job.task_done_count), (7, 7));
    let told = host.get(&job.id).await;
    let skipped = told.tasks.iter().filter(|task| task.state() == TaskState::Skipped);
    let skipped: Vec<_> =
        skipped.map(|task| (task.name.clone().expect("it has one").task, task.skipped_by.clone())).collect();
    let by = |task: &str, by: &str| (task.to_owned(), by.to_owned());
    assert_eq!(skipped, [by("b", "b"), by("b2", "b"), by("x1", "n"), by("x2", "n")]);
    let refused = host.try_submit(host.spec(work())).await.expect_err("nobody gives mode");
    assert_eq!(field_paths(&refused), ["job.work.flow.tasks[3].when"], "{refused}");
    assert!(refused.message().contains("\"mode\""), "{refused}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_wrong_with_scopes_and_conditions_is_told_at_once() {
    let host = TestHost::start().await;
    let one = |name: &str, of: &str| nested(name, Pattern::Linear, [task(of, "ok")]);
    let work = flow([
        one("a", "a1").scope(times(5_000)),
        one("b", "b1").scope(for_each(literal(json!("no list")))),
        one("c", "c1").scope(repeat("nobody.knows &&", 3, Duration::ZERO)),
        one("d", "d1").scope(repeat("nobody", 20_000, Duration::ZERO)),
        one("e", "e1").scope(map(named("nobody"), 0)).when("true", SkipDepth::Task),
        task("f", "ok").when("names.size() > 1", SkipDepth::All),
        task("g", "ok").when("false", SkipDepth::Task),
        task("h", "echo").with("x", named("g")),
    ]);
    let refused = host.try_submit(host.spec(work)).await.expect_err("much is wrong");
    let paths = field_paths(&refused);
    let tasks = |rest: &str| format!("job.work.flow.tasks{rest}");
    let expected = [
        "[0].flow.retry.times",
        "[1].flow.retry.for_each.over",
        "[2].flow.repeat.until",
        "[3].flow.repeat.rounds_max",
        "[3].flow.repeat.until",
        "[4].flow.map.over",
        "[5].when",
        "[7].inputs.x",
    ];
    assert_eq!(paths, expected.map(tasks), "{refused}");
    host.finish().await;
}
