//! Flows under names: revisions that never change, and what is made from them.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tonic::{Code, Status};
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_tests::harness::{TestHost, as_principal, code, field_paths};
use windlass_tests::work::{Shape as _, argument, flow, named, output, stored, task};

fn of(work: v1::Work) -> v1::Flow {
    let Some(v1::work::Kind::Flow(flow)) = work.kind else { panic!("it is a flow") };
    flow
}

/// A flow that gives `text`.
fn says(text: &str) -> v1::Flow {
    let input = windlass_tests::work::literal(text.into());
    of(flow([task("say", "echo").with("text", input)]))
}

fn revision_of(name: &str, flow: v1::Flow) -> v1::CreateFlowRevisionRequest {
    v1::CreateFlowRevisionRequest { name: name.to_owned(), flow: Some(flow), ..Default::default() }
}

async fn create(
    host: &TestHost,
    request: v1::CreateFlowRevisionRequest,
) -> Result<(v1::FlowRevision, bool), Status> {
    let answer = host.flows().create_revision(request).await?.into_inner();
    Ok((answer.revision.expect("an answer has the revision"), answer.unchanged))
}

async fn get(host: &TestHost, name: &str, revision: u32) -> Result<v1::FlowRevision, Status> {
    let request = v1::GetFlowRequest { name: name.to_owned(), revision };
    Ok(host.flows().get(request).await?.into_inner())
}

async fn delete(host: &TestHost, name: &str) -> Result<(), Status> {
    let request = v1::DeleteFlowRequest { name: name.to_owned(), etag: String::new() };
    host.flows().delete(request).await.map(drop)
}

