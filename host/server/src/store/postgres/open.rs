//! Opening: from an address to a session that may write.
//!
//! One process has the database. Who opens it becomes its holder, and every transaction is refused that is not the
//! holder's: that alone makes it safe. A session lock besides makes a second process wait, and then refuse to start,
//! instead of taking the database away from the first.

use std::time::Instant;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::connection::Connector;
use super::failure;
use super::settings::{ORPHAN_CHUNK_AGE, PREDECESSOR_MAX, PREDECESSOR_PAUSE};

mod migrations {
    refinery::embed_migrations!("src/store/postgres/migrations");
}

/// The tables that this program reads and writes: the number of its last migration.
pub(super) const SCHEMA_VERSION: i32 = 5;

/// Two hosts that start at once both make the tables; one of them is told that they exist, and looks again.
const MIGRATION_TRIES_MAX: u32 = 5;

/// Names the lock among those of other programs: "WIND".
const LOCK_CLASS: i32 = 0x5749_4E44;

/// Why a database cannot be used. Nothing of what it holds was changed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the address of the database cannot be used: {reason}")]
    Address { reason: String },
    #[error("{place} cannot be reached: {reason}; check that the server runs there, and the address")]
    Unreachable { place: String, reason: String },
    #[error("{place} lets nobody in: {reason}; check user, password, database and the server's pg_hba.conf")]
    NotLetIn { place: String, reason: String },
    #[error("{place} is in use by another host: stop that one, or choose another database")]
    InUse { place: String },
    #[error(
        "{place} has schema {found}, and this program knows {known}: run the version of windlass that made it, or a newer one"
    )]
    NewerSchema { place: String, found: i32, known: i32 },
    #[error(
        "{place} has schema {found}, and this program knows {known}: start a host of this version on it first"
    )]
    OlderSchema { place: String, found: i32, known: i32 },
    #[error("{place} holds no store of windlass, or none in the first schema of the connection")]
    Empty { place: String },
    #[error(
        "{place} cannot be prepared: {reason}; the user needs the right to create tables in its first schema"
    )]
    NotPrepared { place: String, reason: String },
}

/// Makes or updates the tables, all in one transaction, and removes what interrupted uploads left.
pub(super) async fn prepare(connector: &Connector, client: &mut Client) -> Result<(), DatabaseError> {
    let place = || connector.place.clone();
    let mut reason = String::new();
    for _ in 0..MIGRATION_TRIES_MAX {
        // Asked first: refinery would tell of a migration that is missing, not that this program is too old.
        if let Some(found) = schema_version(client).await.map_err(|error| not_prepared(connector, &error))? {
            if found > SCHEMA_VERSION {
                return Err(DatabaseError::NewerSchema { place: place(), found, known: SCHEMA_VERSION });
            }
            if found == SCHEMA_VERSION {
                return sweep(client).await.map_err(|error| not_prepared(connector, &error));
            }
        }
        let mut runner = migrations::migrations::runner().set_grouped(true);
        match runner.set_migration_table_name("windlass_migration").run_async(client).await {
            Ok(_) => {}
            Err(error) => reason = failure::text(&error),
        }
    }
    Err(DatabaseError::NotPrepared { place: place(), reason })
}

/// A store of this program's schema must be there.
pub(super) async fn expect(connector: &Connector, client: &Client) -> Result<(), DatabaseError> {
    let (place, known) = (connector.place.clone(), SCHEMA_VERSION);
    match schema_version(client).await.map_err(|error| not_prepared(connector, &error))? {
        None => Err(DatabaseError::Empty { place }),
        Some(found) if found > known => Err(DatabaseError::NewerSchema { place, found, known }),
        Some(found) if found < known => Err(DatabaseError::OlderSchema { place, found, known }),
        Some(_) => Ok(()),
    }
}

/// None where there are no tables yet.
pub(super) async fn schema_version(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    let found = client
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM information_schema.tables \
         WHERE table_schema = current_schema() AND table_name = 'windlass')",
            &[],
        )
        .await?;
    if !found.get::<_, bool>(0) {
        return Ok(None);
    }
    let row = client.query_opt("SELECT schema_version FROM windlass", &[]).await?;
    Ok(row.map(|row| row.get(0)))
}

async fn sweep(client: &Client) -> Result<(), tokio_postgres::Error> {
    let age = ORPHAN_CHUNK_AGE.as_secs_f64();
    let orphans = "DELETE FROM blob_chunk c WHERE c.written < now() - $1 * interval '1 second' \
                   AND NOT EXISTS (SELECT 1 FROM blob b WHERE b.digest = c.digest)";
    client.execute(orphans, &[&age]).await.map(drop)
}

fn not_prepared(connector: &Connector, error: &tokio_postgres::Error) -> DatabaseError {
    DatabaseError::NotPrepared { place: connector.place.clone(), reason: failure::text(error) }
}

/// Waits until no other process has the database, then takes it.
pub(super) async fn take(connector: &Connector, client: &Client, holder: Uuid) -> Result<(), DatabaseError> {
    wait_for_lock(connector, client).await?;
    let taken = client.execute("UPDATE windlass SET holder = $1", &[&holder]).await;
    taken.map(drop).map_err(|error| not_prepared(connector, &error))
}

/// Returns when no other process has the database; an error where one keeps it.
pub(super) async fn wait_for_lock(connector: &Connector, client: &Client) -> Result<(), DatabaseError> {
    let began = Instant::now();
    while !try_lock(client).await.map_err(|error| not_prepared(connector, &error))? {
        if began.elapsed() > PREDECESSOR_MAX {
            return Err(DatabaseError::InUse { place: connector.place.clone() });
        }
        tokio::time::sleep(PREDECESSOR_PAUSE).await;
    }
    Ok(())
}

/// The lock of this database and schema, held as long as the session. True also where the server has no such locks:
/// the holder's mark is what counts.
pub(super) async fn try_lock(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let lock = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()::text))";
    match client.query_one(lock, &[&LOCK_CLASS]).await {
        Ok(row) => Ok(row.get(0)),
        Err(error)
            if matches!(
                error.code(),
                Some(&SqlState::UNDEFINED_FUNCTION | &SqlState::FEATURE_NOT_SUPPORTED)
            ) =>
        {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
