//! Flows with a revert of their own, and phases, with real plugins.

use serde_json::json;
use windlass_proto::v1;
use windlass_proto::v1::{CancelMode, JobState, Pattern, Phase, Resolution, TaskState};
use windlass_tests::harness::{TestHost, field_paths};
use windlass_tests::ledger::LedgerLine;
use windlass_tests::work::{
    Shape as _, flow, instance, literal, named, nested, output, own_revert, pattern, task, times, whole,
};

/// A machine of two tasks, of which the second has an undo record, between two others.
fn machine(revert: v1::OwnRevert, last: &str) -> v1::Work {
    let b = task("b", "ok").with("value", literal(json!(1)));
    let c = task("c", "ok").with("undo", literal(json!("of c")));
    flow([task("a", "ok"), nested("m", Pattern::Linear, [b, c]).reverts(revert), task("z", last)])
}

fn calls_of(host: &TestHost, job: &str, call: &str) -> Vec<LedgerLine> {
    host.ledger_of(job).into_iter().filter(|line| line.call() == call).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_is_undone_by_one_call_that_is_told_of_everything_in_it() {
    let host = TestHost::start().await;
    let inputs = [("id", output("b", "/value")), ("of", named("c")), ("from", named("a"))];
    let job = host.run(machine(own_revert("echo", &inputs), "fail")).await;
    assert_eq!(job.state(), JobState::Reverted, "{}", host.story(&job.id).await);
    let calls = "apply a, apply b, apply c, apply z, revert z, revert m.revert, revert a";
    assert_eq!(host.calls(&job.id), calls);
    let told = host.get(&job.id).await;
    assert!(told.tasks.iter().all(|task| task.state() == TaskState::Reverted), "{told:?}");
    assert_eq!(told.tasks.last().and_then(|task| task.name.clone()), Some(instance("m.revert")));
    let call = calls_of(&host, &job.id, "revert m.revert").remove(0);
    assert_eq!(call.input, json!({"id": 1, "of": {"value": null}, "from": {"value": null}}));
    assert_eq!(call.evidence["end"]["applied"], json!({"b": {"value": 1}, "c": {"value": null}}));
    assert_eq!(call.evidence["undo"], json!(["of c"]));
    assert_eq!(call.evidence["undo_of"], json!(["c 1"]), "the own revert is told who wrote it");
    assert_eq!(host.task(&job.id, "m.revert").await.revert_idempotency_key, call.key);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_inside_is_its_evidence_and_what_was_not_applied_is_left_out_of_its_input() {
    let host = TestHost::start().await;
    let inputs = [("first", output("b", "/value")), ("second", output("f", ""))];
    let members = [task("b", "ok").with("value", literal(json!(7))), task("f", "fail")];
    let mut work = v1::Flow { tasks: members.to_vec(), ..v1::Flow::default() };
    work.revert = Some(own_revert("echo", &inputs));
    let job = host.run(whole(work)).await;
    assert_eq!(job.state(), JobState::Reverted, "{}", host.story(&job.id).await);
    assert_eq!(host.calls(&job.id), "apply b, apply f, revert flow.revert");
    let call = calls_of(&host, &job.id, "revert flow.revert").remove(0);
    assert_eq!(call.input, json!({"first": 7}));
    let partial = &call.evidence["end"]["partial"];
    assert_eq!(partial["failure"]["class"], json!("fixture.fail"));
    assert_eq!(
        (&partial["outputs"], &partial["is_interrupted"]),
        (&json!({"b": {"value": 7}}), &json!(false))
    );
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_resolved_by_its_name_and_its_tasks_stay_in_the_residue() {
    let host = TestHost::start().await;
    for (resolution, state) in
        [(Resolution::Skip, TaskState::SkippedRevert), (Resolution::Accept, TaskState::Accepted)]
    {
        let job = host.run(machine(own_revert("nasty", &[]), "fail")).await;
        assert_eq!(job.state(), JobState::Failed, "{}", host.story(&job.id).await);
        assert_eq!(job.residue, ["a", "b", "c"].map(instance));
        let failed = host.task(&job.id, "m.revert").await;
        assert_eq!((failed.state(), failed.revert_attempt), (TaskState::RevertFailed, 1));
        assert_eq!(failed.revert_fault.map(|fault| fault.class), Some("fixture.nasty".to_owned()));
        let request = v1::ResolveJobRequest {
            job: job.id.clone(),
            task: Some(instance("m.revert")),
            resolution: resolution.into(),
            reason: "seen to".to_owned(),
            etag: String::new(),
        };
        host.jobs().resolve(request).await.expect("its revert failed");
        let ended = host.wait(&job.id).await;
        assert_eq!(ended.state(), JobState::Failed, "what was let be remains");
        assert_eq!(ended.residue, ["b", "c"].map(instance));
        assert_eq!(host.task(&job.id, "b").await.state(), state);
        assert_eq!(host.task(&job.id, "a").await.state(), TaskState::Reverted);
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_cut_short_is_called_again_under_its_key() {
    let mut host = TestHost::start().await;
    let inputs = [("name", literal(json!("never"))), ("revert_name", literal(json!("undo")))];
    let job = host.submit(machine(own_revert("gate", &inputs), "fail")).await;
    host.until_called(&job, "revert m.revert").await;
    host.open_gate("undo");
    host.crash().await;
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
    let calls = calls_of(&host, &job, "revert m.revert");
    let seen: Vec<_> = calls.iter().map(|call| (call.attempt, call.prior.as_str())).collect();
    assert_eq!(seen, [(1, "none"), (2, "interrupted")]);
    assert_eq!((&calls[0].key, &calls[0].evidence), (&calls[1].key, &calls[1].evidence));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_is_left_halfway_is_told_with_what_was_done_and_whether_a_host_died_in_it() {
    let mut host = TestHost::start().await;
    for (gate, dies) in [("opened", false), ("closed", true)] {
        let b = task("b", "ok").with("value", literal(json!(1)));
        let g = task("g", "gate").with("name", literal(json!(gate)));
        let m = nested("m", Pattern::Linear, [b, g, task("c", "ok")]).reverts(own_revert("echo", &[]));
        let job = host.submit(flow([m])).await;
        host.until_called(&job, "apply g").await;
        host.cancel(&job, CancelMode::Revert).await.expect("it runs");
        match dies {
            true => host.crash().await,
            false => host.open_gate(gate),
        }
        assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
        assert_eq!(host.calls(&job), "apply b, apply g, revert m.revert");
        let call = calls_of(&host, &job, "revert m.revert").remove(0);
        let outputs = match dies {
            true => json!({"b": {"value": 1}}),
            false => json!({"b": {"value": 1}, "g": {"passed": gate}}),
        };
        let partial = json!({"outputs": outputs, "failure": null, "is_interrupted": dies});
        assert_eq!(call.evidence["end"], json!({"partial": partial}));
    }
    host.open_gate("closed");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_scope_each_try_is_undone_as_a_whole() {
    let host = TestHost::start().await;
    let inner = [task("b", "ok"), task("f", "fail_n").with("n", literal(json!(1)))];
    let inner = nested("m", Pattern::Linear, inner).reverts(own_revert("echo", &[]));
    let job = host.run(flow([nested("s", Pattern::Linear, [inner]).scope(times(2))])).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.calls(&job.id), "apply b#1, apply f#1, revert m.revert#1, apply b#2, apply f#2");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_of_a_revert_tells_one_step_for_the_flow() {
    let host = TestHost::start().await;
    let job = host.run(machine(own_revert("echo", &[]), "ok")).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let request =
        v1::RevertJobRequest { job: job.id.clone(), dry_run: true, ..v1::RevertJobRequest::default() };
    let answer = host.jobs().revert(request).await.expect("it succeeded").into_inner();
    let told = answer.steps.iter().map(|step| {
        let undoes: Vec<_> = step.undoes.iter().map(|name| name.task.as_str()).collect();
        let name = step.task.clone().unwrap_or_default().task;
        (name, step.action.clone(), undoes.join(" "), step.undo_record_count)
    });
    let step = |name: &str, action: &str, undoes: &str, records: u32| {
        (name.to_owned(), action.to_owned(), undoes.to_owned(), records)
    };
    let steps = [step("z", "ok", "", 0), step("m.revert", "echo", "c b", 1), step("a", "ok", "", 0)];
    assert_eq!(told.collect::<Vec<_>>(), steps);
    host.revert(&job.id).await.expect("it succeeded");
    assert_eq!(host.wait(&job.id).await.state(), JobState::Reverted);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_own_revert_is_told_before_anything_runs() {
    let host = TestHost::start().await;
    let revert = own_revert("vanish", &[("id", output("b", "/value")), ("of", named("nobody"))]);
    let refused = host.try_submit(host.spec(machine(revert, "ok"))).await.expect_err("it has no such action");
    let place = "job.work.flow.tasks[1].flow.revert";
    assert_eq!(field_paths(&refused), ["inputs.of", "action"].map(|field| format!("{place}.{field}")));
    let again = machine(own_revert("echo", &[]), "ok");
    let Some(v1::work::Kind::Flow(mut tree)) = again.kind else { panic!("it is a flow") };
    tree.tasks[1] = tree.tasks[1].clone().scope(times(2));
    let refused = host.try_submit(host.spec(whole(tree))).await.expect_err("it runs again");
    assert_eq!(field_paths(&refused), [place.to_owned()]);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_only_an_own_revert_needs_is_not_deleted() {
    let host = TestHost::start().await;
    let digest = host.upload(windlass_tests::plugins::backup()).await.plugin.digest;
    let revert = v1::OwnRevert { plugin: "backup".to_owned(), ..own_revert("snapshot", &[]) };
    let job = host.run(machine(revert, "ok")).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let retire = v1::RetirePluginRequest { plugin: digest.clone(), ..Default::default() };
    host.plugins().retire(retire).await.expect("it is active");
    let delete = v1::DeletePluginRequest { plugin: digest, ..Default::default() };
    let refused = host.plugins().delete(delete).await.expect_err("the job can be reverted");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phases_are_applied_one_after_the_other_and_undone_the_other_way_round() {
    let host = TestHost::start().await;
    let tasks = [
        task("q", "ok").phase(Phase::Acquire),
        nested("c", Pattern::Unordered, [task("c1", "ok")]).phase(Phase::Configure),
        task("r", "ok").phase(Phase::Reserve),
    ];
    let job = host.run(pattern(Pattern::Graph, tasks.clone())).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    host.revert(&job.id).await.expect("it succeeded");
    assert_eq!(host.wait(&job.id).await.state(), JobState::Reverted);
    let calls = "apply r, apply c1, apply q, revert q, revert c1, revert r";
    assert_eq!(host.calls(&job.id), calls);
    let refused = host.try_submit(host.spec(pattern(Pattern::Linear, tasks))).await;
    let refused = refused.expect_err("a linear flow has another order");
    let places = [1, 2].map(|index| format!("job.work.flow.tasks[{index}].phase"));
    assert_eq!(field_paths(&refused), places);
    host.finish().await;
}
