//! Child jobs that go well: what they give, who holds what, and what an operator sees and does meanwhile.

use chrono::TimeDelta;
use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, Pattern, TaskState};
use windlass_tests::harness::{TestHost, code};
use windlass_tests::work::{
    Shape as _, argument, child, flow, gate, instance, literal, map, named, nested, output, stored, task,
    timestamp,
};

/// A job that makes an image, of which it gives the digest.
fn image() -> v1::Work {
    flow([task("build", "multi").provides("digest", "/r/0")])
}

fn approval(name: &str) -> v1::Task {
    let approval = v1::Approval { message: "publish it?".to_owned(), ..v1::Approval::default() };
    let wait = Some(v1::task::Wait::Approval(approval));
    v1::Task { name: name.to_owned(), wait, ..v1::Task::default() }
}

fn approve(job: &str, task: &str) -> v1::AnswerJobRequest {
    let task = Some(instance(task));
    v1::AnswerJobRequest { job: job.to_owned(), task, approved: true, ..v1::AnswerJobRequest::default() }
}

/// Stores a flow that gives a text, under the name `hello`.
async fn hello(host: &TestHost, text: &str) -> v1::FlowRevision {
    let Some(v1::work::Kind::Flow(says)) =
        flow([task("say", "echo").with("text", literal(text.into()))]).kind
    else {
        panic!("it is a flow")
    };
    let request = v1::CreateFlowRevisionRequest {
        name: "hello".to_owned(),
        flow: Some(says),
        ..v1::CreateFlowRevisionRequest::default()
    };
    let answer = host.flows().create_revision(request).await.expect("it is a flow").into_inner();
    answer.revision.expect("an answer has the revision")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_task_takes_what_a_child_provides_by_name() {
    let host = TestHost::start().await;
    let work = flow([
        task("a", "ok"),
        child("image", image()).provides("first", "/digest"),
        task("z", "echo").with("digest", named("first")).with("all", output("image", "")),
    ]);
    let mut spec = host.spec(work);
    spec.labels = [("team".to_owned(), "red".to_owned())].into();
    spec.r#type = "nightly".to_owned();
    spec.priority = 7;
    let job = host.run_spec(spec).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let all = json!({ "build": { "p": 1, "q": "two", "r": [3, 3, 3] }, "digest": 3 });
    assert_eq!(host.output(&job.id, "z").await, json!({ "digest": 3, "all": all }));
    let trace = "a:applying a:applied image:waiting image:applied z:applying z:applied";
    assert_eq!(host.trace(&job.id).await, trace);
    assert_eq!(host.calls(&job.id), "apply a, apply z");

    let image = host.task(&job.id, "image").await;
    assert_eq!((image.wait.as_str(), image.plugin_digest.as_str()), ("job", ""));
    let child = host.wait(&image.child_job).await;
    assert_eq!((child.state(), child.epoch), (JobState::Succeeded, 1));
    assert_eq!(host.trace(&child.id).await, "build:applying build:applied");
    let parent = v1::JobParent { job: job.id.clone(), task: Some(instance("image")) };
    assert_eq!(child.origin.expect("it has an origin").parent, Some(parent));
    assert_eq!((child.owner, child.principal, child.r#type), (job.owner, job.principal, job.r#type));
    assert_eq!((child.labels, child.grants, child.priority), (job.labels, job.grants, 7));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_are_what_the_inputs_give_and_a_priority_of_its_own_counts() {
    let host = TestHost::start().await;
    let inner = flow([task("s", "sum").with("x", argument("x")).with("y", named("y"))]);
    let mut node = child("c", inner).with("x", output("m", "/p")).with("y", literal(json!(4)));
    let Some(v1::task::Wait::Job(job)) = node.wait.as_mut() else { panic!("it is a child job") };
    job.priority = Some(-9);
    let job = host.run(flow([task("m", "multi"), node])).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let child = host.job(&host.task(&job.id, "c").await.child_job).await;
    let arguments: serde_json::Value = serde_json::from_str(&child.arguments_json).expect("it is JSON");
    assert_eq!((arguments, child.priority), (json!({ "x": 1, "y": 4 }), -9));
    assert_eq!(host.output(&job.id, "c").await, json!({ "s": { "sum": 5 } }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_has_a_claim_and_its_parent_none_while_it_waits_and_both_outlive_their_host() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), child("c", flow([gate("g")])), task("z", "ok")])).await;
    let inner = host.child(&job, "c").await;
    host.until_called(&inner, "apply g").await;
    host.until_state(&job, JobState::Waiting).await;
    assert_eq!(host.job(&job).await.host, "");
    let running = host.job(&inner).await;
    assert_eq!((running.state(), running.host.is_empty()), (JobState::Running, false));
    assert_eq!(host.task(&job, "c").await.state(), TaskState::Waiting);

    host.crash().await;
    host.open_gate("g");
    let ended = host.wait(&job).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&inner), "apply g, apply g");
    assert_eq!(host.calls(&job), "apply a, apply z");
    assert_eq!(host.trace(&job).await, "a:applying a:applied c:waiting c:applied z:applying z:applied");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_of_child_jobs_has_a_job_for_each_value_and_gives_a_list() {
    let host = TestHost::start().await;
    let each = child("c", flow([task("e", "echo").with("x", argument("x"))]))
        .with("x", named("x"))
        .provides("said", "/e/x");
    let over = map(literal(json!(["one", "two", "three"])), 2);
    let work = flow([
        nested("all", Pattern::Unordered, [each]).scope(over),
        task("z", "echo").with("said", named("said")),
    ]);
    let job = host.run(work).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.output(&job.id, "z").await, json!({ "said": ["one", "two", "three"] }));
    let tasks = host.get(&job.id).await.tasks;
    let children: Vec<_> = tasks.into_iter().filter(|task| task.wait == "job").collect();
    let iterations = children.iter().map(|task| task.name.clone().unwrap_or_default().iteration);
    assert_eq!(iterations.collect::<Vec<_>>(), [[0], [1], [2]]);
    for (task, said) in children.iter().zip(["one", "two", "three"]) {
        assert_eq!(host.output(&task.child_job, "e").await, json!({ "x": said }));
    }

    host.revert(&job.id).await.expect("it succeeded");
    assert_eq!(host.wait(&job.id).await.state(), JobState::Reverted, "{}", host.story(&job.id).await);
    for task in children {
        assert_eq!(host.state(&task.child_job).await, JobState::Reverted);
        assert_eq!(host.calls(&task.child_job), "apply e, revert e");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_of_a_child_gives_through_both() {
    let host = TestHost::start().await;
    let middle = flow([child("inner", image()).provides("digest", "/digest"), task("m", "ok")]);
    let work = flow([
        child("outer", middle).provides("first", "/digest"),
        task("z", "echo").with("x", named("first")),
    ]);
    let job = host.run(work).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.output(&job.id, "z").await, json!({ "x": 3 }));
    let outer = host.task(&job.id, "outer").await.child_job;
    let inner = host.task(&outer, "inner").await.child_job;
    assert_eq!(host.trace(&outer).await, "inner:waiting inner:applied m:applying m:applied");
    assert_eq!(host.trace(&inner).await, "build:applying build:applied");
    assert_eq!(host.list(v1::ListJobsRequest::default()).await.len(), 3);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_flow_is_taken_when_the_job_is_submitted_and_kept_whatever_becomes_of_its_name() {
    let host = TestHost::start().await;
    hello(&host, "one").await;
    let work = flow([child("c", stored("hello", 0)).provides("text", "/say/text")]);
    let later = v1::JobSpec {
        execute_time: Some(timestamp(host.now() + TimeDelta::seconds(60))),
        ..host.spec(work.clone())
    };
    let request = v1::SubmitJobRequest {
        job: Some(Box::new(later)),
        request_id: "once".to_owned(),
        ..Default::default()
    };
    let submitted = host.jobs().submit(request.clone()).await.expect("it is a flow").into_inner();
    let job = submitted.job.expect("a submission answers a job");
    let second = hello(&host, "two").await;
    assert_eq!(second.revision, 2);
    host.flows()
        .delete(v1::DeleteFlowRequest { name: "hello".to_owned(), etag: String::new() })
        .await
        .expect("jobs have their own copy");
    let again = host.jobs().submit(request).await.expect("it was made before").into_inner();
    assert_eq!((again.known, again.job.map(|job| job.id)), (true, Some(job.id.clone())));
    assert_eq!(code(host.try_submit(host.spec(work)).await), Code::InvalidArgument);

    host.advance(TimeDelta::seconds(61));
    let ended = host.wait(&job.id).await;
    assert_eq!(ended.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    assert_eq!(host.output(&job.id, "text").await, json!("one"));
    let Some(v1::work::Kind::Flow(told)) = ended.work.and_then(|work| work.kind) else { panic!("a flow") };
    let Some(v1::task::Wait::Job(told)) = &told.tasks[0].wait else { panic!("a child job") };
    let name = Some(v1::FlowReference { name: "hello".to_owned(), revision: 1 });
    assert_eq!(told.flow_revision, name);
    let Some(v1::child_job::Work::Flow(whole)) = &told.work else { panic!("it is told whole") };
    assert!(whole.tasks[0].digest.starts_with("sha256:"), "{whole:?}");
    let child = host.job(&host.task(&job.id, "c").await.child_job).await;
    assert_eq!(child.flow_revision, name);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_flow_with_a_child_keeps_the_revision_that_was_the_latest_when_it_was_applied() {
    let host = TestHost::start().await;
    hello(&host, "one").await;
    let Some(v1::work::Kind::Flow(outer)) = flow([child("c", stored("hello", 0))]).kind else { panic!() };
    let outer = v1::CreateFlowRevisionRequest {
        name: "outer".to_owned(),
        flow: Some(outer),
        ..v1::CreateFlowRevisionRequest::default()
    };
    let applied = host.flows().create_revision(outer.clone()).await.expect("it is a flow").into_inner();
    let again = host.flows().create_revision(outer.clone()).await.expect("it is a flow").into_inner();
    assert_eq!((applied.unchanged, again.unchanged), (false, true));
    hello(&host, "two").await;
    let job = host.run(stored("outer", 0)).await;
    assert_eq!(host.output(&job.id, "c").await, json!({ "say": { "text": "one" } }));
    // Applied once more it means another flow.
    let next = host.flows().create_revision(outer).await.expect("it is a flow").into_inner();
    assert_eq!(next.revision.map(|made| made.revision), Some(2));
    let job = host.run(stored("outer", 0)).await;
    assert_eq!(host.output(&job.id, "c").await, json!({ "say": { "text": "two" } }));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_within_a_child_is_answered_by_the_id_of_the_child() {
    let host = TestHost::start().await;
    let job = host.submit(flow([child("c", flow([approval("release"), task("x", "ok")]))])).await;
    let inner = host.child(&job, "c").await;
    host.until_state(&inner, JobState::Waiting).await;
    host.until_state(&job, JobState::Waiting).await;
    for task in ["release", "c"] {
        assert_eq!(code(host.jobs().answer(approve(&job, task)).await), Code::FailedPrecondition);
    }
    host.jobs().answer(approve(&inner, "release")).await.expect("it is asked");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.output(&job, "c").await["release"]["approved"], json!(true));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_parent_lets_its_child_go_on_and_takes_its_end_when_it_is_resumed() {
    let host = TestHost::start().await;
    let job = host.submit(flow([child("c", flow([gate("g"), task("x", "ok")])), task("z", "ok")])).await;
    let inner = host.child(&job, "c").await;
    host.until_called(&inner, "apply g").await;
    host.until_state(&job, JobState::Waiting).await;
    host.suspend(&job).await.expect("it waits");
    host.until_state(&job, JobState::Suspended).await;
    host.open_gate("g");
    assert_eq!(host.wait(&inner).await.state(), JobState::Succeeded);
    host.until(&job, "task.answered", "c").await;
    assert_eq!(host.state(&job).await, JobState::Suspended);
    assert_eq!(host.calls(&job), "");
    host.resume(&job).await.expect("it is suspended");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&job), "apply z");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_child_keeps_its_parent_waiting_until_it_is_resumed() {
    let host = TestHost::start().await;
    let job = host.submit(flow([child("c", flow([gate("g"), task("x", "ok")]))])).await;
    let inner = host.child(&job, "c").await;
    host.until_called(&inner, "apply g").await;
    host.suspend(&inner).await.expect("it runs");
    host.open_gate("g");
    host.until_state(&inner, JobState::Suspended).await;
    assert_eq!(host.state(&job).await, JobState::Waiting);
    host.resume(&inner).await.expect("it is suspended");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.calls(&inner), "apply g, apply x");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_either_tells_in_words_what_passes_between_them() {
    let host = TestHost::start().await;
    let job = host.run(flow([child("c", flow([task("x", "ok")]))])).await.id;
    let inner = host.task(&job, "c").await.child_job;
    let told = |kind: &'static str, of: &[v1::Entry]| {
        let found = of.iter().find(|entry| entry.kind == kind);
        found.unwrap_or_else(|| panic!("there is no {kind}")).reason.clone()
    };
    // What one is told of the other may be recorded after both have ended.
    let are_told = async || {
        let (of_parent, of_child) = (host.kinds(&job).await, host.kinds(&inner).await);
        of_parent.contains(&"task.child_told".to_owned()) && of_child.contains(&"job.parent_told".to_owned())
    };
    host.until_holds("they do not know of each other", are_told).await;
    let entries = host.entries(&job).await;
    assert_eq!(told("task.child_ordered", &entries), format!("job {inner} is to begin"));
    assert_eq!(told("task.child_told", &entries), "the child job has recorded the order");
    assert_eq!(told("task.answered", &entries), format!("job {inner} ended succeeded"));
    let mut of_task: Vec<_> =
        entries.iter().filter(|entry| entry.task == "c").map(|entry| entry.kind.as_str()).collect();
    of_task.sort_unstable();
    assert_eq!(of_task, ["task.answered", "task.applied", "task.child_ordered", "task.child_told"]);

    let entries = host.entries(&inner).await;
    let wanted = told("job.parent_ordered", &entries);
    assert_eq!(wanted, "the job that it is a child of waits for it");
    let known = told("job.parent_told", &entries);
    assert_eq!(known, "the job that it is a child of has recorded how it ended");
    host.finish().await;
}
