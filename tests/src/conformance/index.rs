//! The board, the claims and what is due: they follow from jobs and records.

use chrono::TimeDelta;
use windlass_core::decide::create::Timing;
use windlass_host::store::{Change, Due, Expected, Subject};

use super::Bench;
use super::fixture::{at, born, claim, commit, host_id, job_id, submit, trigger, trigger_id, unit};

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
