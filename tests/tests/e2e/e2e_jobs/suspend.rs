//! Suspending and resuming: S01, S02, S03.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{CancelMode, CauseKind, Direction, JobState};
use windlass_tests::harness::{HostOptions, TestHost, code};
use windlass_tests::work::{Shape as _, action, flow, gate, literal, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s01_a_suspended_job_finishes_its_task_and_goes_on_when_resumed() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), gate("b"), task("c", "ok")])).await;
    host.until_called(&job, "apply b").await;
    let asked = host.suspend(&job).await.unwrap();
    assert_eq!(asked.state(), JobState::Suspending);
    assert_eq!(host.suspend(&job).await.unwrap().sequence, asked.sequence, "asked again, nothing changes");
    host.open_gate("b");
    host.until(&job, "job.suspended", "").await;
    assert_eq!(host.state(&job).await, JobState::Suspended);
    assert_eq!(host.calls(&job), "apply a, apply b");
    host.restart().await;
    assert_eq!(host.state(&job).await, JobState::Suspended);

    host.resume(&job).await.unwrap();
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&job), "apply a, apply b, apply c");
    assert_eq!(code(host.resume(&job).await), Code::FailedPrecondition);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_a_job_suspended_while_it_unwinds_goes_on_unwinding() {
    let host = TestHost::start().await;
    let b = gate("b").with("revert_name", literal(json!("b-back")));
    let job = host.submit(flow([task("a", "ok"), b, task("fail", "fail")])).await;
    host.open_gate("b");
    host.until_called(&job, "revert b").await;
    host.suspend(&job).await.unwrap();
    host.open_gate("b-back");
    host.until(&job, "job.suspended", "").await;
    let suspended = host.job(&job).await;
    assert_eq!((suspended.state(), suspended.direction()), (JobState::Suspended, Direction::Revert));
    assert_eq!(host.calls(&job), "apply a, apply b, apply fail, revert fail, revert b");

    host.resume(&job).await.unwrap();
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted);
    assert_eq!(host.calls(&job), "apply a, apply b, apply fail, revert fail, revert b, revert a");
    let cause = ended.cause.unwrap();
    assert_eq!(cause.kind(), CauseKind::TaskFailed);
    assert_eq!(cause.task.unwrap().task, "fail");
    assert_eq!(cause.fault.unwrap().class, "fixture.fail");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_a_suspension_asked_for_during_the_last_task_leaves_nothing_to_suspend() {
    let host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), gate("b")])).await;
    host.until_called(&job, "apply b").await;
    host.suspend(&job).await.unwrap();
    host.open_gate("b");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(code(host.suspend(&job).await), Code::FailedPrecondition);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_holds_when_the_running_task_fails() {
    let host = TestHost::start().await;
    let gated = task("b", "undo_ahead")
        .with("records", literal(json!([1])))
        .with("then", literal(json!("gate")))
        .with("gate", literal(json!("b")))
        .within(std::time::Duration::from_millis(400));
    let job = host.submit(flow([task("a", "ok"), gated])).await;
    host.until_called(&job, "apply b").await;
    host.suspend(&job).await.unwrap();
    // The gate stays shut: the call times out, and the job is suspended before it unwinds.
    host.until(&job, "job.suspended", "").await;
    let suspended = host.job(&job).await;
    assert_eq!((suspended.state(), suspended.direction()), (JobState::Suspended, Direction::Revert));
    assert_eq!(host.calls(&job), "apply a, apply b");
    // A cancel with revert lets it go on.
    host.cancel(&job, CancelMode::Revert).await.unwrap();
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    assert_eq!(host.calls(&job), "apply a, apply b, revert b, revert a");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_suspended_says_so() {
    let host = TestHost::start().await;
    let ended = host.run(action("ok")).await.id;
    assert_eq!(code(host.suspend(&ended).await), Code::FailedPrecondition);
    assert_eq!(code(host.resume(&ended).await), Code::FailedPrecondition);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_job_whose_grant_was_taken_away_while_it_was_suspended_is_not_resumed_and_nothing_runs() {
    let options = HostOptions { read_only_directories: vec!["extra".to_owned()], ..HostOptions::default() };
    let mut host = TestHost::start_with(options).await;
    let mut grants = host.grants();
    grants.directories.push(host.grant("extra", "/extra", v1::Access::ReadOnly));
    let spec = v1::JobSpec { grants: Some(grants), ..host.spec(flow([gate("g"), task("z", "ok")])) };
    let job = host.submit_spec(spec).await;
    host.until_called(&job, "apply g").await;
    host.suspend(&job).await.expect("it runs");
    host.open_gate("g");
    host.until_state(&job, JobState::Suspended).await;

    host.restart_with(|options| options.read_only_directories.clear()).await;
    let refused = host.resume(&job).await.expect_err("what it was granted is not allowed any more");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("extra") && refused.message().contains("cannot go on"), "{refused}");
    assert_eq!(host.state(&job).await, JobState::Suspended);
    assert_eq!(host.calls(&job), "apply g");

    host.restart_with(|options| options.read_only_directories.push("extra".to_owned())).await;
    host.resume(&job).await.expect("it is allowed again");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&job), "apply g, apply z");
    host.finish().await;
}
