//! S11: stores that older versions of the host left, in `e2e_upgrade/`, and what this one does with them.

use std::io::{Cursor, Read as _};

use chrono::TimeDelta;
use serde_json::{Value, json};
use windlass_host::store::Place;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::harness::{HostOptions, TestHost, event};
use windlass_tests::home::Kind;
use windlass_tests::work::{instance, json_of};

/// What hosts of older schemas exported, and the files that they left.
const FORM_1: &[u8] = include_bytes!("e2e_upgrade/schema_1.jsonl");
const FILE_1: &[u8] = include_bytes!("e2e_upgrade/schema_1.redb.zst");
const FORM_2: &[u8] = include_bytes!("e2e_upgrade/schema_2.jsonl");
const FILE_2: &[u8] = include_bytes!("e2e_upgrade/schema_2.redb.zst");

/// The jobs of schema 1: one of three tasks that was suspended when two of them were applied, and one that had succeeded.
const SUSPENDED: &str = "01a22446-8379-771d-9d18-cda0ff6c4218";
const SUCCEEDED: &str = "01a22446-836c-767d-b4e2-ef0affb0500b";

/// Entries that the suspended job has from the older host.
const OLD_ENTRIES: usize = 9;

/// The job of schema 2 that waits: for an approval, an event, and an hour.
const WAITING: &str = "01a224f9-7bf7-77d0-8c27-29b6614522ad";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_a_job_that_an_older_host_exported_goes_on_with_what_is_left_whatever_the_slots() {
    for slots in [1, 16] {
        let host = TestHost::bare_with(HostOptions { slots, ..HostOptions::default() }).await;
        goes_on(on_form(host, FORM_1).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_a_job_in_the_file_of_an_older_host_goes_on_with_what_is_left() {
    goes_on(on_file(FILE_1, FORM_1).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_a_job_that_waited_when_an_older_host_exported_it_hears_its_answers() {
    is_answered(on_form(TestHost::bare().await, FORM_2).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_a_job_that_waits_in_the_file_of_an_older_host_hears_its_answers() {
    is_answered(on_file(FILE_2, FORM_2).await).await;
}

/// A host, stopped, on what an older one exported.
async fn on_form(mut host: TestHost, form: &'static [u8]) -> TestHost {
    host.stop().await;
    let place = host.move_out().await;
    place.import(host.now(), Cursor::new(form)).await.expect("this version reads what the older one wrote");
    host
}

/// A host, stopped, on the file of an older one. A file is opened by redb alone: the same rows are in the export.
async fn on_file(file: &'static [u8], form: &'static [u8]) -> TestHost {
    let mut host = TestHost::bare().await;
    host.stop().await;
    let place = match (Kind::chosen(), host.move_out().await) {
        (Kind::Redb, Place::Redb(path)) => {
            let mut whole = Vec::new();
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(file).expect("it is compressed");
            decoder.read_to_end(&mut whole).expect("it is whole");
            std::fs::write(&path, whole).expect("it can be written");
            Place::Redb(path)
        }
        (_, place) => {
            place.import(host.now(), Cursor::new(form)).await.expect("this version reads it");
            place
        }
    };
    let mut findings = Vec::new();
    place.check(&mut |finding| findings.push(finding.to_string())).await.expect("it can be opened");
    assert_eq!(findings, Vec::<String>::new());
    host
}

/// Starts on what the older host left a few minutes ago, and answers its job.
async fn is_answered(mut host: TestHost) {
    // While the pause of the job, and the patience of the others, last.
    host.clock.set("2026-11-29T02:00:00Z".parse().expect("a time"));
    host.restart().await;
    assert_eq!(host.state(WAITING).await, JobState::Waiting);
    let unmeant = event("/ci", "1", "test.built", &json!({ "number": 1 }));
    let meant = event("/ci", "2", "test.built", &json!({ "number": 2 }));
    let published = host.publish(vec![unmeant, meant]).await.expect("they are events");
    let counts: Vec<_> = published.iter().map(|result| result.delivered_job_count).collect();
    assert_eq!(counts, [0, 1]);
    let (job, task, comment) = (WAITING.to_owned(), Some(instance("sure")), "seen".to_owned());
    let answer = v1::AnswerJobRequest { job, task, approved: true, comment, etag: String::new() };
    host.jobs().answer(answer).await.expect("it waits for that");
    host.until(WAITING, "task.applied", "sure").await;
    assert!(!host.state(WAITING).await.as_str_name().ends_with("SUCCEEDED"), "its pause is not over");
    host.advance(TimeDelta::hours(1));
    let job = host.wait(WAITING).await;
    assert_eq!((job.state(), job.task_done_count), (JobState::Succeeded, 5));
    let first = json!({ "from": "an argument" });
    assert_eq!(output(&host, WAITING, "last").await, json!({ "first": first, "said": "seen", "number": 2 }));
    host.finish().await;
}

/// Starts on what the older host left, resumes its job, and looks at all of it.
async fn goes_on(mut host: TestHost) {
    // While keys of requests are kept.
    host.clock.set("2026-11-28T23:00:00Z".parse().expect("a time"));
    host.restart().await;
    let (first, second) =
        (json!({ "from": "an argument", "number": 1 }), json!({ "number": 1, "origin": "an argument" }));
    assert_eq!(host.state(SUSPENDED).await, JobState::Suspended);
    let before = host.entries(SUSPENDED).await;
    assert_eq!(before.len(), OLD_ENTRIES);
    assert_eq!(output(&host, SUSPENDED, "first").await, first);
    assert_eq!(output(&host, SUSPENDED, "second").await, second);

    host.resume(SUSPENDED).await.expect("it is suspended");
    let job = host.wait(SUSPENDED).await;
    assert_eq!((job.state(), job.task_done_count), (JobState::Succeeded, 3));
    // Only the rest ran, by the very plugin that the older host had; it was given what was there.
    let entries = host.entries(SUSPENDED).await;
    assert_eq!(entries[..OLD_ENTRIES], before, "what was written stays as it is");
    let begun: Vec<_> = entries[OLD_ENTRIES..].iter().filter(|entry| entry.kind == "task.applying").collect();
    assert_eq!(begun.iter().map(|entry| entry.task.as_str()).collect::<Vec<_>>(), ["third"]);
    for task in ["first", "second", "third"] {
        let instance = host.task(SUSPENDED, task).await;
        assert_eq!((instance.state(), instance.apply_attempt), (TaskState::Applied, 1), "{task}");
    }
    assert_eq!(output(&host, SUSPENDED, "first").await, first);
    let third = output(&host, SUSPENDED, "third").await;
    assert_eq!(third, json!({ "first": first, "second": second }));

    // What ended before is undone by the plugin that did it.
    assert_eq!(output(&host, SUCCEEDED, "echo").await, json!({ "text": "before" }));
    host.revert(SUCCEEDED).await.expect("it has succeeded");
    assert_eq!(host.wait(SUCCEEDED).await.state(), JobState::Reverted);

    // The key of its submission is still taken.
    let spec =
        v1::JobSpec { work: Some(windlass_tests::work::action_of("echo", "echo")), ..Default::default() };
    let request_id = "ended".to_owned();
    let request =
        v1::SubmitJobRequest { job: Some(Box::new(spec)), request_id, ..v1::SubmitJobRequest::default() };
    let again = host.jobs().submit(request).await.expect("it is known").into_inner();
    assert_eq!((again.known, again.job.expect("a job").id.as_str()), (true, SUCCEEDED));
    host.finish().await;
}

/// What a task gave.
async fn output(host: &TestHost, job: &str, task: &str) -> Value {
    json_of(&host.task(job, task).await.output.expect("it has one"))
}
