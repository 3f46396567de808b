//! The schema: made once, by whoever comes first; old or new, never mixed; and a host that does not know it stops.

use futures::future::join_all;
use tokio_postgres::Client;
use windlass_core::decide::create::Timing;
use windlass_host::store::{
    CommitError, Company, DatabaseError, PostgresSettings, PostgresStore, Store as _, StoreFailure,
};
use windlass_tests::conformance::fixture::{
    at, born, born_of, claim, family_flow, host_id, job_id, submit, unit, waiting_flow,
};
use windlass_tests::postgres::Schema;

use super::open;

async fn try_open(schema: &Schema) -> Result<PostgresStore, DatabaseError> {
    PostgresStore::open(PostgresSettings::at(schema.url())).await
}

/// The tables and views of the schema, in order.
async fn tables(client: &Client) -> Vec<String> {
    let found = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() \
                 ORDER BY table_name";
    let rows = client.query(found, &[]).await.expect("readable");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn of_hosts_that_start_at_once_on_an_empty_database_one_has_it() {
    let schema = Schema::fresh().await;
    let opened = join_all((0..4).map(|_| try_open(&schema))).await;
    let (stores, errors): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert_eq!(stores.len(), 1);
    for error in errors.into_iter().filter_map(Result::err) {
        assert!(matches!(error, DatabaseError::InUse { .. }), "{error}");
    }
    let store = stores.into_iter().flatten().next().expect("there is one");
    submit(&store, 1).await;
}

/// A session that refuses the n-th statement of a kind, as a server does that fails or is killed there.
async fn refuse_creation(schema: &Schema, n: usize) {
    let client = schema.client().await;
    let name = schema.name();
    client
        .batch_execute(&format!(
            "CREATE TABLE counted (n int); CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF current_schema() = '{name}' THEN INSERT INTO counted VALUES (1); \
             IF (SELECT count(*) FROM counted) = {n} THEN RAISE EXCEPTION 'a test says so'; END IF; END IF; END $$; \
             CREATE EVENT TRIGGER refuse_{name} ON ddl_command_end EXECUTE FUNCTION refuse()"
        ))
        .await
        .expect("an event trigger can be made");
}

async fn refuse_no_longer(schema: &Schema) {
    let client = schema.client().await;
    let name = schema.name();
    let removed = format!("DROP EVENT TRIGGER refuse_{name}; DROP FUNCTION refuse(); DROP TABLE counted");
    client.batch_execute(&removed).await.expect("it can be removed");
}

#[tokio::test]
async fn a_migration_that_fails_at_any_statement_leaves_nothing_of_itself() {
    let schema = Schema::fresh().await;
    let mut refused = 0;
    // Ends with the first number that no statement has.
    for n in 1.. {
        refuse_creation(&schema, n).await;
        let opened = try_open(&schema).await;
        refuse_no_longer(&schema).await;
        match opened {
            Ok(_) => break,
            Err(error) => {
                assert!(matches!(error, DatabaseError::NotPrepared { .. }), "{error}");
                let left = tables(&schema.client().await).await;
                assert!(left.iter().all(|table| table == "windlass_migration"), "statement {n}: {left:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "every table and index was refused once: {refused}");
    submit(&*open(schema.url()).await, 1).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let schema = Schema::fresh().await;
    open(schema.url()).await.close().await;
    let client = schema.client().await;
    client.batch_execute("UPDATE windlass SET schema_version = 9").await.expect("changed");
    for opened in [
        try_open(&schema).await,
        PostgresStore::open_to_read(PostgresSettings::at(schema.url()), Company::Welcome).await,
    ] {
        let error = opened.err().expect("nobody knows what is in there");
        assert!(matches!(error, DatabaseError::NewerSchema { found: 9, .. }), "{error}");
        assert!(error.to_string().contains("run the version of windlass"), "{error}");
    }
}

#[tokio::test]
async fn a_host_that_runs_while_the_schema_moves_on_writes_nothing_more() {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    submit(&*store, 1).await;
    let client = schema.client().await;
    client.batch_execute("UPDATE windlass SET schema_version = 9").await.expect("changed");
    let refused = store.commit(unit(vec![born(2, Timing::default()).1])).await;
    let Err(CommitError::Storage(StoreFailure::Down(reason))) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("schema 9"), "{reason}");
    assert_eq!(store.ousted().await.to_string(), reason);
    assert!(store.job(job_id(2)).await.expect("readable").is_none());
}

#[tokio::test]
async fn people_read_the_tables_with_plain_sql() {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    submit(&*store, 1).await;
    let client = schema.client().await;
    let row = client
        .query_one(
            "SELECT owner, type, state, spec::json ->> 'principal', status::json ->> 'state' FROM jobs",
            &[],
        )
        .await
        .expect("one job");
    let texts: Vec<&str> = (0..5).map(|column| row.get(column)).collect();
    assert_eq!(texts, ["owner", "test", "ready", "tester", "ready"]);
    let facts = client.query("SELECT fact FROM entry ORDER BY job, sequence", &[]).await.expect("readable");
    let facts: Vec<&str> = facts.iter().map(|row| row.get(0)).collect();
    assert_eq!(facts, ["created", "triggered"]);
}

/// What databases of older schemas are to this program: that of 4 the same without what is to be told, that of 3 besides
/// without awaited events.
const SCHEMA_4: &str = "ALTER TABLE job_status DROP COLUMN is_untold; UPDATE windlass SET schema_version = 4; \
     DELETE FROM windlass_migration WHERE version = 5";
const SCHEMA_3: &str = "DROP TABLE job_await; ALTER TABLE job_status DROP COLUMN is_awaiting; \
     UPDATE windlass SET schema_version = 3; DELETE FROM windlass_migration WHERE version = 4";

#[tokio::test]
async fn a_database_of_an_older_schema_is_brought_to_this_one_and_keeps_what_it_holds() {
    for (older, made) in [(4, vec![SCHEMA_4]), (3, vec![SCHEMA_4, SCHEMA_3])] {
        let schema = Schema::fresh().await;
        let store = open(schema.url()).await;
        let job = submit(&*store, 1).await;
        store.close().await;
        let client = schema.client().await;
        for change in made {
            client.batch_execute(change).await.expect("changed");
        }
        let settings = PostgresSettings::at(schema.url());
        let read = PostgresStore::open_to_read(settings, Company::Welcome).await.err();
        assert!(matches!(read, Some(DatabaseError::OlderSchema { found, .. }) if found == older), "{read:?}");

        let store = open(schema.url()).await;
        assert_eq!(store.job(job.id()).await.expect("readable"), Some(job));
        for (n, flow) in [(2, waiting_flow(&["test.built"])), (3, family_flow())] {
            let (mut claimed, birth) = born_of(n, flow, Timing::default());
            store.commit(unit(vec![birth])).await.expect("stored");
            claim(&*store, &mut claimed, host_id(1), at(5)).await;
        }
        assert_eq!(store.awaiting("test.built", None, 9).await.expect("readable"), [job_id(2)]);
        assert_eq!(store.untold(None, 9).await.expect("readable"), [job_id(3)]);
        let mut found = Vec::new();
        store.check(&mut |finding| found.push(finding)).await.expect("readable");
        assert_eq!(found, []);
    }
}

/// Columns behind the back of the program: one too many, one too few.
#[tokio::test]
async fn untold_jobs_that_do_not_follow_from_the_jobs_are_found() {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    let (mut parent, birth) = born_of(1, family_flow(), Timing::default());
    store.commit(unit(vec![birth])).await.expect("stored");
    claim(&*store, &mut parent, host_id(1), at(5)).await;
    let other = submit(&*store, 2).await;
    schema
        .client()
        .await
        .batch_execute("UPDATE job_status SET is_untold = NOT is_untold")
        .await
        .expect("changed");
    let mut found = Vec::new();
    store.check(&mut |finding| found.push(finding.to_string())).await.expect("readable");
    found.sort();
    let told: Vec<_> = [parent.id(), other.id()]
        .map(|job| format!("table job_status, job {job}: the columns is_untold are not those of the body"))
        .to_vec();
    assert_eq!(found.len(), told.len(), "{found:?}");
    assert!(found.iter().zip(&told).all(|(found, told)| found.starts_with(told)), "{found:?}");
}

/// Rows behind the back of the program: one too many, one too few, and a column that is wrong.
#[tokio::test]
async fn awaited_events_that_do_not_follow_from_the_jobs_are_found() {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    for n in 1..=2 {
        let (mut job, birth) = born_of(n, waiting_flow(&["test.built"]), Timing::default());
        store.commit(unit(vec![birth])).await.expect("stored");
        claim(&*store, &mut job, host_id(1), at(5)).await;
    }
    let (first, second) = (job_id(1), job_id(2));
    let client = schema.client().await;
    let planted = format!(
        "DELETE FROM job_await WHERE job = '{first}'; UPDATE job_status SET is_awaiting = false WHERE id = '{second}'; \
         INSERT INTO job_await VALUES (decode('6f74686572', 'hex'), '{second}')"
    );
    client.batch_execute(&planted).await.expect("changed");
    let mut found = Vec::new();
    let mut tell = |finding: windlass_host::store::check::Finding| found.push(finding.to_string());
    store.check(&mut tell).await.expect("readable");
    windlass_host::store::check::check(&*store, &mut tell).await.expect("readable");
    for parts in [
        [format!("job {first} waits for \"test.built\""), "is not in it".to_owned()],
        [format!("job {second} is in it for \"other\""), "does not wait for that".to_owned()],
        [format!("table job_status, job {second}"), "the columns is_awaiting".to_owned()],
    ] {
        let is_told = found.iter().any(|finding| parts.iter().all(|part| finding.contains(part)));
        assert!(is_told, "nothing has {parts:?}:\n{}", found.join("\n"));
    }
}
