//! Moving: what one store was told is written down by every other alike, and moves from one to another and back.

use std::io::Cursor;

use tokio_postgres::Client;
use windlass_host::store::check::Finding;
use windlass_host::store::{
    Change, Company, Place, PlaceError, PostgresSettings, PostgresStore, RedbStore, Store as _,
};
use windlass_tests::conformance::canonical::fill;
use windlass_tests::conformance::fixture::{at, host, unit};
use windlass_tests::postgres::Schema;
use windlass_tests::traces::{alike, form};

use super::open;

/// Of each some sixty commands, on the same three stores.
const SEEDS: u64 = 40;

#[tokio::test]
async fn the_same_commands_lead_to_the_same_bytes_on_every_store() {
    let schema = Schema::fresh().await;
    let (postgres, redb) = (open(schema.url()).await, RedbStore::open_in_memory().expect("opens"));
    let form = alike(&[&*postgres, &redb], 0..SEEDS).await;
    assert!(form.len() > 100_000, "there is something to be written down: {} bytes", form.len());
}

async fn import(place: &Place, form: &[u8]) -> Result<(), PlaceError> {
    place.import(at(0), Cursor::new(form.to_vec())).await.map(drop)
}

async fn form_of(place: &Place) -> Vec<u8> {
    let opened = place.open_existing().await.expect("it is there");
    let form = form(&*opened.store()).await;
    opened.close().await;
    form
}

async fn findings(place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    let mut tell = |finding: Finding| found.push(finding.to_string());
    place.check(&mut tell).await.expect("it can be checked");
    found
}

#[tokio::test]
async fn an_installation_moves_from_redb_to_postgres_and_back() {
    let (schema, folder) = (Schema::fresh().await, tempfile::tempdir().expect("a folder"));
    let redb = RedbStore::open_in_memory().expect("opens");
    fill(&redb).await;
    let original = form(&redb).await;
    let database = Place::Postgres(PostgresSettings::at(schema.url()));
    import(&database, &original).await.expect("it moves there");
    assert!(form_of(&database).await == original);
    assert_eq!(findings(&database).await, Vec::<String>::new());
    let file = Place::in_directory(folder.path());
    import(&file, &form_of(&database).await).await.expect("it moves back");
    assert!(form_of(&file).await == original);
    // What is there is never mixed with what comes.
    let refused = import(&database, &original).await.expect_err("it is not empty").to_string();
    assert!(refused.contains("not empty"), "{refused}");
}

#[tokio::test]
async fn an_import_that_did_not_end_is_removed_by_the_next() {
    let schema = Schema::fresh().await;
    let redb = RedbStore::open_in_memory().expect("opens");
    fill(&redb).await;
    let original = form(&redb).await;
    let database = Place::Postgres(PostgresSettings::at(schema.url()));
    // Killed half-way: everything but the last thing that an import does.
    import(&database, &original).await.expect("it moves there");
    let store = open(schema.url()).await;
    let mark = windlass_host::store::Record::Import(windlass_host::store::ImportRecord {
        began: at(1),
        generation: 1,
    });
    let put = Change::Put { record: mark, expected: windlass_host::store::Expected::Absent };
    store.commit(unit(vec![put])).await.expect("stored");
    store.close().await;
    import(&database, &original).await.expect("what is not whole is in nobody's way");
    assert!(form_of(&database).await == original);
    // A file that is cut leaves nothing.
    let empty = Schema::fresh().await;
    let database = Place::Postgres(PostgresSettings::at(empty.url()));
    import(&database, &original[..original.len() / 2]).await.expect_err("it is not whole");
    import(&database, &original).await.expect("nothing of it is left");
}

/// What the check finds after a statement behind the back of the program.
async fn found_after(statement: &str) -> Vec<String> {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    fill(&*store).await;
    store.close().await;
    let client: Client = schema.client().await;
    client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    findings(&Place::Postgres(PostgresSettings::at(schema.url()))).await
}

#[tokio::test]
async fn what_is_changed_behind_the_program_is_found_with_its_place() {
    for (statement, parts) in [
        ("UPDATE job_status SET state = 'ready' WHERE state <> 'ready'", ["table job_status", "state"]),
        ("UPDATE job_status SET sequence = sequence + 1", ["table job_status", "sequence"]),
        (
            "UPDATE job_status SET claim_epoch = 77 WHERE claim_epoch IS NOT NULL",
            ["table job_status", "claim_epoch"],
        ),
        ("UPDATE job_status SET alarm = NULL WHERE alarm IS NOT NULL", ["table job_status", "alarm"]),
        ("UPDATE job SET owner = 'nobody'", ["table job,", "owner"]),
        ("UPDATE record SET generation = 9 WHERE kind = 'host'", ["table record, host", "generation"]),
        ("UPDATE record SET alarm = NULL WHERE kind = 'trigger'", ["table record, trigger", "alarm"]),
        ("DELETE FROM entry WHERE sequence = 2", ["job", "entr"]),
        ("UPDATE entry SET body = '{}' WHERE sequence = 1", ["table entry", "does not decode"]),
        ("DELETE FROM task_instance", ["job", "is missing"]),
        ("DELETE FROM flow_plugin", ["needs plugin", "is not answered"]),
        ("DELETE FROM blob_chunk WHERE number = 1", ["blob_chunk", "missing"]),
        ("UPDATE blob_chunk SET bytes = 'x' WHERE number = 0", ["blob_chunk", "digest"]),
        (
            "UPDATE unique_key SET body = '[\"a\",\"b\"]' WHERE kind = 'request'",
            ["table unique_key", "parts"],
        ),
        ("INSERT INTO flow VALUES ('\\x00', '{}')", ["table flow", "no job"]),
    ] {
        let found = found_after(statement).await;
        let is_found = found.iter().any(|finding| parts.iter().all(|part| finding.contains(part)));
        assert!(is_found, "{statement}: nothing has {parts:?}:\n{}", found.join("\n"));
    }
}

#[tokio::test]
async fn a_store_is_checked_only_while_no_host_has_it_and_exported_at_any_time() {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    let put = Change::Put { record: host(1, 1), expected: windlass_host::store::Expected::Absent };
    store.commit(unit(vec![put])).await.expect("stored");
    let place = Place::Postgres(PostgresSettings::at(schema.url()));
    let checked = place.check(&mut |_| {}).await;
    assert!(checked.expect_err("a host has it").to_string().contains("in use"));
    assert!(form_of(&place).await == form(&*store).await);
    store.close().await;
    let alone = PostgresStore::open_to_read(PostgresSettings::at(schema.url()), Company::Refused).await;
    let alone = alone.expect("nobody has it");
    let second = PostgresStore::open(PostgresSettings::at(schema.url())).await;
    assert!(second.err().expect("it is being checked").to_string().contains("in use"));
    alone.close().await;
    open(schema.url()).await.close().await;
}
