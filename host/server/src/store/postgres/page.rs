//! Pages: the rows of a table in the order of their keys, a bounded number at a time, within the transaction of an
//! export.

use std::collections::VecDeque;

use tokio_postgres::Row;
use uuid::Uuid;
use windlass_core::id::JobId;
use windlass_core::instance::InstanceName;

use super::export::{Exporter, Stop};
use super::row::{corrupt, decode};
use super::settings::PAGE_ROWS;
use crate::store::{Exported, StoreFailure};

/// A table whose rows are parts of jobs.
pub(super) struct Table {
    name: &'static str,
    /// The first rows, and those behind a key: job, what orders the rows of a job, body.
    first: &'static str,
    next: &'static str,
    read: fn(&Row) -> Result<Exported, StoreFailure>,
}

pub(super) const INSTANCES: Table = Table {
    name: "task_instance",
    first: "SELECT job, task, iteration, body FROM task_instance ORDER BY job, task, iteration LIMIT $1",
    next: "SELECT job, task, iteration, body FROM task_instance WHERE (job, task, iteration) > \
           (($2::text[])[1]::uuid, ($2::text[])[2], ($2::text[])[3]) ORDER BY job, task, iteration LIMIT $1",
    read: |row| Ok(Exported::Instance(decode("task_instance", row.get::<_, Uuid>(0), row.get(3))?)),
};

pub(super) const ENTRIES: Table = Table {
    name: "entry",
    first: "SELECT job, sequence::text AS at, '', body FROM entry ORDER BY job, sequence LIMIT $1",
    next: "SELECT job, sequence::text AS at, '', body FROM entry WHERE (job, sequence) > \
           (($2::text[])[1]::uuid, ($2::text[])[2]::int8) ORDER BY job, sequence LIMIT $1",
    read: |row| Ok(Exported::Entry(decode("entry", row.get::<_, Uuid>(0), row.get(3))?)),
};

pub(super) const NOTES: Table = Table {
    name: "note",
    first: "SELECT job, task, iteration, name, value, encode(name, 'hex') FROM note \
            ORDER BY job, task, iteration, name LIMIT $1",
    next: "SELECT job, task, iteration, name, value, encode(name, 'hex') FROM note WHERE \
           (job, task, iteration, name) > (($2::text[])[1]::uuid, ($2::text[])[2], ($2::text[])[3], \
           decode(($2::text[])[4], 'hex')) ORDER BY job, task, iteration, name LIMIT $1",
    read: note,
};

fn note(row: &Row) -> Result<Exported, StoreFailure> {
    let broken = |what| corrupt("note", JobId(row.get(0)), format_args!("{what}"));
    let rounds: &str = row.get(2);
    let rounds = rounds.split('.').filter(|round| !round.is_empty()).map(str::parse);
    let iteration =
        rounds.collect::<Result<_, _>>().map_err(|_| broken("its iteration is no list of numbers"))?;
    let name = String::from_utf8(row.get(3)).map_err(|_| broken("its name is no text"))?;
    Ok(Exported::Note { task: InstanceName { task: row.get(1), iteration }, name, value: row.get(4) })
}

/// See the module.
pub(super) struct Pages {
    table: &'static Table,
    waiting: VecDeque<Row>,
    /// The key of the last row that was read, as texts.
    last: Option<Vec<String>>,
    is_at_end: bool,
}

impl Pages {
    pub fn of(table: &'static Table) -> Self {
        Self { table, waiting: VecDeque::new(), last: None, is_at_end: false }
    }

    pub fn table(&self) -> &'static str {
        self.table.name
    }

    /// The next row, with its job, unless it is of a job behind `job`.
    pub async fn next_until(
        &mut self,
        exporter: &Exporter<'_>,
        job: Uuid,
    ) -> Result<Option<(Uuid, Result<Exported, StoreFailure>)>, Stop> {
        if self.waiting.is_empty() && !self.is_at_end {
            self.fill(exporter).await?;
        }
        let is_near = self.waiting.front().is_some_and(|row| row.get::<_, Uuid>(0) <= job);
        let next = if is_near { self.waiting.pop_front() } else { None };
        Ok(next.map(|row| (row.get(0), (self.table.read)(&row))))
    }

    async fn fill(&mut self, exporter: &Exporter<'_>) -> Result<(), Stop> {
        let rows = match &self.last {
            Some(last) => exporter.rows(self.table.next, &[&PAGE_ROWS, last]).await?,
            None => exporter.rows(self.table.first, &[&PAGE_ROWS]).await?,
        };
        self.is_at_end = rows.is_empty();
        if let Some(row) = rows.last() {
            let mut key = vec![row.get::<_, Uuid>(0).to_string(), row.get(1), row.get(2)];
            if row.len() > 5 {
                key.push(row.get(5));
            }
            self.last = Some(key);
        }
        self.waiting.extend(rows);
        Ok(())
    }
}