fn reference(name: &str, revision: u32) -> Option<v1::FlowReference> {
    Some(v1::FlowReference { name: name.to_owned(), revision })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_flow_again_makes_no_revision_and_another_makes_the_next() {
    let mut host = TestHost::start().await;
    let (first, unchanged) = create(&host, revision_of("hello", says("one"))).await.unwrap();
    assert_eq!((first.revision, first.latest_revision, unchanged), (1, 1, false));
    assert_eq!((first.owner.as_str(), first.principal.as_str(), first.task_count), ("local", "local", 1));
    let pinned = &first.flow.as_ref().expect("it is whole").tasks[0];
    assert!(pinned.digest.starts_with("sha256:"), "{pinned:?}");

    let (again, unchanged) = create(&host, revision_of("hello", says("one"))).await.unwrap();
    assert_eq!((again, unchanged), (first.clone(), true));
    let (second, unchanged) = create(&host, revision_of("hello", says("two"))).await.unwrap();
    assert_eq!((second.revision, unchanged), (2, false));
    assert_ne!((&second.digest, &second.etag), (&first.digest, &first.etag));
    let described = v1::CreateFlowRevisionRequest {
        description: "says two".to_owned(),
        labels: [("team".to_owned(), "ops".to_owned())].into(),
        ..revision_of("hello", says("two"))
    };
    let (third, unchanged) = create(&host, described).await.unwrap();
    assert_eq!((third.revision, unchanged, &third.digest), (3, false, &second.digest));

    host.restart().await;
    let kept = get(&host, "hello", 1).await.unwrap();
    assert_eq!((kept.revision, kept.latest_revision, kept.flow), (1, 3, first.flow));
    assert_eq!(get(&host, "hello", 0).await.unwrap(), third);
    for (name, revision) in [("hello", 4), ("nobody", 0)] {
        assert_eq!(code(get(&host, name, revision).await), Code::NotFound);
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_expects_another_latest_one_is_aborted() {
    let host = TestHost::start().await;
    let expecting = |text: &str, expected| v1::CreateFlowRevisionRequest {
        expected_revision: Some(expected),
        ..revision_of("hello", says(text))
    };
    assert_eq!(code(create(&host, expecting("one", 1)).await), Code::Aborted);
    assert_eq!(create(&host, expecting("one", 0)).await.unwrap().0.revision, 1);
    assert_eq!(create(&host, expecting("two", 1)).await.unwrap().0.revision, 2);
    assert_eq!(code(create(&host, expecting("three", 1)).await), Code::Aborted);
    // Whoever repeats a call that went well is told so.
    assert!(create(&host, expecting("two", 1)).await.unwrap().1);

    let dry = v1::CreateFlowRevisionRequest { validate_only: true, ..expecting("three", 2) };
    assert_eq!(create(&host, dry).await.unwrap().0.revision, 3);
    let unnamed = v1::CreateFlowRevisionRequest { validate_only: true, ..revision_of("other", says("x")) };
    assert_eq!(create(&host, unnamed).await.unwrap().0.revision, 1);
    assert_eq!(code(get(&host, "other", 0).await), Code::NotFound);
    assert_eq!(get(&host, "hello", 0).await.unwrap().revision, 2);

    // Of many at once each makes one or is told to read again, and no number is left out.
    let racing = (0..8).map(|n| create(&host, revision_of("hello", says(&format!("at once {n}")))));
    let made = futures::future::join_all(racing).await;
    let mut numbers: Vec<_> = made.into_iter().map(|made| made.unwrap().0.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (3..=10).collect::<Vec<_>>());
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validation_lists_every_problem_and_stores_nothing() {
    let host = TestHost::start().await;
    let validate = async |flow: v1::Flow, arguments: Option<&str>| {
        let arguments_json = arguments.map(str::to_owned);
        let request = v1::ValidateFlowRequest { flow: Some(flow), arguments_json };
        let answer = host.flows().validate(request).await.expect("it is answered").into_inner();
        answer.problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>()
    };
    let nobodys = v1::Task { plugin: "nobody".to_owned(), ..task("a", "ok") };
    let wrong = of(flow([
        nobodys,
        task("b", "no-such-action").needs(&["c"]),
        task("b", "echo").with("x", output("nowhere", "")),
        task("d", "sum").with("x", windlass_tests::work::literal("no number".into())).within(Duration::ZERO),
    ]));
    let mut found = validate(wrong.clone(), None).await;
    found.sort();
    for field in [
        "flow.tasks[0].plugin",
        "flow.tasks[1].action",
        "flow.tasks[1].needs[0]",
        "flow.tasks[2].name",
        "flow.tasks[2].inputs.x",
        "flow.tasks[3].timeout",
    ] {
        assert!(found.iter().any(|path| path == field), "{field} is not among {found:?}");
    }
    assert_eq!(found.iter().filter(|path| *path == "flow.tasks[0].plugin").count(), 1);
    let refused = create(&host, revision_of("wrong", wrong)).await.unwrap_err();
    assert_eq!(
        (refused.code(), field_paths(&refused)[0].as_str()),
        (Code::InvalidArgument, "flow.tasks[0].plugin")
    );

    // What nobody provides is an argument, unless the arguments are given.
    let open = of(flow([task("e", "echo").with("x", named("open")).with("y", argument("given"))]));
    assert_eq!(validate(open.clone(), None).await, Vec::<String>::new());
    let missing = ["flow.tasks[0].inputs.x", "flow.tasks[0].inputs.y"];
    assert_eq!(validate(open.clone(), Some("{}")).await, missing);
    assert_eq!(validate(open, Some(r#"{"open": 1, "given": 2}"#)).await, Vec::<String>::new());
    assert_eq!(validate(says("x"), Some("[]")).await, ["arguments_json"]);
    let request = v1::ListFlowsRequest { all_owners: true, ..Default::default() };
    assert_eq!(host.flows().list(request).await.unwrap().into_inner().flows, []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_keeps_the_revision_that_was_the_latest_when_it_was_submitted() {
    let host = TestHost::start().await;
    create(&host, revision_of("hello", says("one"))).await.unwrap();
    let later = v1::JobSpec {
        execute_time: Some(prost_types::Timestamp { seconds: host.now().timestamp() + 60, nanos: 0 }),
        ..host.spec(stored("hello", 0))
    };
    let waiting = host.submit_spec(later).await;
    let (second, _) = create(&host, revision_of("hello", says("two"))).await.unwrap();
    host.advance(TimeDelta::seconds(61));
    let ended = host.wait(&waiting).await;
    assert_eq!((ended.state(), ended.flow_revision), (JobState::Succeeded, reference("hello", 1)));
    assert_eq!(host.output(&waiting, "say").await, json!({"text": "one"}));

    let latest = host.run(stored("hello", 0)).await;
    assert_eq!(latest.flow_revision, reference("hello", 2));
    assert_eq!(latest.work.unwrap().kind, second.flow.map(v1::work::Kind::Flow), "the work is told whole");
    let first = host.run(stored("hello", 1)).await;
    assert_eq!(first.flow_revision, reference("hello", 1));
    assert_eq!(host.output(&first.id, "say").await, json!({"text": "one"}));

    // Deleting the name takes nothing from them.
    delete(&host, "hello").await.unwrap();
    assert_eq!(host.job(&first.id).await.flow_revision, reference("hello", 1));
    let again = host.rerun(&first.id).await.unwrap();
    assert_eq!(again.flow_revision, reference("hello", 1));
    assert_eq!(host.wait(&again.id).await.state(), JobState::Succeeded);
    assert_eq!(code(host.try_submit(host.spec(stored("hello", 1))).await), Code::NotFound);
    // The numbers go on.
    assert_eq!(create(&host, revision_of("hello", says("one"))).await.unwrap().0.revision, 3);
    assert_eq!(code(host.try_submit(host.spec(stored("hello", 1))).await), Code::NotFound);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_reference_is_told_at_the_reference() {
    let host = TestHost::start().await;
    let open = of(flow([task("e", "echo").with("x", argument("given"))]));
    create(&host, revision_of("open", open)).await.unwrap();
    let refused = host.try_submit(host.spec(stored("open", 0))).await.unwrap_err();
    assert_eq!(
        (refused.code(), field_paths(&refused)),
        (Code::InvalidArgument, vec!["job.work.reference".to_owned()])
    );
    assert!(refused.message().contains("flow.tasks[0].inputs.x"), "{refused}");
    let empty = host.try_submit(host.spec(stored("", 0))).await.unwrap_err();
    assert_eq!(field_paths(&empty), ["job.work.reference.name"]);
    let spec = v1::JobSpec { arguments_json: r#"{"given": 3}"#.to_owned(), ..host.spec(stored("open", 0)) };
    assert_eq!(host.run_spec(spec).await.state(), JobState::Succeeded);

    let batch = v1::SubmitJobBatchRequest {
        requests: ["open", "nobody"]
            .map(|name| v1::SubmitJobRequest {
                job: Some(Box::new(v1::JobSpec {
                    arguments_json: r#"{"given": 1}"#.to_owned(),
                    ..host.spec(stored(name, 1))
                })),
                ..v1::SubmitJobRequest::default()
            })
            .to_vec(),
        ..v1::SubmitJobBatchRequest::default()
    };
    let results = host.jobs().submit_batch(batch).await.unwrap().into_inner().results;
    let submitted = results
        .iter()
        .map(|result| matches!(result.outcome, Some(v1::submit_job_result::Outcome::Submitted(_))));
    assert_eq!(submitted.collect::<Vec<_>>(), [true, false]);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_keeps_its_revision_and_stands_in_the_way_of_deleting_the_name() {
    let mut host = TestHost::start().await;
    host.every("minutely", Duration::from_secs(60)).await;
    create(&host, revision_of("hello", says("one"))).await.unwrap();
    let wanted = host.operation("one", "minutely", stored("hello", 0));
    let operation = host.create_operation(wanted).await.unwrap();
    assert_eq!(operation.flow_revision, reference("hello", 1));
    create(&host, revision_of("hello", says("two"))).await.unwrap();
    host.restart().await;
    host.advance(TimeDelta::minutes(1));
    host.until_decided("minutely").await;
    let jobs = host.jobs_of("one").await;
    assert_eq!(jobs[0].flow_revision, reference("hello", 1));
    host.wait(&jobs[0].id).await;
    assert_eq!(host.output(&jobs[0].id, "say").await, json!({"text": "one"}));

    let refused = delete(&host, "hello").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("operations one"), "{refused}");

    let update = |work, description: &str| v1::UpdateOperationRequest {
        operation: Some(v1::Operation {
            id: operation.id.clone(),
            work: Some(work),
            description: description.to_owned(),
            ..v1::Operation::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![if description.is_empty() { "work" } else { "description" }.to_owned()],
        }),
    };
    let described = host.operations().update(update(stored("hello", 0), "d")).await.unwrap().into_inner();
    assert_eq!(described.flow_revision, reference("hello", 1), "only the description was named");
    let newer = host.operations().update(update(stored("hello", 0), "")).await.unwrap().into_inner();
    assert_eq!(newer.flow_revision, reference("hello", 2));
    let own = v1::work::Kind::Flow(says("three"));
    let own = update(v1::Work { kind: Some(own) }, "");
    assert_eq!(host.operations().update(own).await.unwrap().into_inner().flow_revision, None);
    delete(&host, "hello").await.unwrap();
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_revisions_are_listed_in_pages() {
    let host = TestHost::start().await;
    for name in ["c", "a", "b"] {
        let request = v1::CreateFlowRevisionRequest {
            labels: [("of".to_owned(), name.to_owned())].into(),
            ..revision_of(name, says("one"))
        };
        create(&host, request).await.unwrap();
    }
    for n in 2..=5 {
        create(&host, revision_of("b", says(&n.to_string()))).await.unwrap();
    }
    let mut request = v1::ListFlowsRequest { page_size: 2, ..Default::default() };
    let first = host.flows().list(request.clone()).await.unwrap().into_inner();
    let shown = |flows: &[v1::FlowRevision]| {
        flows.iter().map(|flow| format!("{}@{}", flow.name, flow.revision)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&first.flows), ["a@1", "b@5"]);
    assert!(first.flows.iter().all(|flow| flow.flow.is_none()));
    create(&host, revision_of("aa", says("between the pages"))).await.unwrap();
    request.page_token = first.next_page_token;
    let last = host.flows().list(request).await.unwrap().into_inner();
    assert_eq!((shown(&last.flows), last.next_page_token.as_str()), (vec!["c@1".to_owned()], ""));
    let labels = [("of".to_owned(), "c".to_owned())].into();
    let labelled = v1::ListFlowsRequest { labels, ..Default::default() };
    assert_eq!(shown(&host.flows().list(labelled).await.unwrap().into_inner().flows), ["c@1"]);

    let mut request =
        v1::ListFlowRevisionsRequest { name: "b".to_owned(), page_size: 3, ..Default::default() };
    let first = host.flows().list_revisions(request.clone()).await.unwrap().into_inner();
    assert_eq!(shown(&first.revisions), ["b@5", "b@4", "b@3"]);
    create(&host, revision_of("b", says("6"))).await.unwrap();
    request.page_token = first.next_page_token;
    let last = host.flows().list_revisions(request).await.unwrap().into_inner();
    assert_eq!(
        (shown(&last.revisions), last.next_page_token.as_str()),
        (vec!["b@2".to_owned(), "b@1".to_owned()], "")
    );
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_a_revision_needs_is_not_deleted_and_a_retired_one_makes_no_job() {
    let host = TestHost::start().await;
    let (made, _) = create(&host, revision_of("hello", says("one"))).await.unwrap();
    let digest = made.flow.unwrap().tasks[0].digest.clone();
    let remove = || v1::DeletePluginRequest { plugin: digest.clone(), etag: String::new() };
    let refused = host.plugins().delete(remove()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("flow hello@1"), "{refused}");
    let retire = v1::RetirePluginRequest { plugin: digest.clone(), etag: String::new() };
    host.plugins().retire(retire).await.unwrap();
    let refused = host.try_submit(host.spec(stored("hello", 1))).await.unwrap_err();
    assert_eq!(
        (refused.code(), field_paths(&refused)),
        (Code::InvalidArgument, vec!["job.work.reference".to_owned()])
    );
    delete(&host, "hello").await.unwrap();
    host.plugins().delete(remove()).await.unwrap();
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_of_who_made_its_first_revision() {
    let host = TestHost::start().await;
    let request = as_principal("ann", revision_of("hers", says("one")));
    let made = host.flows().create_revision(request).await.unwrap().into_inner().revision.unwrap();
    assert_eq!((made.owner.as_str(), made.principal.as_str()), ("ann", "ann"));
    let (next, _) = create(&host, revision_of("hers", says("two"))).await.unwrap();
    assert_eq!((next.owner.as_str(), next.principal.as_str()), ("ann", "local"));
    let own = host.flows().list(v1::ListFlowsRequest::default()).await.unwrap().into_inner();
    assert_eq!(own.flows, []);
    let all = v1::ListFlowsRequest { all_owners: true, ..Default::default() };
    assert_eq!(host.flows().list(all).await.unwrap().into_inner().flows.len(), 1);
    let stale = v1::DeleteFlowRequest { name: "hers".to_owned(), etag: made.etag };
    assert_eq!(code(host.flows().delete(stale).await), Code::Aborted);
    host.finish().await;
}
