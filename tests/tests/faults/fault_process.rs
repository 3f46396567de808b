//! The program itself, `windlass serve`, when it is asked to stop, and when its data directory is not as it should be.

mod directory;
mod disk;
mod small_disk;

use std::time::{Duration, Instant};

use tokio_stream::StreamExt as _;
use windlass_core::entry::Fact;
use windlass_core::instance::TaskState;
use windlass_core::job::JobState;
use windlass_host::store::{HostState, Record, RecordKind, Store};
use windlass_proto::v1;
use windlass_tests::crash::process::{Ended, HostProcess, windlass};
use windlass_tests::crash::site::Site;
use windlass_tests::crash::witness::{self, Found};
use windlass_tests::work::{Shape as _, flow, gate, literal, task};
use windlass_tests::{invariants, plugins};

/// More than a host without running calls needs to stop, on a busy machine.
const PROMPT: Duration = Duration::from_secs(20);

/// A host with the fixtures.
async fn start(site: &Site, arguments: &[&str]) -> HostProcess {
    let host = windlass(site, arguments).await.ready();
    let mut client = host.client().await.expect("it serves");
    client.upload(plugins::fixtures()).await.expect("the fixtures are taken");
    host
}

fn spec(site: &Site, tasks: Vec<v1::Task>) -> v1::JobSpec {
    v1::JobSpec { work: Some(flow(tasks)), grants: Some(site.grants()), ..v1::JobSpec::default() }
}

/// A gate, then a task that returns at once.
async fn submit_gated(host: &HostProcess, site: &Site) -> String {
    let tasks = vec![gate("a"), task("b", "ok").with("value", literal(2.into()))];
    let mut client = host.client().await.expect("it serves");
    let job = client.submit(spec(site, tasks), "").await.expect("it is taken").job.expect("a job").id;
    site.begun("apply a", 1).await;
    job
}

/// The one job, and the host record of the process that wrote last.
async fn left(site: &Site) -> (Found, HostState) {
    let store = site.store().await;
    let mut found = witness::jobs(&*store).await;
    assert_eq!(found.len(), 1);
    let host = last_host(&*store).await;
    store.close().await;
    (found.remove(0), host)
}

async fn last_host(store: &dyn Store) -> HostState {
    let records = store.records(RecordKind::Host, None, 100).await.expect("records can be read");
    let hosts = records.into_iter().filter_map(|record| match record {
        Record::Host(host) => Some((host.started, host.state)),
        _ => None,
    });
    hosts.max_by_key(|(started, _)| *started).expect("a host was there").1
}

async fn succeed(host: HostProcess, site: &Site, job: &str) {
    let ended = host.client().await.expect("it serves").wait(job).await.expect("it is waited for");
    assert_eq!(ended.state(), v1::JobState::Succeeded);
    stopped_well(&host.terminate().await);
    let store = site.store().await;
    invariants::check(&*store, &site.lines()).await;
    witness::jobs(&*store).await;
    store.close().await;
}

fn stopped_well(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
}

/// Returns when the host has told its watchers that it stops.
async fn draining(watch: &mut tonic::Streaming<v1::WatchJobResponse>) {
    loop {
        match watch.next().await {
            Some(Ok(_)) => {}
            Some(Err(status)) => {
                assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                return;
            }
            None => panic!("a watch does not end without a word"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_sigterm_lets_a_running_call_finish_and_gives_its_job_back() {
    let site = Site::fresh().await;
    let host = start(&site, &["--drain-timeout", "10m"]).await;
    let job = submit_gated(&host, &site).await;
    let mut watch = host.client().await.expect("it serves").watch(&job).await.expect("it can be watched");
    host.signal("TERM").await;
    draining(&mut watch).await;
    site.open_gate("a");
    stopped_well(&host.ended().await);
    let (found, host) = left(&site).await;
    assert_eq!(host, HostState::Gone);
    assert_eq!((found.job.status.state, found.job.status.claim), (JobState::Ready, None));
    assert_eq!(found.job.current("a").map(|a| a.state), Some(TaskState::Applied));
    assert_eq!(found.job.current("b"), None, "nothing is begun by a host that stops");
    succeed(windlass(&site, [""; 0]).await.ready(), &site, &job).await;
    let lines: Vec<_> = site.lines().into_iter().map(|line| (line.call(), line.attempt)).collect();
    assert_eq!(lines, [("apply a".to_owned(), 1), ("apply b".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_call_that_outlives_the_drain_timeout_is_cut_and_made_again_by_the_next_host() {
    let site = Site::fresh().await;
    let host = start(&site, &["--drain-timeout", "300ms"]).await;
    let job = submit_gated(&host, &site).await;
    let asked = Instant::now();
    stopped_well(&host.terminate().await);
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    let (found, host) = left(&site).await;
    assert_eq!(host, HostState::Gone);
    assert_eq!((found.job.status.state, found.job.status.claim), (JobState::Ready, None));
    assert_eq!(found.job.current("a").map(|a| a.state), Some(TaskState::InDoubt));
    assert_eq!(found.job.status.claims_lost, 0, "giving up gracefully does not count");
    let facts: Vec<_> = found.entries.iter().map(|entry| entry.fact.kind()).collect();
    assert_eq!(facts[facts.len() - 2..], ["task.in_doubt", "job.given_up"]);
    let host = windlass(&site, [""; 0]).await.ready();
    site.begun("apply a", 2).await;
    site.open_gate("a");
    succeed(host, &site, &job).await;
    let calls = ["apply a", "apply b"].map(str::to_owned);
    assert_eq!(witness::check_ledger(&site.lines(), &calls), Some("apply a".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_a_second_signal_stops_at_once_and_what_ran_is_resumed() {
    let site = Site::fresh().await;
    let host = start(&site, &["--drain-timeout", "10m"]).await;
    let job = submit_gated(&host, &site).await;
    let mut watch = host.client().await.expect("it serves").watch(&job).await.expect("it can be watched");
    host.signal("TERM").await;
    draining(&mut watch).await;
    let asked = Instant::now();
    let ended = host.terminate().await;
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    assert_eq!(ended.status.code(), Some(5), "{ended:#?}");
    let (found, _) = left(&site).await;
    assert!(found.entries.iter().all(|entry| !matches!(entry.fact, Fact::GivenUp { .. })));
    assert_eq!(found.job.status.state, JobState::Running);
    let host = windlass(&site, [""; 0]).await.ready();
    site.begun("apply a", 2).await;
    site.open_gate("a");
    succeed(host, &site, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_a_host_without_running_calls_stops_promptly_though_clients_wait() {
    for signal in ["TERM", "INT"] {
        let site = Site::fresh().await;
        let host = start(&site, &["--drain-timeout", "10m"]).await;
        let at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
        let mut later = spec(&site, vec![gate("a")]);
        later.execute_time = Some(windlass_tests::work::timestamp(at));
        let mut client = host.client().await.expect("it serves");
        let job = client.submit(later, "").await.expect("it is taken").job.expect("a job").id;
        let mut watch = client.watch(&job).await.expect("it can be watched");
        let mut waiting = client.clone();
        let waited = tokio::spawn(async move { waiting.wait(&job).await });
        assert!(watch.next().await.is_some());
        let asked = Instant::now();
        host.signal(signal).await;
        stopped_well(&host.ended().await);
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
        draining(&mut watch).await;
        let status = waited.await.expect("no panic").expect_err("the host stopped");
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
        let (found, host) = left(&site).await;
        assert_eq!((found.job.status.state, host), (JobState::Scheduled, HostState::Gone));
    }
}
