//! The flows that provision a machine run from their files, through the binary: wherever they fail, nothing is left,
//! whether each task is undone by itself or all of them by one release.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use windlass_proto::v1::{self, CancelMode, JobState};
use windlass_tests::harness::TestHost;
use windlass_tests::plugins;
use windlass_tests::work::instant;

use crate::examples::{example, submit_with};

const FLOWS: [&str; 2] = ["provision.yaml", "provision-release.yaml"];
const DIRECTORIES: [&str; 3] = ["pool", "machines", "provider"];

/// Where it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Failure {
    /// There is no address.
    Reserve,
    /// The configuration cannot be written.
    Configure,
    /// The provider says no.
    Acquire,
    /// Nobody wants it any more while it is awaited.
    Cancelled,
    /// Everything went well, and is undone on request.
    Requested,
}

fn at(host: &TestHost, path: &str) -> PathBuf {
    host.path().join("ledger").join(path)
}

fn files(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect()
}

/// A pool with an address unless that is what fails, and a provider.
async fn ground(failure: Failure) -> TestHost {
    let host = TestHost::bare().await;
    host.upload(plugins::provision()).await;
    for directory in ["pool/free", "machines", "provider/answers"] {
        std::fs::create_dir_all(at(&host, directory)).expect("a directory below the ledger");
    }
    if failure != Failure::Reserve {
        std::fs::write(at(&host, "pool/free/10.0.0.10"), "").expect("a file below the ledger");
    }
    if failure == Failure::Configure {
        // What would be a file is in the way.
        std::fs::create_dir(at(&host, "machines/web.json")).expect("a directory below the ledger");
    }
    host
}

/// What is in the pool, what is configured, and what is asked of the provider.
fn left(host: &TestHost) -> [BTreeSet<String>; 4] {
    ["pool/free", "pool/taken", "machines", "provider/requests"].map(|directory| files(&at(host, directory)))
}

fn answer(host: &TestHost, answer: &Value) {
    let requests = files(&at(host, "provider/requests"));
    let request = requests.first().expect("a machine was asked for");
    std::fs::write(at(host, &format!("provider/answers/{request}")), answer.to_string()).expect("an answer");
}

/// Lets time pass to whatever comes next, until the job has ended, or waits for the provider.
async fn go_on(host: &TestHost, job: &str, until_observed: bool) -> v1::Job {
    let mut seen = 0;
    loop {
        let rests = async || {
            let job = host.job(job).await;
            job.end_time.is_some() || job.state() == JobState::Waiting && job.sequence > seen
        };
        host.until_holds("it neither waits nor ends", rests).await;
        let answer = host.get(job).await;
        let found = answer.job.expect("an answer has the job");
        let machine = answer.tasks.iter().find(|task| task.state() == v1::TaskState::Observing);
        if found.end_time.is_some() || until_observed && machine.is_some() {
            return found;
        }
        seen = found.sequence;
        let next = answer.tasks.iter().filter_map(|task| instant(task.next_try_time.as_ref())).min();
        host.clock.set(next.expect("it waits for a time"));
    }
}

async fn fails(flow: &str, failure: Failure) {
    let mut host = ground(failure).await;
    let before = left(&host);
    let grants = DIRECTORIES.map(|name| format!("{}:/{name}:rw", at(&host, name).display()));
    let job = submit_with(&host, &example(flow), &grants).await;
    if matches!(failure, Failure::Acquire | Failure::Cancelled | Failure::Requested) {
        go_on(&host, &job, true).await;
        assert_eq!(files(&at(&host, "pool/taken")).len(), 1, "{flow}: {failure:?}");
    }
    match failure {
        Failure::Acquire => answer(&host, &json!({ "refused": "none of this size" })),
        Failure::Requested => answer(&host, &json!({ "ready": { "serial": "M-7" } })),
        Failure::Cancelled => drop(host.cancel(&job, CancelMode::Revert).await.expect("it waits")),
        Failure::Reserve | Failure::Configure => {}
    }
    if failure == Failure::Acquire {
        // It is undone all the same by the host after the one that began it.
        host.crash().await;
    }
    let mut ended = go_on(&host, &job, false).await;
    if failure == Failure::Requested {
        assert_eq!(ended.state(), JobState::Succeeded, "{flow}: {}", host.story(&job).await);
        assert_eq!(host.output(&job, "serial").await, json!("M-7"));
        host.revert(&job).await.expect("it succeeded");
        ended = host.wait(&job).await;
    }
    assert_eq!(ended.state(), JobState::Reverted, "{flow}: {failure:?}: {}", host.story(&job).await);
    assert_eq!(left(&host), before, "{flow}: {failure:?} leaves nothing");
    let was_asked = matches!(failure, Failure::Acquire | Failure::Cancelled | Failure::Requested);
    let withdrawn = files(&at(&host, "provider/withdrawn")).len();
    assert_eq!(withdrawn, usize::from(was_asked), "{flow}: {failure:?}: the provider is told");
    if failure == Failure::Acquire {
        let fault = ended.cause.and_then(|cause| cause.fault).expect("it was refused");
        assert_eq!(fault.class, "machine.refused", "{flow}");
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_provisioning_fails_nothing_is_left() {
    for flow in FLOWS {
        for failure in
            [Failure::Reserve, Failure::Configure, Failure::Acquire, Failure::Cancelled, Failure::Requested]
        {
            fails(flow, failure).await;
        }
    }
}
