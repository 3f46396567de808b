//! Guests that misbehave cost one attempt each: W06, W07.

use std::time::Duration;

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::harness::TestHost;
use windlass_tests::work::{Shape as _, action, flow, literal, task};

const SHORT: Duration = Duration::from_millis(700);

async fn fault_class(host: &TestHost, job: &str, task: &str) -> String {
    host.task(job, task).await.apply_fault.expect("the task failed").class
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w06_a_loop_is_interrupted_at_its_deadline_and_others_go_on() {
    let host = TestHost::start().await;
    let spinning = host.submit(flow([task("a", "ok"), task("s", "spin").within(SHORT)])).await;
    host.until_called(&spinning, "apply s").await;
    // Two guest threads, one of them spinning: neighbours run meanwhile.
    for _ in 0..5 {
        assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    }
    let ended = host.wait(&spinning).await;
    assert_eq!(ended.state(), JobState::Reverted);
    assert_eq!(fault_class(&host, &spinning, "s").await, "host.timeout");
    assert_eq!(host.calls(&spinning), "apply a, apply s, revert s, revert a");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w06_more_loops_than_threads_do_not_keep_others_from_running() {
    let host = TestHost::start().await;
    let mut spinning = Vec::new();
    for _ in 0..3 {
        let job = host.submit(flow([task("s", "spin").within(Duration::from_secs(3))])).await;
        host.until_called(&job, "apply s").await;
        spinning.push(job);
    }
    assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    // The three are still at it.
    for job in &spinning {
        assert_eq!(host.state(job).await, JobState::Running);
    }
    for job in &spinning {
        assert_eq!(host.wait(job).await.state(), JobState::Reverted);
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w06_a_guest_parked_in_the_host_is_ended_at_its_deadline() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("p", "park").within(SHORT)])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(fault_class(&host, &job.id, "p").await, "host.timeout");
    assert_eq!(host.calls(&job.id), "apply p, revert p");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w06_a_guest_knows_how_long_it_has() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "alive").within(Duration::from_secs(30))])).await;
    let left_ms = host.output(&job.id, "a").await["left_ms"].as_u64().unwrap();
    assert!((1..=30_000).contains(&left_ms), "{left_ms}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w07_a_trap_and_a_hog_fail_with_a_typed_reason_and_are_reverted() {
    let host = TestHost::start().await;
    for (name, class) in [("trap", "host.trap"), ("hog", "host.memory")] {
        let job = host.run(flow([task("a", "ok"), task("b", name)])).await;
        assert_eq!(job.state(), JobState::Reverted, "{}", host.story(&job.id).await);
        assert_eq!(fault_class(&host, &job.id, "b").await, class);
        assert_eq!(host.calls(&job.id), "apply a, apply b, revert b, revert a");
        assert_eq!(host.task(&job.id, "b").await.state(), TaskState::Reverted);
    }
    assert_eq!(host.run(action("ok")).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w07_a_grant_of_memory_is_the_limit_of_its_job() {
    let host = TestHost::start().await;
    let hog = |bytes: u64| flow([task("h", "hog").with("bytes", literal(json!(bytes)))]);
    let small = |work| {
        let grants = v1::Grants { memory_bytes_max: Some(8 << 20), ..host.grants() };
        v1::JobSpec { grants: Some(grants), ..host.spec(work) }
    };
    assert_eq!(host.run(hog(16 << 20)).await.state(), JobState::Succeeded);
    let refused = host.run_spec(small(hog(16 << 20))).await;
    assert_eq!(refused.state(), JobState::Reverted);
    assert_eq!(fault_class(&host, &refused.id, "h").await, "host.memory");
    assert_eq!(host.run_spec(small(hog(1 << 20))).await.state(), JobState::Succeeded);
    let too_much = v1::Grants { memory_bytes_max: Some(1 << 40), ..host.grants() };
    let refused =
        host.try_submit(v1::JobSpec { grants: Some(too_much), ..host.spec(action("ok")) }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w07_many_misbehaving_jobs_at_once_do_not_hurt_sound_ones() {
    let host = TestHost::start().await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        for name in ["trap", "hog", "ok", "spin", "park"] {
            let job = host.submit(flow([task("t", name).within(SHORT)])).await;
            jobs.push((name, job));
        }
    }
    for (name, job) in jobs {
        let expected = if name == "ok" { JobState::Succeeded } else { JobState::Reverted };
        assert_eq!(host.wait(&job).await.state(), expected, "{name}\n{}", host.story(&job).await);
    }
    host.finish().await;
}
