//! The provisioning example on a host: the test plays the provider. Where it fails is what the `house` suite has, with
//! the files of the example.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use windlass_proto::v1;
use windlass_proto::v1::{JobState, TaskState};
use windlass_tests::harness::TestHost;
use windlass_tests::plugins;
use windlass_tests::work::{Shape as _, flow, instant, literal, named};

/// A host with the example, two free addresses, and a configuration that somebody wrote by hand.
async fn ground() -> TestHost {
    let host = TestHost::bare().await;
    host.upload(plugins::provision()).await;
    for directory in ["pool/free", "machines", "provider/answers"] {
        std::fs::create_dir_all(at(&host, directory)).expect("a directory below the ledger");
    }
    for address in ["10.0.0.10", "10.0.0.11"] {
        std::fs::write(at(&host, &format!("pool/free/{address}")), "").expect("a file below the ledger");
    }
    std::fs::write(at(&host, "machines/web.json"), "by hand").expect("a file below the ledger");
    host
}

fn at(host: &TestHost, path: &str) -> PathBuf {
    host.path().join("ledger").join(path)
}

/// The names of the files in a directory, where there is one.
fn files(host: &TestHost, directory: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(at(host, directory)).into_iter().flatten();
    entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect()
}

fn task(name: &str) -> v1::Task {
    let task = windlass_tests::work::task(name, name);
    v1::Task { plugin: "provision".to_owned(), ..task }.with("machine", literal(json!("web")))
}

/// Submits the three tasks, and returns when the machine was looked for once, in vain.
async fn begin(host: &TestHost) -> String {
    let work = flow([
        task("reserve").provides("address", "/address"),
        task("configure")
            .with("address", named("address"))
            .with("settings", literal(json!({ "role": "proxy" }))),
        task("acquire").with("address", named("address")).provides("serial", "/serial"),
    ]);
    let directory =
        |name: &str| host.grant(&format!("ledger/{name}"), &format!("/{name}"), v1::Access::ReadWrite);
    let directories = ["pool", "machines", "provider"].map(directory).to_vec();
    let grants = v1::Grants { directories, memory_bytes_max: None };
    let job = host.submit_spec(v1::JobSpec { grants: Some(grants), ..host.spec(work) }).await;
    host.until(&job, "job.waiting", "").await;
    look_again(host, &job).await;
    host.until(&job, "task.not_ready", "acquire").await;
    host.until_state(&job, JobState::Waiting).await;
    assert_eq!(host.task(&job, "acquire").await.state(), TaskState::Observing);
    job
}

async fn look_again(host: &TestHost, job: &str) {
    let next = instant(host.task(job, "acquire").await.next_try_time.as_ref()).expect("it is looked at");
    host.clock.set(next);
}

/// Answers the one request that there is.
fn answer(host: &TestHost, answer: &Value) {
    let requests = files(host, "provider/requests");
    assert_eq!(requests.len(), 1, "{requests:?}");
    let request = requests.first().expect("there is one");
    std::fs::write(at(host, &format!("provider/answers/{request}")), answer.to_string()).expect("an answer");
}

fn assert_nothing_is_left(host: &TestHost) {
    assert_eq!(files(host, "pool/free").len(), 2, "the address is free again");
    assert_eq!(files(host, "pool/taken"), BTreeSet::new());
    assert_eq!(std::fs::read_to_string(at(host, "machines/web.json")).expect("it is there"), "by hand");
    assert_eq!(files(host, "machines").len(), 1);
    assert_eq!(files(host, "provider/requests"), BTreeSet::new());
    assert_eq!(files(host, "provider/withdrawn").len(), 1, "the provider is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_provisioned_when_its_provider_has_it_ready_and_undone_on_request() {
    let mut host = ground().await;
    let job = begin(&host).await;
    assert_eq!(files(&host, "pool/free"), BTreeSet::from(["10.0.0.11".to_owned()]));
    host.crash().await;
    answer(&host, &json!({ "ready": { "serial": "M-7" } }));
    look_again(&host, &job).await;
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded, "{}", host.story(&job).await);
    assert_eq!(host.output(&job, "serial").await, json!("M-7"));
    let written = std::fs::read(at(&host, "machines/web.json")).expect("it is there");
    let written: Value = serde_json::from_slice(&written).expect("a configuration is JSON");
    assert_eq!((&written["address"], &written["settings"]["role"]), (&json!("10.0.0.10"), &json!("proxy")));

    host.revert(&job).await.expect("it succeeded");
    assert_eq!(host.wait(&job).await.state(), JobState::Reverted, "{}", host.story(&job).await);
    assert_nothing_is_left(&host);
    host.finish().await;
}
