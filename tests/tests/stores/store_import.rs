//! Exports, imports and backups of whole stores: what arrives is what was there, or it is no store.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use windlass_host::store::canonical::{self, ExportError, ImportError, unfinished};
use windlass_host::store::{Exported, Place, PlaceError, RedbStore, Store, StoreFailure, check};
use windlass_tests::conformance::canonical::exported;
use windlass_tests::conformance::fixture::{at, job_id, submit};
use windlass_tests::faulty::{Faults, Slip};
use windlass_tests::guarded::{Guard, GuardedStore, Op};

use crate::planted::{file, fill, whole};

/// Longer than anything takes, so that a test that hangs says where.
const PATIENCE: Duration = Duration::from_secs(60);

async fn exported_from(directory: &Path) -> Vec<u8> {
    let opened = Place::in_directory(directory).open_existing().await.expect("opens");
    let form = exported(&*opened.store()).await.expect("it can be exported");
    opened.close().await;
    form
}

async fn a_form() -> Vec<u8> {
    let store = RedbStore::open_in_memory().expect("opens");
    fill(&store).await;
    exported(&store).await.expect("it can be exported")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_file_is_exported_the_same_and_has_no_findings() {
    let source = whole().await;
    let form = exported_from(source.path()).await;
    let target = tempfile::tempdir().expect("a folder");
    let place = Place::in_directory(target.path());
    let counts = place.import(at(0), Cursor::new(form.clone())).await.expect("it is whole");
    assert_eq!(counts.jobs, 5);
    assert_eq!(exported_from(target.path()).await, form);
    let mut found = Vec::new();
    let checked = place.check(&mut |finding| found.push(finding)).await.expect("it opens");
    assert_eq!((found, checked.counts), (vec![], counts));
    let left: Vec<_> =
        std::fs::read_dir(target.path()).expect("readable").map(|e| e.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|name| ["windlass.redb", "windlass.redb.lock"].iter().any(|n| name == n)),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_has_something_is_not_imported_into_and_stays_as_it_is() {
    let target = whole().await;
    let before = exported_from(target.path()).await;
    let refused = Place::in_directory(target.path()).import(at(0), Cursor::new(a_form().await)).await;
    let Err(PlaceError::Import(ImportError::NotEmpty(found))) = refused else { panic!("{refused:?}") };
    assert_eq!(found, "1 plugin, 1 trigger, 1 operation, 1 host, 5 jobs");
    assert_eq!(exported_from(target.path()).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_a_host_has_is_not_imported_into() {
    let target = tempfile::tempdir().expect("a folder");
    let place = Place::in_directory(target.path());
    let opened = place.open(1 << 20).await.expect("opens");
    let refused = place.import(at(0), Cursor::new(a_form().await)).await;
    assert!(matches!(refused, Err(PlaceError::Open(_))), "{refused:?}");
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_refused_leaves_no_store_behind() {
    let form = a_form().await;
    let target = tempfile::tempdir().expect("a folder");
    let place = Place::in_directory(target.path());
    for file in [&b"foreign\n"[..], &form[..form.len() - 9], &form[..form.len() / 2]] {
        let refused = place.import(at(0), Cursor::new(file.to_vec())).await;
        assert!(matches!(refused, Err(PlaceError::Import(ImportError::Read(_)))), "{refused:?}");
        assert_eq!(std::fs::read_dir(target.path()).expect("readable").count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_fails_at_any_commit_leaves_a_store_that_is_marked_or_empty() {
    let form = a_form().await;
    for slip in [Slip::Lost, Slip::Unknown] {
        let mut n = 1;
        loop {
            let store: Arc<dyn Store> = Arc::new(RedbStore::open_in_memory().expect("opens"));
            let faults = Arc::new(Faults::default());
            faults.slip(n, slip);
            let guarded = GuardedStore::new(store.clone(), faults.clone());
            let imported = canonical::import(&guarded, at(0), Cursor::new(form.clone())).await;
            let is_marked = unfinished(&*store).await.expect("readable").is_some();
            if imported.is_ok() {
                assert!(!faults.has_slipped() && !is_marked, "commit {n}");
                break;
            }
            // The last commit takes the mark away: it may have been made, and then the store is whole.
            let is_empty = canonical::contents(&*store).await.expect("readable").is_none();
            let is_whole = !is_marked && !is_empty;
            if is_whole {
                assert_eq!(slip, Slip::Unknown, "commit {n}");
                assert_eq!(exported(&*store).await.expect("whole"), form, "commit {n}");
            }
            n += 1;
        }
        assert!(n > 3, "an import is some commits: {n}");
    }
}

/// A file of which the second half never comes.
struct Stalling {
    form: Cursor<Vec<u8>>,
    stalled: Option<oneshot::Sender<()>>,
    /// Dropped when the test ends.
    end: std::sync::mpsc::Receiver<()>,
}

impl Read for Stalling {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.form.read(buffer)?;
        if read == 0 {
            if let Some(stalled) = self.stalled.take() {
                let _ = stalled.send(());
            }
            let _ = self.end.recv();
        }
        Ok(read)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_into_a_file_that_is_killed_is_told_and_can_be_begun_again() {
    let form = a_form().await;
    let target = tempfile::tempdir().expect("a folder");
    let place = Place::in_directory(target.path());
    let (stalled, has_stalled) = oneshot::channel();
    let (_end, end) = std::sync::mpsc::channel();
    let half = Cursor::new(form[..form.len() / 2].to_vec());
    let input = std::io::BufReader::new(Stalling { form: half, stalled: Some(stalled), end });
    tokio::select! {
        imported = place.import(at(0), input) => panic!("half of it is imported: {imported:?}"),
        stalled = has_stalled => stalled.expect("it stalls"),
    }
    drop(_end);
    // What a host finds is empty and says so; what was imported so far has another name.
    let opened = place.open_existing().await.expect("opens");
    let store = opened.store();
    assert!(unfinished(&*store).await.expect("readable").is_some());
    assert_eq!(canonical::contents(&*store).await.expect("readable"), None);
    assert!(matches!(exported(&*store).await, Err(ExportError::Unfinished(_))));
    drop(store);
    opened.close().await;
    place.import(at(1), Cursor::new(form.clone())).await.expect("it is begun again");
    assert_eq!(exported_from(target.path()).await, form);
    assert!(!file(target.path()).with_extension("redb.import").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_of_one_moment_while_commits_go_on() {
    let store = Arc::new(RedbStore::open_in_memory().expect("opens"));
    fill(&*store).await;
    let (items, mut received) = mpsc::channel(1);
    let exporting = tokio::spawn({
        let store = store.clone();
        async move { store.export(items).await }
    });
    let mut found = vec![received.recv().await.expect("there is something")];
    submit(&*store, 77).await;
    while let Some(item) = received.recv().await {
        found.push(item);
    }
    exporting.await.expect("no panic").expect("it can be exported");
    let jobs = found.iter().filter_map(|item| match item {
        Exported::Job { spec, .. } => Some(spec.id),
        _ => None,
    });
    let jobs: Vec<_> = jobs.collect();
    assert_eq!(jobs, (1..=5).map(job_id).collect::<Vec<_>>(), "job 77 came later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_closes_though_an_export_stalls() {
    let store = Arc::new(RedbStore::open_in_memory().expect("opens"));
    fill(&*store).await;
    let (items, mut received) = mpsc::channel(1);
    let exporting = tokio::spawn({
        let store = store.clone();
        async move { store.export(items).await }
    });
    received.recv().await.expect("there is something");
    store.close().await;
    while received.recv().await.is_some() {}
    // What it had read already may have been all.
    let ended = exporting.await.expect("no panic");
    assert!(matches!(ended, Ok(()) | Err(StoreFailure::Down(_))), "{ended:?}");
}

/// Lets the first reads pass.
struct FailsLater(AtomicU64);

impl Guard for FailsLater {
    fn before(&self, _: Op) -> Result<u64, StoreFailure> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| StoreFailure::Down("a test".to_owned()))
    }

    fn after(&self, _: Op, _: u64) -> Result<(), StoreFailure> {
        Ok(())
    }

    fn step(&self, _: Op) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_fails_midway_ends_though_the_export_has_more() {
    let store = RedbStore::open_in_memory().expect("opens");
    fill(&store).await;
    // More than waits between the store and the check.
    let large = vec![7; 32 << 20];
    store.put_blob(windlass_core::id::Digest::of(&large), large).await.expect("stored");
    for n in 100..200 {
        submit(&store, n).await;
    }
    // The look for an import, and the export; then the first answer that the check compares.
    let failing = GuardedStore::new(Arc::new(store), Arc::new(FailsLater(AtomicU64::new(2))));
    let mut tell = |_| {};
    let checking = check::check(&failing, &mut tell);
    let checked = tokio::time::timeout(PATIENCE, checking).await.expect("it ends");
    assert!(matches!(checked, Err(StoreFailure::Down(_))), "{checked:?}");
}
