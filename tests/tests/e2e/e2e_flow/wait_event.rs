//! Jobs that wait for an event: which one counts, who is given it and how often, and what goes on meanwhile.

use serde_json::{Value, json};
use windlass_proto::v1;
use windlass_proto::v1::submit_job_result::Outcome;
use windlass_proto::v1::task::Wait;
use windlass_proto::v1::{EventOutcome, JobState, Pattern, TaskState};
use windlass_tests::harness::{HostOptions, TestHost, event};
use windlass_tests::work::{Shape as _, flow, gate, literal, nested, pattern, task};

/// Jobs of one event: more than are given it at once, and than there are slots.
const MANY: usize = 1_000;
/// Publishers of the same event.
const PUBLISHERS: usize = 8;

/// A wait for an event of the type `built`.
fn built(name: &str) -> v1::Task {
    built_where(name, v1::WaitEvent::default())
}

fn built_where(name: &str, wait: v1::WaitEvent) -> v1::Task {
    let wait = v1::WaitEvent { r#type: "built".to_owned(), ..wait };
    v1::Task { name: name.to_owned(), wait: Some(Wait::WaitEvent(wait)), ..v1::Task::default() }
}

fn approval(name: &str) -> v1::Task {
    let wait = v1::Approval { message: "go on?".to_owned(), ..v1::Approval::default() };
    v1::Task { name: name.to_owned(), wait: Some(Wait::Approval(wait)), ..v1::Task::default() }
}

/// Publishes one event of the type `built`.
async fn publish(host: &TestHost, id: &str, data: &Value) -> v1::EventResult {
    host.publish(vec![event("/ci", id, "built", data)]).await.expect("it is taken").remove(0)
}

/// What became of an event, and how many jobs were given it.
fn told(result: &v1::EventResult) -> (EventOutcome, u32) {
    (result.outcome(), result.delivered_job_count)
}

/// The id of the event that a wait was given.
async fn given(host: &TestHost, job: &str, wait: &str) -> Value {
    host.output(job, wait).await["id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_published_before_the_wait_began_does_not_count() {
    let host = TestHost::start().await;
    let job = host.submit(flow([gate("g"), built("w"), task("a", "ok")])).await;
    host.until_called(&job, "apply g").await;
    assert_eq!(told(&publish(&host, "early", &json!({})).await), (EventOutcome::Accepted, 0));
    host.open_gate("g");
    host.until_state(&job, JobState::Waiting).await;
    assert_eq!(host.store().claims().await.expect("readable"), [], "nobody holds a job that waits");
    assert_eq!(told(&publish(&host, "early", &json!({})).await), (EventOutcome::Duplicate, 0));
    assert_eq!(host.state(&job).await, JobState::Waiting, "it is a duplicate, whoever waits for it now");
    assert_eq!(told(&publish(&host, "late", &json!({})).await), (EventOutcome::Accepted, 1));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(given(&host, &job, "w").await, "late");
    assert_eq!(told(&publish(&host, "later", &json!({})).await), (EventOutcome::Accepted, 0));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_matched_by_its_attributes_and_by_an_expression_over_what_the_job_knows() {
    let host = TestHost::start().await;
    let wait = v1::WaitEvent {
        source: "/ci".to_owned(),
        subject: "main".to_owned(),
        r#match: "event.data.size >= least && event.data.of == made.x".to_owned(),
        ..v1::WaitEvent::default()
    };
    let made = task("made", "echo").with("x", literal(json!("image")));
    let work = flow([made, built_where("w", wait), task("a", "echo")]);
    let job = host.submit_with(work, json!({ "least": 3 })).await;
    host.until_state(&job, JobState::Waiting).await;
    let on = |id: &str, subject: &str, data: Value| v1::CloudEvent {
        subject: subject.to_owned(),
        ..event("/ci", id, "built", &data)
    };
    let right = json!({ "size": 3, "of": "image" });
    let wrong = vec![
        event("/ci", "no-subject", "built", &right),
        on("branch", "feature", right.clone()),
        v1::CloudEvent { source: "/other".to_owned(), ..on("source", "main", right.clone()) },
        v1::CloudEvent { r#type: "built.well".to_owned(), ..on("type", "main", right.clone()) },
        on("small", "main", json!({ "size": 2, "of": "image" })),
        on("another", "main", json!({ "size": 9, "of": "docs" })),
        on("without-data", "main", json!({})),
    ];
    let results = host.publish(wrong).await.expect("they are taken");
    assert!(results.iter().all(|result| told(result) == (EventOutcome::Accepted, 0)), "{results:?}");
    let right = host.publish(vec![on("right", "main", right)]).await.expect("it is taken").remove(0);
    assert_eq!(told(&right), (EventOutcome::Accepted, 1));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(given(&host, &job, "w").await, "right");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_published_again_is_given_to_nobody_twice() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([built("first"), built("second"), task("a", "ok")])).await;
    host.until_state(&job, JobState::Waiting).await;
    assert_eq!(told(&publish(&host, "1", &json!({})).await), (EventOutcome::Accepted, 1));
    host.until(&job, "task.waiting", "second").await;
    host.until_state(&job, JobState::Waiting).await;
    // Published again, at the same time, and by a host that knows of it only what is stored.
    assert_eq!(told(&publish(&host, "1", &json!({})).await), (EventOutcome::Duplicate, 0));
    host.restart().await;
    let twice = vec![event("/ci", "1", "built", &json!({})); 2];
    let twice = host.publish(twice).await.expect("they are taken");
    assert!(twice.iter().all(|result| told(result) == (EventOutcome::Duplicate, 0)), "{twice:?}");
    assert_eq!(host.state(&job).await, JobState::Waiting);
    let mut publishing = tokio::task::JoinSet::new();
    for _ in 0..PUBLISHERS {
        let mut client = host.events();
        let events = vec![event("/ci", "2", "built", &json!({}))];
        publishing.spawn(async move { client.publish(v1::PublishEventsRequest { events }).await });
    }
    let mut accepted = 0;
    for published in publishing.join_all().await {
        let results = published.expect("it is taken").into_inner().results;
        accepted += results.iter().filter(|result| result.outcome() == EventOutcome::Accepted).count();
    }
    assert_eq!(accepted, 1);
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(given(&host, &job, "first").await, "1");
    assert_eq!(given(&host, &job, "second").await, "2");
    let kinds = host.kinds(&job).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "task.answered").count(), 2, "{kinds:?}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_makes_what_its_triggers_say_and_goes_to_those_who_wait_for_it() {
    let host = TestHost::start().await;
    host.on_event("t", "built", "").await;
    host.bind("operation", "t", windlass_tests::work::action("ok")).await;
    let job = host.submit(flow([built("w")])).await;
    host.until_state(&job, JobState::Waiting).await;
    let result = publish(&host, "1", &json!({})).await;
    assert_eq!((told(&result), result.job_ids.len()), ((EventOutcome::Accepted, 1), 1));
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.jobs_of("operation").await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_that_wait_hold_nothing_and_are_all_given_the_event() {
    let host = TestHost::start().await;
    let job = host.spec(flow([built("w")]));
    let request = v1::SubmitJobRequest { job: Some(Box::new(job)), ..v1::SubmitJobRequest::default() };
    let request = v1::SubmitJobBatchRequest { requests: vec![request; MANY], ..Default::default() };
    let answer = host.jobs().submit_batch(request).await.expect("they are accepted").into_inner();
    let submitted = answer.results.into_iter().map(|result| match result.outcome {
        Some(Outcome::Submitted(submitted)) => submitted.job.expect("a submission answers a job").id,
        outcome => panic!("it is refused: {outcome:?}"),
    });
    let jobs: Vec<_> = submitted.collect();
    assert_eq!(jobs.len(), MANY);
    for job in &jobs {
        host.until_state(job, JobState::Waiting).await;
    }
    assert_eq!(host.store().claims().await.expect("readable"), []);
    assert_eq!(told(&publish(&host, "1", &json!({})).await), (EventOutcome::Accepted, MANY as u32));
    for job in &jobs {
        assert_eq!(host.wait(job).await.state(), JobState::Succeeded);
    }
    assert_eq!(host.store().awaiting("built", None, MANY).await.expect("readable"), []);
    host.finish().await;
}

/// What comes after a wait, beside a call that lasts until the test lets it end.
async fn beside_a_long_call(wait: v1::Task, slots: usize) -> (TestHost, String) {
    let host = TestHost::start_with(HostOptions { slots, ..HostOptions::default() }).await;
    let path = nested("path", Pattern::Linear, [wait, task("after", "ok")]);
    let job = host.submit(pattern(Pattern::Unordered, [gate("long"), path])).await;
    host.until_called(&job, "apply long").await;
    host.until(&job, "task.waiting", "w").await;
    (host, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_other_task_is_in_a_long_call_goes_on_at_once_with_an_event() {
    let (host, job) = beside_a_long_call(built("w"), 2).await;
    assert_eq!(told(&publish(&host, "1", &json!({})).await), (EventOutcome::Accepted, 1));
    host.until(&job, "task.applied", "after").await;
    assert_eq!(host.task(&job, "long").await.state(), TaskState::Applying);
    assert_eq!(host.state(&job).await, JobState::Running);
    host.open_gate("long");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(host.ledger_of(&job).len(), 2, "each is called once");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_other_task_is_in_a_long_call_goes_on_at_once_with_an_answer() {
    let (host, job) = beside_a_long_call(approval("w"), 2).await;
    let answer = v1::AnswerJobRequest { job: job.clone(), approved: true, ..v1::AnswerJobRequest::default() };
    host.jobs().answer(answer).await.expect("it is asked");
    host.until(&job, "task.applied", "after").await;
    assert_eq!(host.task(&job, "long").await.state(), TaskState::Applying);
    host.open_gate("long");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_over_at_once_though_the_only_slot_is_in_a_long_call() {
    let (host, job) = beside_a_long_call(built("w"), 1).await;
    publish(&host, "1", &json!({})).await;
    host.until(&job, "task.applied", "w").await;
    assert_eq!(host.task(&job, "after").await.state(), TaskState::Pending, "a call needs a slot");
    host.open_gate("long");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_while_a_call_runs_lets_it_finish_and_undoes_it() {
    let (host, job) = beside_a_long_call(approval("w"), 2).await;
    let answer =
        v1::AnswerJobRequest { job: job.clone(), approved: false, ..v1::AnswerJobRequest::default() };
    host.jobs().answer(answer).await.expect("it is asked");
    host.until(&job, "task.apply_failed", "w").await;
    assert_eq!(host.task(&job, "long").await.state(), TaskState::Applying, "what runs is let finish");
    host.open_gate("long");
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    assert_eq!(host.task(&job, "after").await.state(), TaskState::Pending);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_while_a_job_is_suspended_is_kept_until_it_goes_on() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([built("w"), task("a", "ok")])).await;
    host.until_state(&job, JobState::Waiting).await;
    host.suspend(&job).await.expect("it can be suspended");
    host.until_state(&job, JobState::Suspended).await;
    assert_eq!(told(&publish(&host, "1", &json!({})).await), (EventOutcome::Accepted, 1));
    assert_eq!(host.state(&job).await, JobState::Suspended);
    host.restart().await;
    host.resume(&job).await.expect("it is suspended");
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    assert_eq!(given(&host, &job, "w").await, "1");
    host.finish().await;
}
