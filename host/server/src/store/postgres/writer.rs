//! The writer: the one task that commits, and that connects again after an error.
//!
//! It takes a unit, then whatever else waits within the bounds, checks each in order of arrival against what those
//! before it did, and commits all of them once. Nobody is answered before the transaction is committed: not even a
//! refused unit, whose refusal may rest on one that is not. A batch that the database refuses is halved until the
//! unit is found that it is about: its neighbours are committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::batch::Batch;
use super::columns::Columns;
use super::connection::{Connector, silent};
use super::failure::{self, Remedy, remedy};
use super::load::Names;
use super::session::{Ousted, Session, StepError, is_refusal};
use super::settings::{
    ANSWER_MAX, BATCH_BYTES_MAX, BATCH_UNITS_MAX, CONNECT_PAUSE, RESOLVE_MAX, SWEEP_PERIOD, TRIES_MAX,
};
use crate::store::{Change, CommitError, StoreFailure, Unit};

/// Between two tries of a batch that another transaction was in the way of; doubled each time.
const TRY_PAUSE: Duration = Duration::from_millis(5);

/// What a change weighs besides the payloads that it brings: its rows, indexes and numbers.
const CHANGE_BYTES: usize = 2_048;

/// A unit to be committed, and who waits for it.
pub(super) struct Work {
    pub unit: Unit,
    pub answer: oneshot::Sender<Result<(), CommitError>>,
}

/// See the module.
pub(super) struct Writer {
    pub connector: Connector,
    pub holder: Uuid,
    pub works: mpsc::Receiver<Work>,
    /// Told once, when this process may not write any more.
    pub ousted: watch::Sender<Option<Ousted>>,
    pub session: Option<Arc<Session>>,
    pub state: WriterState,
}

/// What the writer remembers between two transactions.
#[derive(Default)]
pub(super) struct WriterState {
    /// When the last try to connect failed, and how.
    failed: Option<(Instant, StoreFailure)>,
    swept: Option<Instant>,
}

/// Why a batch was not committed.
enum Refusal {
    /// As a whole: halves of it may be.
    Batch(StoreFailure),
    /// The store does not answer.
    Store(StoreFailure),
}

type Results = Vec<Result<(), CommitError>>;

impl Writer {
    /// Runs until nobody can ask any more.
    pub async fn run(mut self) {
        while let Some(first) = self.works.recv().await {
            let works = self.waiting(first);
            self.commit(works).await;
        }
    }

