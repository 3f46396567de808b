//! S11: stores that older versions of the host left, in `e2e_upgrade/`, and what this one does with them.

use std::io::{Cursor, Read as _};

use serde_json::{Value, json};
use windlass_host::store::Place;
use windlass_proto::v1;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::harness::TestHost;
use windlass_tests::home::Kind;
use windlass_tests::work::json_of;

/// What a host of schema 1 exported, and the file that it left.
const FORM: &[u8] = include_bytes!("e2e_upgrade/schema_1.jsonl");
const FILE: &[u8] = include_bytes!("e2e_upgrade/schema_1.redb.zst");

/// Its jobs: one of three tasks that was suspended when two of them were applied, and one that had succeeded.
const SUSPENDED: &str = "01a22446-8379-771d-9d18-cda0ff6c4218";
const SUCCEEDED: &str = "01a22446-836c-767d-b4e2-ef0affb0500b";

/// Entries that the suspended job has from the older host.
const OLD_ENTRIES: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_a_job_that_an_older_host_exported_goes_on_with_what_is_left() {
    let mut host = TestHost::bare().await;
    host.stop().await;
    let place = host.move_out().await;
    place.import(host.now(), Cursor::new(FORM)).await.expect("this version reads what the older one wrote");
    goes_on(host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_a_job_in_the_file_of_an_older_host_goes_on_with_what_is_left() {
    let mut host = TestHost::bare().await;
    host.stop().await;
    // A file is opened by redb alone: the same rows are in the export.
    let place = match (Kind::chosen(), host.move_out().await) {
        (Kind::Redb, Place::Redb(path)) => {
            let mut file = Vec::new();
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(FILE).expect("it is compressed");
            decoder.read_to_end(&mut file).expect("it is whole");
            std::fs::write(&path, file).expect("it can be written");
            Place::Redb(path)
        }
        (_, place) => {
            place.import(host.now(), Cursor::new(FORM)).await.expect("this version reads it");
            place
        }
    };
    let mut findings = Vec::new();
    place.check(&mut |finding| findings.push(finding.to_string())).await.expect("it can be opened");
    assert_eq!(findings, Vec::<String>::new());
    goes_on(host).await;
}

/// Starts on what the older host left, resumes its job, and looks at all of it.
async fn goes_on(mut host: TestHost) {
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
    let request = v1::SubmitJobRequest { job: Some(spec), request_id: "ended".to_owned(), dry_run: false };
    let again = host.jobs().submit(request).await.expect("it is known").into_inner();
    assert_eq!((again.known, again.job.expect("a job").id.as_str()), (true, SUCCEEDED));
    host.finish().await;
}

/// What a task gave.
async fn output(host: &TestHost, job: &str, task: &str) -> Value {
    json_of(&host.task(job, task).await.output.expect("it has one"))
}
