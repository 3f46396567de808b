//! Jobs as a whole: back as they were, with notes, listed, purged.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::call::Outcome;
use windlass_core::decide::create::Timing;
use windlass_core::flow::Flow;
use windlass_core::id::FlowId;
use windlass_core::instance::InstanceName;
use windlass_core::job::JobState;
use windlass_core::payload::Payload;
use windlass_core::revision::RevisionName;
use windlass_host::store::{
    Change, CommitError, Conflict, Expected, JobFilter, RecordKey, Reference, Store, UniqueKey,
};

use super::Bench;
use super::fixture::{
    at, born, born_of, call, cancel, child_job, claim, commit, flow, flow_revision, host_id, job_id,
    operation, operation_id, plugin, submit, undone_as_a_whole, unit,
};

pub(super) async fn a_job_comes_back_as_it_was_stored(bench: Bench) {
    let mut job = submit(bench.store().as_ref(), 1).await;
    bench.step().await;
    assert_eq!(bench.store().job(job.id()).await.expect("readable"), Some(job.clone()));
    claim(bench.store().as_ref(), &mut job, host_id(1), at(5)).await;
    let payload = Payload { media_type: "application/octet-stream".to_owned(), bytes: (0..=255).collect() };
    let under_way = call(&job).expect("a call was begun");
    let store = bench.store();
    let finished = commit(store.as_ref(), &mut job, at(6), |decision| {
        decision.record_undo(&under_way, payload.clone()).expect("it is under way");
        decision.record_noise(&under_way, Vec::new(), Some((0.1, "é".to_owned()))).expect("it is under way");
        let outcome = Outcome::Applied { output: payload.clone(), undo: Some(payload) };
        decision.finish(&under_way, outcome).expect("it is under way");
    });
    finished.await.expect("stored");
    drop(store);
    bench.step().await;
    assert_eq!(bench.store().job(job.id()).await.expect("readable"), Some(job));
    assert_eq!(bench.store().job(job_id(2)).await.expect("readable"), None);
}

pub(super) async fn a_note_needs_the_claim(bench: Bench) {
    let mut job = submit(bench.store().as_ref(), 1).await;
    let id = job.id();
    let task = InstanceName { task: "task-1".to_owned(), iteration: Vec::new() };
    let later = InstanceName { task: "task-1".to_owned(), iteration: vec![1] };
    let note = |epoch, value: &[u8]| {
        let (task, name) = (task.clone(), "cursor".to_owned());
        unit(vec![Change::Note { job: id, epoch: Some(epoch), task, name, value: value.to_vec() }])
    };
    let fenced = bench.store().commit(note(0, b"x")).await;
    assert!(matches!(fenced, Err(CommitError::Fenced { .. })), "unclaimed: {fenced:?}");
    claim(bench.store().as_ref(), &mut job, host_id(1), at(5)).await;
    bench.store().commit(note(1, b"first")).await.expect("its claim");
    bench.store().commit(note(1, b"second")).await.expect("its claim");
    let fenced = bench.store().commit(note(2, b"x")).await;
    assert!(matches!(fenced, Err(CommitError::Fenced { epoch: 2, .. })), "another claim: {fenced:?}");
    bench.step().await;
    let store = bench.store();
    let found = store.note(job.id(), &task, "cursor").await.expect("readable");
    assert_eq!(found.as_deref(), Some(b"second".as_slice()));
    assert_eq!(store.note(job.id(), &later, "cursor").await.expect("readable"), None);
    assert_eq!(store.note(job.id(), &task, "curso").await.expect("readable"), None);
}

pub(super) async fn a_purged_job_leaves_nothing(bench: Bench) {
    let key = UniqueKey::Request { principal: "tester".to_owned(), request_id: "r".to_owned() };
    let (mut job, birth) = born(1, Timing::default());
    let take = Change::Take { key: key.clone(), at: at(0), job: job.id() };
    bench.store().commit(unit(vec![take, birth])).await.expect("stored");
    let mut neighbour = submit(bench.store().as_ref(), 2).await;
    let store = bench.store();
    claim(store.as_ref(), &mut job, host_id(1), at(5)).await;
    let task = InstanceName { task: "task-1".to_owned(), iteration: Vec::new() };
    let note = Change::Note {
        job: job.id(),
        epoch: Some(1),
        task: task.clone(),
        name: "n".to_owned(),
        value: vec![1],
    };
    store.commit(unit(vec![note])).await.expect("its claim");
    let refused = Outcome::Reject { fault: windlass_core::fault::Fault::new("test", "no") };
    let under_way = call(&job).expect("a call was begun");
    let finished = commit(store.as_ref(), &mut job, at(6), |decision| {
        decision.finish(&under_way, refused).expect("it is under way");
    });
    finished.await.expect("stored");
    assert!(job.status.state.is_ended());
    let stale = store.commit(unit(vec![Change::Purge { job: job.id(), sequence: 1 }])).await;
    assert!(matches!(stale, Err(CommitError::Conflict(Conflict::Job { expected: 1, .. }))), "{stale:?}");
    let purge = Change::Purge { job: job.id(), sequence: job.status.sequence };
    store.commit(unit(vec![purge])).await.expect("purged");
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(store.job(job.id()).await.expect("readable"), None);
    assert_eq!(store.entries(job.id(), 0, 10).await.expect("readable"), vec![]);
    assert_eq!(store.note(job.id(), &task, "n").await.expect("readable"), None);
    assert_eq!(store.claims().await.expect("readable"), vec![]);
    assert_eq!(store.board(10).await.expect("readable"), vec![neighbour.id()]);
    let tailed = store.tail(None, 100).await.expect("readable").0;
    assert!(tailed.iter().all(|(id, _)| *id == neighbour.id()));
    // A repeated request must still not run again.
    assert_eq!(store.holder(&key).await.expect("readable"), Some(job.id()));
    // The flow that both used is there for the neighbour, and goes with it.
    assert_eq!(store.job(neighbour.id()).await.expect("readable"), Some(neighbour.clone()));
    cancel(store.as_ref(), &mut neighbour, at(9)).await;
    let purge = Change::Purge { job: neighbour.id(), sequence: neighbour.status.sequence };
    store.commit(unit(vec![purge])).await.expect("purged");
    let again = submit(store.as_ref(), 3).await;
    assert_eq!(store.job(again.id()).await.expect("readable"), Some(again));
}

