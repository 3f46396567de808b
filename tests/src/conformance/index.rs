//! The board, the claims, awaited events, what is to be told and what is due: they follow from jobs and records.

use chrono::TimeDelta;
use windlass_core::call::Outcome;
use windlass_core::decide::create::Timing;
use windlass_core::id::JobId;
use windlass_core::job::{CancelMode, Job, JobState};
use windlass_core::payload::Payload;
use windlass_host::store::{Change, Due, Expected, Store, Subject};

use super::Bench;
use super::fixture::{
    EVENT_TYPES, at, born, born_of, born_of_parent, call, cancel, claim, commit, decide, event, family_flow,
    host_id, job_id, submit, trigger, trigger_id, unit, waiting_flow,
};

pub(super) async fn the_board_is_ordered_by_priority_then_age(bench: Bench) {
    // (job, priority): the n-th job is created n milliseconds after the start.
    for (n, priority) in [(3, 0), (1, 0), (4, 7), (2, -7), (5, i32::MAX), (6, i32::MIN), (7, 7)] {
        let (_, birth) = born(n, Timing { execute_at: None, priority });
        bench.store().commit(unit(vec![birth])).await.expect("stored");
    }
    bench.step().await;
    let store = bench.store();
    let expected: Vec<_> = [5, 4, 7, 1, 3, 2, 6].map(job_id).to_vec();
    assert_eq!(store.board(100).await.expect("readable"), expected);
    assert_eq!(store.board(2).await.expect("readable"), expected[..2]);
    let mut job = store.job(job_id(2)).await.expect("readable").expect("stored");
    let raised = commit(store.as_ref(), &mut job, at(20), |decision| {
        decision.prioritise(8).expect("it has not ended");
    });
    raised.await.expect("stored");
    drop(store);
    bench.step().await;
    let expected: Vec<_> = [5, 2, 4, 7, 1, 3, 6].map(job_id).to_vec();
    assert_eq!(bench.store().board(100).await.expect("readable"), expected);
}

pub(super) async fn a_claimed_job_is_off_the_board_and_among_the_claims(bench: Bench) {
    let mut job = submit(bench.store().as_ref(), 1).await;
    let mut other = submit(bench.store().as_ref(), 2).await;
    claim(bench.store().as_ref(), &mut job, host_id(1), at(5)).await;
    claim(bench.store().as_ref(), &mut other, host_id(2), at(5)).await;
    bench.step().await;
    let store = bench.store();
    assert_eq!(store.board(10).await.expect("readable"), vec![]);
    let expected = vec![(host_id(1), job.id()), (host_id(2), other.id())];
    assert_eq!(store.claims().await.expect("readable"), expected);
    let given_up = commit(store.as_ref(), &mut job, at(6), |decision| {
        decision.give_up(host_id(1)).expect("it holds the claim");
    });
    given_up.await.expect("stored");
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(store.board(10).await.expect("readable"), vec![job.id()]);
    assert_eq!(store.claims().await.expect("readable"), vec![(host_id(2), other.id())]);
}

pub(super) async fn due_things_come_in_order_and_never_early(bench: Bench) {
    assert_eq!(bench.store().next_due().await.expect("readable"), None);
    for (n, ms) in [(1, 3_000), (2, 1_000), (3, 2_000)] {
        let (_, birth) = born(n, Timing { execute_at: Some(at(ms)), priority: 0 });
        bench.store().commit(unit(vec![birth])).await.expect("stored");
    }
    bench.step().await;
    let store = bench.store();
    let due = |n, ms| Due { at: at(ms), subject: Subject::Job(job_id(n)) };
    assert_eq!(store.next_due().await.expect("readable"), Some(at(1_000)));
    assert_eq!(store.due(at(1_000) - TimeDelta::nanoseconds(1), 10).await.expect("readable"), vec![]);
    assert_eq!(store.due(at(2_000), 10).await.expect("readable"), vec![due(2, 1_000), due(3, 2_000)]);
    assert_eq!(store.due(at(9_000), 2).await.expect("readable"), vec![due(2, 1_000), due(3, 2_000)]);
    assert_eq!(store.board(10).await.expect("readable"), vec![]);
    let mut job = store.job(job_id(2)).await.expect("readable").expect("stored");
    commit(store.as_ref(), &mut job, at(1_000), |decision| decision.wake()).await.expect("stored");
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(store.next_due().await.expect("readable"), Some(at(2_000)));
    assert_eq!(store.board(10).await.expect("readable"), vec![job_id(2)]);
}

