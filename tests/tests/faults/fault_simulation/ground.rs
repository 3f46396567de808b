//! The ground that a simulation stands on: a disk of which the power can be cut, or a server that loses its client.

use std::sync::Arc;

use windlass_host::store::{RedbStore, Store};
use windlass_tests::home::{Home, Kind};
use windlass_tests::postgres::Schema;

use windlass_tests::disk::{Disk, Fault};

/// See the module.
pub enum Ground {
    Disk(Disk),
    Server(Home),
}

impl Ground {
    /// And the empty store on it.
    pub async fn fresh() -> (Self, Arc<dyn Store>) {
        match Kind::chosen() {
            Kind::Redb => {
                let disk = Disk::default();
                let store = Arc::new(open(&disk));
                (Self::Disk(disk), store)
            }
            Kind::Postgres => {
                let home = Home::Postgres(Schema::fresh().await);
                let store = home.open().await.shared();
                (Self::Server(home), store)
            }
        }
    }

    /// Nothing is written from now on. A server that loses its client rolls back when the store is dropped.
    pub fn cut_power(&self) {
        match self {
            Self::Disk(disk) => disk.fail(0, Fault::PowerCut),
            Self::Server(_) => {}
        }
    }

    /// The store after that. All that held the former one must be dropped; nobody has closed it.
    pub async fn restart(&self, seed: u64) -> Arc<dyn Store> {
        match self {
            Self::Disk(disk) => {
                disk.restart(seed);
                Arc::new(open(disk))
            }
            Self::Server(home) => home.open().await.shared(),
        }
    }
}

fn open(disk: &Disk) -> RedbStore {
    disk.open().expect("opens")
}
