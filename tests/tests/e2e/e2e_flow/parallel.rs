//! Several calls of one job at once: V04, V05, slots, pauses, lost hosts. V10, V12 and S01 are in `e2e_trace`.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, TaskState};
use windlass_tests::harness::{HostOptions, TestHost};
use windlass_tests::work::{Shape as _, action, flow, gate, literal, nested, pattern, task, whole};

use Pattern::{Graph, Unordered};

fn slots(slots: usize) -> HostOptions {
    HostOptions { slots, ..HostOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v04_v05_a_revert_is_told_what_its_apply_gave_and_all_failures() {
    let host = TestHost::start_with(slots(4)).await;
    let both = nested("both", Unordered, [task("fail1", "fail"), task("fail2", "fail")]);
    let job = host.run(flow([task("a", "giver").with("x", literal(json!(1))), both])).await;
    assert_eq!(job.state(), JobState::Reverted);
    let reverts: Vec<_> = host.ledger_of(&job.id).into_iter().filter(|line| line.kind == "revert").collect();
    assert_eq!(reverts.len(), 3, "what failed is reverted as well: {reverts:?}");
    let a = reverts.iter().find(|line| line.task == "a").expect("a is undone");
    let failures = a.failures.to_string();
    assert!(failures.contains("fail1") && failures.contains("fail2"), "{failures}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_job_takes_all_free_slots_and_keeps_no_other_job_from_its_first() {
    let host = TestHost::start_with(slots(2)).await;
    let wide = host.submit(pattern(Unordered, (0..6).map(|n| gate(&format!("g{n}"))))).await;
    host.until_called(&wide, "apply g0").await;
    host.until_called(&wide, "apply g1").await;
    let other = host.submit(action("ok")).await;
    host.until_state(&other, JobState::Ready).await;
    host.open_gate("g0");
    assert_eq!(host.wait(&other).await.state(), JobState::Succeeded, "the slot goes round");
    let running = host.get(&wide).await.tasks;
    let running = running.iter().filter(|task| task.state() == TaskState::Applying).count();
    assert!(running <= 2, "no more than the host has slots: {running}");
    (1..6).for_each(|n| host.open_gate(&format!("g{n}")));
    assert_eq!(host.wait(&wide).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_bounds_its_own_calls() {
    let host = TestHost::start_with(slots(8)).await;
    let tasks = (0..4).map(|n| gate(&format!("g{n}"))).collect();
    let flow = v1::Flow { tasks, pattern: Unordered.into(), parallel_max: 2, ..v1::Flow::default() };
    let job = host.submit(whole(flow)).await;
    for n in 0..4 {
        host.until_called(&job, &format!("apply g{n}")).await;
        let tasks = host.get(&job).await.tasks;
        let running = tasks.iter().filter(|task| task.state() == TaskState::Applying).count();
        assert!(running <= 2, "{running} at once");
        host.open_gate(&format!("g{n}"));
    }
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_ends_while_other_tasks_run() {
    let host = TestHost::start_with(slots(4)).await;
    let pausing = task("p", "fail_retry").with("n", literal(json!(1))).retried(3, Duration::from_secs(60));
    let job = host.submit(pattern(Unordered, [gate("slow"), pausing])).await;
    host.until_called(&job, "apply slow").await;
    host.until(&job, "task.backoff", "p").await;
    host.advance(TimeDelta::seconds(61));
    host.until(&job, "task.applied", "p").await;
    assert_eq!(host.task(&job, "slow").await.state(), TaskState::Applying);
    host.open_gate("slow");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_leaves_every_call_in_doubt_and_each_is_made_again_under_its_key() {
    let mut host = TestHost::start_with(slots(4)).await;
    let tasks = [gate("a"), gate("b"), task("c", "ok").needs(&["a", "b"])];
    let job = host.submit(pattern(Graph, tasks)).await;
    host.until_called(&job, "apply a").await;
    host.until_called(&job, "apply b").await;
    host.crash().await;
    host.until_attempt(&job, "a", 2).await;
    host.until_attempt(&job, "b", 2).await;
    ["a", "b"].iter().for_each(|name| host.open_gate(name));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    for name in ["a", "b"] {
        let lines: Vec<_> = host.ledger_of(&job).into_iter().filter(|line| line.task == name).collect();
        assert!(lines.iter().all(|line| line.key == lines[0].key), "one apply, one key: {lines:?}");
        let last = lines.last().expect("it was called");
        assert_eq!((last.attempt, last.prior.as_str()), (2, "interrupted"));
    }
    host.finish().await;
}
