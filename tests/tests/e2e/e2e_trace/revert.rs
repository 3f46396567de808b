//! Failures and what is undone after them: V01 to V06, V10, V13 to V15.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{CauseKind, JobState, Pattern, TaskState};
use windlass_tests::harness::code;
use windlass_tests::work::{Shape as _, flow, gate, literal, nested, pattern, task};

use super::play::play;

use JobState::{Failed, Reverted, Succeeded};
use Pattern::{Graph, Linear, Unordered};

fn ok(name: &str) -> v1::Task {
    task(name, "ok")
}

fn fail(name: &str) -> v1::Task {
    task(name, "fail")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v01_v02_v04_a_failure_is_undone_first_and_then_all_before_it_in_reverse() {
    let trace = "a b fail! -fail -b -a";
    let end = play(flow([ok("a"), ok("b"), fail("fail"), ok("never")]), trace).ends(Reverted).await;
    end.assert_failed_by("fail", "fixture.fail");
    end.assert_residue(&[]);
    assert_eq!(end.task("never").state, TaskState::Pending);
    assert_eq!(end.told("revert fail").evidence["end"]["failed"]["class"], "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v03_what_failed_in_a_nested_flow_undoes_what_is_around_it() {
    let inner = nested("inner", Linear, [ok("b"), fail("fail")]);
    play(flow([ok("a"), inner, ok("never")]), "a b fail! -fail -b -a").ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v03_what_failed_three_levels_deep_undoes_side_by_side_what_was_applied_side_by_side() {
    let deep = nested("deep", Linear, [ok("c"), nested("deeper", Graph, [fail("fail")])]);
    let sides = nested("sides", Unordered, [ok("b"), deep, nested("other", Linear, [ok("d")])]);
    let one = "a b c fail! -fail -c -b -a";
    let sixteen = "a { b | c fail! | d } { -fail -c | -b | -d } -a";
    let play = play(flow([ok("a"), sides, ok("never")]), one).with_sixteen(sixteen);
    play.ends(Reverted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v05_v06_a_revert_is_told_what_its_apply_gave_and_leaves_what_it_gives_itself() {
    let a = task("a", "giver").with("x", literal(json!(7)));
    let because = fail("fail1").with("message", literal(json!("because")));
    let play = play(flow([a.provides("seen", "/x"), because]), "a fail1! -fail1 -a");
    let end = play
        .directed(Reverted, async |stage| {
            let (host, job) = (&stage.host, stage.job.clone());
            host.wait(&job).await;
            for name in ["a", "seen"] {
                let request = v1::GetJobOutputRequest { job: job.clone(), name: name.to_owned() };
                assert_eq!(code(host.jobs().get_output(request).await), Code::FailedPrecondition, "{name}");
            }
            stage.host.restart().await;
        })
        .await;
    let told = end.told("revert a");
    assert_eq!(told.evidence["end"], json!({ "applied": { "x": 7 } }));
    let fault = json!({ "class": "fixture.fail", "message": "because", "causes": [], "detail": null });
    assert_eq!(told.failures, json!({ "fail1": fault }));
    let a = end.task("a");
    assert_eq!(a.revert_output, Some(json!({ "given_back": { "x": 7 } })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v06_a_job_that_is_undone_on_request_shows_what_its_reverts_gave() {
    let give = |name: &str, x: u32| task(name, "giver").with("x", literal(json!(x)));
    let both = nested("both", Unordered, [give("a", 1), give("b", 2)]);
    let play = play(flow([both, give("c", 3)]), "{ a | b } c -c { -b | -a }");
    let end = play
        .directed(Reverted, async |stage| {
            stage.host.wait(&stage.job).await;
            assert_eq!(stage.host.output(&stage.job, "a").await, json!({ "x": 1 }));
            stage.host.revert(&stage.job).await.expect("it has succeeded");
        })
        .await;
    assert_eq!(end.cause.as_ref().map(|cause| cause.kind), Some(CauseKind::RevertRequested));
    for (name, x) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(end.task(name).revert_output, Some(json!({ "given_back": { "x": x } })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v10_siblings_of_a_failure_are_let_finish_and_then_undone() {
    let tasks = [gate("a"), fail("fail"), gate("c"), ok("never").needs(&["c"])];
    let play =
        play(pattern(Graph, tasks), "a fail! -fail -a").with_sixteen("{ a | fail! | c } { -a | -fail | -c }");
    play.directed(Reverted, async |stage| {
        if stage.is_wide {
            stage.until("task.apply_failed", "fail").await;
            stage.until_called("apply a").await;
            stage.until_called("apply c").await;
            assert_eq!(stage.host.state(&stage.job).await, JobState::Running, "nothing is undone meanwhile");
            stage.host.open_gate("c");
            stage.until("task.applied", "c").await;
            assert_eq!(stage.host.state(&stage.job).await, JobState::Running, "a runs still");
        }
        stage.host.open_gate("a");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v10_what_runs_in_other_nested_flows_is_let_finish_and_nothing_in_them_goes_on() {
    let left = nested("left", Linear, [gate("a"), ok("a2")]);
    let right = nested("right", Linear, [nested("deep", Unordered, [gate("c"), ok("d")]), ok("c2")]);
    let sides = nested("sides", Unordered, [left, fail("fail").priority(-1), right]);
    let one = "first a a2 c d c2 fail! -fail -c2 -d -c -a2 -a -first";
    let sixteen = "first { a | c | d | fail! } { -fail | -a | -c | -d } -first";
    let play = play(flow([ok("first"), sides, ok("never")]), one).with_sixteen(sixteen);
    play.directed(Reverted, async |stage| {
        if stage.is_wide {
            stage.until_called("apply a").await;
            stage.until_called("apply c").await;
            stage.until("task.apply_failed", "fail").await;
            stage.until("task.applied", "d").await;
        }
        ["a", "c"].iter().for_each(|gate| stage.host.open_gate(gate));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v13_a_reverted_job_runs_again_with_the_same_trace() {
    let both = nested("both", Unordered, [ok("a"), ok("b")]);
    let play = play(flow([both, fail("fail")]), "{ a | b } fail! -fail { -b | -a }");
    play.directed(Reverted, async |stage| {
        stage.host.wait(&stage.job).await;
        assert_eq!(code(stage.host.retry(&stage.job).await), Code::FailedPrecondition);
        let again = stage.host.rerun(&stage.job).await.expect("it has ended").id;
        assert_ne!(again, stage.job);
        stage.job = again;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v14_a_retry_of_a_succeeded_job_executes_nothing() {
    let play = play(flow([ok("a"), ok("b")]), "a b");
    play.directed(Succeeded, async |stage| {
        let ended = stage.host.wait(&stage.job).await;
        let again = stage.host.retry(&stage.job).await.expect("it is no refusal");
        assert_eq!((again.state(), again.sequence), (Succeeded, ended.sequence));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v15_a_job_that_never_reverts_stops_and_names_what_it_leaves() {
    let both = nested("both", Unordered, [ok("a"), ok("b")]);
    let play = play(flow([both, fail("fail"), ok("never")]), "{ a | b } fail!").never_reverts();
    let end = play.ends(Failed).await;
    end.assert_residue(&["a", "b", "fail"]);
    end.assert_failed_by("fail", "fixture.fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_rejected_is_not_called_back_and_what_wrote_an_undo_record_is() {
    let reject = task("no", "fail_reject");
    play(flow([ok("a"), reject, ok("never")]), "a no:applying no:apply_failed no:reverted -a")
        .ends(Reverted)
        .await;
    let wrote = task("no", "undo_ahead")
        .with("records", literal(json!(["one"])))
        .with("then", literal(json!("reject")));
    let end = play(flow([ok("a"), wrote]), "a no! -no -a").ends(Reverted).await;
    assert_eq!(end.told("revert no").evidence["undo"], json!(["one"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v06_a_job_that_is_read_shows_no_output_of_what_was_undone() {
    let a = task("a", "giver").with("x", literal(json!(7)));
    let end = play(flow([a, fail("fail")]), "a fail! -fail -a").ends(Reverted).await;
    assert_eq!(end.task("a").revert_output, Some(json!({ "given_back": { "x": 7 } })));
    assert_eq!(end.task("a").output, None);
}
