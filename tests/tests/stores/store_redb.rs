//! What every store is held to, on redb: in memory, on disk, on disk with restarts, and behind faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use windlass_host::store::{RedbSettings, RedbStore, Store};
use windlass_tests::conformance::{Bench, Opening, run_all};
use windlass_tests::faulty::Faults;
use windlass_tests::traces;

fn in_memory() -> Bench {
    Bench::of(Arc::new(RedbStore::open_in_memory().expect("opens")))
}

/// A folder of databases, each new one in a file of its own.
struct Disk {
    folder: tempfile::TempDir,
    count: AtomicU32,
}

impl Disk {
    fn make() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), count: AtomicU32::new(0) }
    }

    fn settings(&self) -> RedbSettings {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let mut settings = RedbSettings::at(self.folder.path().join(n.to_string()).join("windlass.redb"));
        // Both ways of being ready for a restart.
        settings.quick_repair_from_bytes = if n.is_multiple_of(2) { 0 } else { u64::MAX };
        settings
    }

    fn bench(&self) -> Bench {
        Bench::of(Arc::new(RedbStore::open(self.settings()).expect("opens")))
    }

    async fn reopening(&self) -> Bench {
        let settings = RedbSettings { reserve_bytes: 0, ..self.settings() };
        let open = move || -> Opening {
            let settings = settings.clone();
            Box::pin(async move {
                let store: Arc<dyn Store> = Arc::new(RedbStore::open(settings).expect("opens"));
                store
            })
        };
        Bench::reopening(open).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_in_memory_conforms() {
    run_all(async || in_memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_on_disk_conforms() {
    let disk = Disk::make();
    run_all(async || disk.bench()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_on_disk_conforms_with_a_restart_at_every_step() {
    let disk = Disk::make();
    run_all(async || disk.reopening().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_conforms_through_a_wrapper_without_faults() {
    run_all(async || in_memory().faulty(Faults::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_conforms_where_everything_is_delayed() {
    run_all(async || in_memory().faulty(Faults::delaying(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_in_memory_does_what_the_model_does() {
    traces::run(async || in_memory(), traces::share(0, 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_on_disk_does_what_the_model_does() {
    let disk = Disk::make();
    traces::run(async || disk.bench(), traces::share(1, 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_on_disk_does_what_the_model_does_across_restarts() {
    let disk = Disk::make();
    traces::run(async || disk.reopening().await, traces::share(2, 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_does_what_the_model_does_behind_faults() {
    traces::run(async || in_memory().faulty(Faults::default()), traces::share(3, 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_on_disk_does_what_the_model_does_behind_faults_and_across_restarts() {
    let disk = Disk::make();
    traces::run(async || disk.reopening().await.faulty(Faults::default()), traces::share(4, 5)).await;
}
