//! A site: the directories of one host, which outlive its processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use windlass_proto::v1;

use crate::home::{Home, Look, OpenStore};
use crate::ledger::{self, LedgerLine};
use crate::plugins;
use crate::remote;

/// Between two looks at the ledger, which only a poll can watch.
const LOOK: Duration = Duration::from_millis(2);
/// Calls begin within milliseconds; a busy machine takes seconds.
const LOOKS_MAX: usize = 15_000;

/// See the module.
pub struct Site {
    folder: TempDir,
    home: Home,
}

impl Site {
    /// An empty data directory, a ledger, and the compiled fixtures.
    pub async fn fresh() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = data_in(folder.path());
        std::fs::create_dir_all(&data).expect("a data directory");
        let site = Self { folder, home: Home::fresh(&data).await };
        std::fs::create_dir_all(site.ledger().join("gates")).expect("a ledger");
        plugins::seed_cache(&site.compiled()).await;
        site
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        data_in(self.path())
    }

    /// Where the store is: a file in the data directory, or a URL.
    pub fn store_address(&self) -> String {
        self.home.address()
    }

    pub fn store_file(&self) -> PathBuf {
        self.data().join("windlass.redb")
    }

    /// Where `windlass serve` keeps compiled plugins, too.
    pub fn compiled(&self) -> PathBuf {
        self.data().join("compiled")
    }

    /// The directory that the fixtures are granted.
    pub fn ledger(&self) -> PathBuf {
        self.path().join("ledger")
    }

    pub fn grants(&self) -> v1::Grants {
        let directory = v1::DirectoryGrant {
            host_path: self.ledger().display().to_string(),
            guest_path: "/ledger".to_owned(),
            access: v1::Access::ReadWrite.into(),
        };
        v1::Grants { directories: vec![directory], memory_bytes_max: None }
    }

    /// Lets the gate's call go on.
    pub fn open_gate(&self, name: &str) {
        std::fs::write(self.ledger().join("gates").join(name), b"").expect("a gate can be opened");
    }

    /// Says what has become of what a `remote` of this name began, or begins.
    pub fn say_of_remote(&self, name: &str, said: &serde_json::Value) {
        remote::say(&self.ledger(), name, said);
    }

    pub fn lines(&self) -> Vec<LedgerLine> {
        ledger::read(&self.ledger())
    }

    /// The attempts of one call, such as `apply b`.
    pub fn attempts(&self, call: &str) -> Vec<LedgerLine> {
        self.lines().into_iter().filter(|line| line.call() == call).collect()
    }

    /// Returns when this call, such as `apply b`, has begun so many times.
    pub async fn begun(&self, call: &str, times: usize) {
        for _ in 0..LOOKS_MAX {
            if self.attempts(call).len() >= times {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("{call} has not begun {times} times: {:#?}", self.lines());
    }

    /// The store as the host left it. Its process must be gone.
    pub async fn store(&self) -> OpenStore {
        self.home.open().await
    }

    /// The store as the host left it, and as the next host still finds it.
    pub async fn look(&self) -> Look {
        self.home.look().await
    }
}

fn data_in(folder: &Path) -> PathBuf {
    folder.join("data")
}
