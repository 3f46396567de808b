//! Retries: durable backoff, what the plugin asks for, how they end; and a thousand outcomes (P11).

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::harness::TestHost;
use windlass_tests::work::{Shape as _, flow, instant, literal, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_for_its_stored_time_through_restarts() {
    let mut host = TestHost::start().await;
    let retried = task("r", "fail_retry").with("n", literal(json!(2))).retried(5, Duration::from_secs(10));
    let job = host.submit(flow([retried])).await;
    let mut pauses = Vec::new();
    for attempt in 1..=2 {
        host.until_state(&job, JobState::Waiting).await;
        let waiting = host.task(&job, "r").await;
        assert_eq!((waiting.state(), waiting.apply_attempt), (TaskState::Backoff, attempt));
        let next_try = instant(waiting.next_try_time.as_ref()).expect("a backoff has an end");
        pauses.push(next_try - host.now());

        host.restart().await;
        assert_eq!(host.task(&job, "r").await.next_try_time, waiting.next_try_time);
        host.settle_at(next_try - TimeDelta::milliseconds(1)).await;
        assert_eq!(host.ledger_of(&job).len(), attempt as usize);
        host.clock.set(next_try);
        host.until_attempt(&job, "r", attempt + 1).await;
    }
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    // Exponential, and up to a fifth shorter.
    assert!((8_000..=10_000).contains(&pauses[0].num_milliseconds()), "{pauses:?}");
    assert!((16_000..=20_000).contains(&pauses[1].num_milliseconds()), "{pauses:?}");
    let calls = host.ledger_of(&job);
    let told: Vec<_> = calls.iter().map(|call| (call.attempt, call.prior.as_str())).collect();
    assert_eq!(told, [(1, "none"), (2, "failed"), (3, "failed")]);
    assert!(calls.iter().all(|call| call.key == calls[0].key));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_may_say_when_it_wants_to_be_called_again() {
    let host = TestHost::start().await;
    let retried = task("r", "fail_retry")
        .with("n", literal(json!(1)))
        .with("after_ms", literal(json!(90_000)))
        .retried(5, Duration::from_secs(1));
    let job = host.submit(flow([retried])).await;
    host.until(&job, "job.waiting", "").await;
    let next_try = instant(host.task(&job, "r").await.next_try_time.as_ref()).unwrap();
    assert_eq!(next_try, host.now() + TimeDelta::seconds(90));
    host.clock.set(next_try);
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_that_are_used_up_are_a_failure_that_unwinds() {
    let host = TestHost::start().await;
    let retried = task("r", "fail_retry")
        .with("n", literal(json!(99)))
        .with("after_ms", literal(json!(0)))
        .retried(3, Duration::from_secs(1));
    let job = host.run(flow([task("a", "ok"), retried])).await;
    assert_eq!(job.state(), JobState::Reverted);
    assert_eq!(host.calls(&job.id), "apply a, apply r, apply r, apply r, revert r, revert a");
    assert_eq!(job.cause.unwrap().fault.unwrap().class, "fixture.retry");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_is_retried_as_well() {
    let host = TestHost::start().await;
    let a = task("a", "revert_fail_n").with("n", literal(json!(1))).retried(5, Duration::from_secs(10));
    let job = host.submit(flow([a, task("f", "fail")])).await;
    host.until(&job, "job.waiting", "").await;
    assert_eq!(host.state(&job).await, JobState::Waiting);
    host.advance(TimeDelta::seconds(11));
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    let reverts: Vec<_> = host.ledger_of(&job).into_iter().filter(|line| line.call() == "revert a").collect();
    let told: Vec<_> = reverts.iter().map(|call| (call.attempt, call.prior.as_str())).collect();
    assert_eq!(told, [(1, "none"), (2, "failed")]);
    assert_eq!(reverts[0].key, reverts[1].key);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_a_thousand_retry_outcomes_are_kept_whole() {
    let host = TestHost::start().await;
    let retried = task("r", "undo_ahead")
        .with("records", literal(json!([])))
        .with("then", literal(json!("retry")))
        .retried(1_000, Duration::ZERO);
    let job = host.run(flow([retried])).await;
    assert_eq!(job.state(), JobState::Reverted);
    let entries = host.entries(&job.id).await;
    let outcomes = entries.iter().filter(|entry| entry.kind == "task.backoff").count();
    assert_eq!(outcomes, 999);
    assert_eq!(host.task(&job.id, "r").await.apply_attempt, 1_000);
    assert_eq!(host.ledger_of(&job.id).len(), 1_001);
    host.finish().await;
}
