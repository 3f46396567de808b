//! Settings of the store, and the bounds that are not settings.

use std::path::PathBuf;
use std::time::Duration;

/// What redb may keep in memory. Its own default is 1 GiB; the hot rows of a million jobs fit in an eighth of that.
pub const CACHE_BYTES: usize = 128 * 1024 * 1024;

/// From this size on every transaction that is written to the file records what a restart after a crash needs, by a second
/// sync. Below it, checking the whole file takes under 0.1 s (measured: 0.1 s for 100 MiB).
pub const QUICK_REPAIR_FROM_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of the write-ahead log: so much is written to the database at once, and taken into it after a crash.
pub const WAL_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Kept beside the database for cancelling and purging on a full disk: room for what is in the log, and for some thousand of
/// such units.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Where the log cannot be written, it is tried again after so long; each transaction is written to the database until then.
pub(super) const WAL_PAUSE: Duration = Duration::from_secs(1);

/// Commands that wait for the owner, each a unit or a part of a batch. Beyond it callers wait; 64 in flight already fill a
/// transaction.
pub(super) const QUEUE_MAX: usize = 256;

/// Bytes of rows in one transaction; with `APPLY_MAX` this bounds what a unit waits for those before it.
pub(super) const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long units are taken into one transaction.
pub(super) const APPLY_MAX: Duration = Duration::from_millis(10);

/// Where the last transaction had so many units and ended so lately, the next one waits a moment for others: a transaction
/// costs as much as a dozen units. Whoever is alone waits for nobody.
pub(super) const GATHER_FROM: usize = 6;
pub(super) const GATHER_WITHIN: Duration = Duration::from_millis(1);
pub(super) const GATHER_PAUSE: Duration = Duration::from_micros(200);

/// A chunk of a blob: with its key and the head of its page it fills 256 KiB; a byte more would take 512.
pub(super) const CHUNK_BYTES: usize = 256 * 1024 - 256;

/// Chunks that one transaction removes.
pub(super) const REMOVED_CHUNKS_MAX: u32 = 16;

/// Bytes of a job that is read on the thread that asks: their decoding takes no longer than giving them to another.
pub(super) const SMALL_BYTES: usize = 16 * 1024;

/// Jobs that one page of a list looks at: some 20 ms.
pub(super) const LISTED_JOBS_MAX: usize = 5_000;

/// Between two looks whether a full disk has room again.
pub(super) const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// Between two tries to reopen: doubled from the first to the last.
pub(super) const REOPEN_PAUSE: Duration = Duration::from_millis(20);
pub(super) const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where the store is, and how it is kept.
#[derive(Debug, Clone)]
pub struct RedbSettings {
    /// The database file. Beside it are a lock (`.lock`), the reserve (`.reserve`), and while it is open,
    /// or was not closed, its write-ahead log (`.wal`), without which it is not whole. A log that no store here needs, such
    /// as one beside a file that was put in the place of another, is kept under another name (`.wal.old`).
    pub path: PathBuf,
    pub cache_bytes: usize,
    /// See [`QUICK_REPAIR_FROM_BYTES`].
    pub quick_repair_from_bytes: u64,
    /// See [`WAL_BYTES_MAX`]; 0 for none: each transaction is written to the database.
    pub wal_bytes_max: u64,
    /// See [`RESERVE_BYTES`]; 0 for none.
    pub reserve_bytes: u64,
}

impl RedbSettings {
    /// A store in this file, created where it is missing, with the measured defaults.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: CACHE_BYTES,
            quick_repair_from_bytes: QUICK_REPAIR_FROM_BYTES,
            wal_bytes_max: WAL_BYTES_MAX,
            reserve_bytes: RESERVE_BYTES,
        }
    }
}
