//! The board: W01, and order.

use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_tests::harness::{HostOptions, TestHost};
use windlass_tests::work::{flow, gate};

async fn in_state(host: &TestHost, state: JobState) -> usize {
    host.list(v1::ListJobsRequest { states: vec![state.into()], ..v1::ListJobsRequest::default() })
        .await
        .len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w01_two_slots_run_two_jobs_and_each_release_lets_one_in() {
    let host = TestHost::start_with(HostOptions { slots: 2, ..HostOptions::default() }).await;
    let mut jobs = Vec::new();
    for index in 0..5 {
        jobs.push(host.submit(flow([gate(&format!("g{index}"))])).await);
    }
    host.until_called(&jobs[0], "apply g0").await;
    host.until_called(&jobs[1], "apply g1").await;
    for released in 0..5 {
        let (running, ready) = (5 - released, 3_usize.saturating_sub(released));
        assert_eq!(in_state(&host, JobState::Running).await, running.min(2));
        assert_eq!(in_state(&host, JobState::Ready).await, ready);
        let hosts = host.hosts().list(v1::ListHostsRequest::default()).await.unwrap().into_inner().hosts;
        assert_eq!((hosts[0].slots, hosts[0].state()), (2, v1::HostState::Live));
        assert_eq!(host.ledger().len(), (released + 2).min(5));

        host.open_gate(&format!("g{released}"));
        assert_eq!(host.wait(&jobs[released]).await.state(), JobState::Succeeded);
        if let Some(next) = jobs.get(released + 2) {
            host.until_called(next, &format!("apply g{}", released + 2)).await;
        }
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_jobs_run_by_priority_then_age() {
    let host = TestHost::start_with(HostOptions { slots: 1, ..HostOptions::default() }).await;
    let first = host.submit(flow([gate("g")])).await;
    host.until_called(&first, "apply g").await;
    let mut expected = Vec::new();
    for priority in [0, -5, 7, 0, 1_000, -1_000] {
        let spec = v1::JobSpec { priority, ..host.spec(windlass_tests::work::action("ok")) };
        expected.push((std::cmp::Reverse(priority), expected.len(), host.submit_spec(spec).await));
    }
    expected.sort();
    host.open_gate("g");
    for (_, _, job) in &expected {
        host.wait(job).await;
    }
    let order: Vec<_> = host.ledger().into_iter().skip(1).map(|line| line.job).collect();
    assert_eq!(order, expected.into_iter().map(|(_, _, job)| job).collect::<Vec<_>>());
    host.finish().await;
}

/// What is told of a submission is what is stored with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_begins_with_its_birth_where_a_slot_is_free_and_waits_on_the_board_otherwise() {
    let host = TestHost::start_with(HostOptions { slots: 1, ..HostOptions::default() }).await;
    let first = host.try_submit(host.spec(flow([gate("g")]))).await.expect("it is taken");
    let second = host.try_submit(host.spec(flow([gate("h")]))).await.expect("it is taken");
    assert_eq!((first.state(), second.state()), (JobState::Running, JobState::Ready));
    let kinds = host.kinds(&first.id).await;
    assert_eq!(kinds[..4], ["job.created", "job.triggered", "job.claimed", "task.applying"]);
    assert_eq!(host.kinds(&second.id).await, kinds[..2]);
    host.open_gate("g");
    host.open_gate("h");
    for job in [&first.id, &second.id] {
        assert_eq!(host.wait(job).await.state(), JobState::Succeeded);
    }
    host.finish().await;
}
