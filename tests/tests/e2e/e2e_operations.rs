//! Operations end to end: T12, T22, W10, and what people do with them.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, OperationState};
use windlass_tests::harness::{TestHost, code, field_paths};
use windlass_tests::work::{Shape as _, action, action_of, flow, gate, literal, task};

const MINUTE: Duration = Duration::from_secs(60);

async fn get(host: &TestHost, operation: &str) -> v1::Operation {
    let request = v1::GetOperationRequest { operation: operation.to_owned() };
    host.operations().get(request).await.expect("the operation is there").into_inner()
}

fn enable(operation: &str) -> v1::EnableOperationRequest {
    v1::EnableOperationRequest { operation: operation.to_owned(), etag: String::new() }
}

fn disable(operation: &str) -> v1::DisableOperationRequest {
    v1::DisableOperationRequest { operation: operation.to_owned(), etag: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_an_operation_registered_twice_exists_already_and_fires_once() {
    let host = TestHost::start().await;
    host.every("minutely", MINUTE).await;
    let id = uuid::Uuid::now_v7().to_string();
    let operation = v1::Operation { id: id.clone(), ..host.operation("one", "minutely", action("ok")) };
    assert_eq!(host.create_operation(operation.clone()).await.unwrap().id, id);
    assert_eq!(code(host.create_operation(operation.clone()).await), Code::AlreadyExists);
    let renamed = v1::Operation { name: "two".to_owned(), ..operation.clone() };
    assert_eq!(code(host.create_operation(renamed).await), Code::AlreadyExists);
    let same_name = v1::Operation { id: String::new(), ..operation };
    assert_eq!(code(host.create_operation(same_name).await), Code::AlreadyExists);
    for _ in 0..3 {
        host.advance(TimeDelta::minutes(1));
        host.until_decided("minutely").await;
    }
    assert_eq!(host.jobs_of("one").await.len(), 3);
    assert_eq!(host.list(v1::ListJobsRequest::default()).await.len(), 3);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t22_a_disabled_operation_has_no_jobs_until_it_is_enabled() {
    let mut host = TestHost::start().await;
    host.every("minutely", MINUTE).await;
    let request = v1::CreateOperationRequest {
        operation: Some(host.operation("one", "minutely", action("ok"))),
        create_disabled: true,
        dry_run: false,
    };
    let operation = host.operations().create(request).await.unwrap().into_inner();
    assert_eq!((operation.enabled, operation.state()), (false, OperationState::Init));
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    host.advance(TimeDelta::minutes(1));
    host.restart().await;
    host.until_decided("minutely").await;
    assert_eq!(host.jobs_of("one").await, []);

    let enabled = host.operations().enable(enable("one")).await.unwrap().into_inner();
    assert_eq!((enabled.enabled, enabled.state()), (true, OperationState::Registered));
    assert_eq!(
        host.operations().enable(enable("one")).await.unwrap().into_inner().generation,
        enabled.generation
    );
    host.restart().await;
    host.settle_at(host.now() + TimeDelta::seconds(59)).await;
    assert_eq!(host.jobs_of("one").await, []);
    host.advance(TimeDelta::seconds(1));
    host.until_decided("minutely").await;
    assert_eq!(host.jobs_of("one").await.len(), 1);

    host.operations().disable(disable("one")).await.unwrap();
    host.advance(TimeDelta::minutes(2));
    host.until_decided("minutely").await;
    assert_eq!(host.jobs_of("one").await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_an_operation_that_could_not_run_is_refused_at_creation() {
    let host = TestHost::start().await;
    host.every("minutely", MINUTE).await;
    host.on_event("on-event", "x", "").await;
    let missing = flow([task("a", "sum").with("x", literal(json!(1)))]);
    let with = |edit: fn(&mut v1::Operation)| {
        let mut operation = host.operation("one", "minutely", action("ok"));
        edit(&mut operation);
        operation
    };
    let outside = v1::DirectoryGrant {
        host_path: "/".to_owned(),
        guest_path: "/root".to_owned(),
        access: v1::Access::ReadOnly.into(),
    };
    let mut too_much = host.operation("one", "minutely", action("ok"));
    too_much.grants = Some(v1::Grants { directories: vec![outside], memory_bytes_max: None });
    for (operation, field) in [
        (
            host.operation("one", "minutely", action_of("no-such-plugin", "ok")),
            "operation.work.action.plugin",
        ),
        (host.operation("one", "minutely", action("no-such-action")), "operation.work.action"),
        (host.operation("one", "minutely", missing), "operation.work.flow.tasks[0]"),
        (with(|operation| operation.arguments_json = "{\"valu\": 1}".to_owned()), "operation.arguments_json"),
        (with(|operation| operation.event_argument = "event".to_owned()), "operation.event_argument"),
        (with(|operation| operation.job_priority = 9_999), "operation.job_priority"),
        (with(|operation| operation.work = None), "operation.work"),
        (too_much, "operation.grants"),
    ] {
        let refused = host.create_operation(operation.clone()).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
        assert!(
            field_paths(&refused).iter().any(|path| path.starts_with(field)),
            "{field}: {:?}",
            field_paths(&refused)
        );
    }
    let nowhere = host.create_operation(host.operation("one", "no-such-trigger", action("ok"))).await;
    assert_eq!(code(nowhere), Code::NotFound);
    let list = host.operations().list(v1::ListOperationsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.operations, []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_of_an_operation_stores_nothing() {
    let host = TestHost::start().await;
    host.every("minutely", MINUTE).await;
    let request = v1::CreateOperationRequest {
        operation: Some(host.operation("one", "minutely", action("ok"))),
        create_disabled: false,
        dry_run: true,
    };
    host.operations().create(request).await.unwrap();
    let get = v1::GetOperationRequest { operation: "one".to_owned() };
    assert_eq!(code(host.operations().get(get).await), Code::NotFound);
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    assert_eq!(host.list(v1::ListJobsRequest::default()).await, []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_shows_where_it_is() {
    let host = TestHost::start().await;
    host.every("minutely", MINUTE).await;
    host.bind("one", "minutely", flow([gate("g")])).await;
    assert_eq!(get(&host, "one").await.state(), OperationState::Registered);
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    let filter = v1::ListJobsRequest { operation: "one".to_owned(), ..v1::ListJobsRequest::default() };
    let job = host.list(filter).await.remove(0).id;
    host.until_called(&job, "apply g").await;
    assert_eq!(get(&host, "one").await.state(), OperationState::Running);
    host.open_gate("g");
    host.wait(&job).await;
    assert_eq!(get(&host, "one").await.state(), OperationState::Registered);
    host.operations().disable(disable("one")).await.unwrap();
    assert_eq!(get(&host, "one").await.state(), OperationState::Init);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_not_retroactive_and_a_deleted_operation_keeps_its_history() {
    let host = TestHost::start().await;
    host.every("minutely", MINUTE).await;
    let operation = host.bind("one", "minutely", action("echo")).await;
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    let wanted = v1::Operation {
        id: operation.id.clone(),
        etag: operation.etag.clone(),
        arguments_json: "{\"x\": 2}".to_owned(),
        job_priority: 7,
        ..v1::Operation::default()
    };
    let paths = vec!["arguments_json".to_owned(), "job_priority".to_owned()];
    let request = v1::UpdateOperationRequest {
        operation: Some(wanted),
        update_mask: Some(prost_types::FieldMask { paths }),
    };
    let updated = host.operations().update(request.clone()).await.unwrap().into_inner();
    assert_eq!((updated.generation, updated.name.as_str()), (operation.generation + 1, "one"));
    assert_eq!(code(host.operations().update(request).await), Code::Aborted);
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    let jobs = host.jobs_of("one").await;
    let arguments: Vec<_> = jobs.iter().map(|job| job.arguments_json.as_str()).collect();
    assert_eq!(arguments, ["{}", "{\"x\":2}"]);
    assert_eq!(jobs.iter().map(|job| job.priority).collect::<Vec<_>>(), [0, 7]);
    assert!(jobs.iter().all(|job| job.state() == JobState::Succeeded && job.r#type == "operation"));

    let delete = v1::DeleteOperationRequest { operation: "one".to_owned(), etag: String::new() };
    host.operations().delete(delete.clone()).await.unwrap();
    host.advance(TimeDelta::minutes(3));
    host.until_decided("minutely").await;
    assert_eq!(host.jobs_of(&operation.id).await.len(), 2);
    assert_eq!(code(host.operations().delete(delete).await), Code::NotFound);
    // The name is free again.
    host.bind("one", "minutely", action("ok")).await;
    host.finish().await;
}
