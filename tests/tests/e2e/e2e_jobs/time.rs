//! When a job runs: C01, C02, C03, C08, and edits of its time and priority.

use chrono::TimeDelta;
use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_tests::harness::{HostOptions, TestHost, code};
use windlass_tests::work::{action, flow, gate, instant, timestamp};

fn at_work(host: &TestHost, after: TimeDelta) -> v1::JobSpec {
    v1::JobSpec { execute_time: Some(timestamp(host.now() + after)), ..host.spec(action("ok")) }
}

fn reschedule(job: &str, to: chrono::DateTime<chrono::Utc>) -> v1::UpdateJobRequest {
    v1::UpdateJobRequest {
        job: job.to_owned(),
        execute_time: Some(timestamp(to)),
        update_mask: Some(prost_types::FieldMask { paths: vec!["execute_time".to_owned()] }),
        ..v1::UpdateJobRequest::default()
    }
}

fn prioritise(job: &str, priority: i32) -> v1::UpdateJobRequest {
    v1::UpdateJobRequest {
        job: job.to_owned(),
        priority,
        update_mask: Some(prost_types::FieldMask { paths: vec!["priority".to_owned()] }),
        ..v1::UpdateJobRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_job_with_a_time_is_scheduled_and_runs_once_at_that_time() {
    let host = TestHost::start().await;
    let job = host.submit_spec(at_work(&host, TimeDelta::hours(1))).await;
    let scheduled =
        v1::ListJobsRequest { states: vec![JobState::Scheduled.into()], ..v1::ListJobsRequest::default() };
    assert_eq!(host.list(scheduled).await.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), [&job]);

    host.settle_at(host.now() + TimeDelta::minutes(59)).await;
    assert_eq!(host.state(&job).await, JobState::Scheduled);
    assert_eq!(host.calls(&job), "");

    host.advance(TimeDelta::minutes(1));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&job), "apply ok");
    host.settle_at(host.now() + TimeDelta::hours(5)).await;
    assert_eq!(host.calls(&job), "apply ok");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_time_in_the_past_means_now() {
    let host = TestHost::start().await;
    let job = host.run_spec(at_work(&host, TimeDelta::hours(-1))).await;
    assert_eq!(job.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_scheduled_job_outlives_a_restart() {
    let mut host = TestHost::start().await;
    let job = host.submit_spec(at_work(&host, TimeDelta::hours(1))).await;
    host.restart().await;
    assert_eq!(host.state(&job).await, JobState::Scheduled);
    host.stop().await;
    host.advance(TimeDelta::hours(2));
    host.restart().await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&job), "apply ok");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_an_edited_time_moves_the_one_run() {
    let host = TestHost::start().await;
    let start = host.now();
    let job = host.submit_spec(at_work(&host, TimeDelta::hours(1))).await;
    let later = host.jobs().update(reschedule(&job, start + TimeDelta::hours(3))).await.unwrap().into_inner();
    assert_eq!((later.id.as_str(), later.state()), (job.as_str(), JobState::Scheduled));
    host.settle_at(host.now() + TimeDelta::hours(2)).await;
    assert_eq!(host.calls(&job), "");

    let earlier = start + TimeDelta::minutes(150);
    let moved = host.jobs().update(reschedule(&job, earlier)).await.unwrap().into_inner();
    assert_eq!(instant(moved.execute_time.as_ref()), Some(earlier));
    host.settle_at(host.now() + TimeDelta::minutes(29)).await;
    assert_eq!(host.state(&job).await, JobState::Scheduled);
    host.advance(TimeDelta::minutes(1));
    let ended = host.wait(&job).await;
    assert_eq!(ended.runs.len(), 1);
    assert_eq!(instant(ended.start_time.as_ref()), Some(earlier));
    host.settle_at(host.now() + TimeDelta::hours(5)).await;
    assert_eq!(host.calls(&job), "apply ok");
    assert_eq!(code(host.jobs().update(reschedule(&job, earlier)).await), Code::FailedPrecondition);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_a_time_that_is_cleared_means_now() {
    let host = TestHost::start().await;
    let job = host.submit_spec(at_work(&host, TimeDelta::hours(1))).await;
    let now = v1::UpdateJobRequest { execute_time: None, ..reschedule(&job, host.now()) };
    host.jobs().update(now).await.unwrap();
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03_a_cancelled_scheduled_job_never_runs_and_stays_in_history() {
    let host = TestHost::start().await;
    let job = host.submit_spec(at_work(&host, TimeDelta::hours(1))).await;
    let cancelled = host.cancel(&job, v1::CancelMode::Unspecified).await.unwrap();
    assert_eq!(cancelled.state(), JobState::Cancelled);
    let cause = cancelled.cause.unwrap();
    assert_eq!((cause.kind(), cause.reason.as_str()), (v1::CauseKind::Cancelled, "as asked"));

    host.settle_at(host.now() + TimeDelta::hours(2)).await;
    assert_eq!(host.calls(&job), "");
    let filter =
        v1::ListJobsRequest { states: vec![JobState::Cancelled.into()], ..v1::ListJobsRequest::default() };
    assert_eq!(host.list(filter).await.len(), 1);
    assert_eq!(host.kinds(&job).await, ["job.created", "job.ended"]);
    // Asked again, nothing changes.
    let again = host.cancel(&job, v1::CancelMode::Leave).await.unwrap();
    assert_eq!(again.sequence, cancelled.sequence);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c08_each_time_is_set_once_by_the_phase_that_owns_it() {
    let host = TestHost::start().await;
    let created = host.now();
    let execute_at = created + TimeDelta::minutes(5);
    let spec = v1::JobSpec { execute_time: Some(timestamp(execute_at)), ..host.spec(flow([gate("g")])) };
    let job = host.submit_spec(spec).await;
    let times = |job: &v1::Job| {
        [&job.create_time, &job.due_time, &job.trigger_time, &job.start_time, &job.end_time]
            .map(|at| instant(at.as_ref()))
    };
    assert_eq!(times(&host.job(&job).await), [Some(created), Some(execute_at), None, None, None]);

    host.clock.set(execute_at);
    host.until_called(&job, "apply g").await;
    let started = Some(execute_at);
    assert_eq!(times(&host.job(&job).await), [Some(created), started, started, started, None]);

    host.advance(TimeDelta::minutes(7));
    host.open_gate("g");
    let ended = host.wait(&job).await;
    let end = Some(execute_at + TimeDelta::minutes(7));
    assert_eq!(times(&ended), [Some(created), started, started, started, end]);
    assert_eq!(instant(ended.expect_start_time.as_ref()), started);
    assert!(times(&ended).is_sorted());
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_priority_changes_who_is_next() {
    let host = TestHost::start_with(HostOptions { slots: 1, ..HostOptions::default() }).await;
    let first = host.submit(flow([gate("g")])).await;
    host.until_called(&first, "apply g").await;
    let low = host.submit_with(action("ok"), json!({ "value": "low" })).await;
    let high = host.submit_with(action("ok"), json!({ "value": "high" })).await;
    let raised = host.jobs().update(prioritise(&high, 5)).await.unwrap().into_inner();
    assert_eq!(raised.priority, 5);
    let stale = v1::UpdateJobRequest { etag: host.job(&low).await.etag, ..prioritise(&low, -1) };
    host.jobs().update(stale.clone()).await.unwrap();
    assert_eq!(code(host.jobs().update(stale).await), Code::Aborted);
    assert_eq!(code(host.jobs().update(prioritise(&low, 100_000)).await), Code::InvalidArgument);

    host.open_gate("g");
    host.wait(&low).await;
    let order: Vec<_> = host.ledger().into_iter().map(|line| line.job).collect();
    assert_eq!(order, [first, high.clone(), low]);
    assert_eq!(code(host.jobs().update(prioritise(&high, 1)).await), Code::FailedPrecondition);
    host.finish().await;
}
