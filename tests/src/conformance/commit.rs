//! Units: all or nothing, in order, fenced.

use std::sync::Arc;

use windlass_core::decide::create::Timing;
use windlass_host::store::{Change, CommitError, Conflict, Cursor, Expected, UniqueKey};

use super::Bench;
use super::fixture::{at, born, claim, commit, decide, host, host_id, job_id, submit, unit};

pub(super) async fn a_refused_unit_leaves_no_trace(bench: Bench) {
    let store = bench.store();
    store
        .commit(unit(vec![Change::Put { record: host(1, 1), expected: Expected::Absent }]))
        .await
        .expect("stored");
    let before = store.tail(None, 10).await.expect("readable");
    let (job, birth) = born(1, Timing::default());
    let key = UniqueKey::Request { principal: "tester".to_owned(), request_id: "r".to_owned() };
    let refused = store
        .commit(unit(vec![
            Change::Take { key: key.clone(), at: at(0), job: job.id() },
            birth,
            Change::Put { record: host(2, 1), expected: Expected::Absent },
            Change::Put { record: host(1, 2), expected: Expected::Absent },
        ]))
        .await;
    assert!(matches!(refused, Err(CommitError::Conflict(Conflict::Exists { .. }))), "{refused:?}");
    drop(store);
    bench.step().await;
    let store = bench.store();
    assert_eq!(store.job(job.id()).await.expect("readable"), None);
    assert_eq!(store.board(10).await.expect("readable"), vec![]);
    assert_eq!(store.holder(&key).await.expect("readable"), None);
    assert_eq!(store.record(host(2, 1).key()).await.expect("readable"), None);
    assert_eq!(store.record(host(1, 1).key()).await.expect("readable"), Some(host(1, 1)));
    let after = store.tail(None, 10).await.expect("readable");
    assert_eq!(after.0, before.0);
}

pub(super) async fn neighbours_of_a_refused_unit_are_committed(bench: Bench) {
    const UNITS: u64 = 48;
    let store = bench.store();
    store
        .commit(unit(vec![Change::Put { record: host(1, 1), expected: Expected::Absent }]))
        .await
        .expect("stored");
    let mut tasks = Vec::new();
    for n in 0..UNITS {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let (_, birth) = born(n, Timing::default());
            let mut changes = vec![birth];
            if n % 4 == 0 {
                // Every fourth asks for what is not so, after its first change was fine.
                changes.push(Change::Expect { key: host(1, 1).key(), generation: 7 });
            }
            store.commit(unit(changes)).await
        }));
    }
    for (n, task) in (0..UNITS).zip(tasks) {
        let result = task.await.expect("no panic");
        assert_eq!(result.is_err(), n % 4 == 0, "unit {n}: {result:?}");
    }
    drop(store);
    bench.step().await;
    let store = bench.store();
    for n in 0..UNITS {
        let job = store.job(job_id(n)).await.expect("readable");
        assert_eq!(job.is_none(), n % 4 == 0, "job {n}");
    }
    assert_eq!(store.board(100).await.expect("readable").len(), 36);
    let (entries, _) = store.tail(Some(Cursor::default()), 1_000).await.expect("readable");
    assert_eq!(entries.len(), 36 * 2);
}

pub(super) async fn units_that_are_committed_at_once_are_taken_or_refused_each_for_itself(bench: Bench) {
    const UNITS: u64 = 300;
    let store = bench.store();
    let absent = Change::Expect { key: host(1, 1).key(), generation: 1 };
    let request = |n: u64| UniqueKey::Request { principal: "tester".to_owned(), request_id: n.to_string() };
    let units = (0..UNITS).map(|n| {
        let (job, birth) = born(n, Timing::default());
        match n % 3 {
            // Every third is refused after its first change was fine; of the others two ask with one id.
            0 => unit(vec![birth, absent.clone()]),
            _ => unit(vec![Change::Take { key: request(n / 3), at: at(0), job: job.id() }, birth]),
        }
    });
    let results = store.commit_each(units.collect()).await;
    assert_eq!(results.len() as u64, UNITS);
    assert!(store.commit_each(Vec::new()).await.is_empty());
    drop(store);
    bench.step().await;
    let store = bench.store();
    for (n, result) in (0..UNITS).zip(&results) {
        let is_there = store.job(job_id(n)).await.expect("readable").is_some();
        assert_eq!(is_there, result.is_ok(), "unit {n}: {result:?}");
        if n % 3 == 0 {
            assert!(
                matches!(result, Err(CommitError::Conflict(Conflict::Missing { .. }))),
                "unit {n}: {result:?}"
            );
            continue;
        }
        let holder = store.holder(&request(n / 3)).await.expect("readable").expect("one of the two has it");
        match result {
            Ok(()) => assert_eq!(holder, job_id(n)),
            Err(CommitError::Taken { holder: told }) => assert!(*told == holder && holder != job_id(n)),
            Err(other) => panic!("unit {n}: {other:?}"),
        }
    }
    assert_eq!(results.iter().filter(|result| result.is_ok()).count() as u64, UNITS / 3);
}

