//! Child jobs and failure: who is undone with whom, what stays, and what an operator does about it.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{CancelMode, JobState, Pattern, Resolution, TaskState};
use windlass_tests::harness::TestHost;
use windlass_tests::work::{
    Shape as _, child, flow, gate, instance, literal, nested, pattern, resolve, task, times,
};

/// The changes of one task alone: what is side by side has no order.
async fn trace_of(host: &TestHost, job: &str, task: &str) -> String {
    let trace = host.trace(job).await;
    let own = trace.split(' ').filter_map(|change| change.strip_prefix(&format!("{task}:")));
    own.collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_fails_is_undone_by_itself_and_its_parent_with_it() {
    let host = TestHost::start().await;
    let inner = flow([task("x", "ok"), task("f", "fail")]);
    let job = host.run(flow([task("a", "ok"), child("c", inner), task("z", "ok")])).await;
    assert_eq!(job.state(), JobState::Reverted, "{}", host.story(&job.id).await);
    assert_eq!(job.residue, []);
    let trace = "a:applying a:applied c:waiting c:apply_failed c:reverted a:reverting a:reverted";
    assert_eq!(host.trace(&job.id).await, trace);
    let c = host.task(&job.id, "c").await;
    let fault = c.apply_fault.expect("it failed");
    assert_eq!(fault.class, "fixture.fail", "a failure keeps its class");
    assert!(fault.message.contains(&format!("task f of job {}", c.child_job)), "{}", fault.message);
    let child = host.job(&c.child_job).await;
    assert_eq!((child.state(), child.runs.len()), (JobState::Reverted, 1));
    assert_eq!(host.calls(&child.id), "apply x, apply f, revert f, revert x");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_fails_undoes_what_its_child_did() {
    let host = TestHost::start().await;
    let inner = flow([task("x", "ok"), task("y", "ok")]);
    let job = host.run(flow([child("c", inner), task("f", "fail")])).await;
    assert_eq!(job.state(), JobState::Reverted, "{}", host.story(&job.id).await);
    let trace = "c:waiting c:applied f:applying f:apply_failed f:reverting f:reverted c:reverting c:reverted";
    assert_eq!(host.trace(&job.id).await, trace);
    let child = host.job(&host.task(&job.id, "c").await.child_job).await;
    assert_eq!((child.state(), child.runs.len()), (JobState::Reverted, 2));
    let trace = "x:applying x:applied y:applying y:applied y:reverting y:reverted x:reverting x:reverted";
    assert_eq!(host.trace(&child.id).await, trace);
    assert_eq!(child.cause.map(|cause| cause.kind()), Some(v1::CauseKind::RevertRequested));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_fails_cancels_a_child_that_runs() {
    let host = TestHost::start().await;
    let inner = flow([gate("g"), task("x", "ok")]);
    let beside = nested("beside", Pattern::Linear, [gate("h"), task("f", "fail")]);
    let job = host.submit(pattern(Pattern::Unordered, [child("c", inner), beside])).await;
    let inner = host.child(&job, "c").await;
    host.until_called(&inner, "apply g").await;
    host.open_gate("h");
    host.until(&inner, "job.cancel_requested", "").await;
    host.open_gate("g");
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(trace_of(&host, &job, "c").await, "waiting reverting reverted");
    assert_eq!(trace_of(&host, &job, "f").await, "applying apply_failed reverting reverted");
    assert_eq!(host.state(&inner).await, JobState::Reverted);
    assert_eq!(host.calls(&inner), "apply g, revert g");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_generations_are_undone_from_the_outermost_on() {
    let host = TestHost::start().await;
    let middle = flow([task("m", "ok"), child("inner", flow([task("x", "ok")]))]);
    let job = host.run(flow([child("outer", middle), task("f", "fail")])).await;
    assert_eq!(job.state(), JobState::Reverted, "{}", host.story(&job.id).await);
    let outer = host.task(&job.id, "outer").await.child_job;
    let inner = host.task(&outer, "inner").await.child_job;
    let trace = "m:applying m:applied inner:waiting inner:applied inner:reverting inner:reverted \
                 m:reverting m:reverted";
    assert_eq!(host.trace(&outer).await, trace);
    assert_eq!(host.calls(&inner), "apply x, revert x");
    for id in [&outer, &inner] {
        assert_eq!(host.state(id).await, JobState::Reverted);
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_tries_again_with_a_new_child() {
    let host = TestHost::start().await;
    let once = task("f", "fail_n").with("n", literal(json!(1)));
    let inner = flow([task("x", "ok")]);
    let mut whole = v1::Flow { tasks: vec![child("c", inner), once], ..v1::Flow::default() };
    whole.scope = Some(times(2));
    let job = host.run(windlass_tests::work::whole(whole)).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let tasks = host.get(&job.id).await.tasks;
    let children: Vec<_> = tasks.iter().filter(|task| task.wait == "job").collect();
    let [first, second] = children[..] else { panic!("{children:?}") };
    assert_ne!(first.child_job, second.child_job);
    assert_eq!((first.state(), second.state()), (TaskState::Reverted, TaskState::Applied));
    assert_eq!(host.calls(&first.child_job), "apply x, revert x");
    assert_eq!(host.calls(&second.child_job), "apply x");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_child_has_failed_and_is_undone() {
    let host = TestHost::start().await;
    let approval = v1::Approval { message: "go on?".to_owned(), ..v1::Approval::default() };
    let wait = Some(v1::task::Wait::Approval(approval));
    let asked = v1::Task { name: "asked".to_owned(), wait, ..v1::Task::default() };
    let late = child("c", flow([task("x", "ok"), asked])).within(Duration::from_secs(600));
    let job = host.submit(flow([late])).await;
    let inner = host.child(&job, "c").await;
    host.until_state(&inner, JobState::Waiting).await;
    host.until_state(&job, JobState::Waiting).await;
    host.advance(TimeDelta::seconds(599));
    assert_eq!(host.state(&job).await, JobState::Waiting);
    host.advance(TimeDelta::seconds(1));
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(ended.cause.and_then(|cause| cause.fault).expect("it was late").class, "host.late");
    assert_eq!(host.trace(&job).await, "c:waiting c:apply_failed c:reverting c:reverted");
    assert_eq!(host.calls(&inner), "apply x, revert x");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_on_request_undoes_the_child_and_a_dry_run_says_so() {
    let host = TestHost::start().await;
    let job = host.run(flow([task("a", "ok"), child("c", flow([task("x", "ok")]))])).await.id;
    let inner = host.task(&job, "c").await.child_job;
    let dry = v1::RevertJobRequest { job: job.clone(), dry_run: true, ..v1::RevertJobRequest::default() };
    let told = host.jobs().revert(dry).await.expect("it succeeded").into_inner();
    assert_eq!(told.to_revert, ["c", "a"].map(instance));
    let (step, of_task) = (&told.steps[0], &told.steps[1]);
    assert_eq!(
        (step.child_job.as_str(), step.plugin.as_str(), step.action.as_str()),
        (inner.as_str(), "", "")
    );
    assert_eq!((step.obstacle.as_str(), of_task.child_job.as_str()), ("", ""));

    // What a child is asked by itself, its parent would not know of.
    for refused in [host.revert(&inner).await.map(drop), host.retry(&inner).await.map(drop)] {
        let refused = refused.expect_err("its parent is to be asked");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains(&job), "{refused}");
    }
    host.revert(&job).await.expect("it succeeded");
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
    let trace = "a:applying a:applied c:waiting c:applied c:reverting c:reverted a:reverting a:reverted";
    assert_eq!(host.trace(&job).await, trace);
    assert_eq!(
        (host.state(&inner).await, host.calls(&inner)),
        (JobState::Reverted, "apply x, revert x".into())
    );
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_never_revert_the_child_too_stops_where_it_failed() {
    let host = TestHost::start().await;
    let inner = flow([task("x", "ok"), task("f", "fail")]);
    let spec = v1::JobSpec {
        never_revert: true,
        ..host.spec(flow([task("a", "ok"), child("c", inner), task("z", "ok")]))
    };
    let job = host.run_spec(spec).await;
    assert_eq!((job.state(), job.residue), (JobState::Failed, ["a", "c"].map(instance).to_vec()));
    assert_eq!(host.trace(&job.id).await, "a:applying a:applied c:waiting c:apply_failed");
    let child = host.job(&host.task(&job.id, "c").await.child_job).await;
    assert_eq!((child.state(), child.never_revert), (JobState::Failed, true));
    assert_eq!(child.residue, ["x", "f"].map(instance));
    assert_eq!(host.calls(&child.id), "apply x, apply f");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_leaves_lets_the_child_begin_nothing_more() {
    let host = TestHost::start().await;
    let inner = flow([gate("g"), task("x", "ok")]);
    let job = host.submit(flow([task("a", "ok"), child("c", inner), task("z", "ok")])).await;
    let inner = host.child(&job, "c").await;
    host.until_called(&inner, "apply g").await;
    host.until_state(&job, JobState::Waiting).await;
    host.cancel(&job, CancelMode::Leave).await.expect("it waits");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), ended.residue), (JobState::Failed, ["a", "c"].map(instance).to_vec()));
    host.until(&inner, "job.cancel_requested", "").await;
    host.open_gate("g");
    let left = host.wait(&inner).await;
    assert_eq!((left.state(), left.residue), (JobState::Failed, vec![instance("g")]));
    assert_eq!(host.calls(&inner), "apply g");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_of_a_failed_parent_goes_on_in_the_child_that_failed() {
    let host = TestHost::start().await;
    let inner = flow([task("x", "ok"), task("f", "fail_n").with("n", literal(json!(1)))]);
    let spec = v1::JobSpec { never_revert: true, ..host.spec(flow([child("c", inner), task("z", "ok")])) };
    let job = host.run_spec(spec).await;
    assert_eq!(job.state(), JobState::Failed);
    let inner = host.task(&job.id, "c").await.child_job;
    host.retry(&job.id).await.expect("it failed");
    let ended = host.wait(&job.id).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.task(&job.id, "c").await.child_job, inner, "it is the same job");
    let trace = "c:waiting c:apply_failed c:waiting c:applied z:applying z:applied";
    assert_eq!(host.trace(&job.id).await, trace);
    let child = host.job(&inner).await;
    assert_eq!((child.state(), child.runs.len()), (JobState::Succeeded, 2));
    assert_eq!(host.calls(&inner), "apply x, apply f, apply f");
    host.finish().await;
}

/// A job whose child has something that is undone only when it is asked twice; and that child.
async fn stuck(host: &TestHost) -> (String, String) {
    let twice = task("n", "revert_fail_n").with("n", literal(json!(1))).retried(1, Duration::ZERO);
    let inner = flow([task("x", "ok"), twice]);
    let job = host.run(flow([task("a", "ok"), child("c", inner), task("f", "fail")])).await;
    assert_eq!(job.state(), JobState::Failed, "{}", host.story(&job.id).await);
    assert_eq!(job.residue, ["a", "c"].map(instance));
    let c = host.task(&job.id, "c").await;
    assert_eq!(c.state(), TaskState::RevertFailed);
    let fault = c.revert_fault.expect("it could not be undone");
    assert!(fault.message.contains(&format!("see job {}", c.child_job)), "{}", fault.message);
    let child = host.job(&c.child_job).await;
    assert_eq!((child.state(), child.residue), (JobState::Failed, ["x", "n"].map(instance).to_vec()));
    (job.id, c.child_job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_that_failed_in_a_child_is_called_again_from_its_parent() {
    let host = TestHost::start().await;
    let (job, inner) = stuck(&host).await;
    host.jobs().resolve(resolve(&job, "c", Resolution::Retry)).await.expect("its revert failed");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), ended.residue), (JobState::Reverted, vec![]), "{}", host.story(&job).await);
    assert_eq!(
        trace_of(&host, &job, "c").await,
        "waiting applied reverting revert_failed reverting reverted"
    );
    assert_eq!(host.state(&inner).await, JobState::Reverted);
    assert_eq!(host.calls(&inner), "apply x, apply n, revert n, revert n, revert x");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_that_failed_in_a_child_is_resolved_there_and_then_known_to_a_retry_of_its_parent() {
    let host = TestHost::start().await;
    let (job, inner) = stuck(&host).await;
    host.jobs().resolve(resolve(&inner, "n", Resolution::Retry)).await.expect("its revert failed");
    assert_eq!(host.wait(&inner).await.state(), JobState::Reverted, "{}", host.story(&inner).await);
    assert_eq!(host.state(&job).await, JobState::Failed, "it is not asked by its child");
    host.jobs().resolve(resolve(&job, "c", Resolution::Retry)).await.expect("its revert failed");
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_eq!(host.calls(&inner), "apply x, apply n, revert n, revert n, revert x");
    assert_eq!(host.calls(&job), "apply a, apply f, revert f, revert a");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_cannot_be_undone_is_let_be_and_stays_in_the_residue() {
    let host = TestHost::start().await;
    let (job, inner) = stuck(&host).await;
    host.jobs().resolve(resolve(&job, "c", Resolution::Accept)).await.expect("its revert failed");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), ended.residue), (JobState::Failed, vec![instance("c")]));
    assert_eq!(host.task(&job, "c").await.state(), TaskState::Accepted);
    assert_eq!(host.calls(&job), "apply a, apply f, revert f, revert a");
    assert_eq!(host.state(&inner).await, JobState::Failed);
    host.finish().await;
}
