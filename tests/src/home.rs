//! A home: where the store of a test is, on whatever it is made. It is opened there again and again.
//!
//! `WINDLASS_TEST_STORE` chooses what stores are made of: `redb`, which is the default, or `postgres`.
//!
//! Invariant: two homes share nothing, and what a store kept is there for the next one that is opened at its home.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_host::store::{Place, PostgresSettings, PostgresStore, RedbSettings, RedbStore, Store};

use crate::postgres::Schema;

/// The environment variable that chooses.
pub const VARIABLE: &str = "WINDLASS_TEST_STORE";

/// Small, so that many of these are opened quickly.
const REDB_CACHE_BYTES: usize = 4 << 20;
const REDB_RESERVE_BYTES: u64 = 64 << 10;

/// What stores are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Redb,
    Postgres,
}

impl Kind {
    /// As the environment has it.
    pub fn chosen() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(std::env::VarError::NotPresent) | Ok("redb") => Self::Redb,
            Ok("postgres") => Self::Postgres,
            other => panic!("{VARIABLE} is {other:?}: give redb or postgres"),
        }
    }
}

/// See the module.
pub enum Home {
    /// A file.
    Redb(PathBuf),
    Postgres(Schema),
}

impl Home {
    /// An empty one, of the kind that the environment chooses. A store that is a file is made in `folder`.
    pub async fn fresh(folder: &Path) -> Self {
        match Kind::chosen() {
            Kind::Redb => Self::Redb(folder.join("windlass.redb")),
            Kind::Postgres => Self::Postgres(Schema::fresh().await),
        }
    }

    /// A path, or a URL.
    pub fn address(&self) -> String {
        match self {
            Self::Redb(file) => file.display().to_string(),
            Self::Postgres(schema) => schema.url(),
        }
    }

    /// As the program knows it.
    pub fn place(&self) -> Place {
        match self {
            Self::Redb(file) => Place::Redb(file.clone()),
            Self::Postgres(schema) => Place::Postgres(PostgresSettings::at(schema.url())),
        }
    }

    /// The store. Nobody else may have it open.
    pub async fn open(&self) -> OpenStore {
        OpenStore::at(&self.address()).await.unwrap_or_else(|error| panic!("the store opens: {error:#}"))
    }

    /// The store as a dead host left it. The next host still finds it so: it is a copy, or only looked at. On a server
    /// it is opened as a host opens it, which waits until the session of the dead one has ended, and with it whatever
    /// it had under way.
    pub async fn look(&self) -> Look {
        match self {
            Self::Redb(file) => {
                let folder = tempfile::tempdir().expect("a folder");
                let copy = folder.path().join("windlass.redb");
                // And its log, without which it is not whole.
                for (from, to) in [(file.clone(), copy.clone()), (wal_of(file), wal_of(&copy))] {
                    if from.exists() {
                        std::fs::copy(from, to).expect("the store can be copied");
                    }
                }
                let store = Self::Redb(copy).open().await;
                Look { store, _folder: Some(folder) }
            }
            Self::Postgres(_) => Look { store: self.open().await, _folder: None },
        }
    }
}

fn wal_of(file: &Path) -> PathBuf {
    file.with_added_extension("wal")
}

/// A store that is open, until it is closed.
#[derive(Clone)]
pub enum OpenStore {
    Redb(Arc<RedbStore>),
    Postgres(Arc<PostgresStore>),
}

impl OpenStore {
    /// At an address: a URL, or the path of a file.
    pub async fn at(address: &str) -> anyhow::Result<Self> {
        if address.starts_with("postgres://") {
            return Ok(Self::Postgres(Arc::new(PostgresStore::open(PostgresSettings::at(address)).await?)));
        }
        let settings = RedbSettings {
            cache_bytes: REDB_CACHE_BYTES,
            reserve_bytes: REDB_RESERVE_BYTES,
            ..RedbSettings::at(address)
        };
        Ok(Self::Redb(Arc::new(RedbStore::open(settings)?)))
    }

    pub fn shared(&self) -> Arc<dyn Store> {
        match self {
            Self::Redb(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    /// Its home can be opened again when this returns, whoever still holds the store.
    pub async fn close(&self) {
        match self {
            Self::Redb(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

impl Deref for OpenStore {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Redb(store) => &**store,
            Self::Postgres(store) => &**store,
        }
    }
}

/// A look at what is left. To be closed before the next host starts.
pub struct Look {
    pub store: OpenStore,
    _folder: Option<tempfile::TempDir>,
}
