//! The matrix: one scenario, run once without a crash to count its writes, then once for each write and side.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Status;
use windlass_core::call::Direction;
use windlass_core::instance::TaskState;
use windlass_core::job::{Cause, JobState};
use windlass_host::store::UniqueKey;
use windlass_proto::v1;
use windlass_tests::crash::client::is_lost;
use windlass_tests::crash::point::{CrashPoint, Side, Write};
use windlass_tests::crash::process::{Ended, HostProcess, Started, crash_host};
use windlass_tests::crash::site::Site;
use windlass_tests::crash::witness::{self, Found};
use windlass_tests::ledger::LedgerLine;
use windlass_tests::work::flow;
use windlass_tests::{invariants, plugins};

/// Cases at the same time: processes start on as many processors.
const PARALLEL: usize = 2;
pub const REQUEST: &str = "the-one-request";
const PRINCIPAL: &str = "local";

/// A job, and how it goes where nothing dies.
pub struct Case {
    pub tasks: Vec<v1::Task>,
    pub state: JobState,
    /// Its calls in the order of the ledger.
    pub calls: &'static [&'static str],
    /// Of tasks and scopes, in all iterations.
    pub instances: usize,
}

/// What was seen over all points.
#[derive(Debug, Default)]
pub struct Matrix {
    /// Commits of a life without a crash.
    pub commits: u64,
    /// Calls that were repeated in some case.
    pub in_doubt: BTreeSet<String>,
    /// Cases that died while the job was being reverted.
    pub died_reverting: usize,
    /// Cases that died with an observation under way.
    pub died_observing: usize,
}

/// What one case showed.
struct Seen {
    in_doubt: Option<String>,
    was_reverting: bool,
    was_observing: bool,
}

impl Case {
    pub fn spec(&self, site: &Site) -> v1::JobSpec {
        v1::JobSpec {
            work: Some(flow(self.tasks.clone())),
            arguments_json: arguments().to_string(),
            grants: Some(site.grants()),
            ..v1::JobSpec::default()
        }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.iter().map(|call| (*call).to_owned()).collect()
    }
}

fn arguments() -> Value {
    json!({ "reason": "crash", "depth": 3 })
}

fn arguments_map() -> Map<String, Value> {
    arguments().as_object().cloned().unwrap_or_default()
}

/// Every commit and every stored blob of the scenario, on both sides.
pub async fn at_every_write(binary: &'static str, case: Case) -> Matrix {
    let case = Arc::new(case);
    let commits = uncrashed(binary, &case).await;
    let points = |write, numbers: u64| {
        let sides = move |number| [Side::Before, Side::After].map(|side| CrashPoint { write, number, side });
        (1..=numbers).flat_map(sides)
    };
    let turns = Arc::new(Semaphore::new(PARALLEL));
    let mut cases = JoinSet::new();
    let mut names = HashMap::new();
    for point in points(Write::Commit, commits).chain(points(Write::Blob, 1)) {
        let (case, turns) = (case.clone(), turns.clone());
        let spawned = cases.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("turns are never closed");
            dies_at(binary, &case, point).await
        });
        names.insert(spawned.id(), point);
    }
    let mut matrix = Matrix { commits, ..Matrix::default() };
    while let Some(seen) = cases.join_next_with_id().await {
        let (_, seen) = seen.unwrap_or_else(|error| panic!("dying {}: {error}", names[&error.id()]));
        matrix.in_doubt.extend(seen.in_doubt);
        matrix.died_reverting += usize::from(seen.was_reverting);
        matrix.died_observing += usize::from(seen.was_observing);
    }
    matrix
}

