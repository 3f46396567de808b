//! A whole store in a file, and its rows as redb has them.

use redb::{ReadableTable as _, Table, TableDefinition, WriteTransaction};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use windlass_core::decide::create::Timing;
use windlass_core::flow::Flow;
use windlass_core::instance::InstanceName;
use windlass_core::job::Origin;
use windlass_core::occurrence::{self, Occurrence};
use windlass_host::store::{Change, Expected, Place, Record, Store, UniqueKey};
use windlass_tests::conformance::fixture::{
    actor, at, born, born_of, cancel, child_job, claim, flow, host, host_id, job_id, operation, operation_id,
    plugin, spec, trigger, trigger_id, unit, waiting_flow,
};

pub fn file(directory: &Path) -> PathBuf {
    directory.join("windlass.redb")
}

pub fn job_key(n: u64) -> Vec<u8> {
    job_id(n).0.as_bytes().to_vec()
}

/// The type of the events that job 3 waits for.
pub const AWAITED: &str = "test.built";

/// A directory with a store of one of everything: job 1 is ready, 2 is scheduled, 3 has a claim and a note, waits for
/// an event and has something to tell a child job, 4 was cancelled, 5 is of an occurrence.
pub async fn whole() -> TempDir {
    let directory = tempfile::tempdir().expect("a folder");
    let opened = Place::in_directory(directory.path()).open(1 << 20).await.expect("opens");
    fill(&*opened.store()).await;
    opened.close().await;
    directory
}

pub async fn fill(store: &dyn Store) {
    store.put_blob(plugin("copy"), b"copy".to_vec()).await.expect("stored");
    let copy = json!({
        "digest": plugin("copy"), "size_bytes": 4, "state": "active", "owner": "owner",
        "manifest": {"manifest": 1, "name": "copy", "version": "1.0.0", "actions": []},
        "created": at(0), "generation": 1,
    });
    let copy = Record::Plugin(serde_json::from_value(copy).expect("a plugin"));
    let bound = operation(1, 1, &flow("copy", 2), None);
    for record in [copy, trigger(1, 1, Some(at(7_000))), bound, host(1, 1)] {
        store.commit(unit(vec![Change::Put { record, expected: Expected::Absent }])).await.expect("stored");
    }
    let (first, birth) = born(1, Timing::default());
    let request = UniqueKey::Request { principal: "tester".to_owned(), request_id: "r".to_owned() };
    let take = Change::Take { key: request, at: at(3), job: first.id() };
    store.commit(unit(vec![birth, take])).await.expect("stored");
    let (second, birth) = born(2, Timing { execute_at: Some(at(99_000)), priority: 0 });
    let event = UniqueKey::Event { source: "s".to_owned(), id: "e".to_owned() };
    let take = Change::Take { key: event, at: at(2), job: second.id() };
    store.commit(unit(vec![birth, take])).await.expect("stored");
    claimed(store).await;
    let (mut fourth, birth) = born_of(4, flow("copy", 1), Timing::default());
    store.commit(unit(vec![birth])).await.expect("stored");
    cancel(store, &mut fourth, at(60)).await;
    of_occurrence(store).await;
}

async fn claimed(store: &dyn Store) {
    let mut flow = Flow::clone(&waiting_flow(&[AWAITED]));
    flow.nodes.push(child_job("child", "copy"));
    let (mut job, birth) = born_of(3, Arc::new(flow), Timing::default());
    store.commit(unit(vec![birth])).await.expect("stored");
    claim(store, &mut job, host_id(1), at(50)).await;
    let note = Change::Note {
        job: job.id(),
        epoch: Some(1),
        task: InstanceName { task: "task-1".to_owned(), iteration: Vec::new() },
        name: "cursor".to_owned(),
        value: vec![0, 0xFF],
    };
    store.commit(unit(vec![note])).await.expect("stored");
}

async fn of_occurrence(store: &dyn Store) {
    let flow = flow("copy", 2);
    let occurrence = Occurrence {
        trigger: trigger_id(1),
        generation: 1,
        nominal: at(5),
        origin: occurrence::Origin::Schedule,
    };
    let mut spec = spec(5, &flow);
    let key = UniqueKey::Occurrence { key: occurrence.key(operation_id(1)).to_vec() };
    spec.origin = Origin::Operation { operation: operation_id(1), occurrence, window_ms: 60_000 };
    // The board has job 1 first: it is older, and of the same priority.
    let (job, entries) =
        windlass_core::decide::create::create(Arc::new(spec), flow, Timing::default(), actor());
    let take = Change::Take { key, at: at(4), job: job.id() };
    store.commit(unit(vec![Change::birth(&job, entries), take])).await.expect("stored");
}

/// The rows of a transaction.
pub struct Rows<'a>(pub &'a WriteTransaction);

impl Rows<'_> {
    pub fn open(&self, table: &str) -> Table<'_, &'static [u8], &'static [u8]> {
        self.0.open_table(TableDefinition::new(table)).expect("the table is there")
    }

    pub fn put(&self, table: &str, key: &[u8], value: &[u8]) {
        self.open(table).insert(key, value).expect("writable");
    }

    pub fn remove(&self, table: &str, key: &[u8]) {
        let removed = self.open(table).remove(key).expect("writable").is_some();
        assert!(removed, "{table} has no such row");
    }

    pub fn keys(&self, table: &str) -> Vec<Vec<u8>> {
        let rows = self.open(table);
        let rows = rows.range::<&[u8]>(..).expect("readable");
        rows.map(|row| row.expect("readable").0.value().to_vec()).collect()
    }

    pub fn remove_prefix(&self, table: &str, prefix: &[u8]) {
        let keys = self.keys(table).into_iter().filter(|key| key.starts_with(prefix)).collect::<Vec<_>>();
        assert!(!keys.is_empty(), "{table} has no such row");
        keys.iter().for_each(|key| self.remove(table, key));
    }

    pub fn clear(&self, table: &str) {
        self.remove_prefix(table, &[]);
    }
}

/// The key that has the n-th job at a place.
pub fn row_of(rows: &Rows<'_>, table: &str, at: usize, n: u64) -> Vec<u8> {
    let found = rows.keys(table).into_iter().find(|key| key.get(at..at + 16) == Some(&job_key(n)[..]));
    found.unwrap_or_else(|| panic!("{table} has no row of job {n}"))
}

pub fn remove_at(rows: &Rows<'_>, table: &str, at: usize, n: u64) {
    rows.remove(table, &row_of(rows, table, at, n));
}
