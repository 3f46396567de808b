//! One trace: its commands, given to the store, with the model brought to what the store says it did.
//!
//! Whoever is told that the store failed does as the engine does: it looks. What is there must be all of the unit or
//! nothing of it.

use std::collections::BTreeSet;

use windlass_core::decide::Decision;
use windlass_core::id::JobId;
use windlass_core::job::{CancelMode, Job};
use windlass_host::store::{Change, CommitError, Store, StoreFailure, Unit};

use super::author::Author;
use super::cast::{BLOBS, Cast};
use super::command::Command;
use super::comparison::{Comparison, NoteName, Wrong};
use super::follower::Follower;
use super::order::{Made, outcomes};
use crate::conformance::Bench;
use crate::conformance::fixture::actor;
use crate::dice::Dice;
use crate::faulty::Trouble;
use crate::model::{Model, State};

/// Commands of one trace: short ones find most, and a failure can be read.
const COMMANDS_MIN: u64 = 20;
const COMMANDS_MAX: u64 = 60;
/// Entries that a reader takes while others write.
const BITE_MAX: u64 = 5;

/// See the module.
pub struct Trace<'a> {
    bench: &'a Bench,
    seed: u64,
    cast: Cast,
    author: Author,
    /// For what is compared: never what is commanded.
    dice: Dice,
    model: Model,
    noted: BTreeSet<NoteName>,
    /// One reads all there is, again and again; the other lags behind, and stands in the middle of things.
    quick: Follower,
    slow: Follower,
}

impl<'a> Trace<'a> {
    pub fn of(bench: &'a Bench, seed: u64) -> Self {
        let cast = Cast::of(seed);
        let mut dice = Dice::of(seed);
        let author = Author::of(cast, Dice::of(dice.number()), bench.faults().is_some());
        let (quick, slow) = (Follower::default(), Follower::default());
        let (model, noted) = (Model::default(), BTreeSet::new());
        Self { bench, seed, cast, author, dice, model, noted, quick, slow }
    }

    /// Gives the number of commands.
    pub async fn run(mut self) -> u64 {
        let count = COMMANDS_MIN + self.dice.below(COMMANDS_MAX - COMMANDS_MIN + 1);
        if let Some(faults) = self.bench.faults() {
            faults.delay(self.dice.one_in(2).then_some(self.seed));
        }
        if let Err(Wrong(wrong)) = self.begin().await {
            panic!("seed {}: the store is not bare: {wrong}", self.seed);
        }
        for number in 1..=count {
            let command = {
                let state = self.model.state();
                self.author.next(&state)
            };
            if let Err(Wrong(wrong)) = self.obey(&command).await {
                panic!("seed {}, command {number} of {count}: {wrong}\nThe command: {command:?}", self.seed);
            }
        }
        if let Err(Wrong(wrong)) = self.end().await {
            panic!("seed {}, at the end: {wrong}", self.seed);
        }
        count
    }

    async fn begin(&mut self) -> Result<(), Wrong> {
        let end = self.bench.store().tail_end().await?;
        (self.quick, self.slow) = (Follower::at(end), Follower::at(end));
        self.compare().await
    }

    async fn obey(&mut self, command: &Command) -> Result<(), Wrong> {
        let store = self.bench.store();
        match command {
            Command::Commit(units) => {
                drop(store);
                return self.commit(units).await;
            }
            Command::PutBlob(place) => {
                let (digest, bytes) = (self.cast.blobs[*place], self.cast.blob(*place));
                store.put_blob(digest, bytes.clone()).await?;
                self.model.put_blob(digest, bytes).await?;
            }
            Command::PutWrongBlob(place) => {
                let of_another = self.cast.blobs[(place + 1) % BLOBS];
                if store.put_blob(of_another, self.cast.blob(*place)).await.is_ok() {
                    return Err(Wrong("bytes are stored under the digest of others".to_owned()));
                }
            }
            Command::RemoveBlob(place) => {
                let digest = self.cast.blobs[*place];
                store.remove_blob(digest).await?;
                self.model.remove_blob(digest).await?;
            }
            Command::Restart => {
                drop(store);
                self.bench.step().await;
                return self.compare().await;
            }
            Command::Slip(slip) => {
                let faults = self.bench.faults().expect("only a faulty bench is made to slip");
                faults.slip(1, *slip);
                return Ok(());
            }
            Command::Trouble(trouble, unit) => {
                drop(store);
                return self.trouble(*trouble, unit).await;
            }
            Command::Compare => {
                self.slow.read(store.as_ref(), 1 + self.dice.place(4)).await?;
                self.slow.check(&self.model.state())?;
                return self.compare().await;
            }
        }
        self.compare_some(&[]).await
    }

