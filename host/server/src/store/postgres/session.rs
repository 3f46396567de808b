//! The session of the writer: its connection, and what it needs there.
//!
//! Invariant: a transaction holds the session that it began in, and is written and committed there or nowhere. On
//! another session its statements would be transactions of their own.

use std::sync::Arc;

use futures::future::try_join3;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

use super::batch::Stored;
use super::columns::Columns;
use super::connection::Connector;
use super::failure;
use super::load::{LoadError, Names, load};
use super::open::{self, SCHEMA_VERSION};
use super::settings::ANSWER_MAX;
use super::statement::Statements;
use super::write;
use crate::store::StoreFailure;

/// A connection that writes.
pub(super) struct Session {
    client: Client,
    statements: Statements,
}

/// Why this process may not write any more, for a person.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Ousted {
    #[error("{place} was taken by another host: this one stops, and the other goes on with its jobs")]
    Taken { place: String },
    #[error(
        "{place} was brought to schema {found}, and this host knows {known}: it stops; run the version of windlass that did it"
    )]
    TooOld { place: String, found: i32, known: i32 },
    #[error("{place} holds no store of windlass any more: this host stops; restore a backup, or start anew")]
    Gone { place: String },
}

/// What became of a step of a transaction.
pub(super) enum StepError {
    Database(Error),
    /// What is stored is not what was written.
    Broken(StoreFailure),
    /// No answer came for so long that the connection is given up.
    Silent,
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl Session {
    pub async fn over(client: Client) -> Result<Self, Error> {
        let statements = Statements::prepare(&client).await?;
        Ok(Self { client, statements })
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins a transaction under an id, and locks and reads what its units name.
    pub async fn begin(self: Arc<Self>, id: Uuid, names: &Names) -> Result<(Transaction, Stored), StepError> {
        let begun = async {
            let rows = load(&self.client, &self.statements, names);
            let (_, _, rows) = try_join3(
                async { self.client.batch_execute("BEGIN").await.map_err(LoadError::Database) },
                async {
                    let named = self.client.execute(&self.statements.commit_id, &[&id]).await;
                    named.map_err(LoadError::Database)
                },
                rows,
            )
            .await?;
            Ok(rows)
        };
        match timeout(ANSWER_MAX, begun).await {
            Ok(Ok(stored)) => Ok((Transaction { session: self }, stored)),
            Ok(Err(LoadError::Database(error))) => Err(StepError::Database(error)),
            Ok(Err(LoadError::Broken(failure))) => Err(StepError::Broken(failure)),
            Err(_) => Err(StepError::Silent),
        }
    }

    /// Ends a transaction, if there is one. False: the connection is of no use any more.
    pub async fn roll_back(&self) -> bool {
        matches!(timeout(ANSWER_MAX, self.client.batch_execute("ROLLBACK")).await, Ok(Ok(())))
    }

    /// Whether the transaction with this id was committed. Where it was not, it never will be: its id is claimed. Says
    /// the same when it is asked again, as after a claim whose answer was lost.
    pub async fn was_committed(&self, id: Uuid) -> Result<bool, StepError> {
        let claim = "INSERT INTO commit_id (id, is_committed) VALUES ($1, false) ON CONFLICT DO NOTHING";
        let asked = async {
            // Waits for the transaction, where it is still under way.
            self.client.execute(claim, &[&id]).await?;
            self.client.query_one("SELECT is_committed FROM commit_id WHERE id = $1", &[&id]).await
        };
        match timeout(ANSWER_MAX, asked).await {
            Ok(row) => Ok(row?.get(0)),
            Err(_) => Err(StepError::Silent),
        }
    }

    /// Why this process may not write. None where it may.
    pub async fn ousted(&self, connector: &Connector, holder: Uuid) -> Result<Option<Ousted>, Error> {
        let place = || connector.place.clone();
        let Some(found) = open::schema_version(&self.client).await? else {
            return Ok(Some(Ousted::Gone { place: place() }));
        };
        if found != SCHEMA_VERSION {
            return Ok(Some(Ousted::TooOld { place: place(), found, known: SCHEMA_VERSION }));
        }
        let row = self.client.query_one("SELECT holder FROM windlass", &[]).await?;
        let is_held = row.get::<_, Option<Uuid>>(0) == Some(holder);
        Ok((!is_held).then(|| Ousted::Taken { place: place() }))
    }

    /// Takes the session lock again after the connection was lost. Without it the store is as safe.
    pub async fn lock_again(&self) {
        match open::try_lock(&self.client).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!("the session before this one still has the lock of the database"),
            Err(error) => tracing::debug!(error = failure::text(&error), "the lock was not asked for"),
        }
    }
}

/// A transaction under way. Dropped, it is left to whoever goes on with the session, to be rolled back.
pub(super) struct Transaction {
    session: Arc<Session>,
}

impl Transaction {
    /// Writes and commits.
    pub async fn commit(self, columns: &Columns, holder: Uuid, is_sweeping: bool) -> Result<(), StepError> {
        let Session { client, statements } = &*self.session;
        let committed = write::commit(client, statements, columns, holder, is_sweeping);
        match timeout(ANSWER_MAX, committed).await {
            Ok(committed) => Ok(committed?),
            Err(_) => Err(StepError::Silent),
        }
    }
}

/// The error of a transaction whose process may not write: its number would have been null. Tables that are gone say
/// so, too.
pub(super) fn is_refusal(error: &Error) -> bool {
    match error.code() {
        Some(&SqlState::NOT_NULL_VIOLATION) => {
            error.as_db_error().and_then(|error| error.table()) == Some("windlass")
        }
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN) => true,
        _ => false,
    }
}
