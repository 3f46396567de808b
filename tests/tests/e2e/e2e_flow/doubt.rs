//! Tasks that are in doubt after a crash, and what they say about it; and how much memory they take.

use windlass_proto::v1;
use windlass_proto::v1::{InDoubt, JobState, TaskState};
use windlass_tests::harness::{TestHost, field_paths};
use windlass_tests::work::{flow, gate, task};

/// A job whose host died while `g` was applied; the gate is open when the next host looks.
async fn lost(in_doubt: InDoubt) -> (TestHost, String) {
    let mut host = TestHost::start().await;
    let held = v1::Task { in_doubt: in_doubt.into(), ..gate("g") };
    let job = host.submit(flow([task("a", "ok"), held, task("z", "ok")])).await;
    host.until(&job, "task.applying", "g").await;
    host.until_called(&job, "apply g").await;
    host.open_gate("g");
    host.crash().await;
    (host, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_task_waits_for_a_person_and_goes_on_when_the_job_is_resumed() {
    let (host, job) = lost(InDoubt::Hold).await;
    host.until_state(&job, JobState::Suspended).await;
    assert_eq!(host.task(&job, "g").await.state(), TaskState::InDoubt);
    let held = host.until(&job, "task.held", "g").await;
    assert!(held.reason.contains("resume to apply it again"), "{held:?}");
    host.resume(&job).await.expect("it is suspended");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.task(&job, "g").await.apply_attempt, 2);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_asks_to_be_undone_in_doubt_is_not_applied_again() {
    let (host, job) = lost(InDoubt::Revert).await;
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply a, apply g, revert g, revert a");
    let fault = host.task(&job, "g").await.apply_fault.expect("it failed");
    assert_eq!(fault.class, "host.in_doubt");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w07_a_task_may_be_given_less_memory_than_its_job_and_no_more_than_the_host_has() {
    let host = TestHost::start().await;
    let with = |bytes| v1::Task { memory_bytes_max: Some(bytes), ..task("a", "hog") };
    let job = host.run(flow([with(4 << 20)])).await;
    let fault = host.task(&job.id, "a").await.apply_fault.expect("it grew too much");
    assert_eq!(fault.class, "host.memory");
    for bytes in [1, u64::from(u32::MAX)] {
        let refused = host.try_submit(host.spec(flow([with(bytes)]))).await.expect_err("out of bounds");
        assert_eq!(field_paths(&refused), ["job.work.flow.tasks[0].memory_bytes_max"], "{refused}");
    }
    host.finish().await;
}
