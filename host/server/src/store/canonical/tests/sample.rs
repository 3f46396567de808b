//! Stores to write down: one with everything in it, and a small one.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;
use windlass_core::call::Grants;
use windlass_core::decide::Decision;
use windlass_core::decide::create::{Timing, create};
use windlass_core::entry::Actor;
use windlass_core::flow::{Flow, Inputs, PluginPin, RetryPolicy, Task};
use windlass_core::id::{Digest, HostId, JobId, OperationId, TriggerId};
use windlass_core::instance::InstanceName;
use windlass_core::job::{JobSpec, Origin};

use crate::store::{
    Change, Expected, HostRecord, HostState, ImportRecord, Record, RedbStore, Store, UniqueKey, Unit,
};

pub fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).expect("a valid instant") + TimeDelta::milliseconds(ms)
}

pub fn job_id(n: u64) -> JobId {
    JobId(Uuid::from_u128((0x0198_c0de_0000_7000_8000 << 48) | u128::from(n)))
}

fn blob() -> Vec<u8> {
    (0..200_000u32).map(|n| (n % 251) as u8).collect()
}

fn flow() -> Arc<Flow> {
    let task = Task {
        name: "task".to_owned(),
        plugin: PluginPin { digest: Digest::of(&blob()), name: "p".to_owned(), version: "1.0.0".to_owned() },
        action: "act".to_owned(),
        inputs: Inputs::Arguments,
        revert_inputs: None,
        provides: BTreeMap::new(),
        needs: Vec::new(),
        priority: 0,
        timeout_ms: None,
        retry: RetryPolicy::default(),
        when: None,
        memory_bytes_max: None,
        in_doubt: Default::default(),
        observe: Default::default(),
        phase: None,
    };
    Arc::new(Flow::linear([task]))
}

fn spec(n: u64) -> JobSpec {
    let arguments =
        json!({"ratio": 0.1, "tiny": 5e-324, "big": u64::MAX, "list": [null, -1], "text": "é\u{0}\n"});
    JobSpec {
        id: job_id(n),
        owner: "owner".to_owned(),
        principal: "tester".to_owned(),
        job_type: String::new(),
        labels: BTreeMap::new(),
        flow: flow().digest(),
        flow_revision: None,
        arguments: arguments.as_object().expect("an object").clone(),
        grants: Grants::default(),
        timeout_ms: None,
        origin: Origin::Submitted,
        rerun_of: None,
        never_revert: false,
        created: at(n as i64) + TimeDelta::nanoseconds(123_457),
    }
}

pub fn import() -> Record {
    Record::Import(ImportRecord { began: at(0), generation: 1 })
}

pub async fn put(store: &dyn Store, record: Record) {
    let unit = Unit::of(vec![Change::Put { record, expected: Expected::Absent }]);
    store.commit(unit).await.expect("stored");
}

fn records() -> [Record; 4] {
    let plugin = json!({
        "digest": Digest::of(&blob()), "size_bytes": blob().len(), "state": "active", "owner": "owner",
        "manifest": {"manifest": 1, "name": "p", "version": "1.0.0", "actions": []},
        "created": at(0), "generation": 1,
    });
    let trigger = json!({
        "id": TriggerId(Uuid::from_u128(1)), "name": "t", "owner": "owner", "kind": {"events": {"type": "x"}},
        "state": "active", "generation": 1, "revision": 1, "high_water": at(0), "next_due": at(7), "window_ms": 60_000,
        "catch_up": "latest", "created": at(0), "updated": at(0),
    });
    let operation = json!({
        "id": OperationId(Uuid::from_u128(1)), "name": "o", "owner": "owner", "principal": "tester",
        "trigger": TriggerId(Uuid::from_u128(1)), "flow": flow(), "arguments": {}, "enabled": true, "generation": 1,
        "created": at(0), "updated": at(0),
    });
    [
        Record::Plugin(serde_json::from_value(plugin).expect("a plugin")),
        Record::Trigger(serde_json::from_value(trigger).expect("a trigger")),
        Record::Operation(serde_json::from_value(operation).expect("an operation")),
        Record::Host(HostRecord {
            id: host(),
            name: "host".to_owned(),
            version: "0.1.0".to_owned(),
            state: HostState::Live,
            started: at(0),
            generation: 1,
        }),
    ]
}

fn host() -> HostId {
    HostId(Uuid::from_u128(1))
}

/// One of everything that a store holds.
pub async fn fill(store: &dyn Store) {
    store.put_blob(Digest::of(&blob()), blob()).await.expect("stored");
    for record in records() {
        put(store, record).await;
    }
    small(store).await;
}

/// Two jobs, one of them claimed and with notes, and keys of every kind.
pub async fn small(store: &dyn Store) {
    for n in [1, 2] {
        let (mut job, entries) =
            create(Arc::new(spec(n)), flow(), Timing::default(), Actor::Principal("tester".to_owned()));
        let mut changes = vec![Change::birth(&job, entries)];
        if n == 1 {
            let mut decision = Decision::new(&mut job, at(50), Actor::Host(host()));
            decision.claim(host()).expect("it is ready");
            let entries = decision.into_entries();
            changes.push(Change::recorded(&job, entries, None));
            for (task, name) in [("task", "longer"), ("task", "b"), ("a-longer-task", "z")] {
                changes.push(Change::Note {
                    job: job.id(),
                    epoch: Some(1),
                    task: InstanceName { task: task.to_owned(), iteration: vec![] },
                    name: name.to_owned(),
                    value: vec![0xFF, n as u8],
                });
            }
        }
        changes.extend(keys(n).map(|key| Change::Take { key, at: at(9 - n as i64), job: job.id() }));
        store.commit(Unit::of(changes)).await.expect("stored");
    }
}

fn keys(n: u64) -> [UniqueKey; 4] {
    let request = |principal: &str| UniqueKey::Request {
        principal: principal.to_owned(),
        request_id: format!("request-{n}"),
    };
    let event = UniqueKey::Event { source: "source".to_owned(), id: format!("event-{n}") };
    [request("zz"), request("aaa"), event, UniqueKey::Occurrence { key: vec![0xFF, n as u8] }]
}

/// Made once: the same for every case.
pub fn form_of_a_small_store() -> &'static [u8] {
    static FORM: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let store = RedbStore::open_in_memory().expect("opens");
            small(&store).await;
            super::written(&store).await.expect("it can be written down")
        })
    };
    // On a thread of its own: some that ask are on a runtime.
    FORM.get_or_init(|| std::thread::spawn(make).join().expect("it can be made"))
}
