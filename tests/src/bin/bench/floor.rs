//! The floor: what no durable engine that calls plugins can do without, in this process and without gRPC.
//!
//! A job is three kinds of rows (its state, an entry for what happened, its place in the index of what is due), as many
//! commits as the host makes, each fsynced and shared by whoever waits, and the same calls: the host's own sandbox with
//! its settings, one fresh instance a call. Nothing is decided, decoded, checked or told.

mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use async_trait::async_trait;
use chrono::DateTime;
use futures::future::try_join_all;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;
use windlass_core::call::{Call, Function, Grants, Outcome, Prior};
use windlass_core::id::Digest;
use windlass_core::payload::Payload;
use windlass_host::executors::wasm::{Settings, WasmExecutors};
use windlass_host::executors::{Executors as _, Journal, Print, Stop};
use windlass_tests::plugins::{fixtures, seed_cache};

use crate::drive::{Driven, Until, drive};
use writer::{Row, Table, Writer};

/// What a state and an entry have at least: times, names, an outcome.
const STATE_BYTES: usize = 128;
const ENTRY_BYTES: usize = 128;
/// Calls at once: as many as jobs are in flight in most workloads, whatever a host gives itself.
const SLOTS: usize = 64;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows of one commit where many jobs are stored at once.
const BIRTHS_AT_ONCE: usize = 1_000;

/// The calls of a job: layer after layer, those of one side by side.
#[derive(Debug, Clone)]
pub struct Plan(pub Vec<usize>);

/// See the module.
pub struct Floor {
    sandbox: Arc<WasmExecutors>,
    /// Dropped in a place where that may wait.
    guests: Option<Runtime>,
    writer: Writer,
    plugin: Digest,
    _folder: TempDir,
}

