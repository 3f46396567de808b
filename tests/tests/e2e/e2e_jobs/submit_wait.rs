//! Submissions that wait: one call from asking to the end of the job, and what of it is kept where the call breaks.

use std::time::Duration;

use chrono::TimeDelta;
use tonic::Code;
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_proto::v1::submit_job_result::Outcome;
use windlass_tests::harness::{TestHost, as_principal, code, field_paths};
use windlass_tests::work::{action, duration, flow, gate, timestamp};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// No job that has to wait for something ends within it.
const AT_ONCE: Duration = Duration::from_millis(1);

fn waiting(spec: v1::JobSpec, request_id: &str, wait: Duration) -> v1::SubmitJobRequest {
    let (job, request_id, wait) = (Some(Box::new(spec)), request_id.to_owned(), Some(duration(wait)));
    v1::SubmitJobRequest { job, request_id, wait, dry_run: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_is_the_job_as_it_ended_also_to_who_asks_again() {
    let host = TestHost::start().await;
    for (work, end) in [("ok", JobState::Succeeded), ("fail", JobState::Reverted)] {
        let submit = || waiting(host.spec(action(work)), work, PATIENCE);
        let first = host.jobs().submit(submit()).await.unwrap().into_inner();
        let (job, known) = (first.job.unwrap(), first.known);
        assert_eq!((job.state(), known), (end, false));
        assert_eq!(*job, host.job(&job.id).await);
        let again = host.jobs().submit(submit()).await.unwrap().into_inner();
        assert_eq!((again.job.unwrap(), again.known), (job, true));
    }
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_time_is_up_the_answer_is_the_job_as_it_is_and_it_goes_on() {
    let host = TestHost::start().await;
    let submit = |wait| waiting(host.spec(flow([gate("g")])), "again", wait);
    let early = host.jobs().submit(submit(AT_ONCE)).await.unwrap().into_inner().job.unwrap();
    assert!(matches!(early.state(), JobState::Ready | JobState::Running), "{:?}", early.state());
    // Without a time, or with none, it does not wait at all.
    for wait in [Some(duration(Duration::ZERO)), None] {
        let request = v1::SubmitJobRequest { wait, ..submit(PATIENCE) };
        assert_eq!(host.jobs().submit(request).await.unwrap().into_inner().job.unwrap().id, early.id);
    }
    let (mut jobs, request) = (host.jobs(), submit(PATIENCE));
    let told = tokio::spawn(async move { jobs.submit(request).await });
    host.open_gate("g");
    let told = told.await.unwrap().unwrap().into_inner();
    let job = told.job.unwrap();
    assert_eq!((job.id.as_str(), job.state(), told.known), (early.id.as_str(), JobState::Succeeded, true));
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_has_submitted_the_job_all_the_same() {
    let host = TestHost::start().await;
    let (mut jobs, request) = (host.jobs(), waiting(host.spec(flow([gate("g")])), "r", PATIENCE));
    let call = tokio::spawn(async move { jobs.submit(request).await });
    host.until_holds("no job is there", async || !host.list(v1::ListJobsRequest::default()).await.is_empty())
        .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    host.open_gate("g");
    let again = waiting(host.spec(flow([gate("g")])), "r", PATIENCE);
    let told = host.jobs().submit(again).await.unwrap().into_inner();
    assert_eq!((told.job.unwrap().state(), told.known), (JobState::Succeeded, true));
    assert_eq!(host.list(v1::ListJobsRequest::default()).await.len(), 1);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stops_answers_what_it_has_stored() {
    let mut host = TestHost::start().await;
    let later = v1::JobSpec {
        execute_time: Some(timestamp(host.now() + TimeDelta::days(1))),
        ..host.spec(action("ok"))
    };
    let (mut jobs, request) = (host.jobs(), waiting(later, "", PATIENCE));
    let call = tokio::spawn(async move { jobs.submit(request).await });
    host.until_holds("no job is there", async || !host.list(v1::ListJobsRequest::default()).await.is_empty())
        .await;
    host.stop().await;
    let job = call.await.unwrap().expect("it is stored, so that it is told of").into_inner().job.unwrap();
    assert_eq!(job.state(), JobState::Scheduled);
    host.restart().await;
    assert_eq!(host.state(&job.id).await, JobState::Scheduled);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_makes_no_sense_is_refused_and_stores_nothing() {
    let host = TestHost::start().await;
    let negative = prost_types::Duration { seconds: -1, nanos: 0 };
    let sound = || waiting(host.spec(action("ok")), "", PATIENCE);
    for refused in [
        v1::SubmitJobRequest { wait: Some(negative), ..sound() },
        v1::SubmitJobRequest { dry_run: true, ..sound() },
    ] {
        let refused = host.jobs().submit(refused).await.unwrap_err();
        assert_eq!((refused.code(), field_paths(&refused)), (Code::InvalidArgument, vec!["wait".to_owned()]));
    }
    let batch = v1::SubmitJobBatchRequest { requests: vec![sound()], ..Default::default() };
    let results = host.jobs().submit_batch(batch).await.unwrap().into_inner().results;
    let Some(Outcome::Refused(refused)) = &results[0].outcome else { panic!("a batch does not wait") };
    assert_eq!(refused.violations[0].field, "wait");
    assert_eq!(host.list(v1::ListJobsRequest::default()).await, []);
    // Who may not submit does not wait either.
    let nobody = as_principal("", sound());
    assert_eq!(code(host.jobs().submit(nobody).await), Code::InvalidArgument);
    host.finish().await;
}
