//! What the redb store does when the disk fails, is full, or loses its power.

mod opening;

use std::collections::BTreeMap;

use windlass_core::decide::create::Timing;
use windlass_core::id::JobId;
use windlass_core::job::Job;
use windlass_host::store::{
    Change, CommitError, Cursor, JobFilter, RedbStore, Store, StoreFailure, UniqueKey, Unit,
};
use windlass_tests::conformance::fixture::{at, born, cancel, claim, decide, host_id, job_id, submit, unit};
use windlass_tests::disk::{Disk, Fault};

/// Units of one history before the power is cut: the first makes the log, the fifth finds it full.
const UNITS: u64 = 6;

/// Longer than a store takes to find out that its disk works.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Bytes of the write-ahead log: too small for any transaction, so that each is written to the database's file; for three;
/// for all.
const WALS: [u64; 3] = [4096, 4 * 4096, 1 << 20];

fn open(disk: &Disk) -> RedbStore {
    disk.open().expect("opens")
}

/// One of every kind of row.
fn all_rows(n: u64) -> Unit {
    let (mut job, birth) = born(n, Timing::default());
    let key = UniqueKey::Event { source: "s".to_owned(), id: n.to_string() };
    let take = Change::Take { key, at: at(0), job: job.id() };
    let claimed = decide(&mut job, at(50), |decision| decision.claim(host_id(1)).expect("it is ready"));
    unit(vec![take, birth, claimed])
}

/// Every job that is there is there with all its rows, and no other row is.
async fn check_whole(store: &RedbStore) -> Vec<JobId> {
    let page = store.jobs(&JobFilter::default(), None, 1_000).await.expect("readable");
    let mut jobs = BTreeMap::new();
    for (spec, status) in page.jobs {
        let job = store.job(spec.id).await.expect("readable").expect("it is listed");
        let entries = store.entries(spec.id, 0, 1_000).await.expect("readable");
        let replayed = Job::replay(job.spec.clone(), job.flow.clone(), &entries).expect("it can be replayed");
        assert_eq!(replayed, job);
        jobs.insert(spec.id, status);
    }
    let (tail, _) = store.tail(Some(Cursor::default()), 10_000).await.expect("readable");
    assert_eq!(tail.len() as u64, jobs.values().map(|status| status.sequence).sum::<u64>());
    let claims: Vec<_> = store.claims().await.expect("readable").into_iter().map(|(_, job)| job).collect();
    let expected = jobs.iter().filter(|(_, status)| status.claim.is_some());
    assert_eq!(claims, expected.map(|(job, _)| *job).collect::<Vec<_>>());
    for n in 0..UNITS + 2 {
        let key = UniqueKey::Event { source: "s".to_owned(), id: n.to_string() };
        let is_taken = store.holder(&key).await.expect("readable").is_some();
        assert_eq!(is_taken, jobs.contains_key(&job_id(n)), "the key of job {n}");
    }
    jobs.into_keys().collect()
}

fn open_with(disk: &Disk, wal: u64) -> RedbStore {
    disk.open_with_wal_of(wal).expect("opens")
}

/// Operations that so many commits need, and so the places where they can fail. The first ones open the store.
async fn operations_of(units: u64, wal: u64) -> u64 {
    let disk = Disk::default();
    let store = open_with(&disk, wal);
    for n in 0..units {
        store.commit(all_rows(n)).await.expect("stored");
    }
    disk.operations()
}

