//! What only this store can see of its damage: columns that are not those of their body, and rows that nothing needs.
//!
//! Invariant: the columns are made again by the code that writes them, so that a column added there is checked here.

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;
use windlass_core::id::JobId;
use windlass_core::job::{JobSpec, JobStatus};

use super::columns::{Birthplace, Records, Statuses};
use super::connection::Readers;
use super::failure;
use super::row;
use super::settings::PAGE_ROWS;
use crate::store::check::{Finding, REBUILD};
use crate::store::{RecordKind, StoreFailure};

/// Tells of every row whose columns are wrong.
pub(super) async fn rows(
    readers: &Readers,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), StoreFailure> {
    let client = readers.lend().await?;
    let checked = async {
        statuses(&client, tell).await?;
        awaits(&client, tell).await?;
        specs(&client, tell).await?;
        records(&client, tell).await?;
        remains(&client, tell).await
    };
    checked.await.map_err(|error: tokio_postgres::Error| failure::failure(&error))
}

/// The names of columns whose value is not the one that the body leads to.
#[derive(Default)]
struct Differences(Vec<&'static str>);

impl Differences {
    fn compare<'a, T: FromSql<'a> + PartialEq>(
        &mut self,
        row: &'a Row,
        column: &'static str,
        made: Option<T>,
    ) {
        // A column of another type is as wrong as one of another value.
        let found: Option<T> = row.try_get(column).ok();
        if found != made {
            self.0.push(column);
        }
    }

    fn tell(self, place: String, tell: &mut (dyn FnMut(Finding) + Send)) {
        if !self.0.is_empty() {
            let what = format!("the columns {} are not those of the body", self.0.join(", "));
            tell(Finding { place, what, advice: REBUILD });
        }
    }
}

async fn statuses(
    client: &Object,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), tokio_postgres::Error> {
    let page = client.prepare_cached("SELECT * FROM job_status WHERE id > $1 ORDER BY id LIMIT $2").await?;
    let mut after = Uuid::nil();
    loop {
        let rows = client.query(&page, &[&after, &PAGE_ROWS]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.get("id");
        for row in &rows {
            let id = JobId(row.get("id"));
            // What does not decode is told by whoever reads it as a job.
            let Ok(status) = serde_json::from_str::<JobStatus>(row.get("status")) else { continue };
            let mut made = Statuses::default();
            if made.push(id, &status).is_err() {
                continue;
            }
            let mut differences = Differences::default();
            differences.compare(row, "state", made.state.pop());
            differences.compare(row, "direction", made.direction.pop());
            differences.compare(row, "priority", made.priority.pop());
            differences.compare(row, "since", made.since.pop());
            differences.compare(row, "alarm", made.alarm.pop());
            differences.compare(row, "claim_host", made.claim_host.pop());
            differences.compare(row, "claim_epoch", made.claim_epoch.pop());
            differences.compare(row, "is_awaiting", made.is_awaiting.pop());
            differences.compare(row, "is_untold", made.is_untold.pop());
            differences.compare(row, "sequence", made.sequence.pop());
            differences.compare(row, "started", made.started.pop());
            differences.compare(row, "ended", made.ended.pop());
            differences.compare(row, "updated", made.updated.pop());
            differences.tell(format!("table job_status, job {id}"), tell);
        }
    }
}

/// Jobs that would be given events of a type that they do not wait for. Those that would miss some are found by asking
/// for each type that is waited for.
async fn awaits(
    client: &Object,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), tokio_postgres::Error> {
    let page = "SELECT a.type, a.job, s.status FROM job_await a LEFT JOIN job_status s ON s.id = a.job \
                WHERE (a.type, a.job) > ($1, $2) ORDER BY a.type, a.job LIMIT $3";
    let page = client.prepare_cached(page).await?;
    let mut after: (Vec<u8>, Uuid) = (Vec::new(), Uuid::nil());
    loop {
        let rows = client.query(&page, &[&after.0, &after.1, &PAGE_ROWS]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = (last.get(0), last.get(1));
        for row in &rows {
            let (event_type, job): (&[u8], Uuid) = (row.get(0), row.get(1));
            let status = row.get::<_, Option<&str>>(2).map(serde_json::from_str::<JobStatus>);
            let is_right = match status {
                // What does not decode is told by whoever reads it as a job.
                Some(Err(_)) => true,
                Some(Ok(status)) => status.awaited_events().any(|awaited| awaited.as_bytes() == event_type),
                None => false,
            };
            if !is_right {
                let event_type = String::from_utf8_lossy(event_type);
                let what = format!("job {job} is in it for {event_type:?}, and does not wait for that");
                tell(Finding { place: "table job_await".to_owned(), what, advice: REBUILD });
            }
        }
    }
}

async fn specs(client: &Object, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), tokio_postgres::Error> {
    let page = client.prepare_cached("SELECT * FROM job WHERE id > $1 ORDER BY id LIMIT $2").await?;
    let mut after = Uuid::nil();
    loop {
        let rows = client.query(&page, &[&after, &PAGE_ROWS]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.get("id");
        for row in &rows {
            let id = JobId(row.get("id"));
            let Ok(spec) = serde_json::from_str::<JobSpec>(row.get("spec")) else { continue };
            let made = Birthplace::of(&spec);
            let mut differences = Differences::default();
            differences.compare(row, "flow", Some(made.flow));
            differences.compare(row, "owner", Some(made.owner));
            differences.compare(row, "type", Some(made.job_type));
            differences.compare(row, "operation", Some(made.operation));
            differences.compare(row, "trigger", Some(made.trigger));
            differences.compare(row, "created", Some(made.created));
            differences.tell(format!("table job, job {id}"), tell);
        }
    }
}

async fn records(
    client: &Object,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), tokio_postgres::Error> {
    let page = client
        .prepare_cached("SELECT * FROM record WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3")
        .await?;
    for kind in RecordKind::ALL {
        let mut after: Vec<u8> = Vec::new();
        loop {
            let rows = client.query(&page, &[&row::kind_word(kind), &after, &PAGE_ROWS]).await?;
            let Some(last) = rows.last() else { break };
            after = last.get("id");
            for row in &rows {
                let id: &[u8] = row.get("id");
                let Ok(record) = row::decode_record(kind, id, row.get("body")) else { continue };
                let mut made = Records::default();
                if made.push(&record.key(), &record).is_err() {
                    continue;
                }
                let mut differences = Differences::default();
                differences.compare(row, "id", made.id.pop());
                differences.compare(row, "generation", made.generation.pop());
                differences.compare(row, "name", made.name.pop());
                differences.compare(row, "state", made.state.pop());
                differences.compare(row, "alarm", made.alarm.pop());
                let place = format!("table record, {} {}", row::kind_word(kind), row::hex(id));
                differences.tell(place, tell);
            }
        }
    }
    Ok(())
}

/// Rows that belong to nothing: they do no harm, and say that something went wrong.
async fn remains(
    client: &Object,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), tokio_postgres::Error> {
    let unused = "SELECT digest FROM flow f WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.flow = f.digest)";
    for row in client.query(unused, &[]).await? {
        let place = format!("table flow, key {}", row::hex(row.get(0)));
        tell(Finding { place, what: "no job needs it".to_owned(), advice: REBUILD });
    }
    let headless = "SELECT DISTINCT digest FROM blob_chunk c WHERE NOT EXISTS \
                    (SELECT 1 FROM blob b WHERE b.digest = c.digest)";
    for row in client.query(headless, &[]).await? {
        let place = format!("table blob_chunk, key {}", row::hex(row.get(0)));
        let what = "its chunks are those of an upload that was interrupted".to_owned();
        tell(Finding { place, what, advice: "a host removes them a day later, at its start" });
    }
    Ok(())
}
