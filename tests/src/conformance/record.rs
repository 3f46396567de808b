//! Records with their generations, and keys that can be had once.

use chrono::{DateTime, Utc};
use windlass_core::flow::Flow;
use windlass_core::id::FlowId;
use windlass_host::store::{Change, CommitError, Conflict, Expected, RecordKey, RecordKind, UniqueKey};

use super::Bench;
use super::fixture::{at, flow_revision, host, host_id, job_id, named_flow, operation, trigger, unit};

pub(super) async fn records_change_only_from_the_expected_generation(bench: Bench) {
    let put = |generation, expected| unit(vec![Change::Put { record: host(1, generation), expected }]);
    let key = RecordKey::Host(host_id(1));
    let store = bench.store();
    let missing = store.commit(put(2, Expected::Generation(1))).await;
    assert!(matches!(missing, Err(CommitError::Conflict(Conflict::Missing { .. }))), "{missing:?}");
    store.commit(put(1, Expected::Absent)).await.expect("there was none");
    let exists = store.commit(put(1, Expected::Absent)).await;
    assert!(matches!(exists, Err(CommitError::Conflict(Conflict::Exists { .. }))), "{exists:?}");
    store.commit(put(2, Expected::Generation(1))).await.expect("it was the first");
    drop(store);
    bench.step().await;
    let store = bench.store();
    let stale = store.commit(put(3, Expected::Generation(1))).await;
    let expected = Conflict::Generation { key, expected: 1, found: 2 };
    assert!(matches!(&stale, Err(CommitError::Conflict(found)) if *found == expected), "{stale:?}");
    assert_eq!(store.record(key).await.expect("readable"), Some(host(1, 2)));
    store.commit(put(9, Expected::Any)).await.expect("whatever is there");
    let stale = store.commit(unit(vec![Change::Remove { key, generation: 2 }])).await;
    assert!(matches!(stale, Err(CommitError::Conflict(Conflict::Generation { .. }))), "{stale:?}");
    store.commit(unit(vec![Change::Remove { key, generation: 9 }])).await.expect("removed");
    drop(store);
    bench.step().await;
    assert_eq!(bench.store().record(key).await.expect("readable"), None);
}

pub(super) async fn records_are_paged_by_kind(bench: Bench) {
    let flow = Flow::linear([]);
    let mut changes = Vec::new();
    for n in [3, 1, 2] {
        let records = [host(n, 1), trigger(n, 1, None), operation(n, 1, &flow, None)];
        changes.extend(records.map(|record| Change::Put { record, expected: Expected::Absent }));
    }
    bench.store().commit(unit(changes)).await.expect("stored");
    bench.step().await;
    let store = bench.store();
    let first = store.records(RecordKind::Trigger, None, 2).await.expect("readable");
    assert_eq!(first, vec![trigger(1, 1, None), trigger(2, 1, None)]);
    let second = store.records(RecordKind::Trigger, Some(first[1].key()), 2).await.expect("readable");
    assert_eq!(second, vec![trigger(3, 1, None)]);
    let hosts = store.records(RecordKind::Host, None, 10).await.expect("readable");
    assert_eq!(hosts, vec![host(1, 1), host(2, 1), host(3, 1)]);
    assert_eq!(store.records(RecordKind::Operation, None, 10).await.expect("readable").len(), 3);
    assert_eq!(store.records(RecordKind::Plugin, None, 10).await.expect("readable"), vec![]);
}

