//! What a revert is told: V04, V05, undo records and notes.

use serde_json::json;
use windlass_proto::v1::JobState;
use windlass_tests::harness::TestHost;
use windlass_tests::ledger::LedgerLine;
use windlass_tests::work::{Shape as _, flow, literal, task};

fn revert_of(calls: &[LedgerLine], task: &str) -> LedgerLine {
    let found = calls.iter().find(|line| line.kind == "revert" && line.task == task);
    found.unwrap_or_else(|| panic!("{task} was not reverted")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v04_a_failed_task_is_reverted_with_its_failure_as_evidence() {
    let host = TestHost::start().await;
    let fail = task("fail", "fail")
        .with("class", literal(json!("disk.full")))
        .with("message", literal(json!("no room")))
        .with("causes", literal(json!(["first", "second"])))
        .with("detail", literal(json!({ "free": 0 })));
    let job = host.run(flow([fail])).await;
    assert_eq!(job.state(), JobState::Reverted);
    let revert = revert_of(&host.ledger_of(&job.id), "fail");
    let fault = json!({
        "class": "disk.full", "message": "no room", "causes": ["first", "second"], "detail": { "free": 0 },
    });
    assert_eq!(revert.evidence["end"], json!({ "failed": fault }));
    assert_eq!((revert.attempt, revert.prior.as_str()), (1, "none"));
    assert_ne!(revert.key, host.ledger_of(&job.id)[0].key);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v05_a_revert_is_told_the_output_and_the_failures_of_the_job() {
    let host = TestHost::start().await;
    let a = task("a", "giver").with("x", literal(json!(7)));
    let job = host.run(flow([a, task("fail1", "fail").with("message", literal(json!("because")))])).await;
    assert_eq!(job.state(), JobState::Reverted);
    let revert = revert_of(&host.ledger_of(&job.id), "a");
    assert_eq!(revert.evidence["end"], json!({ "applied": { "x": 7 } }));
    let fault = json!({ "class": "fixture.fail", "message": "because", "causes": [], "detail": null });
    let failures = revert.failures;
    // A map by task, however it is written.
    let told = failures.get("fail1").cloned().or_else(|| {
        let pairs = failures.as_array()?;
        pairs.iter().find(|pair| pair[0] == "fail1").map(|pair| pair[1].clone())
    });
    assert_eq!(told, Some(fault), "{failures}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_is_told_every_undo_record_oldest_first() {
    let host = TestHost::start().await;
    let a = task("a", "undo_ahead").with("records", literal(json!(["one", { "two": 2 }, 3])));
    let b = task("b", "ok").with("undo", literal(json!("at the end")));
    let job = host.run(flow([a, b, task("f", "fail")])).await;
    let calls = host.ledger_of(&job.id);
    assert_eq!(revert_of(&calls, "a").evidence["undo"], json!(["one", { "two": 2 }, 3]));
    assert_eq!(revert_of(&calls, "b").evidence["undo"], json!(["at the end"]));
    assert_eq!(revert_of(&calls, "f").evidence["undo"], json!([]));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undo_records_of_every_attempt_are_kept() {
    let host = TestHost::start().await;
    let a = task("a", "undo_ahead")
        .with("records", literal(json!(["r"])))
        .with("then", literal(json!("retry")))
        .retried(2, std::time::Duration::from_secs(1));
    let job = host.submit(flow([a])).await;
    host.until(&job, "job.waiting", "").await;
    host.advance(chrono::TimeDelta::seconds(2));
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    assert_eq!(host.calls(&job), "apply a, apply a, revert a");
    assert_eq!(revert_of(&host.ledger_of(&job), "a").evidence["undo"], json!(["r", "r"]));
    assert_eq!(host.task(&job, "a").await.undo_record_count, 2);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_is_recalled_by_the_next_attempt_even_after_a_restart() {
    let mut host = TestHost::start().await;
    let note = task("n", "note")
        .with("name", literal(json!("place")))
        .with("value", literal(json!({ "at": 5 })))
        .with("retry_once", literal(json!(true)))
        .retried(3, std::time::Duration::from_secs(60));
    let job = host.submit(flow([note])).await;
    host.until(&job, "job.waiting", "").await;
    host.restart().await;
    host.advance(chrono::TimeDelta::seconds(61));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.output(&job, "n").await, json!({ "recalled": { "at": 5 } }));
    // Another job's note of the same name is another.
    let other = task("n", "note").with("name", literal(json!("place"))).with("value", literal(json!(1)));
    let other = host.run(flow([other])).await;
    assert_eq!(host.output(&other.id, "n").await, json!({ "recalled": null }));
    host.finish().await;
}
