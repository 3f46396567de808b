//! `windlass store` as scripts see it: exit codes, and what is said.

use std::path::Path;
use std::process::Command;

use windlass_host::store::{Change, Expected, ImportRecord, Place, Record, Unit, canonical};
use windlass_tests::conformance::canonical::{exported, fill};
use windlass_tests::conformance::fixture::at;
use windlass_tests::crash::process::windlass_program;

/// What a command did.
struct Ended {
    code: i32,
    out: String,
    errors: String,
}

fn run(directory: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(windlass_program());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WINDLASS_"))
    {
        command.env_remove(name);
    }
    let done = command.current_dir(directory).args(arguments).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: done.status.code().expect("it ends by itself"),
        out: text(&done.stdout),
        errors: text(&done.stderr),
    }
}

/// A store with one of everything in `DIRECTORY/state`, and its form in `DIRECTORY/form`.
async fn filled() -> (tempfile::TempDir, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a folder");
    let opened = Place::in_directory(&directory.path().join("state")).open(1 << 20).await.expect("opens");
    fill(&*opened.store()).await;
    let form = exported(&*opened.store()).await.expect("it can be exported");
    opened.close().await;
    std::fs::write(directory.path().join("form"), &form).expect("writable");
    (directory, form)
}

#[tokio::test]
async fn a_store_is_exported_imported_and_checked() {
    let (directory, form) = filled().await;
    let path = directory.path();
    let export = run(path, &["store", "export", "--data-dir", "state", "--file", "again"]);
    assert_eq!((export.code, export.out.as_str()), (0, ""), "{}", export.errors);
    assert!(export.errors.starts_with("jobs: 8, entries: "), "{}", export.errors);
    assert!(std::fs::read(path.join("again")).expect("it is there") == form);
    let piped = run(path, &["store", "export", "--data-dir", "state", "--file", "-"]);
    assert!(piped.code == 0 && piped.out.as_bytes() == form);
    let import = run(path, &["store", "import", "--data-dir", "other", "--file", "form"]);
    assert_eq!(import.code, 0, "{}", import.errors);
    assert!(import.errors.contains("imported into other/windlass.redb"), "{}", import.errors);
    let check = run(path, &["store", "check", "--data-dir", "other"]);
    assert_eq!((check.code, check.out.as_str()), (0, ""), "{}", check.errors);
    assert!(check.errors.contains("nothing is wrong"), "{}", check.errors);
    let again = run(path, &["store", "import", "--data-dir", "other", "--file", "form"]);
    assert_eq!(again.code, 4);
    assert!(again.errors.contains("the store is not empty: it has 2 plugins, 1 trigger"), "{}", again.errors);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let directory = tempfile::tempdir().expect("a folder");
    for verb in ["export", "check"] {
        let file: &[&str] = if verb == "export" { &["--file", "x"] } else { &[] };
        let missing = run(directory.path(), &[&["store", verb, "--data-dir", "none"], file].concat());
        assert_eq!(missing.code, 3, "{}", missing.errors);
        assert!(missing.errors.contains("there is no store at none/windlass.redb"), "{}", missing.errors);
    }
    let missing = run(directory.path(), &["store", "import", "--data-dir", "none", "--file", "nothing"]);
    assert_eq!(missing.code, 2, "{}", missing.errors);
    assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_refused_with_its_line() {
    let (directory, form) = filled().await;
    std::fs::write(directory.path().join("cut"), &form[..form.len() - 10]).expect("writable");
    let lines = form.iter().filter(|byte| **byte == b'\n').count();
    let cut = run(directory.path(), &["store", "import", "--data-dir", "other", "--file", "cut"]);
    assert_eq!(cut.code, 2, "{}", cut.errors);
    assert!(cut.errors.contains(&format!("cut: line {lines}: the file ends here")), "{}", cut.errors);
    assert!(!directory.path().join("other/windlass.redb").exists());
}

#[tokio::test]
async fn a_store_in_use_is_left_alone_and_the_way_around_is_told() {
    let (directory, _) = filled().await;
    let opened = Place::in_directory(&directory.path().join("state")).open(1 << 20).await.expect("opens");
    for arguments in [&["export", "--file", "x"][..], &["import", "--file", "form"], &["check"]] {
        let refused = run(directory.path(), &[&["store"], arguments, &["--data-dir", "state"]].concat());
        assert_eq!(refused.code, 4, "{arguments:?}: {}", refused.errors);
        assert!(refused.errors.contains("windlass store backup"), "{}", refused.errors);
    }
    opened.close().await;
}

#[tokio::test]
async fn a_damaged_store_is_told_line_by_line_and_not_exported() {
    let (directory, _) = filled().await;
    let database = redb::Database::create(directory.path().join("state/windlass.redb")).expect("opens");
    let transaction = database.begin_write().expect("begins");
    {
        let heads: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("blob_head");
        let mut heads = transaction.open_table(heads).expect("it is there");
        heads.retain(|_, _| false).expect("writable");
        let status: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("status");
        let mut status = transaction.open_table(status).expect("it is there");
        let job = windlass_tests::conformance::fixture::job_id(1).0;
        status.insert(job.as_bytes().as_slice(), [9u8].as_slice()).expect("writable");
    }
    transaction.commit().expect("commits");
    drop(database);
    let check = run(directory.path(), &["store", "check", "--data-dir", "state"]);
    assert_eq!(check.code, 8, "{}", check.errors);
    assert_eq!(check.out.matches("its bytes are missing; upload the very same plugin again").count(), 2);
    assert!(check.out.contains("table status") && check.out.contains("its format is 9"), "{}", check.out);
    let lines = run(directory.path(), &["store", "check", "--data-dir", "state", "--output", "jsonl"]);
    let parsed = lines.out.lines().map(serde_json::from_str::<serde_json::Value>);
    let parsed: Vec<_> = parsed.map(|line| line.expect("a line is JSON")).collect();
    assert_eq!((lines.code, parsed.len()), (8, check.out.lines().count()));
    assert!(parsed.iter().all(|line| line["place"].is_string() && line["advice"].is_string()));
    let export = run(directory.path(), &["store", "export", "--data-dir", "state", "--file", "kept"]);
    assert_eq!(export.code, 8, "{}", export.errors);
    assert!(export.errors.contains("windlass store check"), "{}", export.errors);
    assert!(!directory.path().join("kept").exists() && !directory.path().join("kept.part").exists());
}

#[tokio::test]
async fn no_host_starts_on_an_import_that_has_not_ended() {
    let directory = tempfile::tempdir().expect("a folder");
    let opened = Place::in_directory(directory.path()).open(1 << 20).await.expect("opens");
    let record = Record::Import(ImportRecord { began: at(0), generation: 1 });
    let put = Unit::of(vec![Change::Put { record, expected: Expected::Absent }]);
    opened.store().commit(put).await.expect("stored");
    assert!(canonical::unfinished(&*opened.store()).await.expect("readable").is_some());
    opened.close().await;
    let refused = run(directory.path(), &["serve", "--data-dir", ".", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, 7, "{}", refused.errors);
    assert!(refused.errors.contains("an import into the store began at 2026-01-01"), "{}", refused.errors);
    assert!(refused.errors.contains("windlass store import"), "{}", refused.errors);
}
