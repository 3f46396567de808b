//! A disk that is really full: at the start, and under a host that runs jobs.

use std::time::Duration;

use serde_json::json;
use tokio_stream::StreamExt as _;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;
use windlass_tests::crash::client::Client;
use windlass_tests::crash::process::{Ended, HostProcess, Started, serve_command, start, windlass_program};
use windlass_tests::crash::site::Site;
use windlass_tests::plugins;
use windlass_tests::work::{flow, gate, timestamp};

use super::directory::files;
use super::small_disk::SmallDisk;
use super::{spec, stopped_well};

/// Room for a store, its reserve and compiled plugins, and a little more.
const ROOMY_MEBIBYTES: u32 = 48;
const ARGUMENT_BYTES: usize = 64 << 10;
/// Room that a store may still have in its file.
const SUBMISSIONS_MAX: usize = 5_000;
/// Once there is room, it is looked for about once a second.
const HEALS_AFTER: Duration = Duration::from_secs(30);

async fn serve(disk: &SmallDisk, site: &Site) -> Started {
    let data = disk.path().join("data");
    start(serve_command(&windlass_program(), &data, &site.ledger(), [""; 0]), site.path()).await
}

fn is_full(ended: &Ended, disk: &SmallDisk) {
    assert_eq!(ended.status.code(), Some(7), "{ended:#?}");
    let path = disk.path().join("data").display().to_string();
    for word in ["full", "free some space", path.as_str()] {
        assert!(ended.errors.contains(word), "no {word:?} in {ended:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_data_directory_on_a_full_disk_is_refused_and_taken_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(ROOMY_MEBIBYTES) else { return };
    let site = Site::fresh().await;
    std::fs::create_dir(disk.path().join("data")).expect("a directory");
    let ballast = disk.fill();
    is_full(&serve(&disk, &site).await.refused(), &disk);
    std::fs::remove_file(ballast).expect("it is ours");
    stopped_well(&serve(&disk, &site).await.ready().terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_starts_on_a_full_disk_has_all_its_jobs_or_says_what_is_wrong() {
    let Some(disk) = SmallDisk::mount(ROOMY_MEBIBYTES) else { return };
    let site = Site::fresh().await;
    let host = serve(&disk, &site).await.ready();
    let mut client = host.client().await.expect("it serves");
    client.upload(plugins::fixtures()).await.expect("there is room");
    let job = submit_later(&mut client, &site, 0).await.expect("it is taken");
    stopped_well(&host.terminate().await);
    let ballast = disk.fill();
    let before = files(&disk.path().join("data"));
    match serve(&disk, &site).await {
        Started::Ready(host) => {
            let mut client = host.client().await.expect("it serves");
            assert_eq!(client.get(&job).await.expect("it is there").job.expect("a job").id, job);
            client.cancel(&job, v1::CancelMode::Leave).await.expect("what ends a job has room");
            stopped_well(&host.terminate().await);
        }
        Started::Ended(ended) => {
            is_full(&ended, &disk);
            assert_eq!(files(&disk.path().join("data")), before, "nothing is changed");
        }
    }
    std::fs::remove_file(ballast).expect("it is ours");
    let host = serve(&disk, &site).await.ready();
    assert_eq!(host.client().await.expect("it serves").list().await.expect("readable").len(), 1);
    stopped_well(&host.terminate().await);
}

/// A job that is not due for an hour, with so many bytes of arguments.
async fn submit_later(client: &mut Client, site: &Site, bytes: usize) -> Result<String, tonic::Status> {
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let job = v1::JobSpec {
        work: Some(flow([])),
        arguments_json: json!({ "fill": "x".repeat(bytes) }).to_string(),
        execute_time: Some(timestamp(later)),
        ..spec(site, Vec::new())
    };
    Ok(client.submit(job, "").await?.job.expect("a job").id)
}

/// Submits until the disk is full, and returns what the client is told then.
async fn fill_store(client: &mut Client, site: &Site) -> tonic::Status {
    for _ in 0..SUBMISSIONS_MAX {
        if let Err(status) = submit_later(client, site, ARGUMENT_BYTES).await {
            return status;
        }
    }
    panic!("the disk never got full");
}

async fn submit_when_healed(client: &mut Client, site: &Site) -> String {
    let healed = tokio::time::timeout(HEALS_AFTER, async {
        loop {
            match submit_later(client, site, 0).await {
                Ok(job) => return job,
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    healed.await.expect("a host heals unaided")
}

/// Watches until the stream ends, and returns the sequence numbers.
async fn watched(mut watch: tonic::Streaming<v1::WatchJobResponse>) -> Vec<u64> {
    let mut sequences = Vec::new();
    while let Some(message) = watch.next().await {
        if let Some(Event::Entry(entry)) = message.expect("the watch outlives the full disk").event {
            sequences.push(entry.sequence);
        }
    }
    sequences
}

async fn submit_gate(host: &HostProcess, site: &Site) -> (Client, String) {
    let mut client = host.client().await.expect("it serves");
    client.upload(plugins::fixtures()).await.expect("there is room");
    let submitted = client.submit(spec(site, vec![gate("a"), gate("b")]), "").await.expect("it is taken");
    site.begun("apply a", 1).await;
    (client, submitted.job.expect("a job").id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_8_a_real_disk_that_is_full_heals_without_a_restart_while_a_watch_is_open() {
    let Some(disk) = SmallDisk::mount(ROOMY_MEBIBYTES) else { return };
    let site = Site::fresh().await;
    let host = serve(&disk, &site).await.ready();
    let (mut client, job) = submit_gate(&host, &site).await;
    let waiting = submit_later(&mut client, &site, 0).await.expect("it is taken");
    let watching = tokio::spawn(watched(client.watch(&job).await.expect("it can be watched")));
    let ballast = disk.fill();
    let refused = fill_store(&mut client, &site).await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("full"), "{refused:?}");
    // The call ends, and its outcome has nowhere to go.
    site.open_gate("a");
    // Reads work, and what ends or removes things.
    client.get(&job).await.expect("reads work");
    assert!(!client.list().await.expect("reads work").is_empty());
    let cancelled = client.cancel(&waiting, v1::CancelMode::Leave).await.expect("cancelling works");
    assert_eq!(cancelled.state(), v1::JobState::Cancelled);
    let purge = v1::PurgeJobRequest { job: waiting, etag: String::new() };
    client.jobs.purge(purge).await.expect("purging works");
    std::fs::remove_file(ballast).expect("it is ours");
    submit_when_healed(&mut client, &site).await;
    site.open_gate("b");
    let ended = client.wait(&job).await.expect("it ends");
    assert_eq!(ended.state(), v1::JobState::Succeeded);
    assert_eq!(watching.await.expect("no panic"), (1..=ended.sequence).collect::<Vec<_>>());
    let calls: Vec<_> = site.lines().into_iter().map(|line| (line.call(), line.attempt)).collect();
    assert_eq!(calls, [("apply a".to_owned(), 1), ("apply b".to_owned(), 1)], "no call is repeated");
    stopped_well(&host.terminate().await);
}
