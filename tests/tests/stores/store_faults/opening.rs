//! What a store that cannot be opened says.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableDefinition};
use windlass_core::decide::create::Timing;
use windlass_host::store::{OpenError, RedbSettings, RedbStore, Store};
use windlass_tests::conformance::fixture::{
    at, born_of, claim, family_flow, host_id, job_id, submit, unit, waiting_flow,
};

fn open(path: &Path) -> Result<RedbStore, OpenError> {
    RedbStore::open(RedbSettings { reserve_bytes: 4096, ..RedbSettings::at(path) })
}

fn refusal(path: &Path) -> OpenError {
    match open(path) {
        Ok(_) => panic!("{} opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_store_in_use_is_refused_and_opens_when_it_is_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data/windlass.redb");
    let store = open(&path).expect("opens");
    let job = submit(&store, 1).await;
    let refused = refusal(&path);
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    drop(store);
    let again = open(&path).expect("opens");
    assert_eq!(again.job(job.id()).await.expect("readable"), Some(job));
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("windlass.redb");
    std::fs::write(&path, b"a diary, not a database".repeat(1_000)).expect("written");
    let before = std::fs::read(&path).expect("readable");
    let refused = refusal(&path);
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    assert!(std::fs::read(&path).expect("readable") == before);
    let foreign = folder.path().join("foreign.redb");
    let database = Database::create(&foreign).expect("created");
    let transaction = database.begin_write().expect("begun");
    drop(transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).expect("opened"));
    transaction.commit().expect("committed");
    drop(database);
    let refused = refusal(&foreign);
    assert!(refused.to_string().contains("not a store of windlass"), "{refused}");
}

#[tokio::test]
async fn a_damaged_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("windlass.redb");
    let store = open(&path).expect("opens");
    for n in 0..200 {
        submit(&store, n).await;
    }
    drop(store);
    let good = std::fs::read(&path).expect("readable");
    let mut refused = 0;
    for place in (8_192..good.len()).step_by(65_536) {
        let mut bad = good.clone();
        bad[place..(place + 4_096).min(good.len())].fill(0x5A);
        std::fs::write(&path, &bad).expect("written");
        match open(&path) {
            // The page held nothing that is in use.
            Ok(_) => {}
            Err(OpenError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("at byte {place}: {other}"),
        }
    }
    assert!(refused > 0, "no damage was found");
    std::fs::write(&path, &good[..good.len() / 2]).expect("written");
    let error = refusal(&path);
    assert!(matches!(error, OpenError::Corrupt { .. }), "a half of it: {error}");
    std::fs::write(&path, &good).expect("written");
    assert_eq!(open(&path).expect("opens").board(1_000).await.expect("readable").len(), 200);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("windlass.redb");
    drop(open(&path).expect("opens"));
    let database = Database::create(&path).expect("opened");
    let transaction = database.begin_write().expect("begun");
    {
        let meta = TableDefinition::<&[u8], &[u8]>::new("meta");
        let mut meta = transaction.open_table(meta).expect("opened");
        meta.insert(b"schema".as_slice(), 99u32.to_be_bytes().as_slice()).expect("written");
    }
    transaction.commit().expect("committed");
    drop(database);
    let refused = refusal(&path);
    assert!(matches!(refused, OpenError::NewerSchema { found: 99, .. }), "{refused}");
}

/// The rows of a database as redb has them.
type RawTable = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn raw_schema(path: &Path) -> u32 {
    let database = Database::create(path).expect("opened");
    let reading = database.begin_read().expect("begun");
    let meta = reading.open_table(RawTable::new("meta")).expect("it is there");
    let schema = meta.get(b"schema".as_slice()).expect("readable").expect("it is told");
    u32::from_be_bytes(schema.value().try_into().expect("four bytes"))
}

/// What stores of older schemas are to this program: the same without some tables.
const OLDER: [(u32, &[&str]); 3] = [(1, &["await", "untold"]), (2, &["untold"]), (3, &[])];

fn make_older(path: &Path, schema: u32, without: &[&'static str]) {
    let database = Database::create(path).expect("opened");
    let transaction = database.begin_write().expect("begun");
    for table in without {
        assert!(transaction.delete_table(RawTable::new(table)).expect("deleted"));
    }
    let mut meta = transaction.open_table(RawTable::new("meta")).expect("opened");
    meta.insert(b"schema".as_slice(), schema.to_be_bytes().as_slice()).expect("written");
    drop(meta);
    transaction.commit().expect("committed");
}

#[tokio::test]
async fn a_store_of_an_older_schema_is_marked_as_one_of_this_and_keeps_what_it_holds() {
    for (schema, without) in OLDER {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("windlass.redb");
        let store = open(&path).expect("opens");
        let job = submit(&store, 1).await;
        drop(store);
        assert_eq!(raw_schema(&path), 4, "programs that know only older ones refuse it");
        make_older(&path, schema, without);
        assert_eq!(raw_schema(&path), schema);

        let store = open(&path).expect("opens");
        assert_eq!(store.job(job.id()).await.expect("readable"), Some(job));
        for (n, flow) in [(2, waiting_flow(&["test.built"])), (3, family_flow())] {
            let (mut claimed, birth) = born_of(n, flow, Timing::default());
            store.commit(unit(vec![birth])).await.expect("stored");
            claim(&store, &mut claimed, host_id(1), at(5)).await;
        }
        assert_eq!(store.awaiting("test.built", None, 9).await.expect("readable"), [job_id(2)]);
        assert_eq!(store.untold(None, 9).await.expect("readable"), [job_id(3)]);
        drop(store);
        assert_eq!(raw_schema(&path), 4);
    }
}

#[tokio::test]
async fn a_schema_that_never_was_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("windlass.redb");
    drop(open(&path).expect("opens"));
    let database = Database::create(&path).expect("opened");
    let transaction = database.begin_write().expect("begun");
    let mut meta = transaction.open_table(RawTable::new("meta")).expect("opened");
    meta.insert(b"schema".as_slice(), 0u32.to_be_bytes().as_slice()).expect("written");
    drop(meta);
    transaction.commit().expect("committed");
    drop(database);
    let refused = refusal(&path);
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    assert!(refused.to_string().contains("its schema is 0"), "{refused}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, b"x").expect("written");
    let refused = refusal(&file.join("windlass.redb"));
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
    let directory = folder.path().join("directory");
    std::fs::create_dir(&directory).expect("made");
    let refused = refusal(&directory);
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
}

#[tokio::test]
async fn a_log_without_its_store_is_not_taken_for_the_beginning_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("windlass.redb");
    let log = path.with_added_extension("wal");
    let store = open(&path).expect("opens");
    submit(&store, 1).await;
    assert!(log.exists(), "an open store has a log");
    let kept = std::fs::read(&log).expect("readable");
    drop(store);
    assert!(!log.exists(), "a store that was closed needs none");
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&log, &kept).expect("written");
    let refused = refusal(&path);
    assert!(refused.to_string().contains("move the log away"), "{refused}");
    assert_eq!(std::fs::read(&log).expect("readable"), kept);
    std::fs::remove_file(&log).expect("removed");
    drop(open(&path).expect("opens anew"));
}
