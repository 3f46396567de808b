//! The canonical form: equal bytes from every store, and a whole store from the bytes.

use std::io::Cursor;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;
use windlass_core::call::Outcome;
use windlass_core::decide::create::Timing;
use windlass_core::instance::InstanceName;
use windlass_core::job::{CancelMode, Origin};
use windlass_core::occurrence::{self, Occurrence};
use windlass_core::payload::Payload;
use windlass_host::store::canonical::{self, ExportError, contents};
use windlass_host::store::{
    Change, Expected, Exported, ImportRecord, Rank, Record, RedbStore, Store, UniqueKey, check,
};

use super::Bench;
use super::fixture::{
    actor, at, born, born_of, born_of_parent, call, cancel, claim, commit, decide, family_flow, flow,
    flow_revision, host, host_id, named_flow, operation, operation_id, plugin, spec, trigger, trigger_id,
    unit,
};

/// Bytes that are several chunks of every store, and end within one.
fn blob() -> Vec<u8> {
    (0..700_001u32).map(|n| (n % 251) as u8).collect()
}

/// One of everything that a store can hold.
pub async fn fill(store: &dyn Store) {
    let digest = windlass_core::id::Digest::of(&blob());
    store.put_blob(digest, blob()).await.expect("stored");
    store.put_blob(plugin("copy"), b"copy".to_vec()).await.expect("stored");
    for (name, digest, size) in [("copy", plugin("copy"), 4), ("large", digest, blob().len())] {
        let stored = json!({
            "digest": digest, "size_bytes": size, "state": "active", "owner": "owner",
            "manifest": {"manifest": 1, "name": name, "version": "1.0.0", "actions": []},
            "created": at(0), "generation": 1,
        });
        put(store, Record::Plugin(serde_json::from_value(stored).expect("a plugin"))).await;
    }
    put(store, trigger(1, 1, Some(at(7_000)))).await;
    put(store, operation(1, 1, &flow("copy", 2), None)).await;
    put(store, operation(2, 1, &flow("gone", 1), Some(at(9)))).await;
    put(store, host(1, 1)).await;
    put(store, named_flow("nightly", 2)).await;
    put(store, flow_revision("nightly", 1, &flow("copy", 1))).await;
    put(store, flow_revision("nightly", 2, &flow("copy", 2))).await;
    jobs(store).await;
    of_occurrence(store).await;
    families(store).await;
}

async fn put(store: &dyn Store, record: Record) {
    store.commit(unit(vec![Change::Put { record, expected: Expected::Absent }])).await.expect("stored");
}

/// Jobs in several states, one of them with a failure, a retry, outputs that are no text, and notes.
async fn jobs(store: &dyn Store) {
    for n in 1..=4 {
        let (job, birth) = born(n, Timing { execute_at: (n == 4).then(|| at(99_000)), priority: n as i32 });
        let request =
            UniqueKey::Request { principal: "p".repeat(5 - n as usize), request_id: "r".to_owned() };
        let event = UniqueKey::Event { source: "s".to_owned(), id: n.to_string() };
        let takes = [request, event].map(|key| Change::Take { key, at: at(20 - n as i64), job: job.id() });
        store.commit(unit([vec![birth], takes.to_vec()].concat())).await.expect("stored");
    }
    let mut job = store.job(super::fixture::job_id(1)).await.expect("readable").expect("it is there");
    claim(store, &mut job, host_id(1), at(50)).await;
    for (task, name) in [("task-1", "zz"), ("task-1", "a"), ("another-task", "b")] {
        let task = InstanceName { task: task.to_owned(), iteration: Vec::new() };
        let (epoch, name) = (Some(1), name.to_owned());
        let note = Change::Note { job: job.id(), epoch, task, name, value: vec![0, 0xFF] };
        store.commit(unit(vec![note])).await.expect("its claim");
    }
    let output = Payload { media_type: "application/octet-stream".to_owned(), bytes: vec![0xFF, 0, 0xC3] };
    let under_way = call(&job).expect("a call was begun");
    let applied = Outcome::Applied { output, undo: Some(Payload::json(&json!({"ratio": 0.1}))) };
    let finished = commit(store, &mut job, at(60), |decision| {
        decision.finish(&under_way, applied).expect("it is under way");
    });
    finished.await.expect("stored");
    let mut second = store.job(super::fixture::job_id(2)).await.expect("readable").expect("it is there");
    let cancelled = decide(&mut second, at(70), |decision| {
        decision.cancel(CancelMode::Leave, "a \"test\"\n".to_owned()).expect("it waits");
    });
    store.commit(unit(vec![cancelled])).await.expect("stored");
}