pub(super) async fn revisions_are_beside_each_other_in_the_order_of_their_numbers(bench: Bench) {
    let flow = Flow::linear([]);
    let mut changes = Vec::new();
    for name in ["nightly", "weekly"] {
        changes.push(Change::Put { record: named_flow(name, 1), expected: Expected::Absent });
        // As numbers, and neither as texts nor as bytes of the lowest first.
        changes.extend([256, 1, 2, 10].map(|revision| {
            let record = flow_revision(name, revision, &flow);
            Change::Put { record, expected: Expected::Absent }
        }));
    }
    bench.store().commit(unit(changes)).await.expect("stored");
    bench.step().await;
    let store = bench.store();
    let nightly = FlowId::of_name("nightly");
    let before = RecordKey::FlowRevision(nightly, 0);
    let found = store.records(RecordKind::FlowRevision, Some(before), 4).await.expect("readable");
    assert_eq!(found, [1, 2, 10, 256].map(|revision| flow_revision("nightly", revision, &flow)));
    let after = RecordKey::FlowRevision(nightly, 2);
    let found = store.records(RecordKind::FlowRevision, Some(after), 1).await.expect("readable");
    assert_eq!(found, [flow_revision("nightly", 10, &flow)]);
    let found = store.record(RecordKey::Flow(nightly)).await.expect("readable");
    assert_eq!(found, Some(named_flow("nightly", 1)));
    let again = Change::Put { record: flow_revision("nightly", 2, &flow), expected: Expected::Absent };
    let exists = store.commit(unit(vec![again])).await;
    assert!(matches!(exists, Err(CommitError::Conflict(Conflict::Exists { .. }))), "{exists:?}");
    let key = RecordKey::FlowRevision(nightly, 2);
    store.commit(unit(vec![Change::Remove { key, generation: 1 }])).await.expect("removed");
    assert_eq!(store.record(key).await.expect("readable"), None);
    assert_eq!(store.records(RecordKind::Flow, None, 10).await.expect("readable").len(), 2);
    assert_eq!(store.records(RecordKind::FlowRevision, None, 10).await.expect("readable").len(), 7);
}

pub(super) async fn an_expectation_changes_nothing_and_refuses_the_rest(bench: Bench) {
    let store = bench.store();
    let put = |n, generation| Change::Put { record: host(n, generation), expected: Expected::Any };
    store.commit(unit(vec![put(1, 4)])).await.expect("stored");
    let expect = |generation| Change::Expect { key: RecordKey::Host(host_id(1)), generation };
    store.commit(unit(vec![expect(4), put(2, 1)])).await.expect("it is so");
    let refused = store.commit(unit(vec![expect(5), put(3, 1)])).await;
    assert!(
        matches!(refused, Err(CommitError::Conflict(Conflict::Generation { found: 4, .. }))),
        "{refused:?}"
    );
    drop(store);
    bench.step().await;
    let hosts = bench.store().records(RecordKind::Host, None, 10).await.expect("readable");
    assert_eq!(hosts, vec![host(1, 4), host(2, 1)]);
}

fn request(principal: &str, id: &str) -> UniqueKey {
    UniqueKey::Request { principal: principal.to_owned(), request_id: id.to_owned() }
}

fn take(key: &UniqueKey, n: u64, taken: DateTime<Utc>) -> Change {
    Change::Take { key: key.clone(), at: taken, job: job_id(n) }
}

pub(super) async fn a_unique_key_is_taken_once(bench: Bench) {
    let key = request("a", "bc");
    bench.store().commit(unit(vec![take(&key, 1, at(0))])).await.expect("it was free");
    bench.step().await;
    let store = bench.store();
    let taken = store.commit(unit(vec![take(&key, 2, at(5))])).await;
    assert!(matches!(taken, Err(CommitError::Taken { holder }) if holder == job_id(1)), "{taken:?}");
    assert_eq!(store.holder(&key).await.expect("readable"), Some(job_id(1)));
    // Neither a principal's end nor another kind of key passes for it.
    let event = UniqueKey::Event { source: "a".to_owned(), id: "bc".to_owned() };
    for (n, other) in [(3, request("ab", "c")), (4, event)] {
        assert_eq!(store.holder(&other).await.expect("readable"), None);
        store.commit(unit(vec![take(&other, n, at(5))])).await.expect("it was free");
        assert_eq!(store.holder(&other).await.expect("readable"), Some(job_id(n)));
    }
    // Two takers in one unit: the second finds the first.
    let twice = request("twice", "x");
    let taken = store.commit(unit(vec![take(&twice, 5, at(6)), take(&twice, 6, at(6))])).await;
    assert!(matches!(taken, Err(CommitError::Taken { holder }) if holder == job_id(5)), "{taken:?}");
    assert_eq!(store.holder(&twice).await.expect("readable"), None);
}

