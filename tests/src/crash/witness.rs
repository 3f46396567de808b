//! A witness: reads what a dead host left, and what was done, and objects to what must never be.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::call::Direction;
use windlass_core::entry::{Entry, Fact};
use windlass_core::job::{Job, JobSpec, JobState};
use windlass_host::store::{JobFilter, Store};

use crate::ledger::LedgerLine;

/// More than these suites ever store.
const ROWS_MAX: usize = 10_000;

/// A job with its history.
#[derive(Debug)]
pub struct Found {
    pub job: Job,
    pub entries: Vec<Entry>,
}

/// Every job of a store. Each is whole: its logbook replays to what is stored, step by step as the law has it.
pub async fn jobs(store: &dyn Store) -> Vec<Found> {
    let (mut listed, mut next) = (Vec::new(), None);
    loop {
        let page = store.jobs(&JobFilter::default(), next, ROWS_MAX).await.expect("jobs can be listed");
        listed.extend(page.jobs);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let claims = store.claims().await.expect("claims can be listed");
    let mut found = Vec::new();
    for (spec, status) in listed {
        let job = store.job(spec.id).await.expect("a job can be read").expect("a listed job is there");
        assert_eq!(job.status, status, "a list tells the same as the job");
        let entries = store.entries(spec.id, 0, ROWS_MAX).await.expect("a logbook can be read");
        check_history(&job, &entries);
        let holders: Vec<_> = claims.iter().filter(|(_, id)| *id == spec.id).map(|(host, _)| *host).collect();
        let claim: Vec<_> = status.claim.iter().map(|claim| claim.host).collect();
        assert_eq!(holders, claim, "the claims of {}", spec.id);
        found.push(Found { job, entries });
    }
    assert!(
        claims.iter().all(|(_, id)| found.iter().any(|found| found.job.id() == *id)),
        "claims without jobs"
    );
    found
}

/// What was asked of every job of a store.
pub async fn specs(store: &dyn Store) -> Vec<Arc<JobSpec>> {
    let page = store.jobs(&JobFilter::default(), None, ROWS_MAX).await.expect("jobs can be listed");
    page.jobs.into_iter().map(|(spec, _)| spec).collect()
}

/// The logbook replays to the job, and no prefix of it shows an unwinding job as running or begins an apply in it.
fn check_history(job: &Job, entries: &[Entry]) {
    let replay = |entries| {
        Job::replay(job.spec.clone(), job.flow.clone(), entries).expect("a stored logbook can be replayed")
    };
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.sequence, index as u64 + 1, "no gap");
        let then = replay(&entries[..=index]);
        match then.status.direction {
            Direction::Apply => assert_ne!(then.status.state, JobState::Reverting, "{entry:?}"),
            Direction::Revert => {
                assert_ne!(then.status.state, JobState::Running, "{entry:?}");
                assert!(!matches!(entry.fact, Fact::TaskApplying { .. }), "{entry:?}");
            }
        }
    }
    assert_eq!(&replay(entries), job, "the logbook tells of the job as it is");
}

/// The ledger of a job that was interrupted once at most, held against that of one that was not: the same calls under
/// the same keys in the same order, but for the one that was in doubt. It may have been made twice, or only by its
/// second attempt, and was told so. Returns it. Of observations there may be any number.
pub fn check_ledger(lines: &[LedgerLine], uninterrupted: &[String]) -> Option<String> {
    let mut calls: Vec<String> = Vec::new();
    let mut attempts: BTreeMap<String, Vec<&LedgerLine>> = BTreeMap::new();
    for line in lines {
        if calls.last() != Some(&line.call()) {
            calls.push(line.call());
        }
        attempts.entry(line.call()).or_default().push(line);
    }
    assert_eq!(calls, uninterrupted, "{lines:#?}");
    let mut in_doubt = None;
    for (call, lines) in attempts {
        let numbers: Vec<_> = lines.iter().map(|line| line.attempt).collect();
        if lines[0].kind == "observe" {
            // One that was cut short had no effect, and leaves no doubt: the next one has the next number.
            assert!(numbers.is_sorted_by(|one, next| one < next), "the observations of {call}: {lines:#?}");
            continue;
        }
        if numbers == [1] {
            assert_eq!(lines[0].prior, "none");
            continue;
        }
        assert!(numbers == [2] || numbers == [1, 2], "the attempts of {call}: {lines:#?}");
        let last = lines[lines.len() - 1];
        assert_eq!(last.prior, "interrupted", "{last:#?}");
        assert_eq!(lines[0].key, last.key, "the key of {call}");
        assert!(numbers.len() == 1 || lines[0].fence < last.fence, "the fence rises: {lines:#?}");
        assert_eq!(in_doubt.replace(call), None, "one call is in doubt at most: {lines:#?}");
    }
    in_doubt
}
