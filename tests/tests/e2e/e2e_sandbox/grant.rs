//! Granted directories: nothing by default, read-only, read-write, and what is not to be granted.

use serde_json::json;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::{Access, JobState};
use windlass_tests::harness::{HostOptions, TestHost, field_paths};
use windlass_tests::plugins::backup;
use windlass_tests::work::{action, action_of};

fn with_directories(host: &TestHost, work: v1::Work, directories: Vec<v1::DirectoryGrant>) -> v1::JobSpec {
    let grants = Some(v1::Grants { directories, memory_bytes_max: None });
    v1::JobSpec { grants, ..host.spec(work) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grant_there_is_no_directory() {
    let host = TestHost::start().await;
    let job = host
        .run_spec(v1::JobSpec { never_revert: true, ..with_directories(&host, action("ok"), vec![]) })
        .await;
    assert_eq!(job.state(), JobState::Failed);
    assert_eq!(host.ledger(), []);
    let fault = host.task(&job.id, "ok").await.apply_fault.unwrap();
    assert!(!fault.class.starts_with("host."), "the guest got an error code and went on: {fault:?}");
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_grant_is_not_written() {
    let host = TestHost::start().await;
    let read_only = vec![host.grant("ledger", "/ledger", Access::ReadOnly)];
    let spec = v1::JobSpec { never_revert: true, ..with_directories(&host, action("ok"), read_only) };
    let job = host.run_spec(spec).await;
    assert_eq!(job.state(), JobState::Failed);
    assert_eq!(host.ledger(), []);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_read_and_an_archive_written_where_each_is_granted() {
    let options = HostOptions { read_only_directories: vec!["source".to_owned()], ..HostOptions::default() };
    let host = TestHost::bare_with(options).await;
    host.upload(backup()).await;
    std::fs::write(host.path().join("source/one.txt"), "one").unwrap();
    std::fs::write(host.path().join("source/two.txt"), "two").unwrap();
    let grants = vec![
        host.grant("source", "/source", Access::ReadOnly),
        host.grant("ledger", "/backup", Access::ReadWrite),
    ];
    let job = host.run_spec(with_directories(&host, action_of("backup", "snapshot"), grants)).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let snapshot = host.output(&job.id, "snapshot").await;
    assert_eq!((&snapshot["files"], &snapshot["bytes"]), (&json!(2), &json!(6)));
    let archive = host.path().join("ledger").join(snapshot["archive"].as_str().unwrap());
    assert!(archive.is_file());
    host.revert(&job.id).await.unwrap();
    assert_eq!(host.wait(&job.id).await.state(), JobState::Reverted);
    assert!(!archive.exists());
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_does_not_allow_is_refused_at_admission() {
    let options = HostOptions { read_only_directories: vec!["source".to_owned()], ..HostOptions::default() };
    let host = TestHost::start_with(options).await;
    std::fs::create_dir(host.path().join("secret")).unwrap();
    std::os::unix::fs::symlink(host.path().join("secret"), host.path().join("ledger/link")).unwrap();
    std::fs::create_dir(host.path().join("ledger/below")).unwrap();
    for grant in [
        host.grant("secret", "/x", Access::ReadOnly),
        host.grant("ledger/link", "/x", Access::ReadOnly),
        host.grant("ledger/../secret", "/x", Access::ReadOnly),
        host.grant("source", "/x", Access::ReadWrite),
        host.grant("ledger/missing", "/x", Access::ReadOnly),
        host.grant("ledger", "relative", Access::ReadOnly),
        v1::DirectoryGrant { host_path: "ledger".to_owned(), ..host.grant("ledger", "/x", Access::ReadOnly) },
        v1::DirectoryGrant { access: 0, ..host.grant("ledger", "/x", Access::ReadOnly) },
    ] {
        let spec = with_directories(&host, action("ok"), vec![grant.clone()]);
        let refused = host.try_submit(spec).await.expect_err(&format!("{grant:?}"));
        assert_eq!(refused.code(), Code::InvalidArgument, "{grant:?}: {refused}");
        assert!(field_paths(&refused).iter().any(|path| path.starts_with("job.grants")), "{refused:?}");
    }
    let below = vec![
        host.grant("ledger", "/ledger", Access::ReadWrite),
        host.grant("ledger/below", "/below", Access::ReadWrite),
    ];
    let job = host.run_spec(with_directories(&host, action("ok"), below)).await;
    assert_eq!(job.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_out_of_a_granted_directory_leads_nowhere() {
    let options = HostOptions { read_only_directories: vec!["source".to_owned()], ..HostOptions::default() };
    let host = TestHost::bare_with(options).await;
    host.upload(backup()).await;
    std::fs::create_dir(host.path().join("secret")).unwrap();
    std::fs::write(host.path().join("secret/key"), "do not read").unwrap();
    std::fs::write(host.path().join("source/plain"), "plain").unwrap();
    std::os::unix::fs::symlink(host.path().join("secret"), host.path().join("source/escape")).unwrap();
    let grants = vec![
        host.grant("source", "/source", Access::ReadOnly),
        host.grant("ledger", "/backup", Access::ReadWrite),
    ];
    let job = host.run_spec(with_directories(&host, action_of("backup", "snapshot"), grants)).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", host.story(&job.id).await);
    let snapshot = host.output(&job.id, "snapshot").await;
    assert_eq!((&snapshot["files"], &snapshot["bytes"]), (&json!(1), &json!(5)), "{snapshot}");
    host.finish().await;
}
