//! Places: where a store is, and all that differs by that: how it is opened, imported into and checked.
//!
//! Invariant: an import that was interrupted is never found as a whole store. Into a file, it goes aside, under
//! another name, while the file that waits for it says that an import has begun; into a database, it goes in place, and
//! what an interrupted one left is removed before the next.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::store::canonical::{self, Counts, ImportError};
use crate::store::check::{self, Checked, Finding};
use crate::store::postgres::Company;
use crate::store::redb::{check_file, replace};
use crate::store::{
    Change, CommitError, DatabaseError, Expected, ImportRecord, OpenError, Ousted, PostgresSettings,
    PostgresStore, Record, RecordKey, RedbSettings, RedbStore, Store, StoreFailure, Unit,
};

/// The store's file in a data directory.
const STORE_FILE: &str = "windlass.redb";

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of redb.
    Redb(PathBuf),
    /// A schema of a PostgreSQL database.
    Postgres(PostgresSettings),
}

/// A store that was opened, and can be closed.
pub enum Opened {
    Redb(Arc<RedbStore>),
    Postgres(Arc<PostgresStore>),
}

/// Why nothing was done with a store at its place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("there is no store at {0}")]
    Missing(Place),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Store(#[from] StoreFailure),
    #[error("the imported store cannot be put in the place of {}", path.display())]
    Replace {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redb(path) => path.display().fmt(f),
            Self::Postgres(settings) => settings.place().fmt(f),
        }
    }
}

impl Place {
    /// The store of a data directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self::Redb(directory.join(STORE_FILE))
    }

    /// Opens the store for a host, or creates it.
    pub async fn open(&self, cache_bytes: usize) -> Result<Opened, PlaceError> {
        match self {
            Self::Redb(path) => {
                let settings = RedbSettings { cache_bytes, ..RedbSettings::at(path) };
                Ok(Opened::Redb(Arc::new(RedbStore::open(settings)?)))
            }
            Self::Postgres(settings) => {
                Ok(Opened::Postgres(Arc::new(PostgresStore::open(settings.clone()).await?)))
            }
        }
    }

    /// Opens a store that must be there, for somebody who only reads it. From a database that a host has, it reads
    /// what is committed.
    pub async fn open_existing(&self) -> Result<Opened, PlaceError> {
        match self {
            Self::Redb(path) if !is_filled(path) => Err(PlaceError::Missing(self.clone())),
            Self::Redb(path) => Ok(Opened::Redb(Arc::new(RedbStore::open(file_alone(path))?))),
            Self::Postgres(settings) => {
                let store = PostgresStore::open_to_read(settings.clone(), Company::Welcome).await;
                Ok(Opened::Postgres(Arc::new(store?)))
            }
        }
    }

    /// Imports a canonical form into the store, which must be empty, or not there.
    pub async fn import(
        &self,
        now: DateTime<Utc>,
        input: impl BufRead + Send + 'static,
    ) -> Result<Counts, PlaceError> {
        match self {
            Self::Redb(path) => import_aside(path, now, input).await,
            Self::Postgres(settings) => {
                let store = PostgresStore::open(settings.clone()).await?;
                store.remove_unfinished_import().await?;
                let imported = canonical::import(&store, now, input).await;
                if imported.is_err() {
                    // Of what was not begun there is nothing to remove.
                    store.remove_unfinished_import().await?;
                }
                store.close().await;
                Ok(imported?)
            }
        }
    }

    /// Checks the store, first what is below its rows.
    pub async fn check(&self, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<Checked, PlaceError> {
        let mut below = 0;
        let mut tell_below = |finding| {
            below += 1;
            tell(finding);
        };
        let opened = match self {
            Self::Redb(path) if !is_filled(path) => return Err(PlaceError::Missing(self.clone())),
            Self::Redb(path) => {
                check_file(path, &mut tell_below)?;
                self.open_existing().await?
            }
            Self::Postgres(settings) => {
                // What a host changes meanwhile would look like damage.
                let store = PostgresStore::open_to_read(settings.clone(), Company::Refused).await?;
                store.check(&mut tell_below).await?;
                Opened::Postgres(Arc::new(store))
            }
        };
        let checked = check::check(&*opened.store(), tell).await;
        opened.close().await;
        let checked = checked?;
        Ok(Checked { findings: checked.findings + below, ..checked })
    }
}

impl Opened {
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Redb(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    /// Finishes what was asked for; another may open the store then.
    pub async fn close(&self) {
        match self {
            Self::Redb(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }

    /// Returns when this process may not write to the store any more. A file is this process's until it is closed.
    pub async fn ousted(&self) -> Ousted {
        match self {
            Self::Redb(_) => std::future::pending().await,
            Self::Postgres(store) => store.ousted().await,
        }
    }
}

/// A file that was made and not filled is as good as none.
fn is_filled(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

/// Who runs no job keeps no reserve, as the disk may be as full as it is, and makes no log: the file is whole at any time.
fn file_alone(path: &Path) -> RedbSettings {
    RedbSettings { reserve_bytes: 0, wal_bytes_max: 0, ..RedbSettings::at(path) }
}

async fn import_aside(
    path: &Path,
    now: DateTime<Utc>,
    input: impl BufRead + Send + 'static,
) -> Result<Counts, PlaceError> {
    let was_there = is_filled(path);
    // Held open until the end: no host starts on it meanwhile.
    let waiting = RedbStore::open(file_alone(path))?;
    let found = canonical::contents(&waiting).await.map_err(PlaceError::from);
    let imported = match found {
        Ok(None) => fill_and_replace(path, &waiting, now, input).await,
        Ok(Some(found)) => Err(ImportError::NotEmpty(found).into()),
        Err(error) => Err(error),
    };
    if imported.is_err() && !was_there {
        // While it is still held: nobody can have opened it.
        replace::remove(path);
    }
    waiting.close().await;
    imported
}

async fn fill_and_replace(
    path: &Path,
    waiting: &RedbStore,
    now: DateTime<Utc>,
    input: impl BufRead + Send + 'static,
) -> Result<Counts, PlaceError> {
    let record = Record::Import(ImportRecord { began: now, generation: 1 });
    // One that was interrupted left its own.
    commit(waiting, Change::Put { record, expected: Expected::Any }).await?;
    let aside = replace::aside(path);
    replace::remove(&aside);
    let store = RedbStore::open(file_alone(&aside))?;
    let imported = canonical::import(&store, now, input).await;
    store.close().await;
    let replaced = match imported {
        Ok(counts) => {
            let source = replace::replace(&aside, path);
            source.map_err(|source| PlaceError::Replace { path: path.to_owned(), source }).map(|()| counts)
        }
        Err(error) => Err(error.into()),
    };
    replace::remove(&aside);
    if replaced.is_err() {
        // It is as empty as it was.
        commit(waiting, Change::Remove { key: RecordKey::Import, generation: 1 }).await?;
    }
    replaced
}

async fn commit(store: &RedbStore, change: Change) -> Result<(), PlaceError> {
    store.commit(Unit::of(vec![change])).await.map_err(|error| match error {
        CommitError::Storage(failure) => failure.into(),
        source => ImportError::Refused { line: 1, source }.into(),
    })
}
