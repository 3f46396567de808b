//! The matrix of a child job: the host dies at every write of its family's life, whoever of the two it is about, and the
//! next one goes on. The child is made once, and no call is made that an uncrashed life does not make.

use std::time::{Duration, Instant};

use windlass_core::entry::Fact;
use windlass_core::job::{Job, JobState};
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;
use windlass_tests::crash::client::{Client, is_lost};
use windlass_tests::crash::point::CrashPoint;
use windlass_tests::crash::process::{Ended, Started, crash_host};
use windlass_tests::crash::site::Site;
use windlass_tests::crash::witness::{self, Found};
use windlass_tests::work::flow;
use windlass_tests::{invariants, plugins};

use super::matrix::at_every_commit;

/// More commits than such a life takes.
const COMMITS_MAX: u64 = 96;
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
const REQUEST: &str = "the-one-request";

/// A family, and how it goes where nothing dies.
pub struct Family {
    /// Of the parent; one of them is a child job.
    pub tasks: Vec<v1::Task>,
    pub state: JobState,
    pub child: JobState,
    /// The calls of both, in the order of the ledger.
    pub calls: &'static [&'static str],
}

/// What was seen over all points.
#[derive(Debug, Default)]
pub struct Seen {
    /// The last commit at which a host died.
    pub commits: u64,
    /// Deaths after which a parent had ordered something that its child did not know.
    pub orders: usize,
    /// Deaths after which a child had ended, and its parent did not know.
    pub ends: usize,
    /// Deaths after which the child was not made yet, and the parent waited for it.
    pub unborn: usize,
}

/// Dies at one commit after the other, on both sides of each, until a life has no more of them. How many it has depends
/// on what is told together.
pub async fn at_every_write(binary: &'static str, family: &Family) -> Seen {
    let (commits, left) =
        at_every_commit(COMMITS_MAX, async |point| dies_at(binary, family, point).await).await;
    let has = |left: &&Vec<Found>, is_it: fn(&Job) -> bool| left.iter().any(|found| is_it(&found.job));
    let has_orders = |left: &&Vec<Found>| has(left, |job| job.status.orders > 0);
    Seen {
        commits,
        orders: left.iter().filter(has_orders).count(),
        ends: left.iter().filter(|left| has(left, |job| job.status.owes_end)).count(),
        unborn: left.iter().filter(|left| left.len() == 1 && has_orders(left)).count(),
    }
}

/// What the dead host left; none where the host lived on, for it had fewer commits.
async fn dies_at(binary: &str, family: &Family, point: CrashPoint) -> Option<Vec<Found>> {
    let site = Site::fresh().await;
    let (asked, ended) = live(binary, family, &site, Some(point)).await;
    if !ended.is_crash() {
        assert!(ended.status.success(), "{point}: {ended:#?}");
        check_end(&site, family, point).await;
        return None;
    }
    if let Some(Err(status)) = &asked {
        assert!(is_lost(status), "{point}: the client is told {status:?}");
    }
    let look = site.look().await;
    let left = witness::jobs(&*look.store).await;
    look.store.close().await;
    assert!(left.len() <= 2, "{point}: {left:#?}");
    let (asked, ended) = live(binary, family, &site, None).await;
    assert!(ended.status.success(), "{point}: {ended:#?}");
    asked.expect("it was ready").unwrap_or_else(|status| panic!("{point}: {status:?}"));
    check_end(&site, family, point).await;
    Some(left)
}

/// One life of a host, with a client that asks as long as it lives. No answer: it did not get ready.
async fn live(
    binary: &str,
    family: &Family,
    site: &Site,
    point: Option<CrashPoint>,
) -> (Option<Result<(), tonic::Status>>, Ended) {
    match crash_host(binary, site, point).await {
        Started::Ended(ended) => (None, ended),
        Started::Ready(host) => {
            let asked = match host.client().await {
                Ok(client) => ask(client, family, site).await,
                Err(status) => Err(status),
            };
            (Some(asked), host.stop().await)
        }
    }
}

/// What a client does: upload, submit, wait for both, and until each knows of the other. All of it may be repeated.
async fn ask(mut client: Client, family: &Family, site: &Site) -> Result<(), tonic::Status> {
    client.upload(plugins::fixtures()).await?;
    let work = Some(flow(family.tasks.clone()));
    let spec = v1::JobSpec { work, grants: Some(site.grants()), ..v1::JobSpec::default() };
    let parent = client.submit(spec, REQUEST).await?.job.map(|job| job.id).unwrap_or_default();
    client.wait(&parent).await?;
    let child = client.list().await?.into_iter().find(|job| job.id != parent).expect("it has a child").id;
    client.wait(&child).await?;
    until_told(&mut client, &child).await
}

/// Follows the child until its parent knows of its last end: that of its last run. A watch ends with the job, and may do so
/// before that is told.
async fn until_told(client: &mut Client, child: &str) -> Result<(), tonic::Status> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let runs = client.get(child).await?.job.map_or(0, |job| job.runs.len());
        let mut watch = client.watch(child).await?;
        let mut ends = 0;
        while let Some(message) = watch.message().await? {
            let Some(Event::Entry(entry)) = message.event else { continue };
            ends += usize::from(entry.kind == "job.ended");
            if ends == runs && entry.kind == "job.parent_told" {
                return Ok(());
            }
        }
    }
    Err(tonic::Status::deadline_exceeded(format!("job {child} does not tell its parent of its end")))
}

async fn check_end(site: &Site, family: &Family, point: CrashPoint) {
    let store = site.store().await;
    let jobs = witness::jobs(&*store).await;
    let lines = site.lines();
    invariants::check(&*store, &lines).await;
    assert_eq!(store.untold(None, 9).await.expect("readable"), [], "{point}: all is told");
    assert_eq!(store.claims().await.expect("readable"), [], "{point}: nobody has either any more");
    store.close().await;
    let (children, parents): (Vec<_>, Vec<_>) = jobs.iter().partition(|found| found.job.parent().is_some());
    assert_eq!((parents.len(), children.len()), (1, 1), "{point}: one request, one job, one child");
    let state = |found: &[&Found]| found[0].job.status.state;
    assert_eq!((state(&parents), state(&children)), (family.state, family.child), "{point}: {jobs:#?}");
    assert!(jobs.iter().all(|found| is_clean(&found.job)), "{point}: {jobs:#?}");
    let calls: Vec<_> = family.calls.iter().map(|call| (*call).to_owned()).collect();
    witness::check_ledger(&lines, &calls);
    let orders = |fact: &Fact| matches!(fact, Fact::ChildOrdered { .. });
    let ordered = parents[0].entries.iter().filter(|entry| orders(&entry.fact)).count();
    let is_undone = family.child == JobState::Reverted && family.calls.contains(&"apply c");
    assert_eq!(ordered, if is_undone { 2 } else { 1 }, "{point}: {:#?}", parents[0].entries);
}

fn is_clean(job: &Job) -> bool {
    job.status.residue.is_empty() && job.status.request.is_none() && !job.status.is_untold()
}
