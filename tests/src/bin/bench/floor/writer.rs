//! The writer of the floor: one thread that owns redb, and commits whatever waits at once.
//!
//! Invariant: a commit is answered after its fsync, and as the host's store does it: from the same size of the file on
//! each records what a restart after a crash needs.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result};
use redb::{Builder, Database, Durability, TableDefinition};
use tokio::sync::{mpsc, oneshot};
use windlass_host::store::RedbSettings;

/// What `windlass serve` gives its store.
pub const CACHE_BYTES: usize = 64 << 20;
/// Commits that wait.
const QUEUE_MAX: usize = 1_024;
/// Commits of one transaction: none of the workloads has more under way.
const BATCH_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    State,
    Entry,
    Due,
}

impl Table {
    const ALL: [Self; 3] = [Self::State, Self::Entry, Self::Due];

    fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(match self {
            Self::State => "state",
            Self::Entry => "entry",
            Self::Due => "due",
        })
    }
}

/// A row to be written, or one to be removed.
pub struct Row {
    pub table: Table,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// What is committed together, and who waits for it.
struct Commit {
    rows: Vec<Row>,
    answer: oneshot::Sender<Result<(), String>>,
}

/// See the module.
pub struct Writer {
    commits: mpsc::Sender<Commit>,
}

impl Writer {
    pub fn at(file: &Path) -> Result<Self> {
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(file)?;
        let (commits, waiting) = mpsc::channel(QUEUE_MAX);
        let file = file.to_owned();
        thread::Builder::new()
            .name("floor-writer".to_owned())
            .spawn(move || own(&database, &file, waiting))?;
        Ok(Self { commits })
    }

    /// Durable when it returns.
    pub async fn commit(&self, rows: Vec<Row>) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        self.commits.send(Commit { rows, answer }).await.ok().context("the writer is gone")?;
        answered.await.context("the writer is gone")?.map_err(anyhow::Error::msg)
    }
}

fn own(database: &Database, file: &PathBuf, mut waiting: mpsc::Receiver<Commit>) {
    let quick_repair_from_bytes = RedbSettings::at(file).quick_repair_from_bytes;
    let mut batch = Vec::new();
    while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
        let len_bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        let rows = batch.iter_mut().flat_map(|commit| std::mem::take(&mut commit.rows)).collect();
        let written = write(database, rows, len_bytes >= quick_repair_from_bytes);
        let written = written.map_err(|error| format!("{error:#}"));
        for commit in batch.drain(..) {
            // Whoever asked may have gone.
            drop(commit.answer.send(written.clone()));
        }
    }
}

/// In the order of the keys, as the host's store does it.
fn write(database: &Database, mut rows: Vec<Row>, quick_repair: bool) -> Result<()> {
    rows.sort_by(|one, other| (one.table, &one.key).cmp(&(other.table, &other.key)));
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(quick_repair);
    for table in Table::ALL {
        let mut stored = transaction.open_table(table.definition())?;
        for row in rows.iter().filter(|row| row.table == table) {
            match &row.value {
                Some(value) => drop(stored.insert(row.key.as_slice(), value.as_slice())?),
                None => drop(stored.remove(row.key.as_slice())?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
