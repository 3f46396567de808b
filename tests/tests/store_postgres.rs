//! The store on PostgreSQL: the conformance suite, and what only a database has: its schema, its holder, its indexes.

use std::sync::Arc;

use windlass_host::store::{PostgresSettings, PostgresStore, Store};
use windlass_tests::conformance::{Bench, run_all};
use windlass_tests::postgres::Schema;

#[path = "store_postgres/holder.rs"]
mod holder;
#[path = "store_postgres/plan.rs"]
mod plan;
#[path = "store_postgres/schema.rs"]
mod schema;
#[path = "store_postgres/tls.rs"]
mod tls;

async fn open(url: String) -> Arc<PostgresStore> {
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
        Bench::reopening(move || {
            let url = url.clone();
            Box::pin(async move {
                let store: Arc<dyn Store> = open(url).await;
                store
            })
        })
        .await
    })
    .await;
}
