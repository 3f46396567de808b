//! The check finds what is wrong in a store, and says where: faults are planted in the file of a store, one of each
//! kind, behind the back of the program.

use std::path::Path;

use crate::planted::{AWAITED, Rows, file, job_key, remove_at, row_of, whole};
use redb::ReadableTable as _;
use windlass_host::store::check::{Checked, Finding};
use windlass_host::store::{Place, PlaceError};
use windlass_tests::conformance::fixture::{host_id, job_id, plugin};

/// What is found in a data directory.
async fn found(directory: &Path) -> (Vec<String>, Checked) {
    let mut found = Vec::new();
    let mut tell = |finding: Finding| found.push(finding.to_string());
    let checked = Place::in_directory(directory).check(&mut tell).await.expect("it can be opened");
    (found, checked)
}

/// Plants a fault in a copy of the store. Every finding.
async fn found_after(plant: impl FnOnce(&Rows<'_>)) -> Vec<String> {
    let directory = whole().await;
    let database = redb::Database::create(file(directory.path())).expect("opens");
    let transaction = database.begin_write().expect("begins");
    plant(&Rows(&transaction));
    transaction.commit().expect("commits");
    drop(database);
    let (found, checked) = found(directory.path()).await;
    assert_eq!(found.len() as u64, checked.findings);
    found
}

fn assert_found(found: &[String], parts: &[&str]) {
    let is_there = found.iter().any(|finding| parts.iter().all(|part| finding.contains(part)));
    assert!(is_there, "nothing has {parts:?}:\n{}", found.join("\n"));
}

/// A fault, and what one of the findings says.
macro_rules! finds {
    ($($name:ident: $plant:expr => $parts:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            let found = found_after($plant).await;
            assert_found(&found, &$parts);
        })*
    };
}

fn job(n: u64) -> String {
    format!("job {}", job_id(n))
}

#[tokio::test]
async fn a_whole_store_has_no_findings_and_is_counted() {
    let directory = whole().await;
    let (found, checked) = found(directory.path()).await;
    assert_eq!(found, Vec::<String>::new());
    let counts = checked.counts;
    assert_eq!((counts.blobs, counts.records, counts.jobs, counts.notes, counts.keys), (1, 4, 5, 1, 3));
    assert!(counts.entries > 8, "{counts:?}");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().expect("a folder");
    let missing = Place::in_directory(directory.path()).check(&mut |_| {}).await;
    assert!(matches!(missing, Err(PlaceError::Missing(_))), "{missing:?}");
    assert!(!file(directory.path()).exists());
}