pub(super) async fn a_unit_that_expects_a_key_to_be_free_is_refused_where_it_is_taken(bench: Bench) {
    let (key, other) = (request("a", "b"), request("c", "d"));
    let expect = || Change::ExpectFree { key: key.clone() };
    let store = bench.store();
    store.commit(unit(vec![expect(), take(&other, 1, at(0))])).await.expect("it is free");
    // It takes nothing, and sees what was taken before it in its unit.
    assert_eq!(store.holder(&key).await.expect("readable"), None);
    let taken = store.commit(unit(vec![take(&key, 2, at(1)), expect()])).await;
    assert!(matches!(taken, Err(CommitError::Taken { holder }) if holder == job_id(2)), "{taken:?}");
    store.commit(unit(vec![expect(), take(&key, 3, at(1))])).await.expect("it is still free");
    drop(store);
    bench.step().await;
    let store = bench.store();
    let put = Change::Put { record: host(1, 1), expected: Expected::Absent };
    let taken = store.commit(unit(vec![put, expect()])).await;
    assert!(matches!(taken, Err(CommitError::Taken { holder }) if holder == job_id(3)), "{taken:?}");
    assert_eq!(store.record(host(1, 1).key()).await.expect("readable"), None, "all or nothing");
    store.commit(unit(vec![Change::ExpireKeys { before: at(2) }, expect()])).await.expect("it is forgotten");
}

pub(super) async fn old_requests_and_events_are_forgotten_and_occurrences_are_not(bench: Bench) {
    let store = bench.store();
    let event = |id: &str| UniqueKey::Event { source: "s".to_owned(), id: id.to_owned() };
    let occurrence = UniqueKey::Occurrence { key: vec![1, 2, 3] };
    let old = [request("p", "old"), event("old")];
    let young = [request("p", "young"), event("young")];
    for key in old.iter().chain([&occurrence]) {
        store.commit(unit(vec![take(key, 1, at(1_000))])).await.expect("it was free");
    }
    for key in &young {
        store.commit(unit(vec![take(key, 2, at(2_000))])).await.expect("it was free");
    }
    drop(store);
    bench.step().await;
    let store = bench.store();
    store.commit(unit(vec![Change::ExpireKeys { before: at(2_000) }])).await.expect("forgotten");
    for key in &old {
        assert_eq!(store.holder(key).await.expect("readable"), None, "{key:?}");
        store.commit(unit(vec![take(key, 3, at(3_000))])).await.expect("it is free again");
    }
    for key in &young {
        assert_eq!(store.holder(key).await.expect("readable"), Some(job_id(2)), "{key:?}");
    }
    assert_eq!(store.holder(&occurrence).await.expect("readable"), Some(job_id(1)));
}

/// More than one unit forgets, whatever a store's bound is: an hour of requests, say.
const OLD_KEYS: usize = 5_000;
/// Looked at after each unit.
const OLD_KEYS_PROBED: usize = 250;

pub(super) async fn many_old_keys_are_forgotten_over_a_few_units(bench: Bench) {
    let store = bench.store();
    let keys: Vec<_> = (0..OLD_KEYS).map(|n| request("many", &n.to_string())).collect();
    for (n, some) in keys.chunks(500).enumerate() {
        let taken = at(1_000 + n as i64);
        store.commit(unit(some.iter().map(|key| take(key, 1, taken)).collect())).await.expect("free");
    }
    let young = request("many", "young");
    store.commit(unit(vec![take(&young, 2, at(9_000))])).await.expect("it was free");
    let probed: Vec<_> = keys.iter().step_by(OLD_KEYS / OLD_KEYS_PROBED).collect();
    let mut remaining = probed.len();
    while remaining > 0 {
        store.commit(unit(vec![Change::ExpireKeys { before: at(9_000) }])).await.expect("forgotten");
        let mut held = 0;
        for key in &probed {
            held += usize::from(store.holder(key).await.expect("readable").is_some());
        }
        assert!(held < remaining, "every unit forgets some: {held} of {remaining} are left");
        remaining = held;
    }
    drop(store);
    bench.step().await;
    assert_eq!(bench.store().holder(&young).await.expect("readable"), Some(job_id(2)));
    bench.store().commit(unit(vec![take(&keys[0], 3, at(9_500))])).await.expect("it is free again");
}
