//! Flows end to end: order, data, outputs. F01, F02, F09, F18, F22, W03, W08; patterns in the modules.

mod child;
mod child_definition;
mod child_undo;
mod doubt;
mod graph;
mod observe;
mod own_revert;
mod parallel;
mod provision;
mod revision;
mod scope;
mod wait;
mod wait_event;

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_tests::harness::{HostOptions, TestHost, code, field_paths};
use windlass_tests::work::{
    Shape as _, action, argument, flow, flow_with_defaults, gate, json_of, literal, named, output, task,
};

fn output_request(job: &str, name: &str) -> v1::GetJobOutputRequest {
    v1::GetJobOutputRequest { job: job.to_owned(), name: name.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_an_empty_flow_succeeds_without_task_events() {
    let host = TestHost::start().await;
    let job = host.run(flow([])).await;
    assert_eq!((job.state(), job.task_count), (JobState::Succeeded, 0));
    assert_eq!(host.trace(&job.id).await, "");
    assert_eq!(host.get(&job.id).await.tasks, []);
    assert_eq!(host.ledger(), []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_linear_tasks_run_in_order_whatever_the_slots() {
    let host = TestHost::start_with(HostOptions { slots: 8, ..HostOptions::default() }).await;
    let mut jobs = Vec::new();
    for _ in 0..8 {
        jobs.push(host.submit(flow([task("a", "ok"), task("b", "ok")])).await);
    }
    for job in jobs {
        assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
        assert_eq!(host.trace(&job).await, "a:applying a:applied b:applying b:applied");
        assert_eq!(host.calls(&job), "apply a, apply b");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_data_flows_by_name_and_pointer() {
    let host = TestHost::start().await;
    let work = flow([
        task("m", "multi").provides("first", "/p").provides("third", "/r/1"),
        task("s", "sum").with("x", named("first")).with("y", output("m", "/r/0")),
        task("e", "echo")
            .with("sum", output("s", "/sum"))
            .with("third", named("third"))
            .with("all", output("m", "")),
    ]);
    let job = host.run(work).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let all = json!({ "p": 1, "q": "two", "r": [3, 3, 3] });
    assert_eq!(host.output(&job.id, "e").await, json!({ "sum": 4, "third": 3, "all": all }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_a_whole_output_goes_by_the_name_of_its_task() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "multi"), task("b", "echo").with("got", named("a"))])).await;
    assert_eq!(host.output(&job.id, "b").await, json!({ "got": { "p": 1, "q": "two", "r": [3, 3, 3] } }));
    let refused =
        host.try_submit(host.spec(flow([task("b", "echo").with("got", named("a")), task("a", "multi")])));
    let refused = refused.await.unwrap_err();
    assert!(refused.message().contains("move it before"), "{refused}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f09_an_input_without_provider_is_refused_before_any_apply() {
    let host = TestHost::start().await;
    let work = flow([
        task("a", "echo").with("x", named("nobody")),
        task("b", "echo").with("x", literal(json!(1))).revert_with("y", argument("nobody-either")),
        task("c", "echo").with("z", output("d", "")),
        task("d", "echo"),
    ]);
    let refused = host.try_submit(host.spec(work)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        field_paths(&refused),
        [
            "job.work.flow.tasks[0].inputs.x",
            "job.work.flow.tasks[1].revert_inputs.y",
            "job.work.flow.tasks[2].inputs.z",
        ]
    );
    assert_eq!(host.list(v1::ListJobsRequest::default()).await, []);
    assert_eq!(host.ledger(), []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_outputs_are_the_same_by_name_and_as_a_whole() {
    let host = TestHost::start().await;
    let work = flow([
        task("m", "multi").provides("first", "/p").provides("second", "/q"),
        gate("g"),
        task("e", "echo").with("x", literal(json!("é"))),
    ]);
    let job = host.submit(work).await;
    host.until_called(&job, "apply g").await;
    assert_eq!(host.output(&job, "first").await, json!(1));
    assert_eq!(code(host.jobs().get_output(output_request(&job, "e")).await), Code::FailedPrecondition);
    assert_eq!(code(host.jobs().get_output(output_request(&job, "nothing")).await), Code::NotFound);
    host.open_gate("g");
    host.wait(&job).await;

    let whole = host.jobs().get_output(output_request(&job, "")).await.unwrap().into_inner().outputs;
    assert_eq!(whole.keys().collect::<Vec<_>>(), ["e", "first", "g", "m", "second"]);
    for (name, payload) in &whole {
        assert_eq!(host.output(&job, name).await, json_of(payload));
    }
    assert_eq!(json_of(&whole["e"]), json!({ "x": "é" }));
    // The whole of a task goes by its name, whatever parts of it are named.
    assert_eq!(json_of(&whole["m"]), json!({ "p": 1, "q": "two", "r": [3, 3, 3] }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_the_outputs_of_a_reverted_job_are_no_more() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "giver").with("x", literal(json!(7))), task("f", "fail")])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(code(host.jobs().get_output(output_request(&job.id, "a")).await), Code::FailedPrecondition);
    let reverted = host.task(&job.id, "a").await;
    assert_eq!(json_of(&reverted.revert_output.unwrap()), json!({ "given_back": { "x": 7 } }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_a_single_action_is_a_flow_of_one_task() {
    let host = TestHost::start().await;
    let job = host.run_with(action("sum"), json!({ "x": 2, "y": 3 })).await;
    assert_eq!((job.state(), job.task_count, job.task_done_count), (JobState::Succeeded, 1, 1));
    assert_eq!(host.trace(&job.id).await, "sum:applying sum:applied");
    assert_eq!(host.output(&job.id, "sum").await, json!({ "sum": 5 }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w03_arguments_outrank_the_defaults_of_the_flow() {
    let host = TestHost::start().await;
    let work = flow_with_defaults(
        [task("s", "sum").with("x", argument("x")).with("y", named("y"))],
        "{\"x\": 10, \"y\": 20}",
    );
    let given = host.run_with(work.clone(), json!({ "x": 1 })).await;
    assert_eq!(host.output(&given.id, "s").await, json!({ "sum": 21 }));
    let defaults = host.run(work).await;
    assert_eq!(host.output(&defaults.id, "s").await, json!({ "sum": 30 }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w08_no_state_leaks_from_one_instance_to_the_next() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "static_count"), task("b", "static_count")])).await;
    assert_eq!(host.output(&job.id, "a").await, json!({ "count": 1 }));
    assert_eq!(host.output(&job.id, "b").await, json!({ "count": 1 }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revert_gets_its_own_inputs_where_there_are_some() {
    let host = TestHost::start().await;
    let work = flow([
        task("a", "echo").with("x", literal(json!(1))).revert_with("y", literal(json!(2))),
        task("b", "echo").with("x", literal(json!(3))),
        task("f", "fail"),
    ]);
    let job = host.run(work).await;
    assert_eq!(job.state(), JobState::Reverted);
    let inputs: Vec<_> = host
        .ledger_of(&job.id)
        .into_iter()
        .map(|line| (line.kind.clone() + " " + &line.task, line.input))
        .collect();
    assert!(inputs.contains(&("revert a".to_owned(), json!({ "y": 2 }))), "{inputs:?}");
    assert!(inputs.contains(&("revert b".to_owned(), json!({ "x": 3 }))), "{inputs:?}");
    host.finish().await;
}
