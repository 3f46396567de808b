//! Claims: a host takes a job, gives it up, or is lost.

use chrono::TimeDelta;

use crate::call::Direction;
use crate::decide::{CLAIMS_LOST_MAX, Decision, Rejected};
use crate::entry::Fact;
use crate::id::HostId;
use crate::instance::TaskState;
use crate::job::{Cause, JobState, Origin};

impl Decision<'_> {
    /// A scheduled or waiting job whose time has come goes to the board. Does nothing before that time.
    pub fn wake(&mut self) {
        let is_due = self.job.status.alarm().is_some_and(|alarm| alarm <= self.now);
        match self.job.status.state {
            JobState::Scheduled if is_due => self.record(Fact::Triggered),
            JobState::Waiting if is_due => self.record(Fact::Woken),
            _ => {}
        }
    }

    /// Takes a ready job and begins its next calls, in one decision.
    pub fn claim(&mut self, host: HostId) -> Result<(), Rejected> {
        if let Some(claim) = self.job.status.claim {
            return Err(Rejected::Claimed { job: self.job.id(), host: claim.host });
        }
        if self.job.status.state != JobState::Ready {
            return Err(self.refused("claim", "only a ready job can be claimed"));
        }
        if self.is_too_late() {
            self.end(JobState::Dropped, Some(Cause::Window));
            return Ok(());
        }
        self.record(Fact::Claimed { host, epoch: self.job.status.epoch + 1 });
        self.advance();
        Ok(())
    }

    /// Ends a job that may not or cannot run, before it ever started.
    pub fn refuse(&mut self, cause: Cause) -> Result<(), Rejected> {
        let status = &self.job.status;
        let is_fresh = status.run().started.is_none() && status.runs.len() == 1;
        if !matches!(status.state, JobState::Scheduled | JobState::Ready) || !is_fresh {
            return Err(self.refused("refuse", "it was started before"));
        }
        self.end(JobState::Failed, Some(cause));
        Ok(())
    }

    /// The host that had the claim is gone: what it was doing is in doubt.
    pub fn lose_claim(&mut self, host: HostId) -> Result<(), Rejected> {
        self.check_holder(host)?;
        let in_flight = self.doubt();
        self.record(Fact::ClaimLost { host, in_flight });
        if self.job.status.claims_lost > CLAIMS_LOST_MAX {
            let reason = format!(
                "{} hosts in a row were lost while they ran it; release it when the reason is known",
                self.job.status.claims_lost
            );
            self.record(Fact::Quarantined { reason });
        }
        Ok(())
    }

    /// The host stops, or has nothing to do but wait. Calls that it cut short are in doubt.
    pub fn give_up(&mut self, host: HostId) -> Result<(), Rejected> {
        self.check_holder(host)?;
        self.doubt();
        self.record(Fact::GivenUp { host });
        Ok(())
    }

    /// An operator, or the claim's holder, takes a job off the board for inspection.
    pub fn quarantine(&mut self, reason: String) -> Result<(), Rejected> {
        match self.job.status.state {
            JobState::Ready | JobState::Running | JobState::Reverting | JobState::Suspending => {
                self.doubt();
                self.record(Fact::Quarantined { reason });
                Ok(())
            }
            JobState::Quarantined => Ok(()),
            _ => Err(self.refused("quarantine", "only a job that is ready or claimed can be")),
        }
    }

    pub(super) fn check_holder(&self, host: HostId) -> Result<(), Rejected> {
        match self.job.status.claim {
            Some(claim) if claim.host == host => Ok(()),
            Some(_) | None => Err(Rejected::NotClaimed { job: self.job.id(), host }),
        }
    }

    fn doubt(&mut self) -> bool {
        let facts = self.job.in_flight().map(|instance| {
            let task = instance.name.clone();
            match instance.state {
                TaskState::Applying => Fact::TaskInDoubt { task, attempt: instance.attempt },
                TaskState::Observing => {
                    let (attempt, next_try) = (instance.observations, self.now());
                    Fact::TaskNotReady { task, attempt, fault: None, next_try, is_lost: true }
                }
                _ => Fact::TaskRevertInterrupted { task, attempt: instance.revert_attempt },
            }
        });
        let facts: Vec<_> = facts.collect();
        let is_any = !facts.is_empty();
        facts.into_iter().for_each(|fact| self.record(fact));
        is_any
    }

    /// Its window closed before it could start.
    fn is_too_late(&self) -> bool {
        let status = &self.job.status;
        if status.runs.len() > 1 || status.run().started.is_some() || status.direction == Direction::Revert {
            return false;
        }
        let Origin::Operation { window_ms, .. } = &self.job.spec.origin else { return false };
        // Counted from when it was recorded, so that a missed occurrence that is caught up has its window.
        let window = i64::try_from(*window_ms).ok().and_then(TimeDelta::try_milliseconds);
        window.and_then(|w| status.due.checked_add_signed(w)).is_some_and(|closes| self.now > closes)
    }
}
