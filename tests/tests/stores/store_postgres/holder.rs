//! One process has the database, and what another writes is refused.

use windlass_core::decide::create::Timing;
use windlass_host::store::{
    CommitError, Company, DatabaseError, PostgresSettings, PostgresStore, Store as _, StoreFailure,
};
use windlass_tests::conformance::fixture::{born, job_id, submit, unit};
use windlass_tests::postgres::Schema;

use super::open;

#[tokio::test]
async fn a_database_in_use_is_not_opened_again_and_is_once_it_is_closed() {
    let schema = Schema::fresh().await;
    let first = open(schema.url()).await;
    let second = PostgresStore::open(PostgresSettings::at(schema.url())).await;
    let error = second.err().expect("the first one lives");
    assert!(matches!(error, DatabaseError::InUse { .. }), "{error}");
    submit(&*first, 1).await;
    first.close().await;
    let second = open(schema.url()).await;
    assert!(second.job(job_id(1)).await.expect("readable").is_some());
}

#[tokio::test]
async fn a_store_of_another_schema_of_the_same_database_is_another_store() {
    let (one, other) = (Schema::fresh().await, Schema::fresh().await);
    let (first, second) = (open(one.url()).await, open(other.url()).await);
    submit(&*first, 1).await;
    assert!(second.job(job_id(1)).await.expect("readable").is_none());
}

#[tokio::test]
async fn who_was_replaced_as_the_holder_is_refused_and_told_so() {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    submit(&*store, 1).await;
    // As a host does that found the session of this one gone.
    let other = uuid::Uuid::now_v7();
    schema.client().await.execute("UPDATE windlass SET holder = $1", &[&other]).await.expect("taken");
    let refused = store.commit(unit(vec![born(2, Timing::default()).1])).await;
    let Err(CommitError::Storage(StoreFailure::Down(reason))) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("taken by another host"), "{reason}");
    assert_eq!(store.ousted().await.to_string(), reason);
    assert!(store.job(job_id(2)).await.expect("readable").is_none());
    // It does not come back, whatever it is asked.
    let refused = store.commit(unit(vec![born(3, Timing::default()).1])).await;
    assert!(matches!(refused, Err(CommitError::Storage(StoreFailure::Down(_)))), "{refused:?}");
}

#[tokio::test]
async fn who_only_reads_takes_nothing_and_writes_nothing() {
    let schema = Schema::fresh().await;
    let empty = PostgresStore::open_to_read(PostgresSettings::at(schema.url()), Company::Welcome).await;
    assert!(matches!(empty.err(), Some(DatabaseError::Empty { .. })));
    let store = open(schema.url()).await;
    submit(&*store, 1).await;
    let reader = PostgresStore::open_to_read(PostgresSettings::at(schema.url()), Company::Welcome)
        .await
        .expect("it is there");
    assert!(reader.job(job_id(1)).await.expect("readable").is_some());
    let refused = reader.commit(unit(vec![born(2, Timing::default()).1])).await;
    assert!(matches!(refused, Err(CommitError::Storage(StoreFailure::Down(_)))), "{refused:?}");
    submit(&*store, 3).await;
}
