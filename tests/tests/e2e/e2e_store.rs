//! Backups of a running host, and hosts that go on from them.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tonic::{Code, Status};
use windlass_core::id::Digest;
use windlass_core::permit::Policy;
use windlass_host::clock::Clock as _;
use windlass_host::engine::Limits;
use windlass_host::store::{RedbStore, canonical, check};
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_proto::v1::store_service_client::StoreServiceClient;
use windlass_tests::harness::{HostOptions, TestHost, as_principal, code};
use windlass_tests::work::{Shape as _, flow, gate, literal, task, timestamp};

/// Jobs of the busy host.
const JOBS: usize = 40;
/// More than is on its way between a host and a client that takes nothing.
const LARGE_BYTES: usize = 32 << 20;

async fn backup(host: &TestHost) -> Result<Vec<u8>, Status> {
    let mut client = StoreServiceClient::new(host.channel());
    let mut answers = client.backup(v1::BackupStoreRequest {}).await?.into_inner();
    let mut form = Vec::new();
    while let Some(answer) = answers.message().await? {
        form.extend(answer.chunk);
    }
    Ok(form)
}

/// Lets a host that was stopped go on from what was backed up, and from nothing else.
async fn restore(host: &mut TestHost, form: Vec<u8>) {
    let place = host.move_out().await;
    place.import(host.clock.now(), Cursor::new(form)).await.expect("a backup is whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_host_goes_on_where_the_backup_was_made() {
    let options = HostOptions { drain_timeout: Duration::from_millis(1), ..HostOptions::default() };
    let mut host = TestHost::start_with(options).await;
    let succeeded = host.run(flow([task("a", "ok")])).await.id;
    let suspended = host.submit(flow([task("a", "ok"), gate("b"), task("c", "ok")])).await;
    host.until_called(&suspended, "apply b").await;
    host.suspend(&suspended).await.unwrap();
    host.open_gate("b");
    host.until(&suspended, "job.suspended", "").await;
    let fails_once = flow([task("f", "fail_n").with("n", literal(json!(1)))]);
    let spec = v1::JobSpec { never_revert: true, ..host.spec(fails_once) };
    let failed = host.run_spec(spec).await;
    assert_eq!(failed.state(), JobState::Failed);
    let due = host.now() + TimeDelta::hours(1);
    let spec = v1::JobSpec { execute_time: Some(timestamp(due)), ..host.spec(flow([task("a", "ok")])) };
    let scheduled = host.submit_spec(spec).await;
    let running = host.submit(flow([gate("g"), task("z", "ok")])).await;
    host.until_called(&running, "apply g").await;

    let form = backup(&host).await.expect("a backup");
    host.stop().await;
    restore(&mut host, form).await;
    host.restart().await;

    host.open_gate("g");
    assert_eq!(host.wait(&running).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&running), "apply g, apply g, apply z");
    assert_eq!(host.state(&suspended).await, JobState::Suspended);
    host.resume(&suspended).await.unwrap();
    assert_eq!(host.wait(&suspended).await.state(), JobState::Succeeded);
    assert_eq!(host.calls(&suspended), "apply a, apply b, apply c");
    host.retry(&failed.id).await.unwrap();
    assert_eq!(host.wait(&failed.id).await.state(), JobState::Succeeded);
    assert_eq!(host.state(&scheduled).await, JobState::Scheduled);
    host.settle_at(due).await;
    assert_eq!(host.wait(&scheduled).await.state(), JobState::Succeeded);
    assert_eq!(host.state(&succeeded).await, JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_of_a_busy_host_are_each_of_one_moment() {
    let host = Arc::new(TestHost::start().await);
    let busy = tokio::spawn({
        let host = host.clone();
        async move {
            for _ in 0..JOBS {
                host.run(flow([task("a", "ok"), task("b", "ok")])).await;
            }
        }
    });
    let mut sizes = Vec::new();
    while !busy.is_finished() || sizes.is_empty() {
        let form = backup(&host).await.expect("a backup");
        // The import replays every job, and the check compares everything with everything.
        let store = RedbStore::open_in_memory().expect("opens");
        let counts = canonical::import(&store, host.now(), Cursor::new(form)).await.expect("it is whole");
        let mut findings = Vec::new();
        check::check(&store, &mut |finding| findings.push(finding.to_string())).await.expect("readable");
        assert_eq!(findings, Vec::<String>::new());
        sizes.push(counts.entries);
    }
    busy.await.expect("no panic");
    assert!(sizes.is_sorted(), "what was there stays: {sizes:?}");
    Arc::into_inner(host).expect("nobody else has it").finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_read_the_store_gets_no_backup() {
    let policy = json!({"rules": [
        {"principals": ["local"]},
        {"principals": ["ann"], "kinds": ["plugin", "trigger", "operation", "job", "event", "logbook", "host"]},
        {"principals": ["bob"], "kinds": ["store"], "verbs": ["read"]},
    ]});
    let policy: Policy = serde_json::from_value(policy).expect("a policy");
    let host = TestHost::start_with(HostOptions { policy, ..HostOptions::default() }).await;
    let mut client = StoreServiceClient::new(host.channel());
    let denied = client.backup(as_principal("ann", v1::BackupStoreRequest {})).await;
    assert_eq!(code(denied.map(drop)), Code::PermissionDenied);
    client.backup(as_principal("bob", v1::BackupStoreRequest {})).await.expect("that is permitted");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backup_at_a_time_and_one_that_is_given_up_makes_room() {
    let host = TestHost::start().await;
    let large = vec![7; LARGE_BYTES];
    host.store().put_blob(Digest::of(&large), large).await.expect("stored");
    let mut client = StoreServiceClient::new(host.channel());
    let first = client.backup(v1::BackupStoreRequest {}).await.expect("a backup begins");
    let second = client.backup(v1::BackupStoreRequest {}).await;
    assert_eq!(code(second.map(drop)), Code::ResourceExhausted);
    drop(first);
    host.until_holds("the place of the backup is not free", async || backup(&host).await.is_ok()).await;
    host.finish().await;
}

/// A host whose backups take a while, and are bounded otherwise than usual.
async fn bounded(limits: Limits) -> TestHost {
    let host = TestHost::start_with(HostOptions { limits, ..HostOptions::default() }).await;
    let large = vec![7; LARGE_BYTES];
    host.store().put_blob(Digest::of(&large), large).await.expect("stored");
    host
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_whose_time_is_up_is_cut_however_quickly_it_is_taken() {
    let host = bounded(Limits { backup_timeout: Duration::from_millis(1), ..Limits::default() }).await;
    let cut = backup(&host).await.expect_err("it takes longer");
    assert_eq!(cut.code(), Code::DeadlineExceeded, "{cut:?}");
    assert!(cut.message().contains("not taken within 1ms"), "{cut:?}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_not_taken_makes_room_and_its_client_is_told_when_it_comes_back() {
    let host = bounded(Limits { backup_pause: Duration::from_millis(20), ..Limits::default() }).await;
    let client = StoreServiceClient::new(host.channel());
    let begin = async || client.clone().backup(v1::BackupStoreRequest {}).await;
    let mut stalled = begin().await.expect("a backup begins").into_inner();
    host.until_holds("the place of the backup is not free", async || begin().await.is_ok()).await;
    let mut taken = 0;
    let cut = loop {
        match stalled.message().await {
            Ok(Some(message)) => taken += message.chunk.len(),
            Ok(None) => panic!("a backup that was cut ends with an error"),
            Err(status) => break status,
        }
    };
    assert_eq!(cut.code(), Code::DeadlineExceeded, "{cut:?}");
    assert!(cut.message().contains("not taken within 20ms"), "{cut:?}");
    assert!(taken < LARGE_BYTES, "{taken} bytes of it were kept for the client");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_stops_though_a_backup_stalls() {
    let mut host = TestHost::start().await;
    let large = vec![7; LARGE_BYTES];
    host.store().put_blob(Digest::of(&large), large).await.expect("stored");
    let mut client = StoreServiceClient::new(host.channel());
    let mut stalled = client.backup(v1::BackupStoreRequest {}).await.expect("a backup begins").into_inner();
    stalled.message().await.expect("it begins").expect("there is something");
    host.restart().await;
    let mut cut = Ok(());
    while cut.is_ok() {
        match stalled.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a backup that was cut ends with an error"),
            Err(status) => cut = Err(status),
        }
    }
    host.finish().await;
}