/// Fails the n-th operation behind the first commit, and so many syncs after it; gives the number of syncs that failed.
async fn fail_once(n: u64, wal: u64, goes_on: bool, syncs: u64) -> u64 {
    let disk = Disk::default();
    let store = open_with(&disk, wal);
    store.commit(all_rows(0)).await.expect("stored");
    disk.fail(n, Fault::WithSyncs(syncs));
    let (mut acknowledged, mut refused) = (vec![job_id(0)], Vec::new());
    for job in 1..UNITS {
        match store.commit(all_rows(job)).await {
            Ok(()) => acknowledged.push(job_id(job)),
            Err(CommitError::Storage(StoreFailure::Down(_))) => refused.push(job_id(job)),
            Err(other) => panic!("operation {n}: {other:?}"),
        }
    }
    if goes_on {
        until_it_works(&store).await;
        acknowledged.push(job_id(UNITS));
    }
    // The store went on, and nothing in between was made up. Where it could not look at once what became of a transaction,
    // that may have been made all the same.
    let found = check_whole(&store).await;
    let place =
        format!("operation {n}, log of {wal}, {syncs} syncs: {acknowledged:?}, {refused:?} and {found:?}");
    assert!(acknowledged.iter().all(|job| found.contains(job)), "{place}");
    assert!(
        found.iter().all(|job| acknowledged.contains(job) || syncs > 0 && refused.contains(job)),
        "{place}"
    );
    // What was there survives the power, too: a failed sync is not believed afterwards.
    let failed_syncs = disk.failed_syncs();
    disk.fail(0, Fault::PowerCut);
    drop(store);
    disk.restart(0);
    assert_eq!(check_whole(&open_with(&disk, wal)).await, found, "{place}, after the power cut");
    failed_syncs
}

