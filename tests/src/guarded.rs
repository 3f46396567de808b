//! A store that asks a guard before and after everything it does: how tests kill a host at a chosen write, and how
//! they make a store fail, dawdle, or give a job to another host.
//!
//! Invariant: what the guard lets through is done by the real store, unchanged.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, HostId, JobId};
use windlass_core::instance::InstanceName;
use windlass_core::job::Job;
use windlass_host::store::{
    CommitError, Cursor, Due, Exported, JobFilter, JobPage, Record, RecordKey, RecordKind, Reference, Store,
    StoreFailure, UniqueKey, Unit,
};

use crate::usurper::{claims_of, usurp};

/// What the store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Commit { urgent: bool },
    PutBlob,
    RemoveBlob,
    Read,
}

/// Decides about each operation. Two implementations: one that kills the process, one that makes errors.
pub trait Guard: Send + Sync {
    /// Gives the operation a number among its like, by which it is known when it is done. An error: the store is not
    /// asked.
    fn before(&self, op: Op) -> Result<u64, StoreFailure>;
    /// The store did it. An error: whoever asked is not told.
    fn after(&self, op: Op, number: u64) -> Result<(), StoreFailure>;
    /// An operation of many transactions waits for one of them.
    fn step(&self, op: Op);
    /// How many turns the operation lets others go ahead, once before the store is asked and once more before the
    /// answer is told.
    fn turns(&self, _: Op) -> u32 {
        0
    }
    /// Whether another host takes the jobs of this commit, which speaks for a claim, just before it.
    fn usurps(&self) -> bool {
        false
    }
    /// A unit by which it did.
    fn usurped(&self, _: Unit) {}
}

/// See the module.
pub struct GuardedStore {
    store: Arc<dyn Store>,
    guard: Arc<dyn Guard>,
}

impl GuardedStore {
    pub fn new(store: Arc<dyn Store>, guard: Arc<dyn Guard>) -> Self {
        Self { store, guard }
    }

    async fn ask<T, E: From<StoreFailure>>(
        &self,
        op: Op,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let number = self.guard.before(op)?;
        self.dawdle(op).await;
        let mut asked = pin!(asked);
        let done = poll_fn(|context| {
            let polled = asked.as_mut().poll(context);
            if polled.is_pending() {
                self.guard.step(op);
            }
            polled
        });
        let answer = done.await;
        self.dawdle(op).await;
        let answer = answer?;
        self.guard.after(op, number)?;
        Ok(answer)
    }

    async fn dawdle(&self, op: Op) {
        for _ in 0..self.guard.turns(op) {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Store for GuardedStore {
    async fn commit(&self, unit: Unit) -> Result<(), CommitError> {
        let op = Op::Commit { urgent: unit.urgent };
        let asked = async {
            if !claims_of(&unit).is_empty() && self.guard.usurps() {
                usurp(self.store.as_ref(), &unit, |taken| self.guard.usurped(taken)).await?;
            }
            self.store.commit(unit).await
        };
        self.ask(op, asked).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreFailure> {
        self.ask(Op::Read, self.store.job(id)).await
    }

    async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<JobPage, StoreFailure> {
        self.ask(Op::Read, self.store.jobs(filter, after, limit)).await
    }

    async fn board(&self, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        self.ask(Op::Read, self.store.board(limit)).await
    }

    async fn claims(&self) -> Result<Vec<(HostId, JobId)>, StoreFailure> {
        self.ask(Op::Read, self.store.claims()).await
    }

    async fn awaiting(
        &self,
        event_type: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, StoreFailure> {
        self.ask(Op::Read, self.store.awaiting(event_type, after, limit)).await
    }

    async fn untold(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        self.ask(Op::Read, self.store.untold(after, limit)).await
    }

    async fn due(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>, StoreFailure> {
        self.ask(Op::Read, self.store.due(now, limit)).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreFailure> {
        self.ask(Op::Read, self.store.next_due()).await
    }

    async fn entries(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFailure> {
        self.ask(Op::Read, self.store.entries(job, after, limit)).await
    }

    async fn tail(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure> {
        self.ask(Op::Read, self.store.tail(cursor, limit)).await
    }

    async fn tail_end(&self) -> Result<Cursor, StoreFailure> {
        self.ask(Op::Read, self.store.tail_end()).await
    }

    async fn record(&self, key: RecordKey) -> Result<Option<Record>, StoreFailure> {
        self.ask(Op::Read, self.store.record(key)).await
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreFailure> {
        self.ask(Op::Read, self.store.records(kind, after, limit)).await
    }

    async fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
        self.ask(Op::Read, self.store.holder(key)).await
    }

    async fn note(
        &self,
        job: JobId,
        task: &InstanceName,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.ask(Op::Read, self.store.note(job, task, name)).await
    }

    async fn references(&self, plugin: Digest, limit: usize) -> Result<Vec<Reference>, StoreFailure> {
        self.ask(Op::Read, self.store.references(plugin, limit)).await
    }

    async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), StoreFailure> {
        self.ask(Op::PutBlob, self.store.put_blob(digest, bytes)).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.ask(Op::Read, self.store.blob(digest)).await
    }

    async fn remove_blob(&self, digest: Digest) -> Result<(), StoreFailure> {
        self.ask(Op::RemoveBlob, self.store.remove_blob(digest)).await
    }

    async fn export(&self, items: mpsc::Sender<Exported>) -> Result<(), StoreFailure> {
        self.ask(Op::Read, self.store.export(items)).await
    }
}
