//! The owner: the one thread that writes, and that reopens the database after an error.
//!
//! It takes a unit, then whatever else waits within the bounds, checks each in order of arrival against what those
//! before it did, and commits all of them once. Where it is busy it waits a moment for those on their way. Nobody is
//! answered before the transaction is on the disk: not even a refused unit, whose refusal may rest on one that is not.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::blob::BlobChange;
use super::committer::Committer;
use super::handle::{Handle, Opening};
use super::reserve::Reserve;
use super::settings::{
    APPLY_MAX, BATCH_BYTES_MAX, GATHER_FROM, GATHER_PAUSE, GATHER_WITHIN, REOPEN_PAUSE, REOPEN_PAUSE_MAX,
    ROOM_PAUSE,
};
use super::snapshot::Snapshot;
use crate::store::admit::admit;
use crate::store::{CommitError, StoreFailure, Unit};

/// What the owner is asked for.
pub(super) enum Command {
    Write(Work),
    /// In this order.
    WriteEach(Vec<Work>),
    /// A read failed in this opening of the database.
    Reopen(Opening),
}

/// Something to write, and who waits for it.
pub(super) struct Work {
    pub change: WorkChange,
    pub answer: oneshot::Sender<Result<(), CommitError>>,
}

impl Work {
    /// And what comes of it.
    pub fn of(change: WorkChange) -> (Self, oneshot::Receiver<Result<(), CommitError>>) {
        let (answer, answered) = oneshot::channel();
        (Self { change, answer }, answered)
    }
}

pub(super) enum WorkChange {
    Unit(Unit),
    Blob(BlobChange),
}

impl WorkChange {
    /// May be committed from the reserve.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Unit(unit) => unit.urgent,
            Self::Blob(BlobChange::Remove { .. }) => true,
            Self::Blob(BlobChange::Chunk { .. } | BlobChange::Head { .. }) => false,
        }
    }
}

pub(super) struct Owner {
    pub handle: Arc<Handle>,
    pub commands: mpsc::Receiver<Command>,
    /// What was taken from the commands, and is next.
    pub taken: VecDeque<Work>,
    pub reserve: Option<Box<dyn Reserve>>,
    /// The disk is full; when it was last looked whether there is room.
    pub full: Option<Instant>,
    /// How many units the last transaction had, and when it ended.
    pub last: Option<(usize, Instant)>,
    pub committer: Committer,
}

/// Work that was taken into a batch, and what came of it.
type Staged = Vec<(Work, Result<(), CommitError>)>;

impl Owner {
    /// Runs until nobody can ask any more.
    pub fn run(mut self) {
        while let Some(command) = self.commands.blocking_recv() {
            match command {
                Command::Write(work) => self.taken.push_back(work),
                Command::WriteEach(works) => self.taken.extend(works),
                Command::Reopen(opening) if opening == self.handle.opening() => {
                    self.recover();
                }
                // It was reopened since.
                Command::Reopen(_) => {}
            }
            while let Some(work) = self.taken.pop_front() {
                self.turn(work);
            }
        }
        if let Err(failure) = guarded(|| self.committer.settle()) {
            tracing::warn!(%failure, "the store did not close; it is opened once more for that");
            // What the disk kept of it is found out as after any failure; a second one is the last.
            if let Err(failure) = self.reopen().or_else(|_| self.reopen()) {
                tracing::error!(%failure, "the store was not closed; the next start takes its write-ahead log in");
            }
        }
        self.handle.close();
    }

    /// One transaction, of this and whatever else waits.
    fn turn(&mut self, first: Work) {
        self.look_for_room();
        let (staged, batch) = self.stage(first);
        let units = staged.len();
        self.finish(staged, batch);
        self.last = Some((units, Instant::now()));
    }

