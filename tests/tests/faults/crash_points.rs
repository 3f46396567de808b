//! S07, S10, J18: a host dies at every durable write of its life, before it and after it, and at any time by SIGKILL.
//!
//! Each case has a fresh store, a host that dies, and a host that goes on. A client that lost its host asks again, as
//! clients do.

mod doubt;
mod event;
mod family;
mod graph;
mod matrix;

use std::sync::Arc;

use family::Family;
use matrix::{Case, Matrix, at_every_write, kill_while_uploading};
use serde_json::json;
use windlass_core::call::Direction;
use windlass_core::entry::Fact;
use windlass_core::job::JobState;
use windlass_proto::v1;
use windlass_tests::crash::process::{HostProcess, crash_host};
use windlass_tests::crash::site::Site;
use windlass_tests::crash::witness::{self, Found};
use windlass_tests::work::{Shape as _, child, flow, gate, literal, nested, remote, task, times};
use windlass_tests::{invariants, plugins};

const BINARY: &str = env!("CARGO_BIN_EXE_crash_host");

/// Claims lost in a row with a call under way before a job is taken off the board, and one more.
const LOST_UNTIL_QUARANTINE: usize = 6;

fn value(name: &str, number: u32) -> v1::Task {
    task(name, "ok").with("value", literal(json!(number))).with("undo", literal(json!({ "was": number })))
}