    /// This work and what waits behind it, within the bounds.
    fn waiting(&mut self, first: Work) -> Vec<Work> {
        let mut bytes = weight(&first.unit);
        let mut works = vec![first];
        while works.len() < BATCH_UNITS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(work) = self.works.try_recv() else { break };
            bytes += weight(&work.unit);
            works.push(work);
        }
        works
    }

    /// Commits all that can be, and answers all.
    async fn commit(&mut self, works: Vec<Work>) {
        // The last part is the next: halves are put back with the first one on top.
        let mut parts = vec![works];
        while let Some(mut works) = parts.pop() {
            let refusal = match self.attempt_all(&works).await {
                Ok(results) => {
                    works.into_iter().zip(results).for_each(|(work, result)| answer(work, result));
                    continue;
                }
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Batch(failure) if works.len() > 1 => {
                    tracing::debug!(%failure, units = works.len(), "a transaction was refused: halves of it are tried");
                    let second = works.split_off(works.len() / 2);
                    parts.push(second);
                    parts.push(works);
                }
                Refusal::Batch(failure) | Refusal::Store(failure) => {
                    tracing::warn!(%failure, units = works.len(), "the database did not take what was to be stored");
                    works.into_iter().for_each(|work| answer(work, Err(failure.clone().into())));
                }
            }
        }
    }

    /// Tries until the transaction is committed or is known not to be, within the bounds.
    async fn attempt_all(&mut self, works: &[Work]) -> Result<Results, Refusal> {
        let mut last = StoreFailure::Down("the database was not asked".to_owned());
        let mut pause = TRY_PAUSE;
        for _ in 0..TRIES_MAX {
            let id = Uuid::now_v7();
            let (sent, error) = match self.attempt(works, id).await {
                Ok(results) => return Ok(results),
                Err(AttemptError::Store(failure)) => return Err(Refusal::Store(failure)),
                Err(AttemptError::Batch(failure)) => return Err(Refusal::Batch(failure)),
                Err(AttemptError::Lost { results, failure }) => (results, failure),
                Err(AttemptError::Again(failure)) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    last = failure;
                    continue;
                }
            };
            last = error;
            // The commit was sent and not answered.
            if let Some(results) = sent {
                match self.resolve(id).await {
                    Ok(true) => return Ok(results),
                    Ok(false) => {}
                    Err(failure) => return Err(Refusal::Store(failure)),
                }
            }
        }
        Err(Refusal::Batch(last))
    }

    /// One transaction.
    async fn attempt(&mut self, works: &[Work], id: Uuid) -> Result<Results, AttemptError> {
        let is_sweeping = self.state.swept.is_none_or(|swept| swept.elapsed() > SWEEP_PERIOD);
        let session = self.session().await.map_err(AttemptError::Store)?;
        let names = Names::of(works.iter().map(|work| &work.unit));
        let (transaction, stored) = match session.begin(id, &names).await {
            Ok(begun) => begun,
            Err(error) => return Err(self.failed(error, None).await),
        };
        let mut batch = Batch::over(stored);
        let results: Results = works.iter().map(|work| batch.unit(&work.unit)).collect();
        if batch.is_empty() {
            self.roll_back().await;
            return Ok(results);
        }
        let columns = match Columns::of(&batch) {
            Ok(columns) => columns,
            Err(failure) => {
                self.roll_back().await;
                return Err(AttemptError::Batch(failure));
            }
        };
        match transaction.commit(&columns, self.holder, is_sweeping).await {
            Ok(()) => {
                if is_sweeping {
                    self.state.swept = Some(Instant::now());
                }
                Ok(results)
            }
            Err(error) => Err(self.failed(error, Some(results)).await),
        }
    }

    /// What to do about an error. `sent`: the results that hold where the commit, which was sent, was made.
    async fn failed(&mut self, error: StepError, sent: Option<Results>) -> AttemptError {
        let error = match error {
            StepError::Silent => {
                self.session = None;
                return AttemptError::Lost { results: sent, failure: silent(ANSWER_MAX) };
            }
            StepError::Broken(failure) => {
                self.roll_back().await;
                return AttemptError::Store(failure);
            }
            StepError::Database(error) => error,
        };
        let failure = failure::failure(&error);
        let remedy = remedy(&error);
        if remedy == Remedy::Reconnect || self.session.as_ref().is_none_or(|session| session.is_closed()) {
            tracing::info!(%failure, "the connection to the database was lost");
            self.session = None;
            return AttemptError::Lost { results: sent, failure };
        }
        self.roll_back().await;
        if is_refusal(&error) {
            return AttemptError::Store(self.find_ousted().await);
        }
        match (remedy, &failure) {
            (Remedy::Again, _) => AttemptError::Again(failure),
            // Nothing about the units is wrong.
            (_, StoreFailure::Full | StoreFailure::Corrupt(_)) => AttemptError::Store(failure),
            (_, StoreFailure::Down(_)) => AttemptError::Batch(failure),
        }
    }

    async fn roll_back(&mut self) {
        let is_well = match &self.session {
            Some(session) => session.roll_back().await,
            None => true,
        };
        if !is_well {
            self.session = None;
        }
    }

    /// Whether a transaction was committed whose answer was lost.
    async fn resolve(&mut self, id: Uuid) -> Result<bool, StoreFailure> {
        let began = Instant::now();
        loop {
            let failure = match self.session().await {
                Ok(session) => match session.was_committed(id).await {
                    Ok(is_committed) => {
                        tracing::info!(%id, is_committed, "what became of a transaction is known");
                        return Ok(is_committed);
                    }
                    Err(StepError::Database(error)) => failure::failure(&error),
                    Err(StepError::Broken(failure)) => failure,
                    Err(StepError::Silent) => silent(ANSWER_MAX),
                },
                Err(failure) => failure,
            };
            self.session = None;
            if began.elapsed() > RESOLVE_MAX || self.ousted.borrow().is_some() {
                return Err(StoreFailure::Down(format!("nobody knows whether a commit was made: {failure}")));
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
    }

    /// The connection, made again where it was lost. Fails at once where that failed a moment ago.
    async fn session(&mut self) -> Result<Arc<Session>, StoreFailure> {
        if let Some(ousted) = &*self.ousted.borrow() {
            return Err(StoreFailure::Down(ousted.to_string()));
        }
        if self.session.as_ref().is_some_and(|session| session.is_closed()) {
            self.session = None;
        }
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let recent = self.state.failed.as_ref().filter(|(at, _)| at.elapsed() < CONNECT_PAUSE);
        if let Some((_, failure)) = recent {
            return Err(failure.clone());
        }
        match self.connect().await {
            Ok(session) => {
                let session = Arc::new(session);
                self.state.failed = None;
                self.session = Some(session.clone());
                Ok(session)
            }
            Err(failure) => {
                self.state.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    async fn connect(&self) -> Result<Session, StoreFailure> {
        let down = |error: tokio_postgres::Error| failure::failure(&error);
        let client = self.connector.connect().await;
        let client = client.map_err(|error| StoreFailure::Down(error.to_string()))?;
        let session = Session::over(client).await.map_err(down)?;
        if let Some(ousted) = session.ousted(&self.connector, self.holder).await.map_err(down)? {
            return Err(self.oust(ousted));
        }
        session.lock_again().await;
        Ok(session)
    }

    async fn find_ousted(&mut self) -> StoreFailure {
        let (connector, holder) = (self.connector.clone(), self.holder);
        match self.session().await {
            Ok(session) => match session.ousted(&connector, holder).await {
                Ok(Some(ousted)) => self.oust(ousted),
                Ok(None) => StoreFailure::Down("the database refused a transaction for no reason".to_owned()),
                Err(error) => failure::failure(&error),
            },
            Err(failure) => failure,
        }
    }

    fn oust(&self, ousted: Ousted) -> StoreFailure {
        tracing::error!("{ousted}");
        let failure = StoreFailure::Down(ousted.to_string());
        self.ousted.send_replace(Some(ousted));
        failure
    }
}

/// Why one transaction was not committed, as far as it is known.
enum AttemptError {
    /// The connection is gone. `results`: the commit was sent, and may have been made.
    Lost {
        results: Option<Results>,
        failure: StoreFailure,
    },
    /// Another transaction was in the way.
    Again(StoreFailure),
    Batch(StoreFailure),
    Store(StoreFailure),
}

fn answer(work: Work, result: Result<(), CommitError>) {
    // Whoever asked may have gone: what was committed stays so.
    drop(work.answer.send(result));
}

/// About how many bytes a unit writes.
fn weight(unit: &Unit) -> usize {
    let change = |change: &Change| match change {
        Change::Job(change) => {
            let outputs = change.instances.iter().flat_map(|i| i.output.iter().chain(&i.undo));
            let payloads: usize = outputs.map(|payload| payload.bytes.len()).sum();
            // An output is in its instance and in the entry that brought it.
            CHANGE_BYTES + 2 * payloads
        }
        Change::Note { value, .. } => CHANGE_BYTES + value.len(),
        Change::Put { .. }
        | Change::Remove { .. }
        | Change::Expect { .. }
        | Change::Take { .. }
        | Change::ExpectFree { .. }
        | Change::ExpireKeys { .. }
        | Change::Purge { .. } => CHANGE_BYTES,
    };
    unit.changes.iter().map(change).sum()
}
