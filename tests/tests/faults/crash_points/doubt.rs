//! The matrix of what a task says of doubt: a host dies at every write of a job with such a task, and the end is what
//! the task says, where it was applied when the host died; anywhere else nothing of how it ends changes.

use std::collections::BTreeMap;

use serde_json::json;
use tokio_stream::StreamExt as _;
use tonic::Status;
use windlass_core::entry::Fact;
use windlass_core::instance::TaskState;
use windlass_core::job::{Cause, JobState};
use windlass_proto::v1;
use windlass_proto::v1::InDoubt;
use windlass_proto::v1::watch_job_response::Event;
use windlass_tests::crash::point::CrashPoint;
use windlass_tests::crash::process::{HostProcess, crash_host};
use windlass_tests::crash::site::Site;
use windlass_tests::crash::witness::Found;
use windlass_tests::ledger::LedgerLine;
use windlass_tests::work::{Shape as _, literal, remote, task};

use super::matrix::{Case, REQUEST, at_every_commit, check_left, live, settled};

/// More commits than such a life takes.
const COMMITS_MAX: u64 = 64;

/// The task that says it.
const DOUBTED: &str = "d";

/// What was seen over all points.
#[derive(Debug, Default)]
pub struct Seen {
    /// The last commit at which a host died.
    pub commits: u64,
    /// Cases in which the task was in doubt.
    pub doubts: usize,
    /// Those of them in which its call had been made.
    pub made: usize,
}

/// How one case was left.
struct Left {
    is_doubted: bool,
    was_made: bool,
}

/// `a`, the task, `z`.
fn case(in_doubt: InDoubt) -> Case {
    let doubted = match in_doubt {
        InDoubt::Observe => remote(DOUBTED).with("says", literal(json!([{ "present": 7 }]))),
        _ => task(DOUBTED, "ok").with("value", literal(json!(7))),
    };
    let doubted = v1::Task { in_doubt: in_doubt.into(), ..doubted };
    Case {
        tasks: vec![task("a", "ok"), doubted, task("z", "ok")],
        state: JobState::Succeeded,
        calls: &[],
        instances: 3,
    }
}

/// Dies at one commit after the other, on both sides of each, until a life has no more of them.
pub async fn at_every_write(binary: &'static str, in_doubt: InDoubt) -> Seen {
    let case = case(in_doubt);
    let (commits, left) =
        at_every_commit(COMMITS_MAX, async |point| dies_at(binary, &case, in_doubt, point).await).await;
    let doubted = || left.iter().filter(|left| left.is_doubted);
    Seen { commits, doubts: doubted().count(), made: doubted().filter(|left| left.was_made).count() }
}

/// None where the host lived on, for it had fewer commits.
async fn dies_at(binary: &str, case: &Case, in_doubt: InDoubt, point: CrashPoint) -> Option<Left> {
    let site = Site::fresh().await;
    let (_, ended) = live(binary, case, &site, Some(point)).await;
    if !ended.is_crash() {
        assert!(ended.status.success(), "{point}: {ended:#?}");
        check_end(&site, None, in_doubt, point).await;
        return None;
    }
    let found = check_left(&site, point).await;
    let mut in_flight = found.iter().flat_map(|found| found.job.in_flight());
    let is_doubted =
        in_flight.any(|instance| instance.name.task == DOUBTED && instance.state == TaskState::Applying);
    let was_made = !site.attempts(&format!("apply {DOUBTED}")).is_empty();
    let left = Left { is_doubted, was_made };
    let host = crash_host(binary, &site, None).await.ready();
    go_on(&host, case, &site).await.unwrap_or_else(|status| panic!("{point}: {status:?}"));
    let ended = host.stop().await;
    assert!(ended.status.success(), "{point}: {ended:#?}");
    check_end(&site, Some(&left), in_doubt, point).await;
    Some(left)
}

