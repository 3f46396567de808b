//! Writing: the rows of one transaction, and its commit, sent without waiting in between.
//!
//! Invariant: removals come before insertions, and the transaction's number after all but its entries, so that nobody
//! waits for another's rows while it holds the one row that all need.

use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::columns::Columns;
use super::open::SCHEMA_VERSION;
use super::settings::COMMIT_IDS_KEPT;
use super::statement::Statements;

type Column<'a> = &'a (dyn ToSql + Sync);

/// The statements of a transaction in the order in which they are sent, each with its parameters.
#[derive(Default)]
struct Pipeline<'a>(Vec<(&'a Statement, Vec<Column<'a>>)>);

impl<'a> Pipeline<'a> {
    /// One statement for all rows of a table; none where there are no rows.
    fn rows(&mut self, rows: usize, statement: &'a Statement, columns: Vec<Column<'a>>) {
        if rows > 0 {
            self.0.push((statement, columns));
        }
    }

    fn removals(&mut self, columns: &'a Columns, statements: &'a Statements) {
        let purged = columns.purged.len();
        self.rows(purged, &statements.delete_entries, vec![&columns.purged]);
        self.rows(purged, &statements.delete_instances, vec![&columns.purged]);
        self.rows(purged, &statements.delete_notes, vec![&columns.purged]);
        self.rows(purged, &statements.delete_awaits, vec![&columns.purged]);
        self.rows(purged, &statements.delete_statuses, vec![&columns.purged]);
        self.rows(purged, &statements.delete_jobs, vec![&columns.purged]);
        let (kinds, ids) = &columns.gone_records;
        self.rows(kinds.len(), &statements.delete_records, vec![kinds, ids]);
        self.rows(columns.gone_keys.len(), &statements.delete_keys, vec![&columns.gone_keys]);
    }

    fn records(&mut self, columns: &'a Columns, statements: &'a Statements) {
        for (statement, r) in [
            (&statements.insert_records, &columns.new_records),
            (&statements.update_records, &columns.changed_records),
        ] {
            let rows: Vec<Column<'a>> =
                vec![&r.kind, &r.id, &r.generation, &r.name, &r.state, &r.alarm, &r.body];
            self.rows(r.id.len(), statement, rows);
        }
        let k = &columns.new_keys;
        self.rows(k.key.len(), &statements.insert_keys, vec![&k.key, &k.kind, &k.body, &k.job, &k.at]);
    }

    fn jobs(&mut self, columns: &'a Columns, statements: &'a Statements) {
        let f = &columns.flows;
        self.rows(f.digest.len(), &statements.insert_flows, vec![&f.digest, &f.body]);
        self.rows(f.plugin.len(), &statements.insert_flow_plugins, vec![&f.plugin, &f.plugin_flow]);
        let j = &columns.jobs;
        let rows: Vec<Column<'a>> =
            vec![&j.id, &j.flow, &j.owner, &j.job_type, &j.operation, &j.trigger, &j.created, &j.spec];
        self.rows(j.id.len(), &statements.insert_jobs, rows);
        let s = &columns.statuses;
        let rows: Vec<Column<'a>> = vec![
            &s.id,
            &s.state,
            &s.direction,
            &s.priority,
            &s.since,
            &s.alarm,
            &s.claim_host,
            &s.claim_epoch,
            &s.is_awaiting,
            &s.is_untold,
            &s.sequence,
            &s.started,
            &s.ended,
            &s.updated,
            &s.status,
        ];
        self.rows(s.id.len(), &statements.put_statuses, rows);
        let a = &columns.awaits;
        self.rows(a.before.len(), &statements.drop_awaits, vec![&a.before, &a.event_type, &a.job]);
        self.rows(a.job.len(), &statements.insert_awaits, vec![&a.event_type, &a.job]);
        let i = &columns.instances;
        let rows: Vec<Column<'a>> = vec![&i.job, &i.task, &i.iteration, &i.state, &i.attempt, &i.body];
        self.rows(i.job.len(), &statements.put_instances, rows);
        let n = &columns.notes;
        let rows: Vec<Column<'a>> = vec![&n.job, &n.task, &n.iteration, &n.name, &n.value];
        self.rows(n.job.len(), &statements.put_notes, rows);
    }
}

/// Sends everything and the commit. Where the database says what is wrong, nothing was committed: a transaction with
/// a failed statement is rolled back, whatever follows it. Where the connection breaks, nobody knows.
pub(super) async fn commit(
    client: &Client,
    statements: &Statements,
    columns: &Columns,
    holder: Uuid,
    is_sweeping: bool,
) -> Result<(), Error> {
    let kept = COMMIT_IDS_KEPT.as_secs_f64();
    let e = &columns.entries;
    let mut pipeline = Pipeline::default();
    pipeline.removals(columns, statements);
    pipeline.records(columns, statements);
    pipeline.jobs(columns, statements);
    pipeline.rows(usize::from(is_sweeping), &statements.sweep_commit_ids, vec![&kept]);
    pipeline.rows(1, &statements.number, vec![&SCHEMA_VERSION, &holder]);
    let rows: Vec<Column<'_>> = vec![&e.job, &e.sequence, &e.ordinal, &e.at, &e.fact, &e.body];
    pipeline.rows(e.job.len(), &statements.insert_entries, rows);
    let mut sent: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::with_capacity(pipeline.0.len() + 1);
    for (statement, parameters) in &pipeline.0 {
        sent.push(async move { client.execute(*statement, parameters).await.map(drop) }.boxed());
    }
    sent.push(client.batch_execute("COMMIT").boxed());
    try_join_all(sent).await.map(drop)
}