    /// Commits, and answers all together.
    fn finish(&mut self, staged: Staged, batch: Result<Batch, StoreFailure>) {
        let number = batch.as_ref().map(|batch| batch.number).ok();
        match batch.and_then(|batch| self.commit(batch)) {
            Ok(()) => staged.into_iter().for_each(|(work, result)| answer(work, result)),
            Err(failure) => self.failed(staged, number, failure),
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), StoreFailure> {
        let may_log = self.full.is_none();
        guarded(|| self.committer.commit(batch, may_log))
    }

    fn stage(&mut self, first: Work) -> (Staged, Result<Batch, StoreFailure>) {
        let mut staged = Vec::new();
        let began = Instant::now();
        // Where many wait for each transaction, those that are on their way share this one.
        let is_busy =
            |(units, ended): (usize, Instant)| units >= GATHER_FROM && ended.elapsed() < GATHER_WITHIN;
        let mut gathers = self.last.is_some_and(is_busy);
        let mut next = Some(first);
        let batch = guarded(|| self.handle.with(|database, _| Batch::over(Snapshot::of(database)?)));
        let mut batch = match batch {
            Ok(batch) => batch,
            Err(failure) => {
                staged.extend(next.map(|work| (work, Ok(()))));
                return (staged, Err(failure));
            }
        };
        while let Some(work) = next.take() {
            if self.full.is_some() && !work.change.is_urgent() {
                answer(work, Err(StoreFailure::Full.into()));
            } else {
                match stage_one(&mut batch, &work.change) {
                    // The storage failed: what the others read may be as wrong.
                    Err(CommitError::Storage(failure @ (StoreFailure::Down(_) | StoreFailure::Full)))
                        if self.handle.trouble().is_some() =>
                    {
                        staged.push((work, Ok(())));
                        return (staged, Err(failure));
                    }
                    result => staged.push((work, result)),
                }
            }
            if batch.bytes() < BATCH_BYTES_MAX && began.elapsed() < APPLY_MAX {
                next = self.waiting();
                if next.is_none() && gathers {
                    gathers = false;
                    thread::sleep(GATHER_PAUSE);
                    next = self.waiting();
                }
            }
        }
        (staged, Ok(batch))
    }

    /// The next work that waits already.
    fn waiting(&mut self) -> Option<Work> {
        loop {
            if let Some(work) = self.taken.pop_front() {
                return Some(work);
            }
            match self.commands.try_recv() {
                Ok(Command::Write(work)) => return Some(work),
                Ok(Command::WriteEach(works)) => self.taken.extend(works),
                // Where the storage failed, this transaction finds it out by itself.
                Ok(Command::Reopen(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
            }
        }
    }

    /// The transaction failed, and may be on the disk all the same: only the reopened database knows.
    fn failed(&mut self, staged: Staged, number: Option<u64>, failure: StoreFailure) {
        let failure = self.handle.trouble().map_or(failure, |trouble| trouble.failure);
        tracing::error!(%failure, units = staged.len(), "a transaction of the store failed; the store is reopened");
        let was_full = self.full.is_some();
        let is_full = matches!(failure, StoreFailure::Full);
        if let Err(down) = self.reopen() {
            staged.into_iter().for_each(|(work, _)| answer(work, Err(down.clone().into())));
            self.reopen_until_open(down);
            return;
        }
        let stored = self.handle.read(Snapshot::batch);
        if number.is_some() && stored.is_ok_and(|stored| Some(stored) >= number) {
            staged.into_iter().for_each(|(work, result)| answer(work, result));
            return;
        }
        if !is_full {
            staged.into_iter().for_each(|(work, _)| answer(work, Err(failure.clone().into())));
            return;
        }
        self.again_when_full(staged, was_full);
    }

    /// What is urgent is tried once more, from the reserve that was released.
    fn again_when_full(&mut self, staged: Staged, was_full: bool) {
        let (urgent, refused): (Staged, Staged) =
            staged.into_iter().partition(|(work, _)| !was_full && work.change.is_urgent());
        refused.into_iter().for_each(|(work, _)| answer(work, Err(StoreFailure::Full.into())));
        if urgent.is_empty() {
            return;
        }
        let batch = guarded(|| self.handle.with(|database, _| Batch::over(Snapshot::of(database)?)));
        let mut staged = Vec::new();
        let batch = batch.map(|mut batch| {
            staged.extend(urgent.into_iter().map(|(work, _)| {
                let result = stage_one(&mut batch, &work.change);
                (work, result)
            }));
            batch
        });
        self.finish(staged, batch);
    }

    /// A read failed: reopens without a transaction to answer for.
    fn recover(&mut self) {
        if self.handle.trouble().is_none() {
            return;
        }
        if let Err(down) = self.reopen() {
            self.reopen_until_open(down);
        }
    }

    fn reopen(&mut self) -> Result<(), StoreFailure> {
        let trouble = self.handle.trouble();
        if trouble.as_ref().is_some_and(|trouble| matches!(trouble.failure, StoreFailure::Full)) {
            self.make_room();
        }
        self.committer.forget_log();
        match self.handle.reopen() {
            // What is in the log needs room in the database.
            Err(StoreFailure::Full) => {
                self.make_room();
                self.handle.reopen()
            }
            reopened => reopened,
        }
    }

    fn make_room(&mut self) {
        self.full = Some(Instant::now());
        if let Some(reserve) = &self.reserve {
            reserve.release();
        }
    }

    /// Refuses everything until the database opens. Gives up only when nobody can ask any more.
    fn reopen_until_open(&mut self, mut failure: StoreFailure) {
        let mut pause = REOPEN_PAUSE;
        loop {
            loop {
                for work in self.taken.drain(..) {
                    answer(work, Err(failure.clone().into()));
                }
                match self.commands.try_recv() {
                    Ok(Command::Write(work)) => answer(work, Err(failure.clone().into())),
                    Ok(Command::WriteEach(works)) => self.taken.extend(works),
                    Ok(Command::Reopen(_)) => {}
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            thread::sleep(pause);
            pause = (pause * 2).min(REOPEN_PAUSE_MAX);
            match self.handle.reopen() {
                Ok(()) => return tracing::info!("the store is open again"),
                Err(next) => {
                    if matches!(next, StoreFailure::Full) {
                        self.make_room();
                    }
                    failure = next;
                }
            }
        }
    }

    /// Where the disk was full: is there room again? The reserve comes first.
    fn look_for_room(&mut self) {
        let Some(looked) = self.full else { return };
        let Some(reserve) = &self.reserve else {
            self.full = None;
            return;
        };
        if looked.elapsed() < ROOM_PAUSE {
            return;
        }
        self.full = match reserve.refill() {
            Ok(()) => {
                tracing::info!("the disk has room again");
                None
            }
            Err(_) => Some(Instant::now()),
        };
    }
}

/// Takes the work into the batch, or leaves no trace of it.
fn stage_one(batch: &mut Batch, change: &WorkChange) -> Result<(), CommitError> {
    batch.mark();
    let staged = guarded(|| {
        Ok(match change {
            WorkChange::Unit(unit) => admit(batch, unit),
            WorkChange::Blob(change) => batch.blob(change).map_err(CommitError::from),
        })
    });
    let staged = staged.unwrap_or_else(|failure| Err(failure.into()));
    if staged.is_err() {
        batch.roll_back();
    }
    staged
}

/// redb panics where a file contradicts itself: that must not take the owner down.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoreFailure>) -> Result<T, StoreFailure> {
    let panicked = || StoreFailure::Corrupt("a page contradicts another".to_owned());
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(panicked()))
}

fn answer(work: Work, result: Result<(), CommitError>) {
    // Whoever asked may have gone: what was committed stays so.
    drop(work.answer.send(result));
}