finds! {
    a_status_that_its_entries_do_not_make: |rows| {
        let other = rows.get("status", &job_key(4));
        rows.put("status", &job_key(1), &other);
    } => [&job(1), "restore a backup"];
    a_job_without_its_claim_in_the_index: |rows| {
        rows.clear("claim");
    } => ["the index of claims", &host_id(1).to_string(), &job(3), "not in it"];
    a_claim_of_nobody: |rows| {
        rows.put("claim", &[host_id(1).0.as_bytes().as_slice(), &job_key(1)].concat(), &[]);
    } => ["the index of claims", &job(1), "the host has it not"];
    a_waiting_job_that_no_event_would_reach: |rows| {
        remove_at(rows, "await", 4 + AWAITED.len(), 3);
    } => ["the index of awaited events", &job(3), AWAITED, "is not in it"];
    a_job_that_would_be_given_events_that_it_does_not_wait_for: |rows| {
        let key = row_of(rows, "await", 4 + AWAITED.len(), 3);
        rows.put("await", &[&key[..4 + AWAITED.len()], &job_key(1)].concat(), &[]);
    } => ["table await", &job(1), AWAITED, "does not wait for that"];
    an_await_of_nothing: |rows| {
        rows.put("await", &[0, 0, 0, 9, b'x'], &[]);
    } => ["table await", "a key that is not one of this table"];
    a_job_that_nobody_would_hear_of: |rows| {
        remove_at(rows, "untold", 0, 3);
    } => ["the index of untold jobs", &job(3), "has something to tell, and is not in it"];
    a_job_that_would_be_asked_for_nothing: |rows| {
        rows.put("untold", &job_key(1), &[]);
    } => ["the index of untold jobs", &job(1), "has nothing to tell"];
    an_untold_job_of_no_id: |rows| {
        rows.put("untold", &[1, 2], &[]);
    } => ["the index of untold jobs", "table untold", "the key is not one of this table"];
    a_ready_job_that_is_not_on_the_board: |rows| {
        remove_at(rows, "board", 12, 1);
    } => ["the index of ready jobs", &job(1), "is ready, and not in it"];
    a_job_on_the_board_that_is_not_ready: |rows| {
        let key = row_of(rows, "board", 12, 1);
        rows.put("board", &[&key[..12], &job_key(2)].concat(), &[]);
    } => ["the index of ready jobs", &job(2), "is in it, and not ready"];
    a_board_that_is_out_of_order: |rows| {
        let key = row_of(rows, "board", 12, 1);
        rows.remove("board", &key);
        rows.put("board", &[[0xFF; 12].as_slice(), &job_key(1)].concat(), &[]);
    } => ["the index of ready jobs", "its order"];
    a_job_that_is_never_due: |rows| {
        remove_at(rows, "due", 9, 2);
    } => ["the index of what is due", &job(2), "and not in it"];
    a_job_that_is_due_at_another_time: |rows| {
        let key = row_of(rows, "due", 9, 2);
        rows.remove("due", &key);
        rows.put("due", &[&[0x80, 0, 0, 0, 0, 0, 0, 1], &key[8..]].concat(), &[]);
    } => ["the index of what is due", &job(2), "and is due at"];
    a_job_that_waits_for_nothing: |rows| {
        let key = row_of(rows, "due", 9, 2);
        rows.put("due", &[&key[..9], &job_key(1)].concat(), &[]);
    } => ["the index of what is due", &job(1), "waits for nothing"];
    an_entry_that_is_missing: |rows| {
        rows.remove("entry", &[job_key(3).as_slice(), &3u64.to_be_bytes()].concat());
    } => [&job(3), "its status is of"];
    a_first_entry_that_is_missing: |rows| {
        rows.remove("entry", &[job_key(4).as_slice(), &1u64.to_be_bytes()].concat());
    } => [&job(4), "the entry before it is 0"];
    an_instance_that_is_missing: |rows| {
        rows.remove("instance", &[job_key(3).as_slice(), b"task-1\0"].concat());
    } => [&job(3), "its entries tell of task-1, which is missing"];
    an_instance_of_no_entry: |rows| {
        let row = rows.get("instance", &[job_key(3).as_slice(), b"task-1\0"].concat());
        rows.put("instance", &[job_key(1).as_slice(), b"task-1\0"].concat(), &row);
    } => [&job(1), "no entry tells of task-1"];
    a_row_that_does_not_decode: |rows| {
        rows.put("status", &job_key(1), &[1, 0xC1]);
    } => ["table status", "does not decode"];
    a_row_of_a_newer_format: |rows| {
        rows.put("spec", &job_key(1), &[9, 0]);
    } => ["table spec", "its format is 9"];
    a_spec_that_is_missing: |rows| {
        rows.remove("spec", &job_key(1));
    } => ["table spec", "it is missing"];
    a_flow_that_is_missing: |rows| {
        rows.clear("flow");
    } => ["table flow", "it is missing, and job"];
    a_flow_that_could_be_removed: |rows| {
        rows.clear("flow_use");
    } => ["table flow_use", &job(1), "could be removed"];
    a_flow_under_the_name_of_another: |rows| {
        let flows = rows.keys("flow");
        let other = rows.get("flow", &flows[1]);
        rows.put("flow", &flows[0], &other);
    } => ["what is stored under that name is"];
    rows_of_a_job_that_is_not_there: |rows| {
        rows.remove("status", &job_key(4));
    } => ["table entry", &job(4), "it is of a job that is not there"];
    a_trigger_that_an_operation_needs: |rows| {
        rows.remove_prefix("record", &[1]);
    } => ["operation", "its trigger", "is missing"];
    an_operation_that_a_job_names: |rows| {
        rows.remove_prefix("record", &[2]);
    } => [&job(5), "its operation", "is missing"];
    a_plugin_that_is_missing: |rows| {
        rows.remove_prefix("record", &[0]);
    } => [&job(1), &plugin("copy").to_string(), "upload the very same plugin"];
    a_plugin_without_its_bytes: |rows| {
        rows.clear("blob_head");
    } => ["plugin sha256:", "its bytes are missing"];
    a_blob_of_other_bytes: |rows| {
        let key = rows.keys("blob_chunk").remove(0);
        rows.put("blob_chunk", &key, b"cope");
    } => ["table blob_chunk", "have another digest"];
    an_occurrence_that_could_happen_again: |rows| {
        rows.remove_prefix("unique", &[1]);
    } => [&job(5), "held by nobody"];
    a_key_that_would_never_expire: |rows| {
        rows.clear("unique_age");
    } => ["table unique: it has 3 keys, and 1 are"];
    a_time_of_no_key: |rows| {
        rows.remove_prefix("unique", &[0]);
    } => ["table unique_age", "the key that it dates is missing"];
    a_logbook_that_does_not_show_a_job: |rows| {
        rows.clear("tail");
    } => ["the index of the logbook", "it shows 0 entries of job"];
}

#[tokio::test]
async fn a_page_that_was_changed_on_the_disk_is_found() {
    use std::os::unix::fs::FileExt as _;
    let directory = whole().await;
    let path = file(directory.path());
    // A key of the table is somewhere in the file; the sum of its page no longer fits once it is changed.
    let bytes = std::fs::read(&path).expect("readable");
    let key = job_key(3);
    let places = (0..bytes.len() - 16).filter(|at| bytes[*at..at + 16] == key[..]);
    let open = std::fs::File::options().write(true).open(&path).expect("writable");
    places.for_each(|at| open.write_all_at(&[0xEE; 4], at as u64).expect("writable"));
    drop(open);
    let mut found = Vec::new();
    let checked = Place::in_directory(directory.path()).check(&mut |finding| found.push(finding)).await;
    match checked {
        Err(PlaceError::Open(error)) => assert!(error.to_string().contains("corrupt"), "{error}"),
        checked => assert!(!found.is_empty(), "{checked:?}"),
    }
}

#[tokio::test]
async fn an_import_that_was_interrupted_is_found() {
    let directory = whole().await;
    {
        let opened = Place::in_directory(directory.path()).open_existing().await.expect("opens");
        let record = windlass_host::store::Record::Import(windlass_host::store::ImportRecord {
            began: windlass_tests::conformance::fixture::at(0),
            generation: 1,
        });
        let put =
            windlass_host::store::Change::Put { record, expected: windlass_host::store::Expected::Absent };
        opened.store().commit(windlass_host::store::Unit::of(vec![put])).await.expect("stored");
        opened.close().await;
    }
    let (found, _) = found(directory.path()).await;
    assert_found(&found, &["an import that began at", "has not ended"]);
}

impl Rows<'_> {
    fn get(&self, table: &str, key: &[u8]) -> Vec<u8> {
        let rows = self.open(table);
        let row = rows.get(key).expect("readable").unwrap_or_else(|| panic!("{table} has no such row"));
        row.value().to_vec()
    }
}