pub(super) async fn a_stale_sequence_is_a_conflict(bench: Bench) {
    let store = bench.store();
    let mut job = submit(store.as_ref(), 1).await;
    let mut stale = job.clone();
    commit(store.as_ref(), &mut job, at(10), |decision| {
        decision.prioritise(5).expect("it has not ended");
    })
    .await
    .expect("the first decision is stored");
    let refused = commit(store.as_ref(), &mut stale, at(10), |decision| {
        decision.prioritise(6).expect("it has not ended");
    })
    .await;
    let conflict = Conflict::Job { job: job.id(), expected: 2, found: 3 };
    assert!(matches!(&refused, Err(CommitError::Conflict(found)) if *found == conflict), "{refused:?}");
    drop(store);
    bench.step().await;
    assert_eq!(bench.store().job(job.id()).await.expect("readable"), Some(job));
}

pub(super) async fn a_job_is_born_once(bench: Bench) {
    let job = submit(bench.store().as_ref(), 1).await;
    bench.step().await;
    let store = bench.store();
    let (_, again) = born(1, Timing { execute_at: None, priority: 9 });
    let refused = store.commit(unit(vec![again])).await;
    assert!(matches!(refused, Err(CommitError::Conflict(Conflict::Job { found: 2, .. }))), "{refused:?}");
    assert_eq!(store.job(job.id()).await.expect("readable"), Some(job));
    let (mut unknown, _) = born(2, Timing::default());
    let refused = commit(store.as_ref(), &mut unknown, at(1), |decision| {
        decision.prioritise(1).expect("it has not ended");
    })
    .await;
    assert!(matches!(refused, Err(CommitError::Conflict(Conflict::Job { found: 0, .. }))), "{refused:?}");
}

pub(super) async fn of_many_racers_one_wins(bench: Bench) {
    let store = bench.store();
    let job = submit(store.as_ref(), 1).await;
    let mut tasks = Vec::new();
    for n in 0..16 {
        let (store, mut job) = (Arc::clone(&store), job.clone());
        tasks.push(tokio::spawn(async move {
            let change = decide(&mut job, at(5), |decision| decision.claim(host_id(n)).expect("it is ready"));
            store.commit(unit(vec![change])).await.map(|()| host_id(n))
        }));
    }
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(host) => winners.push(host),
            Err(CommitError::Conflict(Conflict::Job { .. })) => {}
            Err(other) => panic!("a loser is told of a conflict, not {other:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(store.claims().await.expect("readable"), vec![(winners[0], job.id())]);
}

pub(super) async fn a_stale_epoch_is_fenced_before_its_sequence_is_looked_at(bench: Bench) {
    let store = bench.store();
    let mut job = submit(store.as_ref(), 1).await;
    claim(store.as_ref(), &mut job, host_id(1), at(5)).await;
    let mut former = job.clone();
    let lost =
        decide(&mut job, at(6), |decision| decision.lose_claim(host_id(1)).expect("it holds the claim"));
    // The claim is taken away by somebody who does not hold it.
    let Change::Job(mut lost) = lost else { panic!("a decision is a change of its job") };
    lost.epoch = None;
    store.commit(unit(vec![Change::Job(lost)])).await.expect("the loss is stored");
    let fenced = commit(store.as_ref(), &mut former.clone(), at(7), |decision| {
        decision.give_up(host_id(1)).expect("it believes to hold the claim");
    })
    .await;
    assert!(matches!(fenced, Err(CommitError::Fenced { epoch: 1, .. })), "no claim: {fenced:?}");
    claim(store.as_ref(), &mut job, host_id(2), at(8)).await;
    drop(store);
    bench.step().await;
    let store = bench.store();
    let fenced = commit(store.as_ref(), &mut former, at(9), |decision| {
        decision.give_up(host_id(1)).expect("it believes to hold the claim");
    })
    .await;
    assert!(matches!(fenced, Err(CommitError::Fenced { epoch: 1, .. })), "a later claim: {fenced:?}");
    assert_eq!(store.job(job.id()).await.expect("readable"), Some(job));
}

pub(super) async fn a_change_sees_those_before_it_in_its_unit(bench: Bench) {
    let (mut job, birth) = born(1, Timing::default());
    let claimed = decide(&mut job, at(3), |decision| decision.claim(host_id(1)).expect("it is ready"));
    let put = Change::Put { record: host(1, 1), expected: Expected::Absent };
    let changed = Change::Put { record: host(1, 2), expected: Expected::Generation(1) };
    bench.store().commit(unit(vec![birth, put, claimed, changed])).await.expect("stored in order");
    bench.step().await;
    let store = bench.store();
    assert_eq!(store.record(host(1, 2).key()).await.expect("readable"), Some(host(1, 2)));
    assert_eq!(store.board(10).await.expect("readable"), vec![]);
    assert_eq!(store.entries(job.id(), 0, 100).await.expect("readable").len() as u64, job.status.sequence);
    assert_eq!(store.job(job.id()).await.expect("readable"), Some(job));
}