/// The store looks again by itself, and takes one more.
async fn until_it_works(store: &RedbStore) {
    let began = std::time::Instant::now();
    loop {
        match store.commit(all_rows(UNITS)).await {
            // It was made before, and nobody knew.
            Ok(()) | Err(CommitError::Taken { .. }) => return,
            Err(CommitError::Storage(StoreFailure::Down(reason))) => {
                assert!(began.elapsed() < PATIENCE, "the disk works, and the store does not: {reason}");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_refuses_what_it_did_not_keep_and_heals_without_a_restart() {
    for wal in WALS {
        let mut failed_syncs = 0;
        for n in 0..operations_of(UNITS, wal).await - operations_of(1, wal).await {
            // The power is cut after another commit, or before any; or the disk fails for a while.
            for (goes_on, syncs) in [(true, 0), (false, 0), (true, 1), (true, 3)] {
                failed_syncs += fail_once(n, wal, goes_on, syncs).await;
            }
        }
        assert!(failed_syncs > 0, "no sync was among what failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_at_any_operation_all_that_was_acknowledged_is_there_and_nothing_by_halves() {
    // As a small file is kept, and as a large one.
    for (wal, quick) in WALS.into_iter().flat_map(|wal| [(wal, u64::MAX), (wal, 0)]) {
        let whole = Disk::default();
        let store = whole.open_as(wal, quick).expect("opens");
        for job in 0..UNITS {
            store.commit(all_rows(job)).await.expect("stored");
        }
        for (n, seed) in (0..whole.operations()).flat_map(|n| (0..3).map(move |seed| (n, seed))) {
            let disk = Disk::default();
            let store = disk.open_as(wal, quick).expect("opens");
            disk.fail(n, Fault::PowerCut);
            let mut acknowledged = Vec::new();
            for job in 0..UNITS {
                if store.commit(all_rows(job)).await.is_ok() {
                    acknowledged.push(job_id(job));
                }
            }
            drop(store);
            disk.restart(seed);
            let place = format!("operation {n}, seed {seed}, log of {wal}, trusted from {quick}");
            check_kept(&disk, (wal, quick), &acknowledged, &place).await;
        }
    }
}

/// All that was acknowledged is there, at most one more, and the store goes on.
async fn check_kept(disk: &Disk, (wal, quick): (u64, u64), acknowledged: &[JobId], place: &str) {
    let store = disk.open_as(wal, quick).expect("opens");
    let found = check_whole(&store).await;
    assert!(acknowledged.iter().all(|job| found.contains(job)), "{place}: {acknowledged:?} and {found:?}");
    assert!(found.len() <= acknowledged.len() + 1, "{place}: {found:?}");
    store.commit(all_rows(UNITS)).await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_while_the_log_is_taken_in_all_that_was_acknowledged_is_there() {
    let wal = WALS[2];
    let acknowledged: Vec<JobId> = (0..UNITS).map(job_id).collect();
    let disk = with_a_log().await;
    let before = disk.operations();
    drop(open_with(&disk, wal));
    for n in 0..disk.operations() - before {
        for seed in 0..3 {
            let disk = with_a_log().await;
            disk.fail(n, Fault::PowerCut);
            // Where the power was cut at once it does not open, and otherwise it is of no use.
            drop(disk.open_with_wal_of(wal));
            disk.restart(seed);
            check_kept(&disk, (wal, u64::MAX), &acknowledged, &format!("operation {n}, seed {seed}")).await;
        }
    }
}

/// A disk on which so many jobs are acknowledged, most of them in the log alone.
async fn with_a_log() -> Disk {
    let disk = Disk::default();
    let store = open_with(&disk, WALS[2]);
    for job in 0..UNITS {
        store.commit(all_rows(job)).await.expect("stored");
    }
    disk.fail(0, Fault::PowerCut);
    drop(store);
    disk.restart(0);
    disk
}

/// Whoever opens the disk next goes on, and what it acknowledges and what was before survive the power.
async fn goes_on(disk: &Disk, place: &str) {
    let store = open_with(disk, WALS[2]);
    let mut expected: Vec<JobId> = (0..UNITS).map(job_id).collect();
    assert_eq!(check_whole(&store).await, expected, "{place}");
    store.commit(all_rows(UNITS)).await.expect("it goes on");
    expected.push(job_id(UNITS));
    disk.fail(0, Fault::PowerCut);
    drop(store);
    disk.restart(0);
    assert_eq!(check_whole(&open_with(disk, WALS[2])).await, expected, "{place}, after the power cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_while_the_store_opens_is_not_believed_by_who_opens_it_next() {
    let disk = with_a_log().await;
    let before = disk.operations();
    drop(open_with(&disk, WALS[2]));
    for n in 0..disk.operations() - before {
        let disk = with_a_log().await;
        disk.fail(n, Fault::Once);
        // It may have been refused, or have gone on.
        drop(disk.open_with_wal_of(WALS[2]));
        goes_on(&disk, &format!("operation {n}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_while_the_store_closes_is_not_believed_by_who_opens_it_next() {
    let opened = async || {
        let disk = Disk::default();
        let store = open_with(&disk, WALS[2]);
        for job in 0..UNITS {
            store.commit(all_rows(job)).await.expect("stored");
        }
        (disk, store)
    };
    let (disk, store) = opened().await;
    let before = disk.operations();
    drop(store);
    for n in 0..disk.operations() - before {
        let (disk, store) = opened().await;
        disk.fail(n, Fault::Once);
        store.close().await;
        goes_on(&disk, &format!("operation {n}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_on_a_full_disk_leaves_reads_and_cancels() {
    let disk = Disk::default();
    let store = open_with(&disk, WALS[2]);
    for job in 0..UNITS {
        store.commit(all_rows(job)).await.expect("stored");
    }
    let mut waiting = submit(&store, UNITS).await;
    disk.set_full(true);
    // Not that it is full, but that it failed, is what the store hears first.
    disk.fail(0, Fault::Once);
    let refused = store.commit(all_rows(UNITS + 1)).await;
    assert!(!matches!(refused, Err(CommitError::Conflict(_) | CommitError::Fenced { .. })), "{refused:?}");
    assert_eq!(store.job(waiting.id()).await.expect("readable"), Some(waiting.clone()));
    let ended = decide(&mut waiting, at(900), |decision| {
        let mode = windlass_core::job::CancelMode::Leave;
        decision.cancel(mode, "no room".to_owned()).expect("it waits");
    });
    store.commit(Unit { changes: vec![ended], urgent: true }).await.expect("a cancel on a full disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_batch_that_fails_is_refused_and_the_rest_is_not() {
    for wal in WALS {
        for n in 0..8 {
            let disk = Disk::default();
            let store = open_with(&disk, wal);
            store.commit(all_rows(0)).await.expect("stored");
            disk.fail(n, Fault::Once);
            let results = store.commit_each((1..UNITS).map(all_rows).collect()).await;
            let again = store.commit_each(vec![all_rows(UNITS)]).await;
            assert!(again.iter().all(Result::is_ok), "operation {n}: {again:?}");
            let mut expected = vec![job_id(0)];
            expected.extend(
                (1..UNITS).zip(&results).filter(|(_, result)| result.is_ok()).map(|(job, _)| job_id(job)),
            );
            expected.push(job_id(UNITS));
            assert_eq!(check_whole(&store).await, expected, "operation {n}, log of {wal}");
            store.close().await;
            let closed = store.commit_each(vec![all_rows(UNITS + 1)]).await;
            assert!(matches!(closed[..], [Err(CommitError::Storage(StoreFailure::Down(_)))]), "{closed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_not_closed_does_not_open_without_its_log_or_with_another() {
    let crashed = async |jobs: std::ops::Range<u64>| {
        let disk = Disk::default();
        let store = open_with(&disk, WALS[2]);
        for job in jobs {
            store.commit(all_rows(job)).await.expect("stored");
        }
        disk.fail(0, Fault::PowerCut);
        drop(store);
        disk.restart(0);
        disk
    };
    let (disk, other) = (crashed(0..3).await, crashed(3..6).await);
    let kept = Disk::default();
    kept.set_wal(Some(&disk));
    for wrong in [None, Some(&other)] {
        disk.set_wal(wrong);
        let Err(refused) = disk.open_with_wal_of(WALS[2]) else { panic!("{wrong:?} is not its log") };
        assert!(refused.to_string().contains("put the log back"), "{refused}");
    }
    disk.set_wal(Some(&kept));
    let store = open_with(&disk, WALS[2]);
    assert_eq!(check_whole(&store).await, [0, 1, 2].map(job_id));
    // One that was closed needs none, and takes none that lies about.
    drop(store);
    disk.set_wal(Some(&other));
    assert_eq!(check_whole(&open_with(&disk, WALS[2])).await, [0, 1, 2].map(job_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_share_a_lost_transaction_are_lost_together() {
    for n in 0..6 {
        let disk = Disk::default();
        let store = std::sync::Arc::new(open(&disk));
        disk.fail(n * 5, Fault::PowerCut);
        let mut tasks = Vec::new();
        for job in 0..UNITS {
            let store = std::sync::Arc::clone(&store);
            tasks.push(tokio::spawn(async move { store.commit(all_rows(job)).await.is_ok() }));
        }
        let mut acknowledged = Vec::new();
        for (job, task) in (0..UNITS).zip(tasks) {
            if task.await.expect("no panic") {
                acknowledged.push(job_id(job));
            }
        }
        drop(store);
        disk.restart(n);
        let found = check_whole(&open(&disk)).await;
        assert!(acknowledged.iter().all(|job| found.contains(job)), "{acknowledged:?} and {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_lets_cancel_and_purge_through_and_heals() {
    let disk = Disk::default();
    let store = open(&disk);
    let mut first = submit(&store, 0).await;
    let mut running = submit(&store, 1).await;
    claim(&store, &mut running, host_id(1), at(50)).await;
    disk.set_full(true);
    let mut stored = 2;
    let refused = loop {
        let (_, birth) = born(stored, Timing::default());
        match store.commit(unit(vec![birth])).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100_000, "the disk never got full");
    };
    assert!(matches!(refused, CommitError::Storage(StoreFailure::Full)), "{refused:?}");
    // Reads work, and all that was acknowledged is there.
    let listed = store.jobs(&JobFilter::default(), None, 100_000).await.expect("readable").jobs.len() as u64;
    assert_eq!(listed.min(5_000), stored.min(5_000));
    assert_eq!(store.job(first.id()).await.expect("readable"), Some(first.clone()));
    // What ends or removes things is let through.
    let ended = decide(&mut first, at(900), |decision| {
        let mode = windlass_core::job::CancelMode::Leave;
        decision.cancel(mode, "no room".to_owned()).expect("it waits");
    });
    store.commit(Unit { changes: vec![ended], urgent: true }).await.expect("a cancel on a full disk");
    let purge = Change::Purge { job: first.id(), sequence: first.status.sequence };
    store.commit(Unit { changes: vec![purge], urgent: true }).await.expect("a purge on a full disk");
    assert_eq!(store.job(first.id()).await.expect("readable"), None);
    let (_, more) = born(800_000, Timing::default());
    let refused = store.commit(unit(vec![more.clone()])).await;
    assert!(matches!(refused, Err(CommitError::Storage(StoreFailure::Full))), "still full: {refused:?}");
    disk.set_full(false);
    // It looks for room once a second.
    while let Err(error) = store.commit(unit(vec![more.clone()])).await {
        assert!(matches!(error, CommitError::Storage(StoreFailure::Full)), "{error:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut last = submit(&store, 900_000).await;
    cancel(&store, &mut last, at(950)).await;
    assert_eq!(store.job(last.id()).await.expect("readable"), Some(last));
}
