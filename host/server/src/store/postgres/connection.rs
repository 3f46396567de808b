//! Connections: how the database is reached, and what every session is told first.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;
use super::failure::{self, Remedy, remedy};
use super::open::DatabaseError;
use super::settings::{ANSWER_MAX, CONNECT_MAX, PostgresSettings, READER_WAIT_MAX, STATEMENT_MAX};
use super::tls;
use crate::store::StoreFailure;

/// A reader's connection that was idle may have died meanwhile: so many are tried.
const READ_TRIES_MAX: usize = 3;

/// Everything that makes a connection.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    /// Database and hosts, for messages.
    pub place: String,
}

impl Connector {
    pub fn new(settings: &PostgresSettings) -> Result<Self, DatabaseError> {
        let address = Address::of(settings)?;
        let tls = tls::connector(&address)?;
        Ok(Self { config: address.config, tls, place: address.shown })
    }

    /// A session that was told how to behave. It ends when the client is dropped.
    pub async fn connect(&self) -> Result<Client, DatabaseError> {
        let unreachable = |reason: String| DatabaseError::Unreachable { place: self.place.clone(), reason };
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = failure::text(&error), "a connection to the database ended");
                }
            });
            client.batch_execute(&session_settings()).await?;
            Ok::<_, Error>(client)
        };
        match timeout(2 * CONNECT_MAX, connecting).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(self.explain(&error)),
            Err(_) => Err(unreachable(format!("it did not answer within {} s", 2 * CONNECT_MAX.as_secs()))),
        }
    }

    fn explain(&self, error: &Error) -> DatabaseError {
        let (place, reason) = (self.place.clone(), failure::text(error));
        match error.code() {
            Some(
                &SqlState::INVALID_PASSWORD
                | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                | &SqlState::INVALID_CATALOG_NAME
                | &SqlState::INSUFFICIENT_PRIVILEGE,
            ) => DatabaseError::NotLetIn { place, reason },
            _ => DatabaseError::Unreachable { place, reason },
        }
    }

    /// Tells of settings of the server that take the meaning from "durable".
    pub async fn warn_of_settings(&self, client: &Client) {
        let setting = client.query_one("SELECT current_setting('fsync', true)", &[]).await;
        if let Ok(row) = setting
            && row.get::<_, Option<&str>>(0) == Some("off")
        {
            tracing::warn!(
                place = self.place,
                "the server runs with fsync = off: what is acknowledged is lost when its machine fails"
            );
        }
    }
}

/// Whatever the user's or the database's defaults are: commits wait for the disk at least, nothing waits for ever, a
/// client whose machine is gone is noticed within half a minute, and each statement of a transaction sees what others
/// committed before it began.
fn session_settings() -> String {
    let statement_ms = STATEMENT_MAX.as_millis();
    format!(
        "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit', true) IN ('off', 'local', 'remote_write'); \
         SET statement_timeout = {statement_ms}; SET lock_timeout = {statement_ms}; \
         SET idle_in_transaction_session_timeout = {}; SET default_transaction_isolation = 'read committed'; \
         SET client_min_messages = warning; SET TimeZone = 'UTC'; \
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
        ANSWER_MAX.as_millis()
    )
}

/// Connections for reads.
pub(super) struct Readers {
    pool: Pool,
}

impl Readers {
    pub fn new(connector: &Connector, size: usize) -> Result<Self, DatabaseError> {
        let manager = Manager::from_config(
            connector.config.clone(),
            connector.tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let prepare = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(
                async move { client.batch_execute(&session_settings()).await.map_err(HookError::Backend) },
            )
        });
        let pool = Pool::builder(manager)
            .max_size(size.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(READER_WAIT_MAX))
            .create_timeout(Some(2 * CONNECT_MAX))
            .recycle_timeout(Some(CONNECT_MAX))
            .post_create(prepare)
            .build();
        let unusable = |reason: String| DatabaseError::Address { reason };
        Ok(Self { pool: pool.map_err(|error| unusable(error.to_string()))? })
    }

    /// The rows of one statement, and so of one moment; on another connection where the one that was idle has died.
    pub async fn rows(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreFailure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let client = self.lend().await?;
            let answer = async {
                let prepared = client.prepare_cached(statement).await?;
                client.query(&prepared, parameters).await
            };
            match timeout(ANSWER_MAX, answer).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => {
                    let remedy = remedy(&error);
                    if remedy == Remedy::Reconnect {
                        drop(Object::take(client));
                    }
                    if remedy == Remedy::Refuse || tries == READ_TRIES_MAX {
                        return Err(failure::failure(&error));
                    }
                }
                Err(_) => {
                    // Whatever it still answers is of no use to the next reader.
                    drop(Object::take(client));
                    return Err(silent(ANSWER_MAX));
                }
            }
        }
    }

    /// A connection for more than one statement.
    pub async fn lend(&self) -> Result<Object, StoreFailure> {
        self.pool.get().await.map_err(|error| StoreFailure::Down(failure::text(&error)))
    }

    pub fn close(&self) {
        self.pool.close();
    }
}

/// The server is there, and says nothing.
pub(super) fn silent(waited: Duration) -> StoreFailure {
    StoreFailure::Down(format!("the database did not answer within {} s", waited.as_secs()))
}
