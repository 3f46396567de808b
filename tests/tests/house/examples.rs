//! The example flows run as they are, from their files, through the binary: each succeeds, and a failure undoes it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use windlass_proto::v1::JobState;
use windlass_tests::harness::TestHost;
use windlass_tests::plugins;

fn binary() -> PathBuf {
    let binary = plugins::target_directory().join("release/windlass");
    assert!(binary.is_file(), "{} is missing: build it with `make build`", binary.display());
    binary
}

fn flows() -> Vec<PathBuf> {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.parent().expect("the crate is in the repository").join("examples/flows");
    let mut flows: Vec<_> = std::fs::read_dir(folder)
        .expect("there are examples")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    flows.sort();
    assert!(flows.len() >= 4, "a file for each construct: {flows:?}");
    flows
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

/// Submits the flow as a person would, and gives the job.
async fn submit(host: &TestHost, flow: &std::path::Path, more: &[&str]) -> String {
    let grant = |name: &str, guest: &str| format!("{}:{guest}", host.path().join(name).display());
    let mut command = Command::new(binary());
    command.args(["--output", "id", "--host", &host.url(), "job", "submit", "--flow"]).arg(flow);
    command.args([
        "--grant-dir",
        &grant("ledger/source", "/source:ro"),
        "--grant-dir",
        &grant("ledger/backups", "/backup:rw"),
    ]);
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
        let ended = host.wait(&job).await;
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

#[test]
fn every_example_flow_can_be_drawn() {
    for flow in flows() {
        let shown =
            Command::new(binary()).args(["flow", "show"]).arg(&flow).output().expect("the binary runs");
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        let picture = String::from_utf8(shown.stdout).expect("a picture is text");
        let text = std::fs::read_to_string(&flow).expect("an example can be read");
        let document: Value = serde_json::from_str(&text).expect("an example is JSON");
        let first = document["tasks"][0]["name"].as_str().expect("its first node has a name");
        assert!(picture.contains(&format!("├ {first}")), "{picture}");
    }
}
