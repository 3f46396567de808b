//! What only this store can see of its damage: pages whose sums are wrong, and rows that belong to no job.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::Database;
use windlass_core::id::{Digest, JobId};
use windlass_core::job::{JobSpec, JobStatus};

use super::key;
use super::open::{OpenError, Opener, beside};
use super::reserve::ReserveFile;
use super::settings::{CACHE_BYTES, QUICK_REPAIR_FROM_BYTES};
use super::snapshot::{KeyRange, Snapshot};
use super::table::Table;
use crate::store::StoreFailure;
use crate::store::check::{Finding, REBUILD, RESTORE};

/// All rows of a table.
const ALL: KeyRange<'static> = (Bound::Unbounded, Bound::Unbounded);

/// Checks the pages and the rows of a store that nobody has open. What redb can repair of its own is repaired, and
/// told.
pub fn check_file(path: &Path, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), OpenError> {
    let opener = Opener::of_file(path, CACHE_BYTES, QUICK_REPAIR_FROM_BYTES, 0)?;
    let reserve = ReserveFile::new(beside(path, "reserve"), 0);
    let opened = opener.open_at_last(Some(&reserve));
    let (mut database, _) = opened.map_err(|closed| opener.explain(closed))?;
    let checked = catch_unwind(AssertUnwindSafe(|| {
        pages(&mut database, tell);
        rows(&database, tell)
    }));
    let what = match checked {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => "a page contradicts another".to_owned(),
    };
    tell(Finding { place: place_of(path), what, advice: RESTORE });
    Ok(())
}

fn place_of(path: &Path) -> String {
    format!("the file {}", path.display())
}

fn pages(database: &mut Database, tell: &mut (dyn FnMut(Finding) + Send)) {
    let what = match database.check_integrity() {
        Ok(true) => return,
        Ok(false) => "its list of free pages was wrong, and was made anew".to_owned(),
        Err(error) => error.to_string(),
    };
    tell(Finding { place: "the pages of the file".to_owned(), what, advice: RESTORE });
}

fn rows(database: &Database, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), StoreFailure> {
    let snapshot = Snapshot::of(database)?;
    for table in [Table::Spec, Table::Instance, Table::Entry, Table::Note] {
        jobless(&snapshot, table, tell)?;
    }
    flow_uses(&snapshot, tell)?;
    awaits(&snapshot, tell)?;
    flows(&snapshot, tell)
}

/// Rows of a job that has no status: nothing reads them, and a job of that id could not be made.
fn jobless(
    snapshot: &Snapshot,
    table: Table,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), StoreFailure> {
    let mut last: Option<Vec<u8>> = None;
    snapshot.scan(table, ALL, |key, _| {
        let job = key.get(..key::ID_BYTES).unwrap_or(key);
        if last.as_deref() == Some(job) {
            return Ok(true);
        }
        if snapshot.get(Table::Status, job)?.is_none() {
            let name = key::job_at(key, 0).map_or("a job of no id".to_owned(), |job| format!("job {job}"));
            let what = "it is of a job that is not there".to_owned();
            tell(Finding { place: format!("table {}, {name}", table.name()), what, advice: REBUILD });
        }
        last = Some(job.to_vec());
        Ok(true)
    })
}

/// Every job is among those that need its flow, and no other is: a flow goes with the last of them.
fn flow_uses(snapshot: &Snapshot, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), StoreFailure> {
    let mut wrong = |job: JobId, what: &str| {
        let place = format!("table {}, job {job}", Table::FlowUse.name());
        tell(Finding { place, what: what.to_owned(), advice: REBUILD });
    };
    snapshot.scan(Table::Spec, ALL, |key, value| {
        let (Some(job), Ok(spec)) =
            (key::job_at(key, 0), super::codec::decode::<JobSpec>(Table::Spec, key, value))
        else {
            return Ok(true);
        };
        if snapshot.get(Table::FlowUse, &key::flow_use(spec.flow, job))?.is_none() {
            wrong(job, "its flow could be removed though it needs it");
        }
        Ok(true)
    })?;
    snapshot.scan(Table::FlowUse, ALL, |key, _| {
        let digest = key.first_chunk::<32>().map(|bytes| Digest(*bytes));
        let (Some(digest), Some(job)) = (digest, key::job_at(key, 32)) else {
            return Ok(true);
        };
        // One that does not decode was told of.
        let spec = snapshot.row::<JobSpec>(Table::Spec, &key::job(job)).ok().flatten();
        if spec.is_none_or(|spec| spec.flow != digest) {
            wrong(job, &format!("it counts as one that needs flow {digest}, and is not"));
        }
        Ok(true)
    })
}

/// Jobs that would be given events of a type that they do not wait for. Those that would miss some are found by asking
/// for each type that is waited for.
fn awaits(snapshot: &Snapshot, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), StoreFailure> {
    snapshot.scan(Table::Await, ALL, |key, _| {
        let what = match key::await_parts(key) {
            None => "a key that is not one of this table".to_owned(),
            Some((event_type, job)) => {
                // One that does not decode was told of.
                let status = snapshot.row::<JobStatus>(Table::Status, &key::job(job)).ok().flatten();
                if status.is_some_and(|status| status.awaited_events().any(|awaited| awaited == event_type)) {
                    return Ok(true);
                }
                format!("job {job} is in it for {event_type:?}, and does not wait for that")
            }
        };
        tell(Finding { place: format!("table {}", Table::Await.name()), what, advice: REBUILD });
        Ok(true)
    })
}

fn flows(snapshot: &Snapshot, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), StoreFailure> {
    snapshot.scan(Table::Flow, ALL, |key, _| {
        let mut is_used = false;
        snapshot.scan_prefix(Table::FlowUse, key, |_, _| {
            is_used = true;
            Ok(false)
        })?;
        if !is_used {
            let digest = key.first_chunk::<32>().map_or("of no name".to_owned(), |d| Digest(*d).to_string());
            let place = format!("table {}, flow {digest}", Table::Flow.name());
            tell(Finding { place, what: "no job needs it".to_owned(), advice: REBUILD });
        }
        Ok(true)
    })
}