pub(super) async fn a_trigger_is_due_at_its_alarm(bench: Bench) {
    let store = bench.store();
    let due = |ms| vec![Due { at: at(ms), subject: Subject::Trigger(trigger_id(1)) }];
    let put = |record, expected| unit(vec![Change::Put { record, expected }]);
    store.commit(put(trigger(1, 1, Some(at(100))), Expected::Absent)).await.expect("stored");
    assert_eq!(store.due(at(500), 10).await.expect("readable"), due(100));
    store.commit(put(trigger(1, 2, Some(at(200))), Expected::Generation(1))).await.expect("stored");
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(store.due(at(500), 10).await.expect("readable"), due(200));
    // The alarm stays where the generation moves, and goes with the trigger.
    store.commit(put(trigger(1, 3, Some(at(200))), Expected::Any)).await.expect("stored");
    assert_eq!(store.due(at(500), 10).await.expect("readable"), due(200));
    let key = trigger(1, 1, None).key();
    store.commit(unit(vec![Change::Remove { key, generation: 3 }])).await.expect("removed");
    assert_eq!(store.next_due().await.expect("readable"), None);
}

const BUILT: &str = EVENT_TYPES[0];
const WELL: &str = EVENT_TYPES[1];
/// The others begin with it.
const B: &str = EVENT_TYPES[2];

/// The n-th job, which waits for events of these types while its task is called.
async fn waiting(store: &dyn Store, n: u64, event_types: &[&str]) -> Job {
    let (mut job, birth) = born_of(n, waiting_flow(event_types), Timing::default());
    store.commit(unit(vec![birth])).await.expect("stored");
    claim(store, &mut job, host_id(1), at(50)).await;
    job
}

async fn awaiting(store: &dyn Store, event_type: &str) -> Vec<JobId> {
    store.awaiting(event_type, None, 100).await.expect("readable")
}

pub(super) async fn jobs_that_wait_for_an_event_are_found_by_its_type(bench: Bench) {
    let store = bench.store();
    for (n, event_types) in [(3, &[BUILT][..]), (1, &[BUILT, WELL]), (2, &[BUILT, BUILT]), (4, &[])] {
        waiting(store.as_ref(), n, event_types).await;
    }
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(awaiting(store.as_ref(), BUILT).await, [1, 2, 3].map(job_id));
    assert_eq!(awaiting(store.as_ref(), WELL).await, [job_id(1)]);
    assert_eq!(awaiting(store.as_ref(), B).await, []);
    assert_eq!(store.awaiting(BUILT, None, 2).await.expect("readable"), [1, 2].map(job_id));
    let behind = store.awaiting(BUILT, Some(job_id(1)), 100).await.expect("readable");
    assert_eq!(behind, [2, 3].map(job_id), "behind a job, whether or not it still waits");
    assert_eq!(store.awaiting(WELL, Some(job_id(1)), 100).await.expect("readable"), []);
    assert_eq!(store.awaiting(BUILT, Some(job_id(9)), 100).await.expect("readable"), []);
    // One that was answered waits for what is left: nothing, or the other type.
    for (n, event_type) in [(3, BUILT), (1, BUILT), (2, WELL)] {
        let mut job = store.job(job_id(n)).await.expect("readable").expect("stored");
        let is_meant = n != 2;
        let answered = commit(store.as_ref(), &mut job, at(60), |decision| {
            assert_eq!(decision.deliver(&event(event_type, "1")), is_meant);
        });
        if is_meant {
            answered.await.expect("stored");
        }
    }
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(awaiting(store.as_ref(), BUILT).await, [job_id(2)]);
    assert_eq!(awaiting(store.as_ref(), WELL).await, [job_id(1)]);
}

