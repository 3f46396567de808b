//! Bulk-loaded stores: a great many finished jobs, made once and kept below cargo's target directory.
//!
//! A host takes the plugin and runs one job; the others are that job again, decided by the core and committed by the
//! store, some hundred in a unit. So the store is what a host would have left, and nothing but ids and times differ.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};
use windlass_core::call::{Function, Outcome};
use windlass_core::decide::Decision;
use windlass_core::decide::create::{Timing, create};
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::{Actor, Entry};
use windlass_core::id::{Digest, HostId, JobId};
use windlass_core::job::{Job, JobSpec};
use windlass_core::payload::Payload;
use windlass_host::store::{Change, JobFilter, RedbSettings, RedbStore, Store as _, Unit};
use windlass_proto::v1::JobState;
use windlass_tests::crash::site::Site;
use windlass_tests::plugins::{fixtures, target_directory};

use crate::clock;
use crate::host::Host;
use crate::workload::one_action;

/// Jobs of one unit: a transaction of some megabyte.
const UNIT_JOBS: usize = 500;
/// They ended one after the other, the last of them a while ago.
const BETWEEN: TimeDelta = TimeDelta::milliseconds(1);
/// The whole tree of keys fits: the store is filled once, in order.
const CACHE_BYTES: usize = 512 << 20;
/// Raised when what is made here changes.
const FORM: u32 = 1;

/// A site whose store has so many finished jobs: a copy, which a host may change.
pub async fn site(jobs: usize, serve: &[String]) -> Result<Site> {
    let kept = kept(jobs, serve).await?;
    let site = Site::fresh().await;
    let copy = site.store_file();
    std::fs::copy(&kept, &copy).with_context(|| format!("{} cannot be copied", kept.display()))?;
    // Otherwise the first fsync of whoever opens it would write all of it.
    std::fs::File::open(&copy)?.sync_all()?;
    Ok(site)
}

/// The file, made where it is missing or of another plugin or schema.
async fn kept(jobs: usize, serve: &[String]) -> Result<PathBuf> {
    let folder = target_directory().join("windlass-bench");
    std::fs::create_dir_all(&folder)?;
    let (file, mark) =
        (folder.join(format!("finished-{jobs}.redb")), folder.join(format!("finished-{jobs}.mark")));
    let made_of = format!("form {FORM}, plugin {}", Digest::of(fixtures()));
    if file.is_file() && std::fs::read_to_string(&mark).is_ok_and(|found| found == made_of) {
        return Ok(file);
    }
    let began = Instant::now();
    let host = Host::fresh(serve).await?;
    host.client.run(0, one_action(0), JobState::Succeeded).await?;
    let site = host.terminate().await?;
    fill(&site.store_file(), jobs).await?;
    std::fs::copy(site.store_file(), &file)?;
    std::fs::write(&mark, made_of)?;
    eprintln!(
        "bulk-loaded {jobs} finished jobs in {:.1} s: {}",
        began.elapsed().as_secs_f64(),
        file.display()
    );
    Ok(file)
}

async fn fill(file: &Path, jobs: usize) -> Result<()> {
    let store = RedbStore::open(RedbSettings { cache_bytes: CACHE_BYTES, ..RedbSettings::at(file) })?;
    let first = store.jobs(&JobFilter::default(), None, 1).await?.jobs;
    let (spec, _) = first.first().context("the first job is there")?;
    let pattern = store.job(spec.id).await?.context("the first job can be read")?;
    let began = clock::now() - BETWEEN * i32::try_from(jobs + UNIT_JOBS)?;
    for from in (1..jobs).step_by(UNIT_JOBS) {
        let numbers = from..(from + UNIT_JOBS).min(jobs);
        let changes: Result<Vec<_>> = numbers
            .map(|number| {
                let (job, entries) = finished(&pattern, began + BETWEEN * i32::try_from(number)?)?;
                Ok(Change::birth(&job, entries))
            })
            .collect();
        store.commit(Unit::of(changes?)).await?;
    }
    store.close().await;
    Ok(())
}

/// The pattern once more, from its birth to its end.
fn finished(pattern: &Job, at: DateTime<Utc>) -> Result<(Job, Vec<Entry>)> {
    let seconds = u64::try_from(at.timestamp())?;
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()));
    let spec = JobSpec { id: JobId(id), created: at, ..JobSpec::clone(&pattern.spec) };
    let host = HostId(Uuid::nil());
    let actor = Actor::Principal(spec.principal.clone());
    let (mut job, mut entries) = create(Arc::new(spec), pattern.flow.clone(), Timing::default(), actor);
    let mut decision = Decision::new(&mut job, at, Actor::Host(host));
    decision.claim(host)?;
    entries.extend(decision.into_entries());
    let task = job.in_flight().next().context("a job of one action makes a call")?.name.clone();
    let call = CallName { task, function: Function::Apply, attempt: 1 };
    let output = Payload::json(&serde_json::Value::Object(pattern.spec.arguments.clone()));
    let mut decision = Decision::new(&mut job, at, Actor::Host(host));
    decision.finish(&call, Outcome::Applied { output, undo: None })?;
    entries.extend(decision.into_entries());
    ensure!(job.status.state.is_ended(), "a bulk-loaded job has not ended");
    Ok((job, entries))
}