    async fn commit(&mut self, units: &[Unit]) -> Result<(), Wrong> {
        let told = self.told(units).await?;
        let made = units.iter().cloned().zip(told).map(|(unit, told)| vec![Made { unit, told }]);
        let mut makers: Vec<_> = made.collect();
        if let Some(faults) = self.bench.faults() {
            let usurped = faults.usurped_units().into_iter();
            makers.push(usurped.map(|unit| Made { unit, told: Ok(()) }).collect());
        }
        self.settle(&makers).await
    }

    /// Commits the units at once, while somebody reads the logbook.
    async fn told(&mut self, units: &[Unit]) -> Result<Vec<Result<(), CommitError>>, Wrong> {
        let store = self.bench.store();
        if let [unit] = units {
            return Ok(vec![store.commit(unit.clone()).await]);
        }
        let mut tasks = Vec::new();
        for unit in units.iter().cloned() {
            let store = std::sync::Arc::clone(&store);
            tasks.push(tokio::spawn(async move { store.commit(unit).await }));
        }
        let mut read = Ok(true);
        while read.is_ok() && !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            read = self.quick.read(store.as_ref(), 1 + self.dice.below(BITE_MAX) as usize).await;
            // A store that answers at once must not keep the commits from their turn.
            tokio::task::yield_now().await;
        }
        let mut told = Vec::new();
        for task in tasks {
            told.push(task.await.map_err(|error| Wrong(format!("a commit panicked: {error}")))?);
        }
        read.map(|_| told)
    }

    /// Brings the model to what the store did.
    async fn settle(&mut self, makers: &[Vec<Made>]) -> Result<(), Wrong> {
        let made: Vec<&Made> = makers.iter().flatten().collect();
        let jobs: Vec<_> = made.iter().flat_map(|made| jobs_of(&made.unit)).collect();
        self.noted.extend(made.iter().flat_map(|made| notes_of(&made.unit)));
        let mut possible = outcomes(&self.model.state(), makers);
        let mut result = match possible.len() {
            0 => Err(self.unexplained(&made)),
            1 => {
                self.model = Model::of(possible.remove(0));
                self.compare_some(&jobs).await
            }
            _ => self.find(possible).await,
        };
        if let Err(Wrong(wrong)) = &mut result {
            let told: Vec<_> = made.iter().map(|made| &made.told).collect();
            wrong.push_str(&format!("\nIts makers were told {told:?}"));
        }
        let state = self.model.state();
        jobs.iter().filter_map(|job| state.jobs.get(job)).for_each(|job| self.author.remember(job));
        result
    }

    /// Which of these the store holds, if any.
    async fn find(&mut self, possible: Vec<State>) -> Result<(), Wrong> {
        let mut first = None;
        for state in possible {
            self.model = Model::of(state);
            match self.compare_with_dice().await {
                Ok(()) => return self.follow().await,
                Err(wrong) => first = first.or(Some(wrong)),
            }
        }
        Err(first.unwrap_or_else(|| Wrong("nothing is possible".to_owned())))
    }

    fn unexplained(&self, made: &[&Made]) -> Wrong {
        let state = self.model.state();
        let alone: Vec<_> = made.iter().map(|made| state.after(&made.unit).map(drop)).collect();
        Wrong(format!("no order of the units explains the answers; each alone would be answered {alone:?}"))
    }

    async fn trouble(&mut self, trouble: Trouble, unit: &Unit) -> Result<(), Wrong> {
        let faults =
            std::sync::Arc::clone(self.bench.faults().expect("only a faulty bench gets into trouble"));
        let store = self.bench.store();
        let delay = self.dice.one_in(2).then_some(self.seed);
        faults.heal();
        faults.set(Some(trouble));
        let told = store.commit(unit.clone()).await;
        let is_read = store.board(1).await.is_ok();
        let digest = self.cast.blobs[1];
        let put = store.put_blob(digest, self.cast.blob(1)).await;
        let removed = store.remove_blob(digest).await;
        faults.set(None);
        faults.delay(delay);
        let is_full = trouble == Trouble::Full;
        if is_read == (trouble == Trouble::Down) || put.is_ok() || removed.is_ok() != is_full {
            return Err(Wrong(format!("in trouble: read {is_read}, put {put:?}, removed {removed:?}")));
        }
        if is_full {
            self.model.remove_blob(digest).await?;
        }
        let made = match &told {
            Err(CommitError::Storage(StoreFailure::Full)) if is_full && !unit.urgent => vec![],
            Err(CommitError::Storage(StoreFailure::Down(_))) if !is_full => vec![],
            _ if is_full && unit.urgent => vec![vec![Made { unit: unit.clone(), told }]],
            _ => return Err(Wrong(format!("in trouble the maker is told {told:?}"))),
        };
        self.settle(&made).await?;
        self.compare().await
    }

    /// Everything, and that nobody who follows the logbook missed any of it.
    async fn compare(&mut self) -> Result<(), Wrong> {
        self.compare_with_dice().await?;
        self.follow().await
    }

    async fn compare_with_dice(&mut self) -> Result<(), Wrong> {
        let store = self.bench.store();
        let (model, cast, noted, now) = (&self.model, self.cast, &self.noted, self.author.now);
        let comparison = Comparison { store: store.as_ref(), model, cast, noted, now };
        comparison.whole(&mut self.dice).await
    }

    async fn follow(&mut self) -> Result<(), Wrong> {
        let state = self.model.state().clone();
        let limit = 1 + self.dice.place(30);
        self.quick.catch_up(self.bench.store().as_ref(), &state, limit).await
    }

    async fn compare_some(&mut self, jobs: &[JobId]) -> Result<(), Wrong> {
        let store = self.bench.store();
        let (model, cast, noted, now) = (&self.model, self.cast, &self.noted, self.author.now);
        let comparison = Comparison { store: store.as_ref(), model, cast, noted, now };
        comparison.some(jobs, &mut self.dice).await
    }

    /// Ends and removes all that the trace made, and finds that nothing is left.
    async fn end(&mut self) -> Result<(), Wrong> {
        if let Some(faults) = self.bench.faults() {
            faults.heal();
        }
        self.compare().await?;
        let state = self.model.state().clone();
        self.slow.catch_up(self.bench.store().as_ref(), &state, 1 + self.dice.place(3)).await?;
        let store = self.bench.store();
        for digest in state.blobs.keys() {
            store.remove_blob(*digest).await?;
            self.model.remove_blob(*digest).await?;
        }
        drop(store);
        let unit = Unit::urgent(removal_of(&state));
        self.commit(&[unit]).await?;
        if !self.model.state().is_bare() {
            return Err(Wrong(format!("the model is not bare: {:?}", self.model.state())));
        }
        self.compare().await
    }
}

