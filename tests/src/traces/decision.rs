//! Decisions of a trace: what is asked of which job next, by whom, and on what knowledge of it.

use std::sync::Arc;

use windlass_core::decide::Decision;
use windlass_core::entry::Actor;
use windlass_core::id::HostId;
use windlass_core::job::{Job, JobState};
use windlass_host::store::Change;

use super::author::Author;
use crate::conformance::fixture::{EVENT_TYPES, actor};
use crate::conformance::{Ask, ask_of};
use crate::model::State;

impl Author {
    /// What somebody decides about some job; none where there is no job, or nothing that could be asked of it.
    pub(super) fn decision(&mut self, state: &State) -> Option<Change> {
        let jobs: Vec<_> = state.jobs.values().cloned().collect();
        let mut job = Arc::clone(self.dice.pick(&jobs)?);
        // Whoever decides may have read the job a while ago.
        if self.dice.one_in(10) {
            job = self.former.iter().rev().find(|former| former.id() == job.id()).cloned().unwrap_or(job);
        }
        let ask = self.ask(&job);
        self.decide(&job, &ask)
    }

    /// The change that `ask` makes of the job; none where it changes nothing.
    pub(super) fn decide(&mut self, job: &Job, ask: &Ask) -> Option<Change> {
        let mut job = job.clone();
        let claim = job.status.claim;
        let host = claim.map_or_else(|| self.some_host(), |claim| claim.host);
        let is_holder = matches!(ask, Ask::Finish(_) | Ask::Undo | Ask::Noise | Ask::GiveUp);
        // Now and then one that names a claim which others would not, or which is not the right one.
        let epoch = claim.map(|claim| claim.epoch);
        let epoch = match self.dice.below(16) {
            0 => Some(epoch.unwrap_or_default() + 1),
            1 => Some(job.status.epoch.saturating_sub(1)),
            2 => epoch,
            _ => epoch.filter(|_| is_holder),
        };
        let now = match ask {
            // The clock looks when the job is due.
            Ask::Wake => job.status.alarm().map_or(self.now, |alarm| alarm.max(self.now)),
            _ => self.now,
        };
        let actor = if is_holder { Actor::Host(host) } else { actor() };
        let mut decision = Decision::new(&mut job, now, actor);
        ask_of(&mut decision, ask, host);
        let entries = decision.into_entries();
        (!entries.is_empty()).then(|| Change::recorded(&job, entries, epoch))
    }

    fn some_host(&mut self) -> HostId {
        *self.dice.pick(&self.cast.hosts()).expect("a trace has hosts")
    }

    /// Mostly what brings the job on; else anything.
    fn ask(&mut self, job: &Job) -> Ask {
        if self.dice.one_in(3) {
            return self.any_ask();
        }
        match job.status.state {
            JobState::Scheduled => Ask::Wake,
            JobState::Waiting => {
                let which = self.dice.below(EVENT_TYPES.len() as u64) as u8;
                let end = self.dice.below(4) as u8;
                let asks = [
                    (1, Ask::Wake),
                    (2, Ask::Deliver(which)),
                    (2, Ask::ChildTold),
                    (2, Ask::HearEnd(end)),
                    (1, Ask::Obey(end)),
                ];
                self.dice.weighed(&asks)
            }
            JobState::Ready => Ask::Claim,
            JobState::Running | JobState::Reverting | JobState::Suspending => {
                let asks = [
                    (9, Ask::Finish(self.dice.below(8) as u8)),
                    (1, Ask::Undo),
                    (1, Ask::Noise),
                    (1, Ask::GiveUp),
                    (1, Ask::LoseClaim),
                ];
                self.dice.weighed(&asks)
            }
            JobState::Suspended => Ask::Resume,
            JobState::Quarantined => Ask::Release,
            JobState::Succeeded
            | JobState::Reverted
            | JobState::Failed
            | JobState::Dropped
            | JobState::Cancelled
            | JobState::Superseded => {
                let which = self.dice.below(3) as u8;
                let asks = [
                    (2, Ask::Retry),
                    (2, Ask::Revert),
                    (2, Ask::Resolve(which)),
                    (1, Ask::ChildTold),
                    (1, Ask::ParentTold),
                    (1, Ask::Obey(which)),
                ];
                self.dice.weighed(&asks)
            }
        }
    }

    fn any_ask(&mut self) -> Ask {
        let priority = self.priority();
        let which = self.dice.below(8) as u8;
        let leave = self.dice.one_in(2);
        self.dice.weighed(&[
            (1, Ask::Wake),
            (2, Ask::Claim),
            (2, Ask::Finish(which)),
            (1, Ask::LoseClaim),
            (1, Ask::GiveUp),
            (1, Ask::Suspend),
            (1, Ask::Resume),
            (3, Ask::Cancel(leave)),
            (1, Ask::Quarantine),
            (1, Ask::Release),
            (1, Ask::Reschedule),
            (2, Ask::Prioritise(priority)),
            (3, Ask::Deliver(which)),
            (1, Ask::ChildTold),
            (1, Ask::HearEnd(which % 4)),
            (1, Ask::Obey(which)),
            (1, Ask::ParentTold),
        ])
    }
}
