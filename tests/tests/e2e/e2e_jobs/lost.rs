//! Jobs whose host is lost: taken over at once, told so, quarantined past a bound, and released.

use tonic::Code;
use windlass_core::decide::CLAIMS_LOST_MAX;
use windlass_proto::v1;
use windlass_proto::v1::{CancelMode, JobState};
use windlass_tests::harness::{TestHost, code};
use windlass_tests::work::{flow, gate, task};

/// A job that was lost in its second task as often as it takes.
async fn quarantined(host: &mut TestHost, gate_name: &str) -> String {
    let job = host.submit(flow([task("a", "ok"), gate(gate_name), task("c", "ok")])).await;
    for lost in 0..=CLAIMS_LOST_MAX {
        host.until_attempt(&job, gate_name, lost + 1).await;
        host.crash().await;
    }
    assert_eq!(host.state(&job).await, JobState::Quarantined);
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_host_was_lost_goes_on_at_once_under_the_same_key() {
    let mut host = TestHost::start().await;
    let job = host.submit(flow([task("a", "ok"), gate("b"), task("c", "ok")])).await;
    host.until_called(&job, "apply b").await;
    host.crash().await;
    host.open_gate("b");
    let ended = host.wait(&job).await;
    assert_eq!((ended.state(), ended.epoch), (JobState::Succeeded, 2));
    assert_eq!(host.calls(&job), "apply a, apply b, apply b, apply c");
    let calls = host.ledger_of(&job);
    assert_eq!(calls[1].key, calls[2].key);
    assert_eq!((calls[2].attempt, calls[2].prior.as_str()), (2, "interrupted"));
    assert!(calls[2].fence > calls[1].fence);
    let hosts = host.hosts().list(v1::ListHostsRequest::default()).await.unwrap().into_inner().hosts;
    let mut states: Vec<_> = hosts.iter().map(v1::Host::state).collect();
    states.sort();
    assert_eq!(states, [v1::HostState::Live, v1::HostState::Dead]);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_loses_its_hosts_is_quarantined_until_it_is_released() {
    let mut host = TestHost::start().await;
    let job = quarantined(&mut host, "b").await;
    host.open_gate("b");
    host.restart().await;
    assert_eq!(host.state(&job).await, JobState::Quarantined);
    assert_eq!(code(host.suspend(&job).await), Code::FailedPrecondition);
    let release = v1::ReleaseJobRequest { job: job.clone(), etag: String::new() };
    host.jobs().release(release).await.unwrap();
    assert_eq!(host.wait(&job).await.state(), JobState::Succeeded);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_job_can_be_cancelled_both_ways() {
    let mut host = TestHost::start().await;
    let left = quarantined(&mut host, "b").await;
    let ended = host.cancel(&left, CancelMode::Leave).await.unwrap();
    let residue: Vec<_> = ended.residue.iter().map(|name| name.task.as_str()).collect();
    assert_eq!((ended.state(), residue), (JobState::Failed, vec!["a", "b"]));

    let reverted = quarantined(&mut host, "d").await;
    host.cancel(&reverted, CancelMode::Revert).await.unwrap();
    assert_eq!(host.wait(&reverted).await.state(), JobState::Reverted);
    let calls = host.ledger_of(&reverted);
    let revert = calls.iter().find(|line| line.call() == "revert d").expect("what is in doubt is undone");
    assert_eq!(revert.evidence["end"], "interrupted");
    host.finish().await;
}
