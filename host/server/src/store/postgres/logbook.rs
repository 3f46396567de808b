//! Reading the logbook: of one job, and of all.

use uuid::Uuid;
use windlass_core::entry::Entry;
use windlass_core::id::JobId;

use super::connection::Readers;
use super::job::rows_max;
use super::row::{count, decode};
use crate::store::{Cursor, StoreFailure};

/// Entries of a job with a sequence number above `after`, in order.
pub(super) async fn entries(
    readers: &Readers,
    job: JobId,
    after: u64,
    limit: usize,
) -> Result<Vec<Entry>, StoreFailure> {
    let statement = "SELECT body FROM entry WHERE job = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
    let rows = readers.rows(statement, &[&job.0, &count(after), &rows_max(limit)]).await?;
    rows.iter().map(|row| decode("entry", job, row.get(0))).collect()
}

/// Entries of all jobs behind the cursor, in the order of their transactions.
pub(super) async fn tail(
    readers: &Readers,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure> {
    let cursor = cursor.unwrap_or_default();
    let statement = "SELECT batch, ordinal, job, body FROM entry WHERE (batch, ordinal) >= ($1, $2) \
         ORDER BY batch, ordinal LIMIT $3";
    let seen = i32::try_from(cursor.seen).unwrap_or(i32::MAX);
    let rows = readers.rows(statement, &[&count(cursor.batch), &seen, &rows_max(limit)]).await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut next = cursor;
    for row in &rows {
        let job = JobId(row.get::<_, Uuid>(2));
        found.push((job, decode("entry", job, row.get(3))?));
        let (batch, ordinal): (i64, i32) = (row.get(0), row.get(1));
        next = Cursor { batch: batch.cast_unsigned(), seen: ordinal.cast_unsigned() + 1 };
    }
    Ok((found, next))
}

/// Behind all of the last transaction.
pub(super) async fn tail_end(readers: &Readers) -> Result<Cursor, StoreFailure> {
    let rows = readers.rows("SELECT batch FROM windlass", &[]).await?;
    let batch = rows.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned());
    Ok(Cursor { batch: batch + 1, seen: 0 })
}
