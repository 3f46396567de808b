//! Plans: every statement of the hot path reads by an index, as the server itself explains what it did.

use std::collections::BTreeMap;

use windlass_core::decide::create::Timing;
use windlass_core::job::JobState;
use windlass_host::store::{Change, Expected, JobFilter, PostgresSettings, PostgresStore, Store, UniqueKey};
use windlass_tests::conformance::fixture::{
    EVENT_TYPES, at, born_of, cancel, claim, decide, event, family_flow, flow, host, host_id, job_id, plugin,
    submit, trigger, unit, waiting_flow,
};
use windlass_tests::postgres::Schema;
use windlass_tests::postgres::server::Server;

/// Enough that an index is worth its while, as the planner sees it.
const JOBS: u64 = 2_000;

/// Told to the server for each session of the store: it logs what it did for every statement, and reads a table from
/// end to end only where no index serves.
const EXPLAINED: &str = "%20-c%20session_preload_libraries%3Dauto_explain%20-c%20auto_explain.log_min_duration%3D0\
     %20-c%20enable_seqscan%3Doff";

#[tokio::test]
async fn every_statement_of_the_hot_path_reads_by_its_index() {
    let server = Server::start().await;
    let schema = Schema::on(server.url()).await;
    let store = open(&schema.url()).await;
    fill(&store).await;
    store.close().await;
    schema.client().await.batch_execute("ANALYZE").await.expect("analysed");

    let store = open(&format!("{}{EXPLAINED}", schema.url())).await;
    exercise(&store).await;
    store.close().await;

    let plans = plans(&server.log());
    assert!(plans.len() > 30, "the server explained {} statements", plans.len());
    let hot = [
        "job",
        "job_status",
        "job_await",
        "task_instance",
        "entry",
        "note",
        "record",
        "unique_key",
        "flow_plugin",
        "blob_chunk",
    ];
    for (statement, plan) in &plans {
        for table in hot {
            let whole = format!("Seq Scan on {table} ");
            assert!(!plan.contains(&whole), "{statement}\n{plan}");
        }
    }
    for (part, index) in [
        ("SELECT id FROM job_status WHERE state = 'ready'", "job_status_board"),
        ("SELECT alarm, id FROM job_status", "job_status_due"),
        ("SELECT alarm, id FROM record", "record_due"),
        ("SELECT claim_host, id FROM job_status", "job_status_claim"),
        ("SELECT job FROM job_await", "job_await_pkey"),
        ("SELECT id FROM job_status WHERE is_untold", "job_status_untold"),
        ("DELETE FROM job_await a", "job_await_job"),
        ("DELETE FROM job_await WHERE job", "job_await_job"),
        ("SELECT body FROM entry WHERE job", "entry_pkey"),
        ("SELECT batch, ordinal, job, body FROM entry", "entry_tail"),
        ("SELECT key, job, at FROM unique_key WHERE at <", "unique_key_age"),
        ("SELECT s.id, s.status, j.spec FROM", "job_status_pkey"),
        ("SELECT j.id FROM flow_plugin", "job_flow"),
        ("SELECT id, state, sequence, claim_epoch, is_awaiting FROM job_status", "job_status_pkey"),
    ] {
        let found: Vec<_> = plans.iter().filter(|(statement, _)| statement.starts_with(part)).collect();
        assert!(!found.is_empty(), "{part} was not asked: {:#?}", plans.keys());
        for (statement, plan) in found {
            assert!(plan.contains(index), "{statement}\n{plan}");
        }
    }
    // In the order of their index: nothing is sorted, so that a limit bounds what is read.
    for part in [
        "SELECT id FROM job_status WHERE state",
        "SELECT alarm, id",
        "SELECT job FROM job_await",
        "SELECT id FROM job_status WHERE is_untold",
        "SELECT batch, ordinal",
        "SELECT body FROM entry",
    ] {
        for (statement, plan) in plans.iter().filter(|(statement, _)| statement.starts_with(part)) {
            assert!(!plan.contains("Sort"), "{statement}\n{plan}");
        }
    }
}

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(PostgresSettings::at(url)).await.expect("opens")
}