fn undo_ahead(name: &str, records: serde_json::Value) -> v1::Task {
    task(name, "undo_ahead").with("records", literal(records))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_j18_a_host_that_dies_at_any_write_of_a_job_that_succeeds_changes_nothing_of_how_it_ends() {
    let case = Case {
        tasks: vec![value("a", 1), value("b", 2), value("c", 3)],
        state: JobState::Succeeded,
        calls: &["apply a", "apply b", "apply c"],
        instances: 3,
    };
    let matrix = at_every_write(BINARY, case).await;
    // A host record, a plugin, a job with its claim and first intent, three outcomes, two host states.
    assert!(matrix.commits >= 8, "{matrix:?}");
    let doubted = ["apply a", "apply b", "apply c"].map(str::to_owned);
    assert!(doubted.iter().all(|call| matrix.in_doubt.contains(call)), "{matrix:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_host_that_dies_at_any_write_of_a_job_that_reverts_changes_nothing_of_how_it_ends() {
    let case = Case {
        tasks: vec![
            undo_ahead("a", json!([{ "a": 1 }])),
            undo_ahead("b", json!([{ "b": 1 }, { "b": 2 }])),
            task("c", "fail"),
        ],
        state: JobState::Reverted,
        calls: &["apply a", "apply b", "apply c", "revert c", "revert b", "revert a"],
        instances: 3,
    };
    let matrix: Matrix = at_every_write(BINARY, case).await;
    // Besides what a job that succeeds has: three undo records, and three outcomes of reverts.
    assert!(matrix.commits >= 14, "{matrix:?}");
    let calls = ["apply a", "apply b", "apply c", "revert c", "revert b", "revert a"];
    assert!(calls.iter().all(|call| matrix.in_doubt.contains(*call)), "{matrix:?}");
    assert!(matrix.died_reverting >= 6, "{matrix:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_s16_a_host_that_dies_at_any_write_of_a_scope_that_is_tried_again_changes_nothing_of_how_it_ends()
{
    let scope = [undo_ahead("b", json!([{ "b": 1 }])), task("c", "fail")];
    let case = Case {
        tasks: vec![value("a", 1), nested("s", v1::Pattern::Linear, scope).scope(times(2))],
        state: JobState::Reverted,
        calls: &[
            "apply a",
            "apply b#1",
            "apply c#1",
            "revert c#1",
            "revert b#1",
            "apply b#2",
            "apply c#2",
            "revert c#2",
            "revert b#2",
            "revert a",
        ],
        instances: 6,
    };
    let matrix = at_every_write(BINARY, case).await;
    // Besides what a job that succeeds has: two undo records, and ten outcomes.
    assert!(matrix.commits >= 16, "{matrix:?}");
    assert!(
        ["apply c#1", "revert b#1", "apply b#2"].iter().all(|call| matrix.in_doubt.contains(*call)),
        "{matrix:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_host_that_dies_at_any_write_of_what_is_accepted_and_observed_changes_nothing_of_how_it_ends() {
    let says = json!([{ "unknown": 0 }, { "unknown": 0 }, { "present": { "serial": "M-7" } }]);
    let r = remote("r").with("says", literal(says)).with("undo", literal(json!(["r"])));
    let case = Case {
        tasks: vec![value("a", 1), r, task("c", "fail")],
        state: JobState::Reverted,
        calls: &["apply a", "apply r", "observe r", "apply c", "revert c", "revert r", "revert a"],
        instances: 3,
    };
    let matrix = at_every_write(BINARY, case).await;
    // A host record, a plugin, a job with its claim, an undo record, nine outcomes, two host states.
    assert!(matrix.commits >= 15, "{matrix:?}");
    assert!(["apply r", "revert r"].iter().all(|call| matrix.in_doubt.contains(*call)), "{matrix:?}");
    // After the intent of each of the three observations, and before the outcome.
    assert!(matrix.died_observing >= 6, "{matrix:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_inside_an_observation_looks_again_and_applies_nothing_twice() {
    let site = Site::fresh().await;
    let host = start(&site).await;
    let r =
        remote("r").with("observe_gate", literal(json!("look"))).with("observe_after_ms", literal(json!(5)));
    let job = submit(&host, &site, vec![r]).await;
    site.begun("observe r", 1).await;
    host.kill().await;
    let host = restart(&site).await;
    site.begun("observe r", 2).await;
    site.say_of_remote("r", &json!({ "present": null }));
    site.open_gate("look");
    let found = finish(host, &site, &job, v1::JobState::Succeeded).await;
    assert_eq!(site.attempts("apply r").len(), 1);
    let is_doubt = |fact: &Fact| matches!(fact, Fact::TaskInDoubt { .. });
    assert!(!found.entries.iter().any(|entry| is_doubt(&entry.fact)), "{:#?}", found.entries);
    let numbers: Vec<_> = site.attempts("observe r").iter().map(|line| line.attempt).collect();
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_host_that_dies_at_any_write_of_a_graph_changes_nothing_of_how_it_ends() {
    let sides = [undo_ahead("a", json!([{ "a": 1 }])), undo_ahead("b", json!([{ "b": 1 }])), value("d", 4)];
    let case = Case {
        tasks: vec![nested("sides", v1::Pattern::Unordered, sides), task("c", "fail")],
        state: JobState::Reverted,
        calls: &["apply a", "apply b", "apply d", "apply c", "revert c", "revert a", "revert b", "revert d"],
        instances: 4,
    };
    let seen = graph::at_every_write(BINARY, &case).await;
    // A host record, a plugin, a job with its claim, at least four outcomes and two undo records, two host states.
    assert!(seen.commits >= 11, "{seen:?}");
    assert!(seen.in_doubt >= 2, "several calls ran when a host died: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_host_that_dies_at_any_write_of_a_publication_gives_the_event_to_every_job_once() {
    let seen = event::at_every_write(BINARY).await;
    // A host record, a plugin; of each of three jobs a birth with its wait, a claim and an outcome; the event; two host states.
    assert!(seen.commits >= 14, "{seen:?}");
    // Whether some have it already and others not depends on what the store commits together.
    assert!(seen.unacknowledged > 0, "a host died when all had the event, and nobody was told: {seen:?}");
}

fn a_job_of_two() -> v1::Task {
    child("job", flow([undo_ahead("x", json!([{ "x": 1 }])), value("y", 2)]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_host_that_dies_at_any_write_of_a_family_changes_nothing_of_how_it_ends() {
    let family = Family {
        tasks: vec![value("a", 1), a_job_of_two(), value("b", 3)],
        state: JobState::Succeeded,
        child: JobState::Succeeded,
        calls: &["apply a", "apply x", "apply y", "apply b"],
    };
    let seen = family::at_every_write(BINARY, &family).await;
    // A host record, a plugin; of the parent a birth with its claim, an outcome, an order that is told, an answer, a claim and
    // an outcome; of the child a birth, a claim, an undo record, two outcomes, and that its parent knows; two host states.
    assert!(seen.commits >= 16, "{seen:?}");
    assert!(seen.orders >= 4 && seen.ends >= 2 && seen.unborn >= 2, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_host_that_dies_at_any_write_of_a_child_that_is_undone_changes_nothing_of_how_it_ends() {
    let family = Family {
        tasks: vec![value("a", 1), a_job_of_two(), task("c", "fail")],
        state: JobState::Reverted,
        child: JobState::Reverted,
        calls: &["apply a", "apply x", "apply y", "apply c", "revert c", "revert y", "revert x", "revert a"],
    };
    let seen = family::at_every_write(BINARY, &family).await;
    assert!(seen.commits >= 23, "{seen:?}");
    assert!(seen.orders >= 6 && seen.ends >= 4, "both orders, and both ends: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_host_that_dies_at_any_write_of_a_child_that_fails_changes_nothing_of_how_it_ends() {
    let failing = child("job", flow([undo_ahead("x", json!([{ "x": 1 }])), task("y", "fail")]));
    let family = Family {
        tasks: vec![value("a", 1), failing, value("b", 3)],
        state: JobState::Reverted,
        child: JobState::Reverted,
        calls: &["apply a", "apply x", "apply y", "revert y", "revert x", "revert a"],
    };
    let seen = family::at_every_write(BINARY, &family).await;
    assert!(seen.commits >= 17, "{seen:?}");
    assert!(seen.orders >= 4 && seen.ends >= 2, "{seen:?}");
}

/// A host record, a plugin, a job with its claim and first intent, three outcomes, two host states.
const COMMITS_OF_THREE_TASKS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_task_that_says_revert_is_undone_after_a_death_at_any_write_that_leaves_it_in_doubt() {
    let seen = doubt::at_every_write(BINARY, v1::InDoubt::Revert).await;
    assert!(seen.commits >= COMMITS_OF_THREE_TASKS, "{seen:?}");
    // After its intent, and before its outcome.
    assert!(seen.doubts >= 2 && seen.made >= 1, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_task_that_says_hold_waits_for_a_person_after_a_death_at_any_write_that_leaves_it_in_doubt() {
    let seen = doubt::at_every_write(BINARY, v1::InDoubt::Hold).await;
    assert!(seen.commits >= COMMITS_OF_THREE_TASKS, "{seen:?}");
    assert!(seen.doubts >= 2 && seen.made >= 1, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_task_that_says_observe_is_looked_at_after_a_death_at_any_write_that_leaves_it_in_doubt() {
    let seen = doubt::at_every_write(BINARY, v1::InDoubt::Observe).await;
    // And what it accepted, with the look at that.
    assert!(seen.commits > COMMITS_OF_THREE_TASKS, "{seen:?}");
    assert!(seen.doubts >= 2 && seen.made >= 1 && seen.made < seen.doubts, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_at_any_transaction_of_an_upload_leaves_nothing_that_hinders_the_next_one() {
    kill_while_uploading(BINARY).await;
}

/// A host on the site, with the fixtures.
async fn start(site: &Site) -> HostProcess {
    let host = crash_host(BINARY, site, None).await.ready();
    let mut client = host.client().await.expect("it serves");
    client.upload(plugins::fixtures()).await.expect("the fixtures are taken");
    host
}

async fn submit(host: &HostProcess, site: &Site, tasks: Vec<v1::Task>) -> String {
    let spec = v1::JobSpec { work: Some(flow(tasks)), grants: Some(site.grants()), ..v1::JobSpec::default() };
    let mut client = host.client().await.expect("it serves");
    client.submit(spec, "once").await.expect("it is taken").job.expect("a job").id
}

async fn restart(site: &Site) -> HostProcess {
    crash_host(BINARY, site, None).await.ready()
}

/// Waits for the end of the job and of the host, and looks at what is left.
async fn finish(host: HostProcess, site: &Site, job: &str, state: v1::JobState) -> Found {
    let ended = host.client().await.expect("it serves").wait(job).await.expect("it is waited for");
    assert_eq!(ended.state(), state, "{ended:#?}");
    let stopped = host.stop().await;
    assert!(stopped.status.success(), "{stopped:#?}");
    let store = site.store().await;
    let mut found = witness::jobs(&*store).await;
    invariants::check(&*store, &site.lines()).await;
    store.close().await;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// What is left of the one job when its host was killed.
async fn left(site: &Site) -> Found {
    let look = site.look().await;
    let mut found = witness::jobs(&*look.store).await;
    look.store.close().await;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_sigkill_inside_the_apply_of_any_task_repeats_that_task_only() {
    let names = ["a", "b", "c"];
    for (index, killed) in names.iter().enumerate() {
        let site = Site::fresh().await;
        let host = start(&site).await;
        let job = submit(&host, &site, names.iter().map(|name| gate(name)).collect()).await;
        names[..index].iter().for_each(|name| site.open_gate(name));
        site.begun(&format!("apply {killed}"), 1).await;
        host.kill().await;
        let before = left(&site).await;
        assert_eq!(before.job.status.state, JobState::Running);
        let host = restart(&site).await;
        site.begun(&format!("apply {killed}"), 2).await;
        names[index..].iter().for_each(|name| site.open_gate(name));
        finish(host, &site, &job, v1::JobState::Succeeded).await;
        let calls = names.map(|name| format!("apply {name}"));
        let in_doubt = witness::check_ledger(&site.lines(), &calls);
        assert_eq!(in_doubt, Some(format!("apply {killed}")));
        assert_eq!(site.attempts(&format!("apply {killed}")).len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_inside_the_revert_of_any_task_goes_on_reverting() {
    let names = ["a", "b"];
    for (index, killed) in names.iter().enumerate() {
        let site = Site::fresh().await;
        let host = start(&site).await;
        let both = |name: &&str| gate(name).with("revert_name", literal(json!(format!("revert-{name}"))));
        let tasks = names.iter().map(both).chain([task("c", "fail")]).collect();
        let job = submit(&host, &site, tasks).await;
        names.iter().for_each(|name| site.open_gate(name));
        names[index + 1..].iter().for_each(|name| site.open_gate(&format!("revert-{name}")));
        site.begun(&format!("revert {killed}"), 1).await;
        host.kill().await;
        let before = left(&site).await;
        assert_eq!(before.job.status.state, JobState::Reverting);
        assert_eq!(before.job.status.direction, Direction::Revert);
        let host = restart(&site).await;
        site.begun(&format!("revert {killed}"), 2).await;
        names[..=index].iter().for_each(|name| site.open_gate(&format!("revert-{name}")));
        finish(host, &site, &job, v1::JobState::Reverted).await;
        let calls = ["apply a", "apply b", "apply c", "revert c", "revert b", "revert a"].map(str::to_owned);
        let in_doubt = witness::check_ledger(&site.lines(), &calls);
        assert_eq!(in_doubt, Some(format!("revert {killed}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_after_two_interrupted_attempts_sees_the_undo_records_of_both() {
    let site = Site::fresh().await;
    let host = start(&site).await;
    let waits = undo_ahead("a", json!([{ "wrote": "x" }]))
        .with("then", literal(json!("gate")))
        .with("gate", literal(json!("never")));
    let job = submit(&host, &site, vec![waits]).await;
    undo_recorded(&host, &job, 1).await;
    host.kill().await;
    let host = restart(&site).await;
    undo_recorded(&host, &job, 2).await;
    // Asked for while the call runs, and obeyed by the next host: the call is not made a third time.
    let mut client = host.client().await.expect("it serves");
    client.cancel(&job, v1::CancelMode::Revert).await.expect("it can be cancelled");
    host.kill().await;
    let found = finish(restart(&site).await, &site, &job, v1::JobState::Reverted).await;
    assert_eq!(site.attempts("apply a").len(), 2);
    let reverts = site.attempts("revert a");
    assert_eq!(reverts.len(), 1);
    let undo = json!([{ "wrote": "x" }, { "wrote": "x" }]);
    let evidence = json!({ "end": "interrupted", "undo": undo, "undo_of": ["a 1", "a 2"] });
    assert_eq!(reverts[0].evidence, evidence);
    assert_eq!(found.job.status.claims_lost, 0, "an outcome ends the count");
}

/// Waits by a watch until so many undo records of the job are durable.
async fn undo_recorded(host: &HostProcess, job: &str, times: usize) {
    use tokio_stream::StreamExt as _;
    use v1::watch_job_response::Event;
    let mut client = host.client().await.expect("it serves");
    let mut watch = client.watch(job).await.expect("it can be watched");
    let mut seen = 0;
    while seen < times {
        let event = watch.next().await.expect("the watch goes on").expect("the host lives").event;
        if let Some(Event::Entry(entry)) = event {
            seen += usize::from(entry.kind == "task.undo_recorded");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_hosts_die_again_and_again_is_quarantined_and_goes_on_when_it_is_released() {
    let site = Site::fresh().await;
    let mut host = start(&site).await;
    let job = submit(&host, &site, vec![gate("a")]).await;
    for lost in 1..=LOST_UNTIL_QUARANTINE {
        site.begun("apply a", lost).await;
        host.kill().await;
        host = restart(&site).await;
    }
    let mut client = host.client().await.expect("it serves");
    let found = client.get(&job).await.expect("it is there").job.expect("a job");
    assert_eq!(found.state(), v1::JobState::Quarantined);
    site.open_gate("a");
    let release = v1::ReleaseJobRequest { job: job.clone(), etag: String::new() };
    client.jobs.release(release).await.expect("it can be released");
    let found = finish(host, &site, &job, v1::JobState::Succeeded).await;
    let lost = found.entries.iter().filter(|entry| matches!(entry.fact, Fact::ClaimLost { .. })).count();
    assert_eq!(lost, LOST_UNTIL_QUARANTINE);
    assert_eq!(site.attempts("apply a").len(), LOST_UNTIL_QUARANTINE + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_host_that_is_killed_in_the_middle_of_many_all_end_once() {
    const JOBS: usize = 12;
    let site = Arc::new(Site::fresh().await);
    let host = start(&site).await;
    let mut client = host.client().await.expect("it serves");
    let spec = |site: &Site| v1::JobSpec {
        work: Some(flow([value("a", 1), gate("b"), value("c", 3)])),
        grants: Some(site.grants()),
        ..v1::JobSpec::default()
    };
    for number in 0..JOBS {
        client.submit(spec(&site), &format!("job-{number}")).await.expect("it is taken");
    }
    // Some run, some wait on the board.
    site.begun("apply b", 3).await;
    host.kill().await;
    site.open_gate("b");
    let host = restart(&site).await;
    let mut client = host.client().await.expect("it serves");
    for number in 0..JOBS {
        let again = client.submit(spec(&site), &format!("job-{number}")).await.expect("it is known");
        assert!(again.known);
        let ended = client.wait(&again.job.expect("a job").id).await.expect("it is waited for");
        assert_eq!(ended.state(), v1::JobState::Succeeded);
    }
    assert_eq!(client.list().await.expect("they can be listed").len(), JOBS);
    assert!(host.stop().await.status.success());
    let store = site.store().await;
    invariants::check(&*store, &site.lines()).await;
    for found in witness::jobs(&*store).await {
        let lines: Vec<_> =
            site.lines().into_iter().filter(|line| line.job == found.job.id().to_string()).collect();
        witness::check_ledger(&lines, &["apply a", "apply b", "apply c"].map(str::to_owned));
    }
}