pub(super) async fn of_jobs_that_have_ended_none_waits_for_an_event(bench: Bench) {
    let store = bench.store();
    let mut left = waiting(store.as_ref(), 1, &[BUILT]).await;
    let mut at_rest = waiting(store.as_ref(), 2, &[BUILT, WELL]).await;
    let mut done = waiting(store.as_ref(), 3, &[WELL]).await;
    // Whether a host has it or not: it waits for the same.
    let call_of = call(&at_rest).expect("its task is called");
    let applied = Outcome::Applied { output: Payload::json(&1.into()), undo: None };
    let outcome = applied.clone();
    let rested = commit(store.as_ref(), &mut at_rest, at(60), |decision| {
        decision.finish(&call_of, outcome).expect("it is under way");
    });
    rested.await.expect("stored");
    assert_eq!(at_rest.status.state, JobState::Waiting);
    assert_eq!(awaiting(store.as_ref(), BUILT).await, [1, 2].map(job_id));
    // Two changes in one unit, of which the second counts.
    let lost = decide(&mut left, at(70), |decision| decision.lose_claim(host_id(1)).expect("it is claimed"));
    let ended = decide(&mut left, at(70), |decision| {
        decision.cancel(CancelMode::Leave, "enough".to_owned()).expect("it is at rest");
    });
    assert!(left.status.state.is_ended());
    store.commit(unit(vec![lost, ended])).await.expect("stored");
    let call_of = call(&done).expect("its task is called");
    let finished = commit(store.as_ref(), &mut done, at(70), |decision| {
        assert!(decision.deliver(&event(WELL, "1")));
        decision.finish(&call_of, applied).expect("it is under way");
    });
    finished.await.expect("stored");
    assert_eq!(done.status.state, JobState::Succeeded);
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(awaiting(store.as_ref(), BUILT).await, [job_id(2)]);
    assert_eq!(awaiting(store.as_ref(), WELL).await, [job_id(2)]);
    store
        .commit(unit(vec![Change::Purge { job: left.id(), sequence: left.status.sequence }]))
        .await
        .expect("purged");
    let cancelled = commit(store.as_ref(), &mut at_rest, at(80), |decision| {
        decision.cancel(CancelMode::Leave, "enough".to_owned()).expect("it waits");
    });
    cancelled.await.expect("stored");
    assert!(at_rest.status.state.is_ended());
    assert_eq!(awaiting(store.as_ref(), BUILT).await, []);
    assert_eq!(awaiting(store.as_ref(), WELL).await, []);
}

async fn untold(store: &dyn Store) -> Vec<JobId> {
    store.untold(None, 100).await.expect("readable")
}

pub(super) async fn jobs_that_have_something_to_tell_are_found_also_when_they_have_ended(bench: Bench) {
    let store = bench.store();
    for n in [3, 1, 2] {
        let (mut job, birth) = born_of(n, family_flow(), Timing::default());
        store.commit(unit(vec![birth])).await.expect("stored");
        claim(store.as_ref(), &mut job, host_id(1), at(50)).await;
        assert_eq!(job.status.state, JobState::Waiting, "it holds nothing");
    }
    submit(store.as_ref(), 4).await;
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(untold(store.as_ref()).await, [1, 2, 3].map(job_id));
    assert_eq!(store.untold(None, 2).await.expect("readable"), [1, 2].map(job_id));
    let behind = store.untold(Some(job_id(1)), 100).await.expect("readable");
    assert_eq!(behind, [2, 3].map(job_id), "behind a job, whether or not it is one of them");
    assert_eq!(store.untold(Some(job_id(9)), 100).await.expect("readable"), []);

    // One whose order is told has nothing to tell; one that has ended tells those that it leaves.
    let mut told = store.job(job_id(2)).await.expect("readable").expect("stored");
    let (mut child, birth) = born_of_parent(&told, at(60));
    store.commit(unit(vec![birth])).await.expect("a child is stored as any job");
    let orders = told.open_orders();
    let recorded = commit(store.as_ref(), &mut told, at(61), |decision| decision.child_told(&orders[0]));
    recorded.await.expect("stored");
    let mut left = store.job(job_id(3)).await.expect("readable").expect("stored");
    cancel(store.as_ref(), &mut left, at(62)).await;
    assert!(left.status.state.is_ended());
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(untold(store.as_ref()).await, [1, 3].map(job_id));
    assert_eq!(store.job(job_id(3)).await.expect("readable"), Some(left), "with what it orders at its end");

    // A child that has ended owes that to its parent, until that knows.
    cancel(store.as_ref(), &mut child, at(70)).await;
    assert_eq!(store.job(child.id()).await.expect("readable").as_ref(), Some(&child));
    assert!(untold(store.as_ref()).await.contains(&child.id()));
    let number = child.status.order_number;
    let known = commit(store.as_ref(), &mut child, at(71), |decision| decision.parent_told(number));
    known.await.expect("stored");
    assert_eq!(untold(store.as_ref()).await, [1, 3].map(job_id));
    // What is purged has nothing to tell.
    let left = store.job(job_id(3)).await.expect("readable").expect("stored");
    let purge = Change::Purge { job: left.id(), sequence: left.status.sequence };
    store.commit(unit(vec![purge])).await.expect("purged");
    drop(store);
    bench.step().await;
    assert_eq!(untold(bench.store().as_ref()).await, [job_id(1)]);
}
