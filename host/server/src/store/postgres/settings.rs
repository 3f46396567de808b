//! Settings of the store on PostgreSQL, and the bounds that are not settings.

use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;

/// Connections for reads, besides the one that writes. More readers than a small server has cores only wait there.
pub const READERS_MAX: usize = 8;

/// Units that wait for the writer. Beyond it callers wait; 64 in flight already fill a transaction.
pub(super) const QUEUE_MAX: usize = 1_024;

/// Units of one transaction: bounds what is done again where one of them cannot be stored.
pub(super) const BATCH_UNITS_MAX: usize = 256;

/// Bytes of rows in one transaction, estimated; bounds what a unit waits for those before it.
pub(super) const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a connection may take to be made.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection that nobody uses is asked for a sign of life, so that no firewall forgets it, and a server that is
/// gone is noticed.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Between two tries to connect for writing. Whoever commits meanwhile is told at once that the store is down.
pub(super) const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// How long an answer may take: a server that is silent for longer is given up, with its connection.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What the server may spend on one statement; below `ANSWER_MAX`, so that the server is the one that says so.
pub(super) const STATEMENT_MAX: Duration = Duration::from_secs(45);

/// How long a read waits for a free connection.
pub(super) const READER_WAIT_MAX: Duration = Duration::from_secs(10);

/// A batch is written again after a conflict with another transaction, or on a new connection, so many times.
pub(super) const TRIES_MAX: u32 = 5;

/// How long it is tried to find out whether a transaction was committed whose answer was lost.
pub(super) const RESOLVE_MAX: Duration = Duration::from_secs(30);

/// How long the ids of committed transactions are kept: many times what finding out may take.
pub(super) const COMMIT_IDS_KEPT: Duration = Duration::from_secs(600);

/// Old ids of transactions are removed this often.
pub(super) const SWEEP_PERIOD: Duration = Duration::from_secs(60);

/// How long a start waits for the session of a predecessor to end: one that was killed is gone in milliseconds, as
/// soon as the server has seen its socket close.
pub(super) const PREDECESSOR_MAX: Duration = Duration::from_secs(5);
pub(super) const PREDECESSOR_PAUSE: Duration = Duration::from_millis(20);

/// A chunk of a blob: large enough to be few, small enough to hold nobody up.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks without a blob that are older than this are what an interrupted upload left.
pub(super) const ORPHAN_CHUNK_AGE: Duration = Duration::from_secs(24 * 3_600);

/// Jobs that one page of a list looks at: some 20 ms.
pub(super) const LISTED_JOBS_MAX: i64 = 5_000;

/// Rows that an export reads at once of one table. A row may have some MiB.
pub(super) const PAGE_ROWS: i64 = 64;

/// How long whoever receives an export may pause. Meanwhile the database keeps what was removed.
pub(super) const EXPORT_PAUSE_MAX: Duration = Duration::from_secs(600);

/// Where the store is, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=...`, or a keyword string as libpq takes it. May hold a
    /// password: never to be shown.
    pub url: String,
    /// A file of certificates (PEM) that the server's must descend from, instead of the system's.
    pub root_certificates: Option<PathBuf>,
    /// See [`READERS_MAX`].
    pub readers: usize,
}

impl PostgresSettings {
    /// A store at this address, with the defaults.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), root_certificates: None, readers: READERS_MAX }
    }

    /// Database and hosts, for messages; without a password, and also where the address is of no use.
    pub fn place(&self) -> String {
        Address::of(self).map_or_else(|_| "the database".to_owned(), |address| address.shown)
    }
}

impl std::fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSettings").field("readers", &self.readers).finish_non_exhaustive()
    }
}