async fn fill(store: &PostgresStore) {
    for first in (0..JOBS).step_by(100) {
        let mut changes = Vec::new();
        for n in first..first + 100 {
            let execute_at = n.is_multiple_of(2).then(|| at(1_000_000 + n as i64));
            // Some wait for an event, once they are claimed, and some order a child job.
            let flow = match n % 10 {
                3 => waiting_flow(&EVENT_TYPES),
                5 => family_flow(),
                _ => flow("copy", 2),
            };
            let (mut job, birth) = born_of(n, flow, Timing { execute_at, priority: (n % 7) as i32 });
            let key = UniqueKey::Request { principal: "tester".to_owned(), request_id: n.to_string() };
            changes.push(Change::Take { key, at: at(n as i64), job: job.id() });
            changes.push(birth);
            if matches!(n % 10, 3 | 5) {
                changes.push(decide(&mut job, at(5), |decision| decision.claim(host_id(2)).expect("ready")));
            }
            changes.push(Change::Put { record: host(n.into(), 1), expected: Expected::Absent });
        }
        store.commit(unit(changes)).await.expect("stored");
    }
    let mut job = store.job(job_id(1)).await.expect("readable").expect("stored");
    claim(store, &mut job, host_id(1), at(5)).await;
}

/// One of everything that a host asks for while it runs jobs.
async fn exercise(store: &PostgresStore) {
    let mut job = submit(store, JOBS + 1).await;
    claim(store, &mut job, host_id(1), at(9)).await;
    let task = job.in_flight().next().expect("a claim begins the first call").name.clone();
    let note = Change::Note {
        job: job.id(),
        epoch: Some(1),
        task: task.clone(),
        name: "n".to_owned(),
        value: vec![1],
    };
    let triggers = Change::Put { record: trigger(1, 1, Some(at(7))), expected: Expected::Absent };
    let expiry = Change::ExpireKeys { before: at(3) };
    store.commit(unit(vec![note, triggers, expiry])).await.expect("stored");
    let mut other = submit(store, JOBS + 2).await;
    cancel(store, &mut other, at(10)).await;
    store
        .commit(unit(vec![Change::Purge { job: other.id(), sequence: other.status.sequence }]))
        .await
        .expect("purged");

    store.job(job.id()).await.expect("readable");
    store.board(10).await.expect("readable");
    store.claims().await.expect("readable");
    let waiting = store.awaiting(EVENT_TYPES[0], Some(job_id(1)), 10).await.expect("readable");
    let mut job_that_waits = store.job(waiting[0]).await.expect("readable").expect("stored");
    let given = decide(&mut job_that_waits, at(11), |decision| {
        assert!(decision.deliver(&event(EVENT_TYPES[0], "1")));
    });
    store.commit(unit(vec![given])).await.expect("stored");
    assert_eq!(store.untold(Some(job_id(1)), 10).await.expect("readable").len(), 10);
    store.due(at(2_000_000), 10).await.expect("readable");
    store.next_due().await.expect("readable");
    store.entries(job.id(), 1, 10).await.expect("readable");
    let (_, cursor) = store.tail(None, 10).await.expect("readable");
    store.tail(Some(cursor), 10).await.expect("readable");
    store.record(host(3, 1).key()).await.expect("readable");
    store.records(windlass_host::store::RecordKind::Host, None, 10).await.expect("readable");
    store.note(job.id(), &task, "n").await.expect("readable");
    store.references(plugin("copy"), 10).await.expect("readable");
    let key = UniqueKey::Request { principal: "tester".to_owned(), request_id: "77".to_owned() };
    store.holder(&key).await.expect("readable");
    for filter in [
        JobFilter::default(),
        JobFilter { states: vec![JobState::Running], ..JobFilter::default() },
        JobFilter { owner: Some("owner".to_owned()), ..JobFilter::default() },
    ] {
        store.jobs(&filter, None, 10).await.expect("readable");
    }
    let bytes = vec![7; 600_000];
    let digest = windlass_core::id::Digest::of(&bytes);
    store.put_blob(digest, bytes).await.expect("stored");
    store.blob(digest).await.expect("readable");
    store.remove_blob(digest).await.expect("removed");
}

/// Each statement that was explained in the log, with what the server did for it.
fn plans(log: &str) -> BTreeMap<String, String> {
    let mut plans = BTreeMap::new();
    for part in log.split("LOG:  duration: ").skip(1) {
        // Lines that go on begin with a tab.
        let lines: Vec<&str> =
            part.lines().skip(1).take_while(|line| line.starts_with('\t')).map(str::trim_start).collect();
        let Some((first, rest)) = lines.split_first() else { continue };
        let Some(statement) = first.strip_prefix("Query Text: ") else { continue };
        plans.entry(statement.to_owned()).or_insert_with(String::new).push_str(&rest.join("\n"));
    }
    plans
}
