//! A host that dies in the middle of a call, and what the task says of that, with one slot and with sixteen.

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{InDoubt, JobState, Pattern};
use windlass_tests::work::{Shape as _, flow, gate, literal, nested, remote, task, times};

use super::play::{Stage, play};

use JobState::{Reverted, Succeeded, Suspended};
use Pattern::{Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn doubted(task: v1::Task, in_doubt: InDoubt) -> v1::Task {
    v1::Task { in_doubt: in_doubt.into(), ..task }
}

/// The host dies while `task` is applied; its gate is open for the next one.
async fn die_in(stage: &mut Stage, task: &str, gate: &str) {
    stage.until_called(&format!("apply {task}")).await;
    stage.host.crash().await;
    stage.host.open_gate(gate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_says_revert_is_not_applied_again_and_the_scope_around_it_is_tried_again() {
    let scope = [ok("a"), doubted(gate("g"), InDoubt::Revert), ok("b")];
    let work = flow([nested("s", Linear, scope).scope(times(2)), ok("z")]);
    let trace = "a#1 g#1:applying g#1:in_doubt g#1:apply_failed -g#1 -a#1 a#2 g#2 b#2 z";
    let end = play(work, trace).directed(Succeeded, async |stage| die_in(stage, "g#1", "g").await).await;
    assert_eq!(end.task("g#1").apply_class.as_deref(), Some("host.in_doubt"));
    assert_eq!(end.told("revert g#1").evidence["end"], "interrupted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_says_revert_beside_one_that_says_nothing_undoes_both() {
    let sides = [doubted(gate("g"), InDoubt::Revert), gate("h")];
    let work = flow([ok("a"), nested("sides", Unordered, sides), ok("never")]);
    let play = play(work, "a g:applying g:in_doubt g:apply_failed -g -a")
        .with_sixteen("a { g:applying g:in_doubt g:apply_failed | h:applying h:in_doubt } { -g | -h } -a");
    let end = play
        .directed(Reverted, async |stage| {
            if stage.is_wide {
                stage.until_called("apply h").await;
            }
            die_in(stage, "g", "g").await;
            stage.host.open_gate("h");
        })
        .await;
    end.assert_failed_by("g", "host.in_doubt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_says_hold_suspends_the_job_and_is_applied_again_when_it_is_resumed() {
    let work = flow([ok("a"), doubted(gate("g"), InDoubt::Hold), ok("z")]);
    let end = play(work, "a g:applying g:in_doubt g:held g z")
        .directed(Succeeded, async |stage| {
            die_in(stage, "g", "g").await;
            stage.host.until_state(&stage.job, Suspended).await;
            assert_eq!(stage.host.calls(&stage.job), "apply a, apply g");
            stage.host.restart().await;
            stage.host.resume(&stage.job).await.expect("it is suspended");
        })
        .await;
    let told: Vec<_> = end.calls["apply g"].iter().map(|told| (told.attempt, told.prior.as_str())).collect();
    assert_eq!(told, [(1, "none"), (2, "interrupted")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_says_observe_is_looked_at_and_not_applied_again_where_it_is_there() {
    let r = || remote("r").with("gate", literal(json!("g"))).with("says", literal(json!([{ "present": 7 }])));
    let work = flow([ok("a"), doubted(r(), InDoubt::Observe), ok("z")]);
    let trace = "a r:applying r:in_doubt r:observing r:applied z";
    let end = play(work, trace)
        .directed(Succeeded, async |stage| {
            // It has begun, and nobody was told.
            stage.until_called("apply r").await;
            stage.host.until_holds("it begins", async || stage.host.has_remote("r")).await;
            die_in(stage, "r", "g").await;
        })
        .await;
    assert_eq!(end.task("r").output, Some(json!(7)));
}
