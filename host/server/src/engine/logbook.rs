//! The logbook: what happened, of one job or of all.

use windlass_core::entry::Entry;
use windlass_core::id::JobId;

use crate::engine::{Engine, EngineError};
use crate::store::{Cursor, HostRecord, Record, RecordKind};

impl Engine {
    /// Entries of one job with a sequence number above `after`.
    pub async fn entries(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<Entry>, EngineError> {
        Ok(self.store.entries(job, after, limit).await?)
    }

    /// Entries of all jobs behind a cursor, in order for each job.
    pub async fn tail(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Entry)>, Cursor), EngineError> {
        Ok(self.store.tail(cursor, limit).await?)
    }

    /// Where the logbook of all jobs ends now: a tail from here shows only what is written from now on.
    pub async fn tail_end(&self) -> Result<Cursor, EngineError> {
        Ok(self.store.tail_end().await?)
    }

    /// Every host that ever ran on this store, newest first.
    pub async fn hosts(&self) -> Result<Vec<HostRecord>, EngineError> {
        let records = self.all_records(RecordKind::Host).await?;
        let hosts = records.into_iter().filter_map(|record| match record {
            Record::Host(host) => Some(host),
            _ => None,
        });
        let mut hosts: Vec<_> = hosts.collect();
        hosts.sort_by_key(|host| std::cmp::Reverse(host.started));
        Ok(hosts)
    }
}
