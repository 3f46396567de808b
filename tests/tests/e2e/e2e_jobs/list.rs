//! Lists: C07, filters, and pages that neither repeat nor skip.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use tonic::Code;
use windlass_core::permit::{Policy, Rule};
use windlass_proto::v1;
use windlass_proto::v1::JobState;
use windlass_tests::harness::{HostOptions, TestHost, as_principal, code};
use windlass_tests::work::{action, flow, timestamp};

/// Everybody may do everything with what is theirs; `local` and `admin` with all there is.
fn by_owner() -> Policy {
    let theirs = Rule { owners: vec!["self".to_owned()], ..Rule::default() };
    let all = Rule { principals: vec!["admin".to_owned(), "local".to_owned()], ..Rule::default() };
    Policy { rules: vec![theirs, all] }
}

async fn submit_as(host: &TestHost, principal: &'static str, job_type: &str) -> String {
    let spec = v1::JobSpec { r#type: job_type.to_owned(), grants: None, ..host.spec(flow([])) };
    let request = v1::SubmitJobRequest { job: Some(Box::new(spec)), ..v1::SubmitJobRequest::default() };
    host.jobs().submit(as_principal(principal, request)).await.unwrap().into_inner().job.unwrap().id
}

async fn listed(host: &TestHost, principal: &'static str, filter: v1::ListJobsRequest) -> Vec<String> {
    let page = host.jobs().list(as_principal(principal, filter)).await.unwrap().into_inner();
    page.jobs.into_iter().map(|job| job.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_a_principal_sees_its_own_jobs_and_an_admin_all() {
    let host = TestHost::start_with(HostOptions { policy: by_owner(), ..HostOptions::default() }).await;
    let mut jobs = BTreeMap::new();
    for owner in ["ann", "bob", "cid"] {
        for job_type in ["nightly", "adhoc"] {
            jobs.insert((owner, job_type), submit_as(&host, owner, job_type).await);
        }
    }
    let nightly = v1::ListJobsRequest { r#type: "nightly".to_owned(), ..v1::ListJobsRequest::default() };
    assert_eq!(listed(&host, "ann", nightly.clone()).await, [jobs[&("ann", "nightly")].clone()]);
    assert_eq!(listed(&host, "bob", v1::ListJobsRequest::default()).await.len(), 2);

    let all = v1::ListJobsRequest { all_owners: true, ..nightly.clone() };
    assert_eq!(listed(&host, "admin", all.clone()).await.len(), 3);
    assert_eq!(code(host.jobs().list(as_principal("ann", all)).await), Code::PermissionDenied);
    let bobs = v1::ListJobsRequest { owner: "bob".to_owned(), ..nightly };
    assert_eq!(listed(&host, "admin", bobs.clone()).await, [jobs[&("bob", "nightly")].clone()]);
    assert_eq!(code(host.jobs().list(as_principal("ann", bobs)).await), Code::PermissionDenied);
    let get = v1::GetJobRequest { job: jobs[&("bob", "nightly")].clone() };
    assert_eq!(code(host.jobs().get(as_principal("ann", get)).await), Code::PermissionDenied);
    let cancel =
        v1::CancelJobRequest { job: jobs[&("bob", "adhoc")].clone(), ..v1::CancelJobRequest::default() };
    assert_eq!(code(host.jobs().cancel(as_principal("ann", cancel)).await), Code::PermissionDenied);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_pages_are_stable_while_jobs_are_added() {
    let host = TestHost::start().await;
    let mut before = Vec::new();
    for _ in 0..7 {
        before.push(host.submit_spec(host.spec(flow([]))).await);
    }
    let mut seen = Vec::new();
    let mut request = v1::ListJobsRequest { page_size: 2, ..v1::ListJobsRequest::default() };
    loop {
        let page = host.jobs().list(request.clone()).await.unwrap().into_inner();
        seen.extend(page.jobs.into_iter().map(|job| job.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        host.submit_spec(host.spec(flow([]))).await;
    }
    before.reverse();
    assert_eq!(seen, before);

    request.r#type = "other".to_owned();
    assert_eq!(code(host.jobs().list(request.clone()).await), Code::InvalidArgument);
    request.page_token = "nonsense".to_owned();
    assert_eq!(code(host.jobs().list(request).await), Code::InvalidArgument);
    host.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_must_all_match() {
    let host = TestHost::start().await;
    let label = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
    let spec = |labels, work| v1::JobSpec { labels, ..host.spec(work) };
    let red = host.run_spec(spec(label("red"), action("ok"))).await.id;
    host.advance(TimeDelta::minutes(1));
    let middle = host.now();
    let blue = host.run_spec(spec(label("blue"), action("ok"))).await.id;
    host.advance(TimeDelta::minutes(1));
    let failed = host.run_spec(spec(label("red"), action("fail"))).await.id;
    let list = async |filter| host.list(filter).await.into_iter().map(|job| job.id).collect::<Vec<_>>();
    let any = v1::ListJobsRequest::default;

    assert_eq!(list(any()).await, [failed.clone(), blue.clone(), red.clone()]);
    assert_eq!(
        list(v1::ListJobsRequest { labels: label("red"), ..any() }).await,
        [failed.clone(), red.clone()]
    );
    let succeeded = vec![JobState::Succeeded.into()];
    let both = v1::ListJobsRequest { labels: label("red"), states: succeeded.clone(), ..any() };
    assert_eq!(list(both).await, std::slice::from_ref(&red));
    let either = vec![JobState::Reverted.into(), JobState::Succeeded.into()];
    assert_eq!(list(v1::ListJobsRequest { states: either, ..any() }).await.len(), 3);
    let since = v1::ListJobsRequest { create_time_min: Some(timestamp(middle)), ..any() };
    assert_eq!(list(since).await, [failed, blue.clone()]);
    let until = v1::ListJobsRequest { create_time_end: Some(timestamp(middle)), ..any() };
    assert_eq!(list(until).await, [red]);
    let unknown = v1::ListJobsRequest { operation: "no-such-operation".to_owned(), ..any() };
    assert_eq!(code(host.jobs().list(unknown).await), Code::NotFound);
    assert_eq!(
        list(v1::ListJobsRequest { r#type: "operation".to_owned(), ..any() }).await,
        Vec::<String>::new()
    );
    host.finish().await;
}
