//! The usurper: a host that takes jobs away from those that hold them, as if their hosts had been lost.
//!
//! It does what any host does, through the store: so whoever had the claim is fenced by the store itself.

use windlass_core::decide::Decision;
use windlass_core::entry::Actor;
use windlass_core::id::{HostId, JobId};
use windlass_host::store::{Change, CommitError, Store, StoreFailure, Unit};

/// Who it is.
pub const USURPER: HostId = HostId(uuid::Uuid::from_u128(0xBAD));

/// The jobs for which the unit speaks as the holder of their claim, and under which epoch.
pub fn claims_of(unit: &Unit) -> Vec<(JobId, u64)> {
    let named = unit.changes.iter().filter_map(|change| match change {
        Change::Job(change) => change.epoch.map(|epoch| (change.job, epoch)),
        Change::Note { job, epoch, .. } => epoch.map(|epoch| (*job, epoch)),
        Change::Put { .. }
        | Change::Remove { .. }
        | Change::Expect { .. }
        | Change::Take { .. }
        | Change::ExpectFree { .. }
        | Change::ExpireKeys { .. }
        | Change::Purge { .. } => None,
    });
    named.collect()
}

/// Takes every job of the unit whose claim is the one that it names: first the loss, then the next claim. Tells of
/// each unit that was committed. Where somebody else moves a job meanwhile, that one is left alone.
pub async fn usurp(store: &dyn Store, unit: &Unit, mut tell: impl FnMut(Unit)) -> Result<(), StoreFailure> {
    for (id, epoch) in claims_of(unit) {
        for _ in 0..2 {
            let Some(mut job) = store.job(id).await? else { break };
            let claim = job.status.claim;
            if claim.is_some_and(|claim| claim.epoch != epoch) {
                break;
            }
            let now = job.status.updated;
            let mut decision = Decision::new(&mut job, now, Actor::Host(USURPER));
            let decided = match claim {
                Some(claim) => decision.lose_claim(claim.host),
                None => decision.claim(USURPER),
            };
            let entries = decision.into_entries();
            if decided.is_err() {
                break;
            }
            let taken = Unit::of(vec![Change::recorded(&job, entries, None)]);
            match store.commit(taken.clone()).await {
                Ok(()) => tell(taken),
                Err(CommitError::Storage(failure)) => return Err(failure),
                Err(CommitError::Conflict(_) | CommitError::Fenced { .. } | CommitError::Taken { .. }) => {
                    break;
                }
            }
        }
    }
    Ok(())
}