/// All jobs are ended and purged, all records and keys removed.
fn removal_of(state: &State) -> Vec<Change> {
    let mut changes = Vec::new();
    for job in state.jobs.values() {
        let mut job = Job::clone(job);
        if !job.status.state.is_ended() {
            let now = job.status.updated;
            let mut decision = Decision::new(&mut job, now, actor());
            if let Some(claim) = decision.job.status.claim {
                decision.lose_claim(claim.host).expect("it holds the claim");
            }
            decision
                .cancel(CancelMode::Leave, "the trace ends".to_owned())
                .expect("a job at rest can be left");
            let entries = decision.into_entries();
            changes.push(Change::recorded(&job, entries, None));
        }
        changes.push(Change::Purge { job: job.id(), sequence: job.status.sequence });
    }
    let removals = state.records.values();
    changes
        .extend(removals.map(|record| Change::Remove { key: record.key(), generation: record.generation() }));
    let latest = state.keys.values().map(|held| held.at).max();
    changes.extend(latest.map(|at| Change::ExpireKeys { before: at + chrono::TimeDelta::milliseconds(1) }));
    changes
}

fn jobs_of(unit: &Unit) -> Vec<JobId> {
    let named = unit.changes.iter().filter_map(|change| match change {
        Change::Job(change) => Some(change.job),
        Change::Note { job, .. } | Change::Purge { job, .. } => Some(*job),
        Change::Put { .. }
        | Change::Remove { .. }
        | Change::Expect { .. }
        | Change::Take { .. }
        | Change::ExpectFree { .. }
        | Change::ExpireKeys { .. } => None,
    });
    named.collect()
}

fn notes_of(unit: &Unit) -> impl Iterator<Item = NoteName> {
    unit.changes.iter().filter_map(|change| match change {
        Change::Note { job, task, name, .. } => Some((*job, task.clone(), name.clone())),
        _ => None,
    })
}
