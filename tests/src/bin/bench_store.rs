//! What a store costs: jobs per second as a client sees them over gRPC, beside the floors of the same run.
//!
//! `make bench` runs it on PostgreSQL; on redb the program `bench` tells more. One-action jobs, 64 in flight, each
//! submitted and waited for; a fresh wasm instance for each. Floors: the store alone, given the very units of such jobs
//! by 64 tasks; and on PostgreSQL the bare database, 64 sessions that make the same rows in as many transactions. Every
//! commit is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use tokio_postgres::Client;
use uuid::Uuid;
use windlass_core::call::{Function, Outcome};
use windlass_core::decide::Decision;
use windlass_core::decide::create::{Timing, create};
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::Actor;
use windlass_core::id::JobId;
use windlass_core::payload::Payload;
use windlass_host::store::{Change, Store, Unit};
use windlass_proto::v1;
use windlass_tests::conformance::fixture::{actor, flow, host_id, spec};
use windlass_tests::harness::{HostOptions, TestHost};
use windlass_tests::home::{Home, Kind};
use windlass_tests::postgres::{Schema, connect, shared};
use windlass_tests::work::{action, duration};

/// Jobs that are under way at once.
const IN_FLIGHT: usize = 64;
/// Each figure is measured so long, and so often; the median counts.
const SPAN: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

