//! The example flows run as they are, from their files, through the binary: each succeeds, and a failure undoes it.

use std::path::PathBuf;
use std::process::Command;

use chrono::TimeDelta;
use serde_json::{Value, json};
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_tests::harness::TestHost;
use windlass_tests::harness::event;
use windlass_tests::plugins;

fn binary() -> PathBuf {
    let binary = plugins::target_directory().join("release/windlass");
    assert!(binary.is_file(), "{} is missing: build it with `make build`", binary.display());
    binary
}

fn all() -> Vec<PathBuf> {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.parent().expect("the crate is in the repository").join("examples/flows");
    let mut flows: Vec<_> = std::fs::read_dir(folder)
        .expect("there are examples")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    flows.sort();
    assert!(flows.len() >= 20, "a file for each construct: {flows:?}");
    flows
}

/// The flows that make backups; those that provision machines want another host.
fn flows() -> Vec<PathBuf> {
    let is_provision = |flow: &PathBuf| flow.to_string_lossy().contains("provision");
    all().into_iter().filter(|flow| !is_provision(flow)).collect()
}

/// An example flow by the name of its file.
pub fn example(name: &str) -> PathBuf {
    all().into_iter().find(|flow| flow.ends_with(name)).unwrap_or_else(|| panic!("there is no {name}"))
}

/// A host with the backup plugin, and, below what it may grant, something to back up, and a place for it.
async fn host() -> TestHost {
    let host = TestHost::bare().await;
    host.upload(plugins::backup()).await;
    for folder in ["ledger/source/documents", "ledger/source/photos", "ledger/backups"] {
        std::fs::create_dir_all(host.path().join(folder)).expect("a folder can be made");
    }
    for file in ["documents/letter", "photos/sea"] {
        std::fs::write(host.path().join("ledger/source").join(file), file).expect("a file can be written");
    }
    host
}

/// Does what the job waits for: lets time pass, says yes, publishes.
async fn go_on(host: &TestHost, job: &str) -> v1::Job {
    loop {
        let waits = async || {
            let state = host.state(job).await;
            state == JobState::Waiting || is_ended(state)
        };
        host.until_holds("the job neither waits nor ends", waits).await;
        let answer = host.get(job).await;
        let state = answer.job.as_ref().expect("an answer has the job").state();
        if is_ended(state) {
            return host.wait(job).await;
        }
        let waiting = answer.tasks.iter().find(|task| task.state() == v1::TaskState::Waiting);
        match waiting.map(|task| task.wait.as_str()) {
            Some("approval") => {
                let output = Command::new(binary())
                    .args(["--host", &host.url(), "job", "approve", job, "--comment", "fit"])
                    .output()
                    .expect("the binary runs");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            Some("wait_event") => {
                let cleared = event("/records", job, "archive.cleared", &json!({ "files": 3 }));
                host.publish(vec![cleared]).await.expect("it is an event");
            }
            // Its own claim has it go on.
            Some("job") => tokio::task::yield_now().await,
            _ => host.advance(TimeDelta::hours(1)),
        }
    }
}

fn is_ended(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Reverted | JobState::Failed)
}

/// Submits the flow as a person would, and gives the job.
async fn submit(host: &TestHost, flow: &std::path::Path, more: &[&str]) -> String {
    let grant = |name: &str, guest: &str| format!("{}:{guest}", host.path().join(name).display());
    let grants = [grant("ledger/source", "/source:ro"), grant("ledger/backups", "/backup:rw")];
    submit_granted(host, flow, &grants, more).await
}

/// The same with these directories granted.
pub async fn submit_with(host: &TestHost, flow: &std::path::Path, grants: &[String]) -> String {
    submit_granted(host, flow, grants, &[]).await
}

async fn submit_granted(host: &TestHost, flow: &std::path::Path, grants: &[String], more: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args(["--output", "id", "--host", &host.url(), "job", "submit", "--flow"]).arg(flow);
    command.args(grants.iter().flat_map(|grant| ["--grant-dir", grant]));
    command.args(more);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary runs"));
    let output = output.await.expect("the binary is waited for");
    assert!(output.status.success(), "{}: {}", flow.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("an id is text").trim().to_owned()
}

fn backups(host: &TestHost) -> usize {
    let backups = std::fs::read_dir(host.path().join("ledger/backups")).expect("it is there");
    backups
        .filter(|entry| entry.as_ref().is_ok_and(|e| !e.file_name().to_string_lossy().starts_with('.')))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_flow_runs_from_its_file_and_is_undone_on_request() {
    for flow in flows() {
        let host = host().await;
        let job = submit(&host, &flow, &[]).await;
        let ended = go_on(&host, &job).await;
        assert_eq!(ended.state(), JobState::Succeeded, "{}: {}", flow.display(), host.story(&job).await);
        assert!(backups(&host) > 0, "{}", flow.display());
        host.revert(&job).await.expect("it succeeded");
        assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", flow.display());
        assert_eq!(backups(&host), 0, "{} leaves nothing", flow.display());
        host.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_that_fails_half_way_is_undone_by_itself() {
    let host = host().await;
    let graph = flows().into_iter().find(|flow| flow.ends_with("graph.json")).expect("there is one");
    let job = submit(&host, &graph, &["--arg", "expect_files_min=100"]).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted);
    assert_eq!(backups(&host), 0);
    host.finish().await;
}

fn shown(flow: &std::path::Path, format: &str) -> String {
    let shown = Command::new(binary()).args(["--output", format, "flow", "show"]).arg(flow).output();
    let shown = shown.expect("the binary runs");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    String::from_utf8(shown.stdout).expect("what is shown is text")
}

#[test]
fn every_example_flow_can_be_drawn() {
    for flow in all() {
        let document: Value = serde_json::from_str(&shown(&flow, "json")).expect("it is JSON");
        let first = document["tasks"][0]["name"].as_str().expect("its first node has a name");
        let picture = shown(&flow, "table");
        assert!(
            picture.contains(&format!("├ {first}")) || picture.contains(&format!("└ {first}")),
            "{picture}"
        );
    }
}

#[test]
fn a_flow_in_yaml_is_that_in_json() {
    let json = flows().into_iter().find(|flow| flow.ends_with("linear.json")).expect("there is one");
    assert_eq!(shown(&json, "json"), shown(&json.with_extension("yaml"), "json"));
}
