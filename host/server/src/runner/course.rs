//! The course of a claimed job: its calls, as many at once as there is room for, each outcome committed with the
//! intents that it enables.
//!
//! Every call holds a slot of the host, until what follows from it is decided. When one ends while others of the job
//! run, its slot is given back and asked for again, so that a job with a thousand ready tasks does not keep another from
//! its first.
//!
//! While calls run, others may record something of the job: the answer to an approval, or an event that it waits for.
//! News of it comes by bulletin, and by looking now and then, and the job goes on at once.

use std::sync::{Arc, Mutex};

use futures::future;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use windlass_core::call::{Function, Outcome};
use windlass_core::decide::Decision;
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::{Entry, Fact};
use windlass_core::job::Job;

use super::desk::Desk;
use super::{LetGo, Runner};
use crate::engine::news::Bulletin;

/// A call that ended. Without an outcome where it was cut short: what it did is in doubt.
struct Ended {
    call: CallName,
    outcome: Option<Outcome>,
    slot: OwnedSemaphorePermit,
}

/// What happens next to a job whose calls run.
enum Next {
    Ended(Ended),
    Room(OwnedSemaphorePermit),
    /// A task's pause is over.
    Rested,
    /// Somebody else recorded something of the job.
    Changed,
}

/// See the module.
pub(super) struct Course {
    runner: Arc<Runner>,
    desk: Arc<Desk>,
    /// Tasks of their own: one that waits for the desk must go on while this one does.
    calls: JoinSet<Ended>,
    /// Slots that no call holds.
    spare: Vec<OwnedSemaphorePermit>,
    /// A call was cut short: nothing more is begun.
    is_cut: bool,
    /// What is recorded of the job, from before it was claimed.
    bulletins: Receiver<Bulletin>,
    looked: Instant,
}

impl Course {
    /// `slots`: at least one for each call that the claim began.
    /// `bulletins`: of the job, from before it was loaded to be claimed.
    pub fn new(
        runner: Arc<Runner>,
        job: Job,
        epoch: u64,
        slots: Vec<OwnedSemaphorePermit>,
        bulletins: Receiver<Bulletin>,
    ) -> Self {
        let begun: Vec<_> = job.in_flight().map(CallName::of).collect();
        let desk = Desk::new(runner.engine.clone(), runner.aborting.clone(), job, epoch);
        let (desk, calls, looked) = (Arc::new(desk), JoinSet::new(), Instant::now());
        let mut course = Self { runner, desk, calls, spare: slots, is_cut: false, bulletins, looked };
        course.begin(begun);
        course.spare.clear();
        course
    }

    /// Runs the job as far as it goes.
    pub async fn run(mut self) {
        while !self.calls.is_empty() {
            if let Err(LetGo::Fenced) = self.step().await {
                tracing::warn!(job = %self.desk.id(), "the claim is lost, outcomes are not recorded");
                // Slots are not given back while guests still run.
                self.desk.lost.cancel();
                while self.calls.join_next().await.is_some() {}
                return;
            }
        }
        if self.is_cut {
            self.give_up().await;
        }
    }

    async fn step(&mut self) -> Result<(), LetGo> {
        match self.next().await {
            Next::Ended(first) => {
                let ended = self.all_ended(first);
                self.finish(ended).await?;
            }
            Next::Room(slot) => self.spare.push(slot),
            Next::Rested => {}
            Next::Changed => {
                // What the answer enables is begun with it, where there is room.
                self.take_slots(1);
                let host = self.runner.engine.host;
                self.decide(|decision| decision.proceed(host).map_err(|_| LetGo::Fenced)).await?;
            }
        }
        self.widen().await
    }

