//! Events: matched by type and source, deduplicated, handed to the job; J17.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{CauseKind, EventOutcome, JobState};
use windlass_tests::harness::{TestHost, code, event, field_paths};
use windlass_tests::work::{Shape as _, action, argument, flow, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_matched_by_type_and_source() {
    let host = TestHost::start().await;
    for (name, event_type, source) in [
        ("any-source", "disk.full", ""),
        ("one-source", "disk.full", "/hosts/a"),
        ("other-type", "disk.ok", ""),
    ] {
        host.on_event(name, event_type, source).await;
        host.bind(&format!("of-{name}"), name, action("ok")).await;
    }
    let published = vec![
        event("/hosts/a", "1", "disk.full", &json!({})),
        event("/hosts/b", "1", "disk.full", &json!({})),
        event("/hosts/a", "2", "nobody.cares", &json!({})),
    ];
    let results = host.publish(published).await.unwrap();
    assert!(results.iter().all(|result| result.outcome() == EventOutcome::Accepted));
    assert_eq!(results.iter().map(|result| result.job_ids.len()).collect::<Vec<_>>(), [2, 1, 0]);
    for (operation, count) in [("of-any-source", 2), ("of-one-source", 1), ("of-other-type", 0)] {
        let jobs = host.jobs_of(operation).await;
        assert_eq!(jobs.len(), count, "{operation}");
        assert!(jobs.iter().all(|job| job.state() == JobState::Succeeded));
    }
    let origin = host.jobs_of("of-one-source").await.remove(0).origin.unwrap();
    assert_eq!((origin.event_source.as_str(), origin.event_id.as_str()), ("/hosts/a", "1"));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_taken_once_by_source_and_id() {
    let mut host = TestHost::start().await;
    host.on_event("t", "x", "").await;
    host.bind("one", "t", action("ok")).await;
    let publish = || vec![event("/s", "1", "x", &json!({}))];
    assert_eq!(host.publish(publish()).await.unwrap()[0].outcome(), EventOutcome::Accepted);
    let again = host.publish(publish()).await.unwrap();
    assert_eq!((again[0].outcome(), again[0].job_ids.len()), (EventOutcome::Duplicate, 0));
    // In one batch, and after a restart, too.
    let twice = host.publish([publish(), vec![event("/s", "2", "x", &json!({})); 2]].concat()).await.unwrap();
    let outcomes: Vec<_> = twice.iter().map(v1::EventResult::outcome).collect();
    assert_eq!(outcomes, [EventOutcome::Duplicate, EventOutcome::Accepted, EventOutcome::Duplicate]);
    host.restart().await;
    assert_eq!(host.publish(publish()).await.unwrap()[0].outcome(), EventOutcome::Duplicate);
    assert_eq!(host.publish(vec![event("/other", "1", "x", &json!({}))]).await.unwrap()[0].job_ids.len(), 1);
    assert_eq!(host.jobs_of("one").await.len(), 3);
    assert_eq!(host.ledger().len(), 3);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_at_the_same_time_make_one_job() {
    let host = TestHost::start().await;
    host.on_event("t", "x", "").await;
    host.bind("one", "t", action("ok")).await;
    let mut publishing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = host.events();
        let events = vec![event("/s", "same", "x", &json!({}))];
        publishing.spawn(async move {
            client.publish(v1::PublishEventsRequest { events }).await.unwrap().into_inner()
        });
    }
    let results: Vec<_> = publishing.join_all().await.into_iter().flat_map(|answer| answer.results).collect();
    assert_eq!(results.iter().filter(|result| result.outcome() == EventOutcome::Accepted).count(), 1);
    assert_eq!(host.jobs_of("one").await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_is_an_argument_of_the_job() {
    let host = TestHost::start().await;
    host.on_event("t", "x", "").await;
    let work = flow([task("e", "echo").with("got", argument("event"))]);
    let operation = v1::Operation { event_argument: "event".to_owned(), ..host.operation("one", "t", work) };
    host.create_operation(operation).await.unwrap();
    host.publish(vec![event("/s", "1", "x", &json!({ "free": 0 }))]).await.unwrap();
    let job = host.jobs_of("one").await.remove(0);
    let got: Value = host.output(&job.id, "e").await["got"].clone();
    assert_eq!((&got["source"], &got["id"], &got["type"]), (&json!("/s"), &json!("1"), &json!("x")));
    assert_eq!((&got["specversion"], &got["data"]), (&json!("1.0"), &json!({ "free": 0 })));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j17_a_job_whose_event_does_not_fit_ends_failed_invalid_and_visible() {
    let host = TestHost::start().await;
    host.on_event("t", "x", "").await;
    // `sum` wants an integer where the event will be.
    let operation = v1::Operation {
        event_argument: "x".to_owned(),
        arguments_json: "{\"y\": 1}".to_owned(),
        ..host.operation("one", "t", action("sum"))
    };
    host.create_operation(operation).await.unwrap();
    let published = host.publish(vec![event("/s", "1", "x", &json!({}))]).await.unwrap();
    let job = host.wait(&published[0].job_ids[0]).await;
    assert_eq!(job.state(), JobState::Failed);
    let cause = job.cause.unwrap();
    assert_eq!(cause.kind(), CauseKind::Invalid);
    assert!(cause.reason.contains('x'), "{}", cause.reason);
    assert_eq!((job.start_time, job.residue), (None, vec![]));
    assert_eq!(host.ledger(), []);
    let filter =
        v1::ListJobsRequest { states: vec![JobState::Failed.into()], ..v1::ListJobsRequest::default() };
    assert_eq!(host.list(filter).await.len(), 1);
    // An operator has nothing to retry: it never started.
    assert_eq!(code(host.retry(&job.id).await), Code::FailedPrecondition);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_with_a_malformed_event_none_is_taken() {
    let host = TestHost::start().await;
    host.on_event("t", "x", "").await;
    host.bind("one", "t", action("ok")).await;
    let good = event("/s", "1", "x", &json!({}));
    for bad in [
        v1::CloudEvent { id: String::new(), ..good.clone() },
        v1::CloudEvent { source: String::new(), ..good.clone() },
        v1::CloudEvent { r#type: String::new(), ..good.clone() },
        v1::CloudEvent { spec_version: "0.3".to_owned(), ..good.clone() },
        v1::CloudEvent { data_json: "{".to_owned(), ..good.clone() },
        v1::CloudEvent { data_json: json!("x".repeat(300 << 10)).to_string(), ..good.clone() },
    ] {
        let refused = host.publish(vec![good.clone(), bad]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(field_paths(&refused).iter().all(|path| path.starts_with("events[1]")), "{refused:?}");
    }
    assert_eq!(code(host.publish(Vec::new()).await), Code::InvalidArgument);
    assert_eq!(host.jobs_of("one").await, []);
    assert_eq!(host.publish(vec![good]).await.unwrap()[0].outcome(), EventOutcome::Accepted);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_trigger_and_a_disabled_operation_take_no_events() {
    let host = TestHost::start().await;
    host.on_event("t", "x", "").await;
    host.bind("one", "t", action("ok")).await;
    let pause = v1::PauseTriggerRequest { trigger: "t".to_owned(), ..v1::PauseTriggerRequest::default() };
    host.triggers().pause(pause).await.unwrap();
    assert_eq!(host.publish(vec![event("/s", "1", "x", &json!({}))]).await.unwrap()[0].job_ids.len(), 0);
    let resume = v1::ResumeTriggerRequest { trigger: "t".to_owned(), etag: String::new() };
    host.triggers().resume(resume).await.unwrap();
    let disable = v1::DisableOperationRequest { operation: "one".to_owned(), etag: String::new() };
    host.operations().disable(disable).await.unwrap();
    host.advance(TimeDelta::seconds(1));
    assert_eq!(host.publish(vec![event("/s", "2", "x", &json!({}))]).await.unwrap()[0].job_ids.len(), 0);
    let enable = v1::EnableOperationRequest { operation: "one".to_owned(), etag: String::new() };
    host.operations().enable(enable).await.unwrap();
    host.advance(TimeDelta::seconds(1));
    assert_eq!(host.publish(vec![event("/s", "3", "x", &json!({}))]).await.unwrap()[0].job_ids.len(), 1);
    assert_eq!(host.jobs_of("one").await.len(), 1);
    host.finish().await;
}