/// A life without a crash; returns the number of its commits.
async fn uncrashed(binary: &str, case: &Case) -> u64 {
    let site = Site::fresh().await;
    let host = crash_host(binary, &site, None).await.ready();
    let job = ask(&host, case, &site).await.expect("nothing dies");
    assert!(!job.known, "it is new");
    let ended = host.stop().await;
    assert!(ended.status.success(), "{ended:#?}");
    let found = check_end(&site, case).await;
    assert_eq!(witness::check_ledger(&site.lines(), &case.calls()), None, "nothing is in doubt");
    assert!(found.entries.iter().all(|entry| entry.epoch <= 1), "one claim is enough");
    ended.number("commits:")
}

/// What a client does: upload, submit, wait. All of it may be repeated.
async fn ask(host: &HostProcess, case: &Case, site: &Site) -> Result<v1::SubmitJobResponse, Status> {
    let mut client = host.client().await?;
    client.upload(plugins::fixtures()).await?;
    let submitted = client.submit(case.spec(site), REQUEST).await?;
    let id = submitted.job.as_ref().map(|job| job.id.clone()).unwrap_or_default();
    client.wait(&id).await?;
    Ok(submitted)
}

async fn dies_at(binary: &str, case: &Case, point: CrashPoint) -> Seen {
    let site = Site::fresh().await;
    let (asked, ended) = live(binary, case, &site, Some(point)).await;
    assert!(ended.is_crash(), "{point}: {ended:#?}");
    if let Some(Err(status)) = &asked {
        assert!(is_lost(status), "{point}: the client is told {status:?}");
    }
    let left = check_left(&site, point).await;
    let was_stored = !left.is_empty();
    let (asked, ended) = live(binary, case, &site, None).await;
    assert!(ended.status.success(), "{point}: {ended:#?}");
    let submitted = asked.expect("it was ready").unwrap_or_else(|status| panic!("{point}: {status:?}"));
    assert_eq!(submitted.known, was_stored, "{point}: the same request, the same job");
    let found = check_end(&site, case).await;
    let in_doubt = witness::check_ledger(&site.lines(), &case.calls());
    check_epochs(&found, &left, point);
    let was_reverting = left.iter().any(|found| found.job.status.direction == Direction::Revert);
    let mut in_flight = left.iter().flat_map(|found| found.job.in_flight());
    let was_observing = in_flight.any(|instance| instance.state == TaskState::Observing);
    Seen { in_doubt, was_reverting, was_observing }
}

/// One life of a host, with a client that asks as long as it lives. No answer: it did not get ready.
pub async fn live(
    binary: &str,
    case: &Case,
    site: &Site,
    point: Option<CrashPoint>,
) -> (Option<Result<v1::SubmitJobResponse, Status>>, Ended) {
    match crash_host(binary, site, point).await {
        Started::Ended(ended) => (None, ended),
        Started::Ready(host) => {
            let asked = ask(&host, case, site).await;
            (Some(asked), host.stop().await)
        }
    }
}

/// Dies at one commit after the other, on both sides of each, until a life has no more of them: how many there are may
/// depend on what ends, or is told, together. Gives the last at which a host died, and what each death left.
pub async fn at_every_commit<T>(most: u64, dies_at: impl AsyncFn(CrashPoint) -> Option<T>) -> (u64, Vec<T>) {
    let mut left = Vec::new();
    for number in 1..=most {
        let point = |side| CrashPoint { write: Write::Commit, number, side };
        let (before, after) = tokio::join!(dies_at(point(Side::Before)), dies_at(point(Side::After)));
        if before.is_none() && after.is_none() {
            return (number - 1, left);
        }
        left.extend(before.into_iter().chain(after));
    }
    panic!("a life does not need {most} commits");
}

/// The one job that there is at the end, which nobody has any more, and the calls that were made.
pub async fn settled(site: &Site, point: CrashPoint) -> (Found, Vec<LedgerLine>) {
    let store = site.store().await;
    let mut jobs = witness::jobs(&*store).await;
    let lines = site.lines();
    invariants::check(&*store, &lines).await;
    assert_eq!(store.claims().await.expect("claims can be listed"), [], "{point}: nobody has it any more");
    store.close().await;
    assert_eq!(jobs.len(), 1, "{point}: one request, one job");
    (jobs.remove(0), lines)
}