async fn of_occurrence(store: &dyn Store) {
    let flow = flow("copy", 2);
    let origin = occurrence::Origin::Schedule;
    let occurrence = Occurrence { trigger: trigger_id(1), generation: 1, nominal: at(5), origin };
    let key = UniqueKey::Occurrence { key: occurrence.key(operation_id(1)).to_vec() };
    let mut spec = spec(9, &flow);
    spec.origin = Origin::Operation { operation: operation_id(1), occurrence, window_ms: 60_000 };
    let (job, entries) =
        windlass_core::decide::create::create(Arc::new(spec), flow, Timing::default(), actor());
    let take = Change::Take { key, at: at(4), job: job.id() };
    store.commit(unit(vec![Change::birth(&job, entries), take])).await.expect("stored");
}

/// A parent that has ordered a child, which has ended; and one that has ended, and leaves what it ordered.
async fn families(store: &dyn Store) {
    let mut parents = Vec::new();
    for n in [11, 12] {
        let (mut parent, birth) = born_of(n, family_flow(), Timing::default());
        store.commit(unit(vec![birth])).await.expect("stored");
        claim(store, &mut parent, host_id(1), at(50)).await;
        parents.push(parent);
    }
    let (mut child, birth) = born_of_parent(&parents[0], at(60));
    store.commit(unit(vec![birth])).await.expect("stored");
    cancel(store, &mut child, at(61)).await;
    cancel(store, &mut parents[1], at(62)).await;
}

/// The whole form of a store.
pub async fn exported(store: &dyn Store) -> Result<Vec<u8>, ExportError> {
    let (chunks, mut received) = mpsc::channel(4);
    let collected = async {
        let mut form = Vec::new();
        while let Some(chunk) = received.recv().await {
            form.extend(chunk);
        }
        form
    };
    let (exported, form) = tokio::join!(canonical::export(store, chunks), collected);
    exported.map(|_| form)
}

pub(super) async fn everything_is_exported_once_and_in_order(bench: Bench) {
    fill(bench.store().as_ref()).await;
    bench.step().await;
    let store = bench.store();
    let (items, mut received) = mpsc::channel(3);
    let exporting = tokio::spawn(async move { store.export(items).await });
    let (mut job, mut last) = (None, Rank::Start);
    let mut counts = [0; 6];
    while let Some(item) = received.recv().await {
        let kind = match &item {
            Exported::Job { spec, .. } => {
                job = Some(spec.id);
                0
            }
            Exported::Record(_) => 1,
            Exported::Blob { .. } => 2,
            Exported::Key { .. } => 3,
            Exported::Note { .. } => 4,
            Exported::Broken(what) => panic!("it cannot read what it wrote: {what}"),
            Exported::Piece(_) | Exported::Instance(_) | Exported::Entry(_) => 5,
        };
        counts[kind] += 1;
        let Some(rank) = item.rank(job) else { continue };
        assert!(rank > last, "{rank:?} after {last:?}");
        last = rank;
    }
    exporting.await.expect("no panic").expect("it can be exported");
    assert_eq!(counts[..5], [8, 9, 2, 9, 3]);
}

pub(super) async fn the_same_commands_make_the_same_bytes_as_on_another_store(bench: Bench) {
    let other = RedbStore::open_in_memory().expect("opens");
    fill(&other).await;
    fill(bench.store().as_ref()).await;
    bench.step().await;
    let form = exported(bench.store().as_ref()).await.expect("it can be exported");
    assert!(form == exported(&other).await.expect("it can be exported"), "the forms differ");
}

pub(super) async fn what_is_imported_is_exported_the_same_and_has_no_findings(bench: Bench) {
    let source = RedbStore::open_in_memory().expect("opens");
    fill(&source).await;
    let form = exported(&source).await.expect("it can be exported");
    {
        let store = bench.store();
        assert_eq!(contents(store.as_ref()).await.expect("readable"), None);
        canonical::import(store.as_ref(), at(0), Cursor::new(form.clone())).await.expect("it is whole");
    }
    bench.step().await;
    let store = bench.store();
    assert!(exported(store.as_ref()).await.expect("it can be exported") == form, "it is exported otherwise");
    let mut findings = Vec::new();
    let mut tell = |finding: check::Finding| findings.push(finding.to_string());
    check::check(store.as_ref(), &mut tell).await.expect("readable");
    assert_eq!(findings, Vec::<String>::new());
}

pub(super) async fn a_store_with_an_import_that_has_not_ended_is_not_exported(bench: Bench) {
    put(bench.store().as_ref(), Record::Import(ImportRecord { began: at(1), generation: 1 })).await;
    bench.step().await;
    let store = bench.store();
    let refused = exported(store.as_ref()).await;
    assert!(matches!(refused, Err(ExportError::Unfinished(began)) if began == at(1)), "{refused:?}");
    // The mark is not among what is stored.
    assert_eq!(contents(store.as_ref()).await.expect("readable"), None);
}

pub(super) async fn an_export_ends_when_nobody_receives_it(bench: Bench) {
    fill(bench.store().as_ref()).await;
    let store = bench.store();
    let (items, mut received) = mpsc::channel(1);
    let exporting = tokio::spawn(async move { store.export(items).await });
    received.recv().await.expect("there is something");
    drop(received);
    exporting.await.expect("no panic").expect("that is no failure");
}
