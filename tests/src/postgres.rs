//! PostgreSQL in tests: the server that `tests/postgres run` started for all of them, and a schema of its own for each.
//!
//! Invariant: two schemas share nothing, and none is left behind by a test that ended.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

pub mod proxy;
pub mod server;

/// Names the server; set by `tests/postgres run`.
pub const VARIABLE: &str = "WINDLASS_TEST_POSTGRES";
/// Names it by TCP, where it takes TLS and a password only.
const TLS_VARIABLE: &str = "WINDLASS_TEST_POSTGRES_TLS";
/// A file: the authority that signed its certificate.
const AUTHORITY_VARIABLE: &str = "WINDLASS_TEST_POSTGRES_CA";
/// Where servers of single tests are made.
const DIRECTORY_VARIABLE: &str = "WINDLASS_TEST_POSTGRES_DIRECTORY";

/// Longer than dropping takes, on a busy machine.
const DROP_MAX: Duration = Duration::from_secs(10);

/// What `tests/postgres run` told. Never a default: a test that needs a server does not pass without one.
fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set, so there is no PostgreSQL to test on: run it as `tests/postgres run cargo test \
             ...`, or as `make test`"
        )
    })
}

/// The URL of the server that all tests share.
pub fn shared() -> String {
    told(VARIABLE)
}

/// The shared server as it is reached from other machines.
pub struct Remote {
    /// With user and password, and without a word about TLS.
    pub url: String,
    /// The file of the authority's certificate.
    pub authority: String,
}

/// See [`Remote`].
pub fn remote() -> Remote {
    let url = told(TLS_VARIABLE);
    let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url).to_owned();
    Remote { url, authority: told(AUTHORITY_VARIABLE) }
}

/// A session for the test itself. It ends when the client is dropped.
pub async fn connect(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
    tokio::spawn(connection);
    client
}

/// An empty schema, which is where a store makes its tables. Measured, it is made and dropped in half the time of a
/// database.
pub struct Schema {
    server: String,
    /// How a store is to reach the server.
    way: String,
    name: String,
}

impl Schema {
    /// On the server that all tests share.
    pub async fn fresh() -> Self {
        Self::on(&shared()).await
    }

    /// On the shared server, which a store reaches by another way.
    pub async fn by(way: &str) -> Self {
        let mut schema = Self::fresh().await;
        schema.way = way.to_owned();
        schema
    }

    /// On a server of the test's own.
    pub async fn on(server: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let client = connect(server).await;
        client.batch_execute(&format!("CREATE SCHEMA {name}")).await.expect("a schema can be made");
        Self { server: server.to_owned(), way: server.to_owned(), name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// For a store: with the schema as the only one that is looked at.
    pub fn url(&self) -> String {
        within(&self.way, &self.name)
    }

    /// A session of the test in it, to look at what a store wrote.
    pub async fn client(&self) -> Client {
        connect(&within(&self.server, &self.name)).await
    }
}

fn within(server: &str, schema: &str) -> String {
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-c%20search_path%3D{schema}")
}

impl Drop for Schema {
    fn drop(&mut self) {
        // Whoever still has a transaction open here is a bug of the test, which must not hang for it.
        let statement = format!("SET lock_timeout = '5s'; DROP SCHEMA {} CASCADE", self.name);
        let server = std::mem::take(&mut self.server);
        // A runtime of its own: this one may be within a task.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let drop_schema = async {
                let (client, connection) = tokio_postgres::connect(&server, NoTls).await?;
                let connection = tokio::spawn(connection);
                client.batch_execute(&statement).await?;
                drop(client);
                connection.await??;
                anyhow::Ok(())
            };
            // A test that failed may have left its server paused.
            runtime.block_on(async { tokio::time::timeout(DROP_MAX, drop_schema).await? })
        });
        match dropped.join() {
            Ok(Ok(())) => {}
            // Its server may have been ended before it.
            other => println!("the schema {} is left to the end of its server: {other:?}", self.name),
        }
    }
}
