//! Exporting: everything in one snapshot, item by item.
//!
//! Invariant: a row that cannot be read is told, and costs no other row. Rows are read a page at a time, each page by
//! the key of the last row before it, so memory holds one page of each table.

use deadpool_postgres::Object;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;
use windlass_core::id::{Digest, JobId};

use super::connection::Readers;
use super::failure;
use super::page::{ENTRIES, INSTANCES, NOTES, Pages};
use super::row::{self, decode};
use super::settings::{EXPORT_PAUSE_MAX, PAGE_ROWS};
use crate::store::{Exported, RecordKind, StoreFailure};

/// Why an export ends early.
pub(super) enum Stop {
    /// Nobody receives any more.
    Gone,
    Failed(StoreFailure),
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(failure::failure(&error))
    }
}

/// Sends everything.
pub(super) async fn all(readers: &Readers, items: &mpsc::Sender<Exported>) -> Result<(), StoreFailure> {
    let client = readers.lend().await?;
    let exporter = Exporter { client: &client, items };
    let exported = exporter.run().await;
    // Its transaction is open, and its session was told to wait for long: it is of no use to others.
    drop(Object::take(client));
    match exported {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

pub(super) struct Exporter<'a> {
    client: &'a Object,
    items: &'a mpsc::Sender<Exported>,
}

impl Exporter<'_> {
    async fn run(&self) -> Result<(), Stop> {
        let pause_ms = EXPORT_PAUSE_MAX.as_millis();
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = {pause_ms}"
        );
        self.client.batch_execute(&begin).await?;
        self.blobs().await?;
        self.records().await?;
        self.jobs().await?;
        self.keys().await
    }

    pub async fn rows(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Stop> {
        let prepared = self.client.prepare_cached(statement).await?;
        Ok(self.client.query(&prepared, parameters).await?)
    }

    async fn give(&self, item: Exported) -> Result<(), Stop> {
        self.items.send(item).await.map_err(|_| Stop::Gone)
    }

    async fn broken(&self, what: String) -> Result<(), Stop> {
        self.give(Exported::Broken(what)).await
    }

    /// The value of a row, or none where the row is broken and that was told.
    async fn readable<T>(&self, result: Result<T, StoreFailure>) -> Result<Option<T>, Stop> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(StoreFailure::Corrupt(what)) => self.broken(what).await.map(|()| None),
            Err(failure) => Err(Stop::Failed(failure)),
        }
    }

    async fn blobs(&self) -> Result<(), Stop> {
        let page = "SELECT digest, size_bytes, chunks FROM blob WHERE digest > $1 ORDER BY digest LIMIT $2";
        let mut after: Vec<u8> = Vec::new();
        loop {
            let rows = self.rows(page, &[&after, &PAGE_ROWS]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get(0);
            for row in &rows {
                self.blob(row.get(0), row.get::<_, i64>(1).cast_unsigned(), row.get(2)).await?;
            }
        }
    }

    async fn blob(&self, key: &[u8], size_bytes: u64, chunks: i32) -> Result<(), Stop> {
        let Ok(bytes) = key.try_into() else {
            return self.broken(format!("table blob, key {}: it is no digest", row::hex(key))).await;
        };
        let digest = Digest(bytes);
        self.give(Exported::Blob { digest, size_bytes }).await?;
        let mut found = Sha256::new();
        for number in 0..chunks {
            let chunk = "SELECT bytes FROM blob_chunk WHERE digest = $1 AND number = $2";
            let rows = self.rows(chunk, &[&key, &number]).await?;
            let Some(row) = rows.first() else {
                self.broken(format!("table blob_chunk, key {digest}: chunk {number} is missing")).await?;
                continue;
            };
            let piece: Vec<u8> = row.get(0);
            found.update(&piece);
            self.give(Exported::Piece(piece)).await?;
        }
        if <[u8; 32]>::from(found.finalize()) == digest.0 {
            return Ok(());
        }
        self.broken(format!("table blob_chunk, key {digest}: the bytes found have another digest")).await
    }

    async fn records(&self) -> Result<(), Stop> {
        let page = "SELECT id, body FROM record WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3";
        // What an unfinished import left says so: it is no part of what is exported.
        for kind in RecordKind::ALL.into_iter().filter(|kind| *kind != RecordKind::Import) {
            let mut after: Vec<u8> = Vec::new();
            loop {
                let rows = self.rows(page, &[&row::kind_word(kind), &after, &PAGE_ROWS]).await?;
                let Some(last) = rows.last() else { break };
                after = last.get(0);
                for row in &rows {
                    let record = row::decode_record(kind, row.get(0), row.get(1));
                    if let Some(record) = self.readable(record).await? {
                        self.give(Exported::Record(Box::new(record))).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn jobs(&self) -> Result<(), Stop> {
        let page = "SELECT s.id, s.status, j.spec, f.body FROM job_status s LEFT JOIN job j ON j.id = s.id \
             LEFT JOIN flow f ON f.digest = j.flow WHERE s.id > $1 ORDER BY s.id LIMIT $2";
        let (mut instances, mut entries, mut notes) =
            (Pages::of(&INSTANCES), Pages::of(&ENTRIES), Pages::of(&NOTES));
        let mut after = Uuid::nil();
        loop {
            let rows = self.rows(page, &[&after, &PAGE_ROWS]).await?;
            let Some(last) = rows.last() else { break };
            after = last.get(0);
            for row in &rows {
                let id = JobId(row.get(0));
                self.job(id, row).await?;
                for pages in [&mut instances, &mut entries, &mut notes] {
                    while let Some((owner, item)) = pages.next_until(self, id.0).await? {
                        if owner == id.0 {
                            if let Some(item) = self.readable(item).await? {
                                self.give(item).await?;
                            }
                        } else {
                            self.orphan(pages.table(), owner).await?;
                        }
                    }
                }
            }
        }
        for pages in [&mut instances, &mut entries, &mut notes] {
            while let Some((owner, _)) = pages.next_until(self, Uuid::max()).await? {
                self.orphan(pages.table(), owner).await?;
            }
        }
        self.statusless().await
    }

    async fn job(&self, id: JobId, row: &Row) -> Result<(), Stop> {
        let read = || {
            let missing =
                |table| row::corrupt(table, id, format_args!("it is missing, and the job's status is there"));
            let spec: Option<&str> = row.get(2);
            let flow: Option<&str> = row.get(3);
            Ok(Exported::Job {
                spec: decode("job", id, spec.ok_or_else(|| missing("job"))?)?,
                flow: decode("flow", id, flow.ok_or_else(|| missing("flow"))?)?,
                status: decode("job_status", id, row.get(1))?,
            })
        };
        match self.readable(read()).await? {
            Some(job) => self.give(job).await,
            None => Ok(()),
        }
    }

    async fn orphan(&self, table: &str, owner: Uuid) -> Result<(), Stop> {
        self.broken(format!("table {table}, key {owner}: a row of a job that is not there")).await
    }

    async fn statusless(&self) -> Result<(), Stop> {
        let statement =
            "SELECT j.id FROM job j LEFT JOIN job_status s ON s.id = j.id WHERE s.id IS NULL ORDER BY j.id";
        for row in self.rows(statement, &[]).await? {
            let id: Uuid = row.get(0);
            self.broken(format!("table job, key {id}: its status is missing")).await?;
        }
        Ok(())
    }

    /// Those that expire, by their time; then the others.
    async fn keys(&self) -> Result<(), Stop> {
        let dated = "SELECT key, kind, body, job, at FROM unique_key WHERE (at, key) > ($1, $2) ORDER BY at, key LIMIT $3";
        let mut after = (row::shown_time(chrono::DateTime::<chrono::Utc>::MIN_UTC), Vec::<u8>::new());
        loop {
            let rows = self.rows(dated, &[&after.0, &after.1, &PAGE_ROWS]).await?;
            let Some(last) = rows.last() else { break };
            after = (last.get(4), last.get(0));
            for row in &rows {
                self.key(row).await?;
            }
        }
        let undated = "SELECT key, kind, body, job, at FROM unique_key WHERE at IS NULL AND key > $1 ORDER BY key LIMIT $2";
        let mut after: Vec<u8> = Vec::new();
        loop {
            let rows = self.rows(undated, &[&after, &PAGE_ROWS]).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get(0);
            for row in &rows {
                self.key(row).await?;
            }
        }
    }

    async fn key(&self, row: &Row) -> Result<(), Stop> {
        let bytes: &[u8] = row.get(0);
        let key = row::unique_of(row.get(1), row.get(2));
        let Some(key) = key.filter(|key| row::unique_key(key) == bytes) else {
            let what =
                format!("table unique_key, key {}: its parts are not those of the key", row::hex(bytes));
            return self.broken(what).await;
        };
        self.give(Exported::Key { key, taken: row.get(4), job: JobId(row.get(3)) }).await
    }
}
