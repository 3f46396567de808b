//! Reading the logbook: of one job, and of all.

use std::ops::Bound;

use windlass_core::entry::Entry;
use windlass_core::id::JobId;

use super::batch::{PURGED, TailRange};
use super::codec;
use super::key;
use super::snapshot::{Snapshot, number};
use super::stored;
use super::table::Table;
use crate::store::{Cursor, StoreFailure};

/// Entries of a job with a sequence number above `after`, in order.
pub(super) fn entries(
    snapshot: &Snapshot,
    job: JobId,
    after: u64,
    limit: usize,
) -> Result<Vec<Entry>, StoreFailure> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let Some(first) = after.checked_add(1) else { return Ok(found) };
    let (from, to) = (key::entries(job, first), key::entries(job, u64::MAX));
    // The row that holds `first` may begin before it.
    let before = key::entries(job, 0);
    snapshot.scan_back(Table::Entry, (Bound::Included(&before), Bound::Excluded(&from)), |key, row| {
        found.extend(stored::entries_of(key, row)?.into_iter().filter(|entry| entry.sequence > after));
        Ok(false)
    })?;
    snapshot.scan(Table::Entry, (Bound::Included(&from), Bound::Included(&to)), |key, row| {
        if found.len() >= limit {
            return Ok(false);
        }
        found.extend(stored::entries_of(key, row)?);
        Ok(found.len() < limit)
    })?;
    found.truncate(limit);
    Ok(found)
}

/// Entries of all jobs behind the cursor, in the order of their transactions.
pub(super) fn tail(
    snapshot: &Snapshot,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure> {
    let mut cursor = cursor.unwrap_or_default();
    let mut found: Vec<(JobId, Entry)> = Vec::new();
    let from = key::tail(cursor.batch);
    snapshot.scan(Table::Tail, (Bound::Included(&from), Bound::Unbounded), |key, row| {
        if found.len() >= limit {
            return Ok(false);
        }
        let batch = number(Table::Tail, key, key)?;
        if batch != cursor.batch {
            cursor = Cursor { batch, seen: 0 };
        }
        let ranges: Vec<TailRange> = codec::decode(Table::Tail, key, row)?;
        let is_whole = read_batch(snapshot, &ranges, &mut cursor, limit, &mut found)?;
        if is_whole {
            cursor = Cursor { batch: batch.saturating_add(1), seen: 0 };
        }
        Ok(is_whole)
    })?;
    Ok((found, cursor))
}

/// Behind all of the last transaction.
pub(super) fn tail_end(snapshot: &Snapshot) -> Result<Cursor, StoreFailure> {
    Ok(Cursor { batch: snapshot.batch()?.saturating_add(1), seen: 0 })
}

/// Takes the entries of one transaction from where the cursor is. True where none is left of it.
fn read_batch(
    snapshot: &Snapshot,
    ranges: &[TailRange],
    cursor: &mut Cursor,
    limit: usize,
    found: &mut Vec<(JobId, Entry)>,
) -> Result<bool, StoreFailure> {
    let mut begin = 0;
    for (job, from, to) in ranges {
        let count = (to + 1).saturating_sub(*from);
        let end = begin + count;
        let skipped = u64::from(cursor.seen).saturating_sub(begin).min(count);
        if skipped < count && *job != PURGED {
            let room = (limit - found.len()) as u64;
            let wanted = (count - skipped).min(room);
            let after = (from + skipped).saturating_sub(1);
            let entries = entries(snapshot, *job, after, usize::try_from(wanted).unwrap_or(limit))?;
            found.extend(entries.into_iter().map(|entry| (*job, entry)));
            if skipped + wanted < count {
                cursor.seen = seen(begin + skipped + wanted);
                return Ok(false);
            }
        }
        begin = end;
        cursor.seen = seen(u64::from(cursor.seen).max(end));
    }
    Ok(true)
}

/// A transaction is bounded in bytes, far below as many entries.
fn seen(entries: u64) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}