impl Floor {
    /// An empty one.
    pub async fn fresh() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let compiled = folder.path().join("compiled");
        seed_cache(&compiled).await;
        let sandbox = Settings { concurrent_calls_max: SLOTS, ..Settings::new(compiled) };
        let threads = std::thread::available_parallelism()?.get();
        let guests =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let writer = Writer::at(&folder.path().join("floor.redb"))?;
        let (sandbox, plugin) = (Arc::new(WasmExecutors::new(sandbox)?), Digest::of(fixtures()));
        Ok(Self { sandbox, guests: Some(guests), writer, plugin, _folder: folder })
    }

    /// Jobs of this plan.
    pub async fn run(&self, in_flight: usize, until: Until, plan: &Plan) -> Result<Driven<()>> {
        drive(in_flight, until, |_, _| async move {
            let job = Uuid::now_v7();
            // A host with a free slot stores and claims a job at once.
            self.writer.commit(birth(job)).await?;
            self.go(job, 1, plan).await
        })
        .await
    }

    /// Jobs that are stored and wait, each in a commit of its own.
    pub async fn store(&self, in_flight: usize, count: usize) -> Result<Driven<()>> {
        let until = Until::Count(count);
        drive(in_flight, until, |_, _| self.writer.commit(birth(Uuid::now_v7()))).await
    }

    /// Jobs that are stored and wait, many in a commit.
    pub async fn store_many(&self, in_flight: usize, count: usize) -> Result<Driven<()>> {
        let until = Until::Count(count.div_ceil(BIRTHS_AT_ONCE));
        drive(in_flight, until, |_, _| {
            self.writer.commit((0..BIRTHS_AT_ONCE).flat_map(|_| birth(Uuid::now_v7())).collect())
        })
        .await
    }

    /// So many jobs that are due at once: how long after that each call began.
    pub async fn due(&self, count: usize) -> Result<Vec<Duration>> {
        let jobs: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        for part in jobs.chunks(BIRTHS_AT_ONCE) {
            self.writer.commit(part.iter().flat_map(|job| birth(*job)).collect()).await?;
        }
        let due = Instant::now();
        let (jobs, plan) = (&jobs, Plan(vec![1]));
        let plan = &plan;
        let driven = drive(SLOTS, Until::Count(count), |number, _| async move {
            let claimed = 2;
            self.writer.commit(changed(jobs[number], claimed, 1)).await?;
            let begun = Instant::now();
            self.go(jobs[number], claimed, plan).await?;
            Ok(begun - due)
        });
        Ok(driven.await?.done.into_iter().map(|done| done.gave).collect())
    }

    /// Makes the calls of a job that is claimed; its last entry as yet is `sequence`. What is claimed is found by the same index
    /// as what is due, until it has ended.
    async fn go(&self, job: Uuid, mut sequence: usize, plan: &Plan) -> Result<()> {
        let mut layers = plan.0.iter().peekable();
        while let Some(calls) = layers.next() {
            try_join_all((0..*calls).map(|_| self.call(job))).await?;
            let mut rows = changed(job, sequence + 1, *calls);
            if layers.peek().is_none() {
                rows.push(Row { table: Table::Due, key: job.as_bytes().to_vec(), value: None });
            }
            self.writer.commit(rows).await?;
            sequence += calls;
        }
        Ok(())
    }

    async fn call(&self, job: Uuid) -> Result<()> {
        let (sandbox, call) = (self.sandbox.clone(), call(self.plugin, job));
        let guests = self.guests.as_ref().expect("the runtime is there until the floor is dropped");
        let outcome = guests.spawn(async move { sandbox.call(call, Arc::new(NoJournal)).await }).await?;
        match outcome {
            Outcome::Applied { .. } => Ok(()),
            other => bail!("a call of the floor failed: {other:?}"),
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

/// How long redb alone takes to open a file that was closed well, with the cache that a host has.
pub fn open(file: &Path) -> Result<Duration> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(writer::CACHE_BYTES).set_check_integrity_on_open(false);
    let began = Instant::now();
    let database = builder.open(file)?;
    let took = began.elapsed();
    drop(database);
    Ok(took)
}

fn birth(job: Uuid) -> Vec<Row> {
    let mut rows = changed(job, 1, 1);
    rows.push(Row { table: Table::Due, key: job.as_bytes().to_vec(), value: Some(Vec::new()) });
    rows
}

/// The state of a job, and so many entries from this sequence number on.
fn changed(job: Uuid, sequence: usize, entries: usize) -> Vec<Row> {
    let state = Row { table: Table::State, key: job.as_bytes().to_vec(), value: Some(vec![1; STATE_BYTES]) };
    let entry = |number: usize| {
        let key = [job.as_bytes().as_slice(), &(number as u64).to_be_bytes()].concat();
        Row { table: Table::Entry, key, value: Some(vec![1; ENTRY_BYTES]) }
    };
    std::iter::once(state).chain((sequence..sequence + entries).map(entry)).collect()
}

fn call(plugin: Digest, job: Uuid) -> Call {
    Call {
        plugin,
        function: Function::Apply,
        job: job.to_string(),
        task: "noop".to_owned(),
        iteration: Vec::new(),
        action: "noop".to_owned(),
        attempt: 1,
        scope_attempt: 1,
        prior: Prior::None,
        idempotency_key: job.to_string(),
        fence: 1,
        fired_for: DateTime::UNIX_EPOCH,
        timeout: CALL_TIMEOUT,
        attributes: Vec::new(),
        input: Payload::json(&serde_json::json!({"n": 1})),
        evidence: None,
        failures: Vec::new(),
        grants: Grants::default(),
    }
}

/// The calls of the floor have nothing to say to their host.
struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn undo_ahead(&self, _: Payload) -> Result<(), Stop> {
        Err(Stop::Denied)
    }

    async fn note(&self, _: String, _: Vec<u8>) -> Result<(), Stop> {
        Err(Stop::Denied)
    }

    async fn recall(&self, _: String) -> Result<Option<Vec<u8>>, Stop> {
        Err(Stop::Denied)
    }

    async fn progress(&self, _: f32, _: String) -> Result<(), Stop> {
        Err(Stop::Denied)
    }

    fn stop(&self) -> Option<Stop> {
        None
    }

    fn print(&self, _: Print, _: String) {}
}