/// J18, X07: the store of the dead host opens, a job is there with all that belongs to it or not at all, and one that
/// was unwinding does not show `running`.
pub async fn check_left(site: &Site, point: CrashPoint) -> Vec<Found> {
    let look = site.look().await;
    let store = &look.store;
    let left = witness::jobs(&**store).await;
    assert!(left.len() <= 1, "{point}: {left:#?}");
    let key = UniqueKey::Request { principal: PRINCIPAL.to_owned(), request_id: REQUEST.to_owned() };
    let holder = store.holder(&key).await.expect("a key can be read");
    assert_eq!(holder, left.first().map(|found| found.job.id()), "{point}: the request's key and its job");
    for found in &left {
        assert_eq!(found.job.spec.arguments, arguments_map(), "{point}: a job has its arguments");
        assert_eq!(found.job.spec.principal, PRINCIPAL);
        let plugin = found.job.task(found.job.plan.name(0)).expect("it has a task").plugin.digest;
        let blob = store.blob(plugin).await.expect("a blob can be read");
        assert!(blob.is_some(), "{point}: the plugin of a job is stored");
    }
    store.close().await;
    left
}

/// A claim more than were before the crash, where the job had not ended by then.
fn check_epochs(found: &Found, left: &[Found], point: CrashPoint) {
    let before = left.first().map_or(0, |left| left.job.status.epoch);
    let had_ended = left.first().is_some_and(|left| left.job.status.state.is_ended());
    let expected = if had_ended { before } else { before + 1 };
    assert_eq!(found.job.status.epoch, expected, "{point}");
}

/// The end is the one of an uncrashed run.
async fn check_end(site: &Site, case: &Case) -> Found {
    let store = site.store().await;
    let mut jobs = witness::jobs(&*store).await;
    invariants::check(&*store, &site.lines()).await;
    store.close().await;
    assert_eq!(jobs.len(), 1, "one request, one job");
    let found = jobs.remove(0);
    let status = &found.job.status;
    assert_eq!(status.state, case.state, "{status:#?}");
    assert!(status.residue.is_empty() && status.claim.is_none() && status.request.is_none());
    assert_eq!(found.job.spec.arguments, arguments_map());
    match case.state {
        JobState::Succeeded => assert_eq!(status.cause, None),
        _ => assert!(
            matches!(&status.cause, Some(Cause::Task { task, .. }) if task.task == "c"),
            "{status:#?}"
        ),
    }
    assert_eq!(found.job.instances.len(), case.instances, "no instance is made twice");
    found
}

/// Dies at one transaction of an upload after the other, until an upload needs no more of them.
pub async fn kill_while_uploading(binary: &str) {
    const STEPS_MAX: u64 = 64;
    for number in 1..=STEPS_MAX {
        let died = number - 1;
        let site = Site::fresh().await;
        let point = CrashPoint { write: Write::BlobStep, number, side: Side::Before };
        let host = crash_host(binary, &site, Some(point)).await.ready();
        let mut client = host.client().await.expect("it serves");
        let is_taken = client.upload(plugins::fixtures()).await.is_ok();
        let ended = host.stop().await;
        if is_taken {
            assert!(ended.status.success(), "{point}: {ended:#?}");
            assert!(died >= 4, "the component has several chunks, and {died} uploads were cut short");
            return;
        }
        assert!(ended.is_crash(), "{point}: {ended:#?}");
        let host = crash_host(binary, &site, None).await.ready();
        let mut client = host.client().await.expect("it serves");
        let again = client.upload(plugins::fixtures()).await.expect("the next upload is taken");
        assert!(!again.known, "{point}: half a plugin is none");
        assert!(host.stop().await.status.success());
    }
    panic!("an upload does not need {STEPS_MAX} transactions");
}