/// Job after job until the time is up; how many there were a second.
async fn rate<F: Future<Output = Result<()>>>(job: impl Fn(usize) -> F) -> Result<f64> {
    let (done, began) = (AtomicU64::new(0), Instant::now());
    try_join_all((0..IN_FLIGHT).map(|lane| {
        let (job, done) = (&job, &done);
        async move {
            while began.elapsed() < SPAN {
                job(lane).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        }
    }))
    .await?;
    Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// As a client sees it.
async fn through_grpc(host: &TestHost) -> Result<f64> {
    let client = host.jobs();
    let spec = v1::JobSpec { arguments_json: r#"{"a": 1}"#.to_owned(), ..host.spec(action("echo")) };
    rate(|_| {
        let (mut client, spec) = (client.clone(), spec.clone());
        async move {
            let request =
                v1::SubmitJobRequest { job: Some(Box::new(spec)), ..v1::SubmitJobRequest::default() };
            let job = client.submit(request).await?.into_inner().job.context("a job")?.id;
            let timeout = Some(duration(Duration::from_secs(60)));
            let ended = client.wait(v1::WaitJobRequest { job, timeout }).await?.into_inner();
            anyhow::ensure!(
                ended.job.is_some_and(|job| job.state() == v1::JobState::Succeeded),
                "a job failed"
            );
            Ok(())
        }
    })
    .await
}

/// The three units of a one-action job, without engine, plugin or gRPC.
async fn store_alone(store: &dyn Store) -> Result<f64> {
    rate(|_| async move {
        let flow = flow("copy", 1);
        let spec = windlass_core::job::JobSpec { id: JobId(Uuid::now_v7()), ..spec(1, &flow) };
        let now = spec.created;
        let (mut job, entries) = create(Arc::new(spec), flow, Timing::default(), actor());
        store.commit(Unit::of(vec![Change::birth(&job, entries)])).await?;
        let mut decision = Decision::new(&mut job, now, Actor::Host(host_id(1)));
        decision.claim(host_id(1))?;
        let entries = decision.into_entries();
        store.commit(Unit::of(vec![Change::recorded(&job, entries, None)])).await?;
        let task = job.in_flight().next().context("a call")?.name.clone();
        let call = CallName { task, function: Function::Apply, attempt: 1 };
        let output = Payload::json(&serde_json::json!({"a": 1}));
        let mut decision = Decision::new(&mut job, now, Actor::Host(host_id(1)));
        decision.finish(&call, Outcome::Applied { output, undo: None })?;
        let entries = decision.into_entries();
        store.commit(Unit::of(vec![Change::recorded(&job, entries, Some(1))])).await?;
        Ok(())
    })
    .await
}

/// The same rows by plain SQL, a transaction for each unit, in a session for each job that is under way.
async fn bare_database(schema: &Schema) -> Result<f64> {
    let sessions = try_join_all((0..IN_FLIGHT).map(|_| async { anyhow::Ok(schema.client().await) })).await?;
    let body = "x".repeat(600);
    rate(|lane| bare_job(&sessions[lane], &body)).await
}

async fn bare_job(session: &Client, body: &str) -> Result<()> {
    let id = Uuid::now_v7();
    session
        .batch_execute(&format!(
            "BEGIN; INSERT INTO bare_job VALUES ('{id}', 'owner', '{body}'); \
             INSERT INTO bare_status VALUES ('{id}', 'ready', 0, now(), 2, '{body}'); \
             INSERT INTO bare_entry VALUES ('{id}', 1, now(), '{body}'), ('{id}', 2, now(), '{body}'); COMMIT"
        ))
        .await?;
    for (state, sequence) in [("running", 3), ("succeeded", 5)] {
        session
            .batch_execute(&format!(
                "BEGIN; SELECT sequence FROM bare_status WHERE id = '{id}' FOR UPDATE; \
                 UPDATE bare_status SET state = '{state}', sequence = {} WHERE id = '{id}'; \
                 INSERT INTO bare_instance VALUES ('{id}', 'task-1', '{body}') \
                 ON CONFLICT (job, task) DO UPDATE SET body = excluded.body; \
                 INSERT INTO bare_entry VALUES ('{id}', {sequence}, now(), '{body}'), \
                 ('{id}', {}, now(), '{body}'); COMMIT",
                sequence + 1,
                sequence + 1
            ))
            .await?;
    }
    Ok(())
}

const BARE_TABLES: &str = "CREATE TABLE bare_job (id uuid PRIMARY KEY, owner text, body text); \
     CREATE TABLE bare_status (id uuid PRIMARY KEY, state text, priority int, since timestamptz, sequence bigint, \
     body text); CREATE INDEX ON bare_status (priority DESC, since, id) WHERE state = 'ready'; \
     CREATE TABLE bare_instance (job uuid, task text, body text, PRIMARY KEY (job, task)); \
     CREATE TABLE bare_entry (job uuid, sequence bigint, at timestamptz, body text, PRIMARY KEY (job, sequence))";

/// The server of the tests does not wait for the disk; here that is what is measured.
async fn wait_for_the_disk(server: &str) {
    let client = connect(server).await;
    for statement in ["ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()"] {
        client.batch_execute(statement).await.expect("a user who may do everything");
    }
    let on = "SELECT 1 WHERE current_setting('fsync') = 'on'";
    while connect(server).await.query_opt(on, &[]).await.expect("readable").is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bare_schema = match Kind::chosen() {
        Kind::Redb => None,
        Kind::Postgres => {
            wait_for_the_disk(&shared()).await;
            let schema = Schema::fresh().await;
            schema.client().await.batch_execute(BARE_TABLES).await?;
            Some(schema)
        }
    };
    let host = TestHost::start_with(HostOptions { slots: IN_FLIGHT, ..HostOptions::default() }).await;
    let home = Home::fresh(folder.path()).await;
    let store = home.open().await;
    let (mut jobs, mut alone, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    // In turns: whatever else the machine does is shared fairly.
    for _ in 0..ROUNDS {
        jobs.push(through_grpc(&host).await?);
        alone.push(store_alone(&*store.shared()).await?);
        if let Some(schema) = &bare_schema {
            bare.push(bare_database(schema).await?);
        }
    }
    store.close().await;
    let jobs = median(jobs);
    println!("{:?}: one-action jobs/s, {IN_FLIGHT} in flight, median of {ROUNDS}: {jobs:.0}", Kind::chosen());
    for (name, rates) in [("the store alone", alone), ("the bare database", bare)] {
        if !rates.is_empty() {
            let floor = median(rates);
            println!("  {name}, the same transactions: {floor:.0} jobs/s; ratio {:.2}", jobs / floor);
        }
    }
    Ok(())
}
