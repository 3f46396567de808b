//! The conformance suite on redb: in memory, on disk, and on disk with a restart at every step.

use std::sync::Arc;

use windlass_host::store::{RedbSettings, RedbStore, Store};
use windlass_tests::conformance::{Bench, run_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_in_memory_conforms() {
    run_all(async || Bench::of(Arc::new(RedbStore::open_in_memory().expect("opens")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_on_disk_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = std::sync::atomic::AtomicU32::new(0);
    run_all(async || {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let settings = RedbSettings::at(folder.path().join(n.to_string()).join("windlass.redb"));
        Bench::of(Arc::new(RedbStore::open(settings).expect("opens")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_on_disk_conforms_with_a_restart_at_every_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = std::sync::atomic::AtomicU32::new(0);
    run_all(async || {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut settings = RedbSettings::at(folder.path().join(n.to_string()).join("windlass.redb"));
        // Both ways of being ready for a restart.
        settings.quick_repair_from_bytes = if n.is_multiple_of(2) { 0 } else { u64::MAX };
        settings.reserve_bytes = 0;
        Bench::reopening(move || {
            let settings = settings.clone();
            Box::pin(async move {
                let store: Arc<dyn Store> = Arc::new(RedbStore::open(settings).expect("opens"));
                store
            })
        })
        .await
    })
    .await;
}
