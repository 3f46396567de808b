//! Followers: readers of the logbook of all jobs, each with a cursor that it keeps.
//!
//! Invariant that they check: every entry once, in order for each job, none left out, whatever is purged or committed
//! while they read.

use std::collections::BTreeMap;

use windlass_core::entry::Entry;
use windlass_core::id::JobId;
use windlass_host::store::{Cursor, Store};

use super::comparison::Wrong;
use crate::model::State;

/// See the module.
#[derive(Debug, Default)]
pub struct Follower {
    cursor: Option<Cursor>,
    /// The last entry of each job that was seen.
    seen: BTreeMap<JobId, u64>,
    /// Read while others wrote: compared when they are done.
    unchecked: Vec<(JobId, Entry)>,
}

impl Follower {
    pub fn at(cursor: Cursor) -> Self {
        Self { cursor: Some(cursor), ..Self::default() }
    }

    /// Takes a bite. True where it was a whole one, so that there may be more.
    pub async fn read(&mut self, store: &dyn Store, limit: usize) -> Result<bool, Wrong> {
        let (entries, cursor) = store.tail(self.cursor, limit).await?;
        if entries.len() > limit {
            return Err(Wrong(format!("tail({:?}, {limit}) gives {} entries", self.cursor, entries.len())));
        }
        let is_whole = entries.len() == limit;
        for (job, entry) in entries {
            let last = self.seen.entry(job).or_default();
            if entry.sequence != *last + 1 {
                let (from, found) = (self.cursor, entry.sequence);
                return Err(Wrong(format!(
                    "tail({from:?}, {limit}): entry {found} of job {job} comes after entry {last}"
                )));
            }
            *last = entry.sequence;
            self.unchecked.push((job, entry));
        }
        self.cursor = Some(cursor);
        Ok(is_whole)
    }

    /// Nobody writes now: all that was read is what was committed. What was read before its job was purged is not
    /// known any more.
    pub fn check(&mut self, state: &State) -> Result<(), Wrong> {
        for (job, entry) in std::mem::take(&mut self.unchecked) {
            let mut lines = state.logbook.iter().filter(|line| line.job == job);
            let Some(first) = lines.next() else { continue };
            let same = std::iter::once(first).chain(lines).find(|line| line.entry.sequence == entry.sequence);
            if same.is_none_or(|line| *line.entry != entry) {
                let expected = same.map(|line| &line.entry);
                return Err(Wrong(format!("tail gives {entry:?} of job {job}; the model has {expected:?}")));
            }
        }
        Ok(())
    }

    /// Nobody writes now: reads all that is left, and finds that nothing was left out.
    pub async fn catch_up(&mut self, store: &dyn Store, state: &State, limit: usize) -> Result<(), Wrong> {
        self.check(state)?;
        while self.read(store, limit).await? {}
        if let Some((job, entry)) = self.unchecked.iter().find(|(job, _)| !state.jobs.contains_key(job)) {
            return Err(Wrong(format!("tail gives {entry:?} of job {job}, which is not there")));
        }
        self.check(state)?;
        for (id, job) in &state.jobs {
            let seen = self.seen.get(id).copied().unwrap_or_default();
            if seen != job.status.sequence {
                let last = job.status.sequence;
                return Err(Wrong(format!("tail stops at entry {seen} of job {id}, whose last is {last}")));
            }
        }
        Ok(())
    }
}
