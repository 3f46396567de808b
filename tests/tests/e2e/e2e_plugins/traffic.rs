//! What an upload costs others: submissions go on while 18 MB arrive, are stored and compiled.

use std::time::{Duration, Instant};

use windlass_proto::v1;
use windlass_proto::v1::job_service_client::JobServiceClient;
use windlass_tests::harness::{TestHost, digest_text, try_upload};
use windlass_tests::plugins::{fixtures, with_padding, with_version};
use windlass_tests::work::flow;

/// As large as a Python component.
const UPLOAD_BYTES: usize = 18 << 20;
const SUBMISSIONS: usize = 300;
/// Submissions that must get through while the upload is under way: it takes seconds, and one takes milliseconds.
const THROUGH_MIN: usize = 20;

async fn submit(jobs: &mut JobServiceClient<tonic::transport::Channel>, spec: &v1::JobSpec) -> Duration {
    let request =
        v1::SubmitJobRequest { job: Some(Box::new(spec.clone())), ..v1::SubmitJobRequest::default() };
    let begun = Instant::now();
    jobs.submit(request).await.expect("the job is accepted");
    begun.elapsed()
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_go_on_while_a_large_plugin_is_uploaded() {
    let host = TestHost::start().await;
    let mut jobs = host.jobs();
    let spec = v1::JobSpec { grants: None, ..host.spec(flow([])) };
    let mut alone = Vec::new();
    for _ in 0..SUBMISSIONS {
        alone.push(submit(&mut jobs, &spec).await);
    }

    let component = with_padding(&with_version(fixtures(), "18.0.0"), UPLOAD_BYTES - fixtures().len());
    let (digest, size) = (digest_text(&component), component.len() as u64);
    let client = host.plugins();
    let uploading = tokio::spawn(async move {
        let begun = Instant::now();
        let uploaded = try_upload(client, &digest, size, &component).await.expect("the upload is accepted");
        assert!(!uploaded.known);
        begun.elapsed()
    });
    let mut during = Vec::new();
    while !uploading.is_finished() {
        during.push(submit(&mut jobs, &spec).await);
    }
    let lasted = uploading.await.expect("the upload goes through");
    let (p99_alone, p99_during) = (percentile(&mut alone, 99), percentile(&mut during, 99));
    println!(
        "submissions: p50 {:?} p99 {p99_alone:?} alone ({SUBMISSIONS}); p50 {:?} p99 {p99_during:?} max {:?} during an \
         upload of {size} bytes that took {lasted:?} ({} submissions)",
        percentile(&mut alone, 50),
        percentile(&mut during, 50),
        during.last().copied().unwrap_or_default(),
        during.len(),
    );
    assert!(during.len() >= THROUGH_MIN, "{} submissions got through in {lasted:?}", during.len());
    host.finish().await;
}