    async fn next(&mut self) -> Next {
        let (runner, desk) = (self.runner.clone(), self.desk.clone());
        let now = runner.engine.now();
        let (wanted, next_try) = self.desk.read(|job| (job.wanted_calls(now), job.next_try())).await;
        // What waits for an answer gives up some day, and so has a next try.
        let look_at = next_try.map(|_| self.looked + runner.look_period);
        let may_begin = !self.is_cut && !runner.stopping.is_cancelled();
        let rested = async {
            match next_try.filter(|next_try| may_begin && *next_try > now) {
                Some(next_try) => runner.engine.clock.wait_until(next_try).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(ended) = self.calls.join_next() => Next::Ended(unpanicked(ended)),
            slot = runner.slots.clone().acquire_owned(), if may_begin && wanted > 0 => {
                Next::Room(slot.expect("the slots are never closed"))
            }
            () = rested => Next::Rested,
            () = changed(&runner, &desk, &mut self.bulletins, look_at, &mut self.looked) => Next::Changed,
        }
    }

    /// Those that ended at the same time are recorded in the same commit.
    fn all_ended(&mut self, first: Ended) -> Vec<(CallName, Outcome)> {
        let mut ended = vec![first];
        while let Some(another) = self.calls.try_join_next() {
            ended.push(unpanicked(another));
        }
        let mut outcomes = Vec::new();
        for Ended { call, outcome, slot } in ended {
            self.is_cut |= outcome.is_none();
            outcomes.extend(outcome.map(|outcome| (call, outcome)));
            self.spare.push(slot);
        }
        outcomes
    }

    /// Records outcomes, for as long as it takes: they exist nowhere else.
    async fn finish(&mut self, ended: Vec<(CallName, Outcome)>) -> Result<(), LetGo> {
        if ended.is_empty() {
            return Ok(());
        }
        if !self.calls.is_empty() {
            // Whoever waits for a slot comes first.
            let count = self.spare.len();
            self.spare.clear();
            self.take_slots(count);
        }
        self.decide(|decision| decision.finish_all(&ended).map_err(|_| LetGo::Fenced)).await
    }

    /// Takes as many free slots as the job can use, and begins calls.
    async fn widen(&mut self) -> Result<(), LetGo> {
        let now = self.runner.engine.now();
        let is_over = self.calls.is_empty() || self.is_cut || self.runner.stopping.is_cancelled();
        let wanted = if is_over { 0 } else { self.desk.read(|job| job.wanted_calls(now)).await };
        self.take_slots(wanted.saturating_sub(self.spare.len()));
        if wanted > 0 && !self.spare.is_empty() {
            let host = self.runner.engine.host;
            self.decide(|decision| decision.proceed(host).map_err(|_| LetGo::Fenced)).await?;
        }
        self.spare.clear();
        Ok(())
    }

    fn take_slots(&mut self, count: usize) {
        let slots = (0..count).map_while(|_| self.runner.slots.clone().try_acquire_owned().ok());
        self.spare.extend(slots);
    }

    /// Decides, commits, and begins the calls that were meant.
    async fn decide(&mut self, decide: impl Fn(&mut Decision<'_>) -> Result<(), LetGo>) -> Result<(), LetGo> {
        let is_stopping = self.is_cut || self.runner.stopping.is_cancelled();
        let host = self.runner.engine.host;
        let spare = Mutex::new(std::mem::take(&mut self.spare));
        let recorded = self.desk.record(|decision| {
            let mut spare = spare.lock().expect("a decision that panics ends the run");
            let mut decision = decision.with_room(spare.len());
            if is_stopping {
                decision = decision.stopping(host);
            }
            decide(&mut decision)?;
            let entries = decision.into_entries();
            // Others need not wait for the commit: what it begins keeps its slots, and no more. Where it is decided anew,
            // as something was recorded meanwhile, one call may be begun that has to wait for a slot.
            spare.truncate(entries.iter().filter_map(begun).count());
            Ok(entries)
        });
        let recorded = recorded.await;
        self.spare = spare.into_inner().expect("a decision that panics ends the run");
        let begun: Vec<_> = recorded?.iter().filter_map(begun).collect();
        self.begin(begun);
        Ok(())
    }

    fn begin(&mut self, calls: Vec<CallName>) {
        for call in calls {
            let slot = self.spare.pop();
            let (runner, desk) = (self.runner.clone(), self.desk.clone());
            self.calls.spawn(async move {
                let slot = match slot {
                    Some(slot) => slot,
                    None => slot_of(&runner).await,
                };
                let outcome = match runner.prepare(&desk, &call).await {
                    Ok(prepared) => runner.make_call(&desk, &call, prepared).await,
                    Err(outcome) => Some(outcome),
                };
                Ended { call, outcome, slot }
            });
        }
    }

    /// The host stops and calls were cut short: what they did is in doubt.
    async fn give_up(&mut self) {
        let host = self.runner.engine.host;
        let given_up = self.desk.record(|mut decision| match decision.give_up(host) {
            Ok(()) => Ok(decision.into_entries()),
            Err(_) => Err(LetGo::Done),
        });
        if given_up.await.is_err() {
            tracing::debug!("a job that was to be given up has no claim of this host any more");
        }
    }
}

/// Returns when somebody else has recorded something that this host has not read. Where it is dropped in the middle, as a
/// call has ended, the commit of that outcome finds out.
async fn changed(
    runner: &Runner,
    desk: &Desk,
    bulletins: &mut Receiver<Bulletin>,
    mut look_at: Option<Instant>,
    looked: &mut Instant,
) {
    loop {
        let look = async {
            match look_at {
                Some(look_at) => tokio::time::sleep_until(look_at).await,
                None => future::pending().await,
            }
        };
        let recorded = tokio::select! {
            bulletin = bulletins.recv() => match bulletin {
                Ok(Bulletin::Recorded { recorded, .. }) => Some(recorded.sequence),
                Ok(Bulletin::Progress { .. }) => continue,
                Err(RecvError::Lagged(_)) => runner.stored_sequence(desk.id()).await,
                // The sender lives as long as this receiver is registered.
                Err(RecvError::Closed) => {
                    *bulletins = runner.engine.news.subscribe(desk.id());
                    runner.stored_sequence(desk.id()).await
                }
            },
            () = look => {
                *looked = Instant::now();
                look_at = Some(*looked + runner.look_period);
                runner.stored_sequence(desk.id()).await
            }
        };
        if let Some(sequence) = recorded
            && desk.is_behind(sequence).await
        {
            return;
        }
    }
}

async fn slot_of(runner: &Runner) -> OwnedSemaphorePermit {
    runner.slots.clone().acquire_owned().await.expect("the slots are never closed")
}

/// A bug in the host ends the run, as it would without a task between.
fn unpanicked(ended: Result<Ended, JoinError>) -> Ended {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The call that an entry means to make.
fn begun(entry: &Entry) -> Option<CallName> {
    let (function, task, attempt) = match &entry.fact {
        Fact::TaskApplying { task, attempt, .. } => (Function::Apply, task, attempt),
        Fact::TaskObserving { task, attempt } => (Function::Observe, task, attempt),
        Fact::TaskReverting { task, attempt, .. } => (Function::Revert, task, attempt),
        _ => return None,
    };
    Some(CallName { task: task.clone(), function, attempt: *attempt })
}