/// What a client does, and whoever looks at a job that was suspended: it is resumed.
async fn go_on(host: &HostProcess, case: &Case, site: &Site) -> Result<(), Status> {
    let mut client = host.client().await?;
    client.upload(windlass_tests::plugins::fixtures()).await?;
    let id = client.submit(case.spec(site), REQUEST).await?.job.map(|job| job.id).unwrap_or_default();
    let mut watch = client.watch(&id).await?;
    while let Some(message) = watch.next().await {
        match message?.event {
            Some(Event::Entry(entry)) if entry.kind == "job.suspended" => {
                client.jobs.resume(v1::ResumeJobRequest { job: id.clone(), etag: String::new() }).await?;
            }
            Some(Event::Entry(entry)) if entry.kind == "job.ended" => return Ok(()),
            _ => {}
        }
    }
    Err(Status::unavailable("the watch has ended"))
}

/// The end is what the task says; `left` is none where nothing died.
async fn check_end(site: &Site, left: Option<&Left>, in_doubt: InDoubt, point: CrashPoint) {
    let (found, lines) = settled(site, point).await;
    let doubted = left.filter(|left| left.is_doubted);
    let is_undone = doubted.is_some() && in_doubt == InDoubt::Revert;
    let expected = if is_undone { JobState::Reverted } else { JobState::Succeeded };
    assert_eq!(found.job.status.state, expected, "{point}: {:#?}", found.job.status);
    assert!(found.job.status.residue.is_empty(), "{point}");
    check_calls(&found, &lines, point);
    let attempts: Vec<u32> = attempts(&lines, "apply").iter().map(|line| line.attempt).collect();
    let was_held = found.entries.iter().any(|entry| matches!(entry.fact, Fact::TaskHeld { .. }));
    assert_eq!(was_held, doubted.is_some() && in_doubt == InDoubt::Hold, "{point}");
    let Some(left) = doubted else {
        assert_eq!(attempts, [1], "{point}: it was not in doubt");
        return;
    };
    match in_doubt {
        InDoubt::Revert => {
            assert!(attempts.len() <= 1, "{point}: it is not applied again: {attempts:?}");
            assert_eq!(self::attempts(&lines, "revert").len(), 1, "{point}: it is undone");
            let is_cause = |cause: &Cause| matches!(cause, Cause::Task { task, fault } if task.task == DOUBTED && fault.class == "host.in_doubt");
            assert!(
                found.job.status.cause.as_ref().is_some_and(is_cause),
                "{point}: {:#?}",
                found.job.status
            );
            assert!(!lines.iter().any(|line| line.task == "z"), "{point}: nothing goes on behind it");
        }
        // Looked at, it is there; where it was not even begun, it is applied after all.
        InDoubt::Observe if left.was_made => assert_eq!(attempts, [1], "{point}: it is there"),
        _ if left.was_made => assert_eq!(attempts, [1, 2], "{point}: it is applied again"),
        _ => assert_eq!(attempts, [2], "{point}: its first call was never made"),
    }
    if in_doubt == InDoubt::Observe {
        assert!(!self::attempts(&lines, "observe").is_empty(), "{point}: it was looked at");
    }
}

fn attempts<'a>(lines: &'a [LedgerLine], kind: &str) -> Vec<&'a LedgerLine> {
    lines.iter().filter(|line| line.task == DOUBTED && line.kind == kind).collect()
}

/// Every call was made once, or once more after an interruption that it was told of, under its one key.
fn check_calls(found: &Found, lines: &[LedgerLine], point: CrashPoint) {
    let mut calls: BTreeMap<String, Vec<&LedgerLine>> = BTreeMap::new();
    lines.iter().for_each(|line| calls.entry(line.call()).or_default().push(line));
    for (call, lines) in calls.into_iter().filter(|(call, _)| !call.starts_with("observe")) {
        let numbers: Vec<u32> = lines.iter().map(|line| line.attempt).collect();
        assert!(matches!(numbers[..], [1] | [2] | [1, 2]), "{point}: {call} was made {numbers:?}");
        assert!(lines.iter().all(|line| line.key == lines[0].key), "{point}: {call} has one key");
        let is_told = lines.iter().all(|line| (line.prior == "interrupted") == (line.attempt == 2));
        assert!(is_told, "{point}: {call} is told of the attempt before: {:#?}", found.entries);
    }
}
