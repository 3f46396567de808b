//! The conformance suite on PostgreSQL, as it is and with a restart at every step.

use std::sync::Arc;

use windlass_host::store::{PostgresSettings, PostgresStore, Store};
use windlass_tests::conformance::{Bench, run_all};
use windlass_tests::postgres::Schema;

async fn open(url: String) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(PostgresSettings::at(url)).await.expect("opens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    let schemas = std::sync::Mutex::new(Vec::new());
    run_all(async || {
        let schema = Schema::fresh().await;
        let store = open(schema.url()).await;
        schemas.lock().expect("nothing panics while it holds the schemas").push(schema);
        Bench::of(store)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms_with_a_restart_at_every_step() {
    let schemas = std::sync::Mutex::new(Vec::new());
    run_all(async || {
        let schema = Schema::fresh().await;
        let url = schema.url();
        schemas.lock().expect("nothing panics while it holds the schemas").push(schema);
        Bench::reopening(move || Box::pin(open(url.clone()))).await
    })
    .await;
}
