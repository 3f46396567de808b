//! Cancelling at each phase, with revert and leaving; purging.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{CancelMode, CauseKind, JobState};
use windlass_tests::harness::{HostOptions, TestHost, code};
use windlass_tests::work::{Shape as _, action, flow, gate, literal, task};

fn residue(job: &v1::Job) -> Vec<&str> {
    job.residue.iter().map(|name| name.task.as_str()).collect()
}

fn kind(job: &v1::Job) -> CauseKind {
    job.cause.as_ref().expect("an unusual end has a cause").kind()
}

/// A job that waits for its next attempt, behind a task that is applied.
async fn waiting(host: &TestHost) -> String {
    let retried = task("b", "fail_retry").with("n", literal(json!(3))).retried(9, Duration::from_secs(60));
    let job = host.submit(flow([task("a", "ok"), retried])).await;
    host.until(&job, "job.waiting", "").await;
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_job_is_cancelled_at_once_whatever_the_mode() {
    let host = TestHost::start_with(HostOptions { slots: 1, ..HostOptions::default() }).await;
    let first = host.submit(flow([gate("g")])).await;
    host.until_called(&first, "apply g").await;
    for mode in [CancelMode::Revert, CancelMode::Leave] {
        let job = host.submit(action("ok")).await;
        assert_eq!(host.state(&job).await, JobState::Ready);
        let cancelled = host.cancel(&job, mode).await.unwrap();
        assert_eq!((cancelled.state(), residue(&cancelled)), (JobState::Cancelled, vec![]));
    }
    host.open_gate("g");
    host.wait(&first).await;
    assert_eq!(host.ledger().len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_cancelled_with_revert_finishes_its_call_and_unwinds() {
    let host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), gate("b"), task("c", "ok")])).await;
    host.until_called(&job, "apply b").await;
    let asked = host.cancel(&job, CancelMode::Revert).await.unwrap();
    assert_eq!(asked.state(), JobState::Running);
    assert_eq!(host.cancel(&job, CancelMode::Revert).await.unwrap().sequence, asked.sequence);
    host.open_gate("b");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), kind(&ended)), (JobState::Reverted, CauseKind::Cancelled));
    assert_eq!(host.calls(&job), "apply a, apply b, revert b, revert a");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_cancelled_leaving_names_what_it_leaves() {
    let host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), gate("b"), task("c", "ok")])).await;
    host.until_called(&job, "apply b").await;
    host.cancel(&job, CancelMode::Leave).await.unwrap();
    host.open_gate("b");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), kind(&ended)), (JobState::Failed, CauseKind::Cancelled));
    assert_eq!(residue(&ended), ["a", "b"]);
    assert_eq!(host.calls(&job), "apply a, apply b");
    // What was left can be undone later.
    host.revert(&job).await.unwrap();
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    assert_eq!(host.calls(&job), "apply a, apply b, revert b, revert a");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_cancel_counts() {
    let host = TestHost::start().await;
    let job = host.submit(flow([gate("a"), task("b", "ok")])).await;
    host.until_called(&job, "apply a").await;
    host.cancel(&job, CancelMode::Leave).await.unwrap();
    host.cancel(&job, CancelMode::Revert).await.unwrap();
    host.open_gate("a");
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    assert_eq!(host.calls(&job), "apply a, revert a");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_job_is_cancelled_without_waiting_for_its_timer() {
    let host = TestHost::start().await;
    let reverted = waiting(&host).await;
    assert_eq!(host.state(&reverted).await, JobState::Waiting);
    host.cancel(&reverted, CancelMode::Revert).await.unwrap();
    let ended = host.wait(&reverted).await;
    assert_eq!((ended.state(), kind(&ended)), (JobState::Reverted, CauseKind::Cancelled));
    assert_eq!(host.calls(&reverted), "apply a, apply b, revert b, revert a");

    let left = waiting(&host).await;
    let ended = host.cancel(&left, CancelMode::Leave).await.unwrap();
    assert_eq!((ended.state(), residue(&ended)), (JobState::Failed, vec!["a", "b"]));
    host.advance(TimeDelta::hours(1));
    host.run(action("ok")).await;
    assert_eq!(host.calls(&left), "apply a, apply b");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_job_can_be_cancelled_both_ways() {
    let host = TestHost::start().await;
    let mut jobs = Vec::new();
    for name in ["one", "two"] {
        let job = host.submit(flow([gate(name), task("b", "ok")])).await;
        host.until_called(&job, &format!("apply {name}")).await;
        host.suspend(&job).await.unwrap();
        host.open_gate(name);
        host.until(&job, "job.suspended", "").await;
        jobs.push(job);
    }
    host.cancel(&jobs[0], CancelMode::Revert).await.unwrap();
    assert_eq!(host.wait(&jobs[0]).await.state(), JobState::Reverted);
    assert_eq!(host.calls(&jobs[0]), "apply one, revert one");
    let left = host.cancel(&jobs[1], CancelMode::Leave).await.unwrap();
    assert_eq!((left.state(), residue(&left)), (JobState::Failed, vec!["two"]));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reverting_job_is_not_cancelled_leaving_and_with_revert_nothing_changes() {
    let host = TestHost::start().await;
    let a = gate("a").with("revert_name", literal(json!("a-back")));
    let job = host.submit(flow([a, task("fail", "fail")])).await;
    host.open_gate("a");
    host.until_called(&job, "revert a").await;
    let before = host.job(&job).await;
    assert_eq!(before.state(), JobState::Reverting);
    assert_eq!(host.cancel(&job, CancelMode::Revert).await.unwrap().sequence, before.sequence);
    assert_eq!(code(host.cancel(&job, CancelMode::Leave).await), Code::FailedPrecondition);
    host.open_gate("a-back");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), kind(&ended)), (JobState::Reverted, CauseKind::TaskFailed));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_job_is_not_cancelled_and_only_that_is_purged() {
    let host = TestHost::start().await;
    let job = host.run(action("ok")).await.id;
    assert_eq!(code(host.cancel(&job, CancelMode::Revert).await), Code::FailedPrecondition);
    let running = host.submit(flow([gate("g")])).await;
    host.until_called(&running, "apply g").await;
    let purge = |job: &str| v1::PurgeJobRequest { job: job.to_owned(), etag: String::new() };
    assert_eq!(code(host.jobs().purge(purge(&running)).await), Code::FailedPrecondition);
    host.open_gate("g");
    host.wait(&running).await;
    host.jobs().purge(purge(&job)).await.unwrap();
    assert_eq!(code(host.jobs().get(v1::GetJobRequest { job: job.clone() }).await), Code::NotFound);
    let entries = v1::ListEntriesRequest { job: job.clone(), ..v1::ListEntriesRequest::default() };
    assert_eq!(code(host.logbook().list(entries).await), Code::NotFound);
    assert_eq!(code(host.jobs().purge(purge(&job)).await), Code::NotFound);
    assert_eq!(host.list(v1::ListJobsRequest::default()).await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_takes_longer_than_its_timeout_is_reverted() {
    let host = TestHost::start().await;
    let timeout = Some(windlass_tests::work::duration(Duration::from_secs(60)));
    let spec = v1::JobSpec { timeout, ..host.spec(flow([task("a", "ok"), gate("b"), task("c", "ok")])) };
    let job = host.submit_spec(spec).await;
    host.until_called(&job, "apply b").await;
    host.advance(TimeDelta::seconds(61));
    host.open_gate("b");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), kind(&ended)), (JobState::Reverted, CauseKind::Timeout));
    assert_eq!(host.calls(&job), "apply a, apply b, revert b, revert a");
    host.finish().await;
}