pub(super) async fn a_job_that_has_not_ended_is_not_purged(bench: Bench) {
    let store = bench.store();
    let job = submit(store.as_ref(), 1).await;
    let refused = store.commit(unit(vec![Change::Purge { job: job.id(), sequence: 2 }])).await;
    assert!(matches!(refused, Err(CommitError::Conflict(Conflict::NotEnded { .. }))), "{refused:?}");
    assert_eq!(store.job(job.id()).await.expect("readable"), Some(job));
}

pub(super) async fn lists_are_filtered_and_stable_while_jobs_are_added(bench: Bench) {
    for n in 0..20 {
        let mut job = submit(bench.store().as_ref(), n).await;
        if n % 5 == 0 {
            cancel(bench.store().as_ref(), &mut job, at(100)).await;
        }
    }
    bench.step().await;
    let store = bench.store();
    let even = JobFilter {
        labels: BTreeMap::from([("parity".to_owned(), "even".to_owned())]),
        ..JobFilter::default()
    };
    let mut listed = Vec::new();
    let mut after = None;
    for added in 20.. {
        let page = store.jobs(&even, after, 3).await.expect("readable");
        assert!(page.jobs.len() <= 3);
        listed.extend(page.jobs.iter().map(|(spec, _)| spec.id));
        // A job that is added meanwhile is newer than what is still to come.
        submit(store.as_ref(), added).await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..10).rev().map(|n| job_id(n * 2)).collect();
    assert_eq!(listed, expected);
    let count = async |filter: JobFilter| all(store.as_ref(), &filter).await;
    let cancelled = JobFilter { states: vec![JobState::Cancelled], ..JobFilter::default() };
    assert_eq!(count(cancelled).await, 4);
    let nobody = JobFilter { owner: Some("nobody".to_owned()), ..JobFilter::default() };
    assert_eq!(count(nobody).await, 0);
    let early = JobFilter { created_before: Some(at(5)), ..JobFilter::default() };
    assert_eq!(count(early).await, 5);
    let window =
        JobFilter { created_from: Some(at(5)), created_before: Some(at(10)), ..JobFilter::default() };
    assert_eq!(count(window).await, 5);
}

async fn all(store: &dyn Store, filter: &JobFilter) -> usize {
    let (mut found, mut after) = (0, None);
    loop {
        let page = store.jobs(filter, after, 7).await.expect("readable");
        found += page.jobs.len();
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

pub(super) async fn a_plugin_is_needed_by_jobs_and_operations(bench: Bench) {
    let store = bench.store();
    let mut used = Flow::clone(&undone_as_a_whole(flow("used", 2), "releasing"));
    used.nodes.push(child_job("child", "of-child"));
    let used = Arc::new(used);
    let (mut waiting, birth) = born_of(1, used.clone(), Timing::default());
    let (mut over, other_birth) = born_of(2, used.clone(), Timing::default());
    let (_, unrelated) = born_of(3, flow("other", 1), Timing::default());
    let put = |record| Change::Put { record, expected: Expected::Any };
    let bound = put(operation(1, 1, &used, None));
    let deleted = put(operation(2, 1, &used, Some(at(1))));
    let revisions = [(1, &used), (2, &flow("other", 1))].map(|(n, flow)| put(flow_revision("f", n, flow)));
    let changes = [vec![birth, other_birth, unrelated, bound, deleted], revisions.to_vec()].concat();
    store.commit(unit(changes)).await.expect("stored");
    cancel(store.as_ref(), &mut over, at(9)).await;
    drop(store);
    bench.step().await;
    let store = bench.store();
    // By its tasks, by its own revert, and by its child job.
    for name in ["used", "releasing", "of-child"] {
        let mut found = store.references(plugin(name), 10).await.expect("readable");
        found.sort_by_key(|reference| match reference {
            Reference::Operation(_) => 0,
            Reference::FlowRevision(_) => 1,
            Reference::Job(_) => 2,
        });
        let revision = Reference::FlowRevision(RevisionName { name: "f".to_owned(), revision: 1 });
        let expected = vec![Reference::Operation(operation_id(1)), revision, Reference::Job(waiting.id())];
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(store.references(plugin("used"), 2).await.expect("readable").len(), 2);
    assert_eq!(store.references(plugin("used"), 1).await.expect("readable").len(), 1);
    assert_eq!(store.references(plugin("nobody"), 10).await.expect("readable"), vec![]);
    cancel(store.as_ref(), &mut waiting, at(9)).await;
    let key = RecordKey::FlowRevision(FlowId::of_name("f"), 1);
    let removed = Change::Remove { key, generation: 1 };
    store.commit(unit(vec![put(operation(1, 2, &used, Some(at(2)))), removed])).await.expect("stored");
    for name in ["used", "releasing", "of-child"] {
        assert_eq!(store.references(plugin(name), 10).await.expect("readable"), vec![], "{name}");
    }
}
