//! Attendance: a running call, and what happens to its job meanwhile.
//!
//! News of a cancel or a lost claim comes by bulletin, and by looking now and then: a bulletin may be lost.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use windlass_core::call::{Call, Outcome};
use windlass_core::decide::outcome::CallName;
use windlass_core::fault::{Fault, HOST_UNAVAILABLE};
use windlass_core::id::JobId;
use windlass_core::job::{Claim, Request};

use super::Runner;
use super::desk::Desk;
use super::journal::{FLUSH_PERIOD, RunningJournal};
use crate::engine::news::{Bulletin, Recorded};

impl Runner {
    /// Runs the guest. None where the host stops before it has finished, or the claim is lost: then the guest has
    /// ended as well.
    pub(super) async fn make_call(&self, desk: &Arc<Desk>, name: &CallName, call: Call) -> Option<Outcome> {
        let (id, epoch) = (desk.id(), desk.epoch);
        let begun = desk.read(|job| job.status.sequence).await;
        let mut bulletins = self.engine.news.subscribe(id);
        let journal = Arc::new(RunningJournal::new(self.engine.clone(), desk.clone(), name.clone()));
        let (registry, for_guest) = (self.registry.clone(), journal.clone());
        let guest = self.guests.spawn(async move { registry.call(call, for_guest).await });
        let mut guest = AbortOnDropHandle::new(guest);
        // Not from now on: even the first tick of an interval takes up to a millisecond, and most calls take less.
        let mut flush = tokio::time::interval_at(Instant::now() + FLUSH_PERIOD, FLUSH_PERIOD);
        let mut look_at = Instant::now() + self.look_period;
        loop {
            let must_end = tokio::select! {
                ended = &mut guest => {
                    journal.flush().await;
                    // The runtime of the guests ends with the host: nobody knows what the call did.
                    let is_cut = ended.is_err() && self.aborting.is_cancelled();
                    return (!is_cut).then(|| outcome(ended));
                }
                () = self.aborting.cancelled() => true,
                () = desk.lost.cancelled() => true,
                _ = flush.tick() => {
                    journal.flush().await;
                    let is_time = look_at <= Instant::now();
                    if is_time {
                        look_at = Instant::now() + self.look_period;
                    }
                    is_time && self.look(id, epoch, &journal).await
                }
                bulletin = bulletins.recv() => match bulletin {
                    // Bulletins of commits before the call may arrive late, and out of order.
                    Ok(Bulletin::Recorded { recorded, .. }) if recorded.sequence <= begun => false,
                    Ok(Bulletin::Recorded { recorded: Recorded { cancels, claim, .. }, .. }) => {
                        heed(cancels.is_some(), claim, epoch, &journal)
                    }
                    Ok(Bulletin::Progress { .. }) => false,
                    Err(RecvError::Lagged(_)) => self.look(id, epoch, &journal).await,
                    // The sender lives as long as this receiver is registered.
                    Err(RecvError::Closed) => {
                        bulletins = self.engine.news.subscribe(id);
                        false
                    }
                },
            };
            if must_end {
                break;
            }
        }
        guest.abort();
        // The claim is not given back while the guest still runs. How it ended is not an outcome.
        drop(guest.await);
        journal.flush().await;
        None
    }

    async fn look(&self, id: JobId, epoch: u64, journal: &RunningJournal) -> bool {
        match self.engine.store.job(id).await {
            Ok(Some(job)) => {
                let is_cancelled = matches!(job.status.request, Some(Request::Cancel { .. }));
                heed(is_cancelled, job.status.claim, epoch, journal)
            }
            Ok(None) => true,
            // While the store is down nobody else gets the claim.
            Err(_) => false,
        }
    }
}

/// True where the call must end: its job has another claim, or none.
fn heed(is_cancelled: bool, claim: Option<Claim>, epoch: u64, journal: &RunningJournal) -> bool {
    if is_cancelled {
        journal.cancel();
    }
    claim.map(|claim| claim.epoch) != Some(epoch)
}

fn outcome(ended: Result<Outcome, JoinError>) -> Outcome {
    ended.unwrap_or_else(|error| {
        let fault = Fault::new(HOST_UNAVAILABLE, format!("the host failed in the call: {error}"));
        Outcome::Broken { fault }
    })
}
