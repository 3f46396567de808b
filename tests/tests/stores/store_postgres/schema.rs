//! The schema: made once, by whoever comes first; old or new, never mixed; and a host that does not know it stops.

use futures::future::join_all;
use tokio_postgres::Client;
use windlass_core::decide::create::Timing;
use windlass_host::store::{
    CommitError, Company, DatabaseError, PostgresSettings, PostgresStore, Store as _, StoreFailure,
};
use windlass_tests::conformance::fixture::{born, job_id, submit, unit};
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
