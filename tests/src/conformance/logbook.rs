//! The logbook: every entry once, in order for each job.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::id::JobId;
use windlass_host::store::{Change, Cursor, Store};

use super::Bench;
use super::fixture::{at, cancel, commit, decide, job_id, submit, unit};

pub(super) async fn entries_are_paged_without_gap_or_repetition(bench: Bench) {
    let mut job = submit(bench.store().as_ref(), 1).await;
    // A job before and one behind it, whose entries are not its own.
    submit(bench.store().as_ref(), 0).await;
    submit(bench.store().as_ref(), 2).await;
    for priority in 1..=9 {
        let change = decide(&mut job, at(10), |decision| {
            decision.prioritise(priority * 2).expect("it has not ended");
            decision.prioritise(priority * 2 + 1).expect("it has not ended");
        });
        bench.store().commit(unit(vec![change])).await.expect("stored");
    }
    bench.step().await;
    let store = bench.store();
    let all = store.entries(job.id(), 0, 1_000).await.expect("readable");
    let sequences: Vec<u64> = all.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=20).collect::<Vec<_>>());
    for limit in 1..=5 {
        let mut paged = Vec::new();
        loop {
            let after = paged.len() as u64;
            let page = store.entries(job.id(), after, limit).await.expect("readable");
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all, "pages of {limit}");
    }
    assert_eq!(store.entries(job.id(), u64::MAX, 5).await.expect("readable"), vec![]);
    assert_eq!(store.entries(job_id(77), 0, 5).await.expect("readable"), vec![]);
}

pub(super) async fn the_tail_gives_every_entry_once_and_in_order_for_each_job(bench: Bench) {
    const JOBS: u64 = 12;
    const CHANGES: i32 = 10;
    let store = bench.store();
    let start = store.tail_end().await.expect("readable");
    let mut writers = Vec::new();
    for n in 0..JOBS {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let mut job = submit(store.as_ref(), n).await;
            for priority in 1..=CHANGES {
                let changed = commit(store.as_ref(), &mut job, at(50), |decision| {
                    decision.prioritise(priority).expect("it has not ended");
                });
                changed.await.expect("stored");
            }
        }));
    }
    // Read while they write, in small bites.
    let mut seen: BTreeMap<JobId, u64> = BTreeMap::new();
    let mut cursor = start;
    let mut limit = 0;
    while seen.values().sum::<u64>() < JOBS * (2 + CHANGES as u64) {
        limit = limit % 7 + 1;
        cursor = follow(store.as_ref(), cursor, limit, &mut seen).await;
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert!(store.tail(Some(cursor), 10).await.expect("readable").0.is_empty());
    let end = store.tail_end().await.expect("readable");
    assert!(store.tail(Some(end), 10).await.expect("readable").0.is_empty());
    drop(store);
    bench.step().await;
    // From the oldest on: the same again. From the cursor on: only what comes.
    let mut again = BTreeMap::new();
    let mut place = Cursor::default();
    while again.values().sum::<u64>() < JOBS * (2 + CHANGES as u64) {
        place = follow(bench.store().as_ref(), place, 5, &mut again).await;
    }
    assert_eq!(again, seen);
    let job = submit(bench.store().as_ref(), 99).await;
    for place in [cursor, end] {
        let (entries, _) = bench.store().tail(Some(place), 10).await.expect("readable");
        assert_eq!(entries.iter().map(|(id, _)| *id).collect::<Vec<_>>(), vec![job.id(); 2]);
    }
}

/// Reads one bite, and checks that each job goes on where it was.
async fn follow(store: &dyn Store, cursor: Cursor, limit: usize, seen: &mut BTreeMap<JobId, u64>) -> Cursor {
    let (entries, cursor) = store.tail(Some(cursor), limit).await.expect("readable");
    assert!(entries.len() <= limit);
    for (job, entry) in entries {
        let last = seen.entry(job).or_default();
        assert_eq!(entry.sequence, *last + 1, "job {job}");
        *last = entry.sequence;
    }
    cursor
}

pub(super) async fn the_tail_survives_a_purge_within_a_transaction(bench: Bench) {
    let store = bench.store();
    let mut jobs = Vec::new();
    let mut births = Vec::new();
    for n in 0..3 {
        let (job, birth) = super::fixture::born(n, Default::default());
        jobs.push(job);
        births.push(birth);
    }
    store.commit(unit(births)).await.expect("stored");
    // A reader stands in the middle of the second job.
    let (seen, cursor) = store.tail(None, 3).await.expect("readable");
    assert_eq!(seen.last().map(|(job, entry)| (*job, entry.sequence)), Some((job_id(1), 1)));
    for job in jobs.iter_mut().take(2) {
        cancel(store.as_ref(), job, at(9)).await;
        let purge = Change::Purge { job: job.id(), sequence: job.status.sequence };
        store.commit(unit(vec![purge])).await.expect("purged");
    }
    drop(store);
    bench.step().await;
    let (rest, _) = bench.store().tail(Some(cursor), 10).await.expect("readable");
    let rest: Vec<_> = rest.iter().map(|(job, entry)| (*job, entry.sequence)).collect();
    assert_eq!(rest, vec![(job_id(2), 1), (job_id(2), 2)]);
}
