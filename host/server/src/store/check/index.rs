//! The indexes under the check: each is derived again from the jobs and triggers, and compared with what the store
//! answers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use windlass_core::id::JobId;

use super::item::{Seen, Tell, Watched};
use super::{ALL, Finding, PAGE, REBUILD};
use crate::store::{Store, StoreFailure, Subject};

/// Stores keep times of indexes to the microsecond.
const GRAIN: TimeDelta = TimeDelta::microseconds(1);

pub(super) async fn check(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    board(store, seen, tell).await?;
    due(store, seen, tell).await?;
    claims(store, seen, tell).await?;
    awaiting(store, seen, tell).await?;
    untold(store, seen, tell).await?;
    tail(store, seen, tell).await
}

fn wrong(index: &str, what: String) -> Finding {
    Finding { place: format!("the index of {index}"), what, advice: REBUILD }
}

/// A store that cannot read its index is told about like any other finding.
fn answered<T>(
    index: &str,
    answer: Result<T, StoreFailure>,
    tell: Tell<'_>,
) -> Result<Option<T>, StoreFailure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(StoreFailure::Corrupt(what)) => {
            tell(wrong(index, what));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

async fn board(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    let Some(found) = answered("ready jobs", store.board(ALL).await, tell)? else { return Ok(()) };
    let wanted: Vec<JobId> = seen.board.iter().map(|(_, _, job)| *job).collect();
    let known: BTreeSet<_> = wanted.iter().copied().collect();
    let listed: BTreeSet<_> = found.iter().copied().collect();
    for job in known.difference(&listed) {
        tell(wrong("ready jobs", format!("job {job} is ready, and not in it")));
    }
    for job in listed.difference(&known) {
        tell(wrong("ready jobs", format!("job {job} is in it, and not ready")));
    }
    if known == listed && !is_in_order(&found, seen) {
        tell(wrong("ready jobs", "its order is not by priority and age".to_owned()));
    }
    Ok(())
}

/// Jobs that became ready in the same microsecond may stand in any order.
fn is_in_order(found: &[JobId], seen: &Seen) -> bool {
    let places: BTreeMap<JobId, (i64, i64)> =
        seen.board.iter().map(|(rank, since, job)| (*job, (*rank, since.timestamp_micros()))).collect();
    found.len() == places.len() && found.is_sorted_by_key(|job| places.get(job))
}

async fn due(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    // Behind the last time that is wanted, so that rows behind all of those are found as well.
    let far = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let last = seen.due.values().max().map_or(far, |last| far.max(*last + GRAIN));
    let Some(found) = answered("what is due", store.due(last, ALL).await, tell)? else { return Ok(()) };
    let mut left = seen.due.clone();
    for due in found {
        let subject = match due.subject {
            Subject::Job(job) => Watched::Job(job),
            Subject::Trigger(trigger) => Watched::Trigger(trigger),
        };
        match left.remove(&subject) {
            None => tell(wrong(
                "what is due",
                format!("{} is in it for {}, and waits for nothing", name(subject), due.at),
            )),
            Some(at) if due.at < at || due.at - at >= GRAIN => {
                tell(wrong(
                    "what is due",
                    format!("{} is in it for {}, and is due at {at}", name(subject), due.at),
                ));
            }
            Some(_) => {}
        }
    }
    for (subject, at) in left {
        tell(wrong("what is due", format!("{} is due at {at}, and not in it", name(subject))));
    }
    Ok(())
}

fn name(subject: Watched) -> String {
    match subject {
        Watched::Job(job) => format!("job {job}"),
        Watched::Trigger(trigger) => format!("trigger {trigger}"),
    }
}

async fn claims(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    let Some(found) = answered("claims", store.claims().await, tell)? else { return Ok(()) };
    let found: BTreeSet<_> = found.into_iter().collect();
    for (host, job) in seen.claims.difference(&found) {
        tell(wrong("claims", format!("host {host} has job {job}, and that is not in it")));
    }
    for (host, job) in found.difference(&seen.claims) {
        tell(wrong("claims", format!("job {job} of host {host} is in it, and the host has it not")));
    }
    Ok(())
}

/// Jobs that are in it and do not wait are for the store itself to tell: nobody can ask it for all types.
async fn awaiting(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    for (event_type, jobs) in &seen.awaiting {
        let asked = store.awaiting(event_type, None, ALL).await;
        let Some(found) = answered("awaited events", asked, tell)? else { continue };
        let listed: BTreeSet<_> = found.iter().copied().collect();
        for job in jobs.iter().filter(|job| !listed.contains(job)) {
            tell(wrong("awaited events", format!("job {job} waits for {event_type:?}, and is not in it")));
        }
        if !found.is_sorted_by(|before, after| before < after) {
            tell(wrong("awaited events", format!("its order for {event_type:?} is not that of the jobs")));
        }
    }
    Ok(())
}

async fn untold(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    let Some(found) = answered("untold jobs", store.untold(None, ALL).await, tell)? else { return Ok(()) };
    let listed: BTreeSet<_> = found.iter().copied().collect();
    for job in seen.untold.difference(&listed) {
        tell(wrong("untold jobs", format!("job {job} has something to tell, and is not in it")));
    }
    for job in listed.difference(&seen.untold) {
        tell(wrong("untold jobs", format!("job {job} is in it, and has nothing to tell")));
    }
    if !found.is_sorted_by(|before, after| before < after) {
        tell(wrong("untold jobs", "its order is not that of the jobs".to_owned()));
    }
    Ok(())
}

/// The tail shows every entry of every job once, in the order of the job.
async fn tail(store: &dyn Store, seen: &Seen, tell: Tell<'_>) -> Result<(), StoreFailure> {
    let mut shown: BTreeMap<JobId, u64> = BTreeMap::new();
    let mut told: BTreeSet<JobId> = BTreeSet::new();
    let mut cursor = None;
    loop {
        let Some((entries, next)) = answered("the logbook", store.tail(cursor, PAGE).await, tell)? else {
            return Ok(());
        };
        let is_last = entries.len() < PAGE;
        for (job, entry) in entries {
            let last = shown.entry(job).or_default();
            if entry.sequence != *last + 1 && told.insert(job) {
                let what = format!("entry {} of job {job} comes after entry {last}", entry.sequence);
                tell(wrong("the logbook", what));
            }
            *last = entry.sequence;
        }
        if is_last {
            break;
        }
        cursor = Some(next);
    }
    for (job, sequence) in &seen.jobs {
        let last = shown.remove(job).unwrap_or_default();
        if last != *sequence && !told.contains(job) {
            let what = format!("it shows {last} entries of job {job}, which has {sequence}");
            tell(wrong("the logbook", what));
        }
    }
    for job in shown.keys() {
        tell(wrong("the logbook", format!("it shows entries of job {job}, which is not there")));
    }
    Ok(())
}
