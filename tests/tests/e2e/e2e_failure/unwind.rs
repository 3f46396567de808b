//! Unwinding: V01, V02, V07, V15, and `reject`.

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{CauseKind, JobState, TaskState};
use windlass_tests::harness::TestHost;
use windlass_tests::work::{Shape as _, action, flow, instance, literal, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v01_a_failure_unwinds_in_reverse_order() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "ok"), task("b", "ok"), task("fail", "fail")])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(
        host.trace(&job.id).await,
        "a:applying a:applied b:applying b:applied fail:applying fail:apply_failed fail:reverting fail:reverted \
         b:reverting b:reverted a:reverting a:reverted"
    );
    assert_eq!(host.calls(&job.id), "apply a, apply b, apply fail, revert fail, revert b, revert a");
    let cause = job.cause.unwrap();
    assert_eq!((cause.kind(), cause.task), (CauseKind::TaskFailed, Some(instance("fail"))));
    assert_eq!(job.residue, []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v02_a_task_that_was_not_reached_is_neither_applied_nor_reverted() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("fail", "fail"), task("never", "ok")])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(host.calls(&job.id), "apply fail, revert fail");
    assert_eq!(host.task(&job.id, "never").await.state(), TaskState::Pending);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v07_a_revert_that_fails_leaves_the_job_failed_with_both_failures() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "ok"), task("nasty", "nasty"), task("fail", "fail")])).await;
    assert_eq!(job.state(), JobState::Failed);
    let nasty = host.task(&job.id, "nasty").await;
    assert_eq!(nasty.state(), TaskState::RevertFailed);
    assert_eq!(nasty.revert_fault.unwrap().class, "fixture.nasty");
    assert_eq!(host.task(&job.id, "fail").await.apply_fault.unwrap().class, "fixture.fail");
    assert_eq!(job.cause.unwrap().fault.unwrap().class, "fixture.fail");
    // What is before it in the flow may be what it stands on: it stays.
    assert_eq!(host.task(&job.id, "a").await.state(), TaskState::Applied);
    assert_eq!(job.residue, [instance("a"), instance("nasty")]);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v07_a_task_that_fails_both_ways_is_named() {
    let host = TestHost::start().await;
    let job = host.run(action("nasty_fail")).await;
    assert_eq!(job.state(), JobState::Failed);
    assert_eq!(job.residue, [instance("nasty_fail")]);
    let failed = host.task(&job.id, "nasty_fail").await;
    assert_eq!(failed.apply_fault.unwrap().class, "fixture.fail");
    assert_eq!(failed.revert_fault.unwrap().class, "fixture.nasty");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v07_reverts_that_trap_panic_or_loop_are_failures_like_any_other() {
    let host = TestHost::start().await;
    let spin = task("t", "spin_revert").within(std::time::Duration::from_millis(500));
    for (work, class) in [
        (flow([task("t", "trap_revert"), task("f", "fail")]), "host.trap"),
        (flow([task("t", "panic_revert"), task("f", "fail")]), "host.trap"),
        (flow([spin, task("f", "fail")]), "host.timeout"),
    ] {
        let job = host.run(work).await;
        assert_eq!((job.state(), job.residue.clone()), (JobState::Failed, vec![instance("t")]));
        assert_eq!(host.task(&job.id, "t").await.revert_fault.unwrap().class, class);
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v15_a_job_that_never_reverts_stops_and_names_what_it_leaves() {
    let host = TestHost::start().await;
    let work = flow([task("a", "ok"), task("b", "ok"), task("f", "fail_n").with("n", literal(json!(1)))]);
    let job = host.run_spec(v1::JobSpec { never_revert: true, ..host.spec(work) }).await;
    assert_eq!(job.state(), JobState::Failed);
    assert_eq!(job.residue, [instance("a"), instance("b"), instance("f")]);
    assert_eq!(host.calls(&job.id), "apply a, apply b, apply f");
    assert_eq!(host.task(&job.id, "a").await.state(), TaskState::Applied);

    // A retry goes on from the failure, under the same key.
    host.retry(&job.id).await.unwrap();
    let retried = host.wait(&job.id).await;
    assert_eq!((retried.state(), retried.runs.len()), (JobState::Succeeded, 2));
    assert_eq!(host.calls(&job.id), "apply a, apply b, apply f, apply f");
    let calls = host.ledger_of(&job.id);
    assert_eq!(calls[2].key, calls[3].key);
    assert_eq!((calls[3].attempt, calls[3].prior.as_str()), (2, "failed"));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v15_what_a_job_left_can_be_reverted_later() {
    let host = TestHost::start().await;
    let work = flow([task("a", "ok"), task("f", "fail")]);
    let job = host.run_spec(v1::JobSpec { never_revert: true, ..host.spec(work) }).await.id;
    let request = v1::RevertJobRequest { job: job.clone(), dry_run: true, ..v1::RevertJobRequest::default() };
    let told = host.jobs().revert(request).await.unwrap().into_inner();
    assert_eq!(told.to_revert, [instance("f"), instance("a")]);
    assert_eq!(host.state(&job).await, JobState::Failed);
    assert_eq!(host.revert(&job).await.unwrap().to_revert, told.to_revert);
    let reverted = host.wait(&job).await;
    assert_eq!((reverted.state(), reverted.residue), (JobState::Reverted, vec![]));
    assert_eq!(host.calls(&job), "apply a, apply f, revert f, revert a");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_reject_did_nothing_and_is_not_reverted() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "ok"), task("r", "fail_reject")])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(host.calls(&job.id), "apply a, apply r, revert a");
    assert_eq!(
        host.trace(&job.id).await,
        "a:applying a:applied r:applying r:apply_failed r:reverted a:reverting a:reverted"
    );
    assert_eq!(host.task(&job.id, "r").await.apply_fault.unwrap().class, "fixture.reject");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reject_with_an_undo_record_is_reverted() {
    let host = TestHost::start().await;
    let r = task("r", "undo_ahead")
        .with("records", literal(json!(["one"])))
        .with("then", literal(json!("reject")));
    let job = host.run(flow([r])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(host.calls(&job.id), "apply r, revert r");
    assert_eq!(host.ledger_of(&job.id)[1].evidence["undo"], json!(["one"]));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_succeeded_job_is_reverted_on_request_in_reverse() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "ok"), task("b", "ok")])).await;
    host.revert(&job.id).await.unwrap();
    let reverted = host.wait(&job.id).await;
    assert_eq!((reverted.state(), reverted.runs.len()), (JobState::Reverted, 2));
    let cause = reverted.cause.unwrap();
    assert_eq!((cause.kind(), cause.reason.as_str()), (CauseKind::RevertRequested, "undo"));
    assert_eq!(host.calls(&job.id), "apply a, apply b, revert b, revert a");
    // Asked again, nothing changes.
    assert_eq!(host.revert(&job.id).await.unwrap().job.unwrap().sequence, reverted.sequence);
    host.finish().await;
}
