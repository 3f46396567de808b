//! The matrix of an event that jobs wait for: the host dies at every write of its publication, and the publisher, who was
//! not answered, publishes it again. Each job is given it once.

use windlass_core::entry::Fact;
use windlass_core::job::JobState;
use windlass_host::store::UniqueKey;
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;
use windlass_tests::crash::client::{Client, is_lost};
use windlass_tests::crash::point::{CrashPoint, Side, Write};
use windlass_tests::crash::process::{Ended, Started, crash_host};
use windlass_tests::crash::site::Site;
use windlass_tests::crash::witness::{self, Found};
use windlass_tests::work::{flow, task};
use windlass_tests::{invariants, plugins};

/// Jobs that wait for the event.
const JOBS: usize = 3;
/// More commits than such a life takes.
const COMMITS_MAX: u64 = 64;
const SOURCE: &str = "/ci";
const EVENT: &str = "build-1";

/// What was seen over all points.
#[derive(Debug, Default)]
pub struct Seen {
    /// The last commit at which a host died.
    pub commits: u64,
    /// Deaths after which some of the jobs had the event, and others had not.
    pub in_the_middle: usize,
    /// Deaths after which all had it, and its publisher could not know.
    pub unacknowledged: usize,
}

/// Dies at one commit after the other, on both sides of each, until a life has no more of them.
pub async fn at_every_write(binary: &'static str) -> Seen {
    let mut seen = Seen::default();
    for number in 1..=COMMITS_MAX {
        let point = |side| CrashPoint { write: Write::Commit, number, side };
        let (before, after) = (point(Side::Before), point(Side::After));
        let (before, after) = tokio::join!(dies_at(binary, before), dies_at(binary, after));
        if before.is_none() && after.is_none() {
            return seen;
        }
        seen.commits = number;
        for (given, is_answered) in before.into_iter().chain(after) {
            seen.in_the_middle += usize::from(given > 0 && given < JOBS);
            seen.unacknowledged += usize::from(given == JOBS && !is_answered);
        }
    }
    panic!("a life does not need {COMMITS_MAX} commits: {seen:?}");
}

/// How many jobs had the event when the host died, and whether its publisher was answered; none where the host lived on,
/// for it had fewer commits.
async fn dies_at(binary: &str, point: CrashPoint) -> Option<(usize, bool)> {
    let site = Site::fresh().await;
    let (asked, ended) = live(binary, &site, Some(point)).await;
    if !ended.is_crash() {
        assert!(ended.status.success(), "{point}: {ended:#?}");
        check_end(&site, point).await;
        return None;
    }
    let is_answered = match asked {
        Some(Asked { published: Some(_), .. }) => true,
        Some(Asked { error: Some(status), .. }) => {
            assert!(is_lost(&status), "{point}: the client is told {status:?}");
            false
        }
        Some(_) | None => false,
    };
    let look = site.look().await;
    let left = witness::jobs(&*look.store).await;
    let key = UniqueKey::Event { source: SOURCE.to_owned(), id: EVENT.to_owned() };
    let is_taken = look.store.holder(&key).await.expect("a key can be read").is_some();
    look.store.close().await;
    let given = left.iter().filter(|found| answers(found) > 0).count();
    assert!(!is_answered || is_taken, "{point}: who was answered need not publish again");
    assert!(!is_taken || given == JOBS, "{point}: the key is taken when all have the event");

    let (asked, ended) = live(binary, &site, None).await;
    assert!(ended.status.success(), "{point}: {ended:#?}");
    let asked = asked.expect("it was ready");
    assert!(asked.error.is_none(), "{point}: {:?}", asked.error);
    let published = asked.published.expect("it was published");
    assert_eq!(published.outcome() == v1::EventOutcome::Duplicate, is_taken, "{point}: {published:?}");
    if !is_taken {
        assert_eq!(published.delivered_job_count as usize, JOBS - given, "{point}: {published:?}");
    }
    check_end(&site, point).await;
    Some((given, is_answered))
}

/// How far a client came.
#[derive(Default)]
struct Asked {
    published: Option<v1::EventResult>,
    error: Option<tonic::Status>,
}

async fn live(binary: &str, site: &Site, point: Option<CrashPoint>) -> (Option<Asked>, Ended) {
    match crash_host(binary, site, point).await {
        Started::Ended(ended) => (None, ended),
        Started::Ready(host) => {
            let mut asked = Asked::default();
            asked.error = match host.client().await {
                Ok(client) => ask(client, site, &mut asked.published).await.err(),
                Err(status) => Some(status),
            };
            (Some(asked), host.stop().await)
        }
    }
}

/// What a client does: upload, submit, publish when all wait, and wait for the ends. All of it may be repeated.
async fn ask(
    mut client: Client,
    site: &Site,
    published: &mut Option<v1::EventResult>,
) -> Result<(), tonic::Status> {
    client.upload(plugins::fixtures()).await?;
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        let submitted = client.submit(spec(site), &format!("job-{number}")).await?;
        jobs.push(submitted.job.expect("a submission answers a job").id);
    }
    for job in &jobs {
        until_waiting(&mut client, job).await?;
    }
    let event = v1::CloudEvent {
        id: EVENT.to_owned(),
        source: SOURCE.to_owned(),
        r#type: "built".to_owned(),
        ..v1::CloudEvent::default()
    };
    let request = v1::PublishEventsRequest { events: vec![event] };
    *published = client.events.publish(request).await?.into_inner().results.pop();
    for job in &jobs {
        let ended = client.wait(job).await?;
        assert_eq!(ended.state(), v1::JobState::Succeeded, "{ended:#?}");
    }
    Ok(())
}

fn spec(site: &Site) -> v1::JobSpec {
    let wait = v1::WaitEvent { r#type: "built".to_owned(), ..v1::WaitEvent::default() };
    let wait =
        v1::Task { name: "w".to_owned(), wait: Some(v1::task::Wait::WaitEvent(wait)), ..v1::Task::default() };
    let work = Some(flow([wait, task("a", "ok")]));
    v1::JobSpec { work, grants: Some(site.grants()), ..v1::JobSpec::default() }
}

/// Returns when the wait has begun, in this life of the host or an earlier one.
async fn until_waiting(client: &mut Client, job: &str) -> Result<(), tonic::Status> {
    let mut watch = client.watch(job).await?;
    while let Some(message) = watch.message().await? {
        if matches!(message.event, Some(Event::Entry(entry)) if entry.kind == "task.waiting") {
            return Ok(());
        }
    }
    Err(tonic::Status::unavailable("the watch has ended"))
}

fn answers(found: &Found) -> usize {
    found.entries.iter().filter(|entry| matches!(entry.fact, Fact::TaskAnswered { .. })).count()
}

async fn check_end(site: &Site, point: CrashPoint) {
    let store = site.store().await;
    let jobs = witness::jobs(&*store).await;
    invariants::check(&*store, &site.lines()).await;
    assert_eq!(
        store.awaiting("built", None, 10).await.expect("readable"),
        [],
        "{point}: nobody waits any more"
    );
    store.close().await;
    assert_eq!(jobs.len(), JOBS, "{point}: one request, one job");
    for found in &jobs {
        assert_eq!(found.job.status.state, JobState::Succeeded, "{point}: {:#?}", found.job.status);
        assert_eq!(answers(found), 1, "{point}: {:#?}", found.entries);
        assert_eq!(found.job.instances.len(), 2, "{point}: no instance is made twice");
    }
}
