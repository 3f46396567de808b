//! The store on PostgreSQL: the suite and the traces of every store, and what only a database has: its schema, its
//! holder, its indexes.

use std::sync::Arc;

use windlass_host::store::{PostgresSettings, PostgresStore, Store};
use windlass_tests::conformance::{Bench, run_all};
use windlass_tests::faulty::Faults;
use windlass_tests::postgres::Schema;
use windlass_tests::traces;

mod holder;
mod moving;
mod plan;
mod schema;
mod tls;

async fn open(url: String) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(PostgresSettings::at(url)).await.expect("opens"))
}

async fn bench() -> Bench {
    let schema = Schema::fresh().await;
    let store = open(schema.url()).await;
    Bench::of(store).cleaned_by(move || async move { drop(schema) })
}

async fn reopening() -> Bench {
    let schema = Schema::fresh().await;
    let url = schema.url();
    let bench = Bench::reopening(move || {
        let url = url.clone();
        Box::pin(async move {
            let store: Arc<dyn Store> = open(url).await;
            store
        })
    });
    bench.await.cleaned_by(move || async move { drop(schema) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    run_all(bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms_with_a_restart_at_every_step() {
    run_all(reopening).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms_where_everything_is_delayed() {
    run_all(async || bench().await.faulty(Faults::delaying(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_does_what_the_model_does() {
    traces::run(bench, traces::share(0, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_does_what_the_model_does_with_restarts_and_faults() {
    traces::run(async || reopening().await.faulty(Faults::default()), traces::share(1, 2)).await;
}
