//! Child jobs that are wrong: every problem at once, each at its place, and nothing is stored.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::Pattern;
use windlass_tests::harness::{TestHost, field_paths};
use windlass_tests::work::{
    Shape as _, argument, child, flow, literal, named, nested, own_revert, pattern, stored, task,
};

fn of(work: v1::Work) -> v1::Flow {
    let Some(v1::work::Kind::Flow(flow)) = work.kind else { panic!("it is a flow") };
    flow
}

/// A flow that asks for an argument `x`.
fn open() -> v1::Work {
    flow([task("e", "sum").with("x", argument("x")).with("y", literal(json!(1)))])
}

/// Stores it under the name `open`.
async fn store_open(host: &TestHost) {
    let request = v1::CreateFlowRevisionRequest {
        name: "open".to_owned(),
        flow: Some(of(open())),
        ..v1::CreateFlowRevisionRequest::default()
    };
    host.flows().create_revision(request).await.expect("it is a flow");
}

/// Everything that can be wrong with child jobs.
fn wrong() -> v1::Work {
    let around = nested("whole", Pattern::Linear, [child("within", flow([task("w", "ok")]))]);
    pattern(
        Pattern::Graph,
        [
            around.reverts(own_revert("ok", &[])),
            child("missing", open()),
            child("unprovided", open()).with("x", named("nobody")),
            child("unknown", stored("nobody", 3)),
            child("late", stored("open", 9)),
            child("asking", stored("open", 0)),
            child("mistaken", stored("open", 1)).with("x", literal(json!("no number"))),
            child("plugin", flow([v1::Task { plugin: "nobody".to_owned(), ..task("p", "ok") }])),
            child("right", stored("open", 0)).with("x", literal(json!(2))),
        ],
    )
}

const FIELDS: [&str; 7] = [
    "tasks[0].flow.tasks[0].job",
    "tasks[1].job.flow.tasks[0].inputs.x",
    "tasks[2].job.inputs.x",
    "tasks[3].job.reference",
    "tasks[4].job.reference",
    "tasks[5].job.reference",
    "tasks[6].job.reference",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_wrong_with_child_jobs_is_told_at_once_before_anything_is_stored() {
    let host = TestHost::start().await;
    store_open(&host).await;
    let request = v1::ValidateFlowRequest { flow: Some(of(wrong())), arguments_json: Some("{}".to_owned()) };
    let told = host.flows().validate(request).await.expect("it is looked at").into_inner().problems;
    let mut fields: Vec<_> = told.iter().map(|problem| problem.field.clone()).collect();
    fields.sort();
    let plugin = "tasks[7].job.flow.tasks[0].plugin";
    assert_eq!(
        fields,
        FIELDS.iter().chain([&plugin]).map(|field| format!("flow.{field}")).collect::<Vec<_>>()
    );
    let of_field = |field: &str| {
        let found = told.iter().find(|problem| problem.field == format!("flow.{field}"));
        found.map(|problem| problem.description.as_str()).unwrap_or_default()
    };
    assert!(of_field(FIELDS[0]).contains("a revert of its own"), "{}", of_field(FIELDS[0]));
    assert!(of_field(FIELDS[3]).contains("there is no flow nobody"), "{}", of_field(FIELDS[3]));
    assert!(of_field(FIELDS[4]).contains("there is no flow open@9"), "{}", of_field(FIELDS[4]));
    // Within a stored flow is no place in the request.
    assert!(of_field(FIELDS[5]).starts_with("flow.tasks[0].inputs.x"), "{}", of_field(FIELDS[5]));
    assert!(of_field(FIELDS[6]).contains("flow.tasks[0].inputs.x"), "{}", of_field(FIELDS[6]));

    // Without the plugin that is not there, the same is told to whoever submits, applies, or makes an operation.
    let mut work = of(wrong());
    work.tasks.remove(7);
    let work = windlass_tests::work::whole(work);
    let refused = host.try_submit(host.spec(work.clone())).await.expect_err("it is refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let mut fields = field_paths(&refused);
    fields.sort();
    assert_eq!(fields, FIELDS.map(|field| format!("job.work.flow.{field}")));
    host.every("minutely", std::time::Duration::from_secs(60)).await;
    let refused = host.create_operation(host.operation("o", "minutely", work.clone())).await;
    let mut fields = field_paths(&refused.expect_err("it is refused"));
    fields.sort();
    assert_eq!(fields, FIELDS.map(|field| format!("operation.work.flow.{field}")));
    let request = v1::CreateFlowRevisionRequest {
        name: "wrong".to_owned(),
        flow: Some(of(work)),
        ..v1::CreateFlowRevisionRequest::default()
    };
    let refused = host.flows().create_revision(request).await.expect_err("it is refused");
    let fields = field_paths(&refused);
    for field in [FIELDS[0], FIELDS[3], FIELDS[4]] {
        assert!(fields.contains(&format!("flow.{field}")), "{field} is not among {fields:?}");
    }
    assert_eq!(host.list(v1::ListJobsRequest::default()).await, []);
    let flows = host.flows().list(v1::ListFlowsRequest::default()).await.expect("they are listed");
    assert_eq!(flows.into_inner().flows.len(), 1, "only what was right is stored");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_argument_that_nobody_gives_to_a_child_is_none_of_its_parent() {
    let host = TestHost::start().await;
    let spec =
        v1::JobSpec { arguments_json: r#"{"x": 1}"#.to_owned(), ..host.spec(flow([child("c", open())])) };
    let refused = host.try_submit(spec).await.expect_err("a child has only what it is given");
    assert_eq!(field_paths(&refused), ["job.work.flow.tasks[0].job.flow.tasks[0].inputs.x"]);
    let given = flow([child("c", open()).with("x", argument("x"))]);
    let job = host.run_with(given, json!({ "x": 1 })).await;
    assert_eq!(host.output(&job.id, "c").await, json!({ "e": { "sum": 2 } }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generations_have_an_end() {
    let host = TestHost::start().await;
    let deep = |generations: usize| {
        (1..generations).fold(flow([task("a", "ok")]), |work, n| flow([child(&format!("c{n}"), work)]))
    };
    let refused = host.try_submit(host.spec(deep(9))).await.expect_err("it is too deep");
    assert_eq!(field_paths(&refused), ["job.work.flow.tasks"]);
    assert!(refused.message().contains("8 deep at most"), "{refused}");
    let job = host.run(deep(8)).await;
    assert_eq!(job.state(), v1::JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.list(v1::ListJobsRequest::default()).await.len(), 8);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_names_do_not_stand_for_more_tasks_than_a_flow_may_have() {
    let host = TestHost::start().await;
    let many = (0..300).map(|n| task(&format!("t{n}"), "ok"));
    let request = v1::CreateFlowRevisionRequest {
        name: "many".to_owned(),
        flow: Some(of(pattern(Pattern::Unordered, many))),
        ..v1::CreateFlowRevisionRequest::default()
    };
    host.flows().create_revision(request).await.expect("it is a flow");
    let work = pattern(Pattern::Unordered, (0..34).map(|n| child(&format!("c{n}"), stored("many", 0))));
    let refused = host.try_submit(host.spec(work)).await.expect_err("it has 10,234 tasks");
    assert_eq!(field_paths(&refused), ["job.work.flow.tasks[33].job.reference"]);
    host.finish().await;
}
