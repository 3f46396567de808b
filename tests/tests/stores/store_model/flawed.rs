//! Stores that are right but for one thing: what the traces must notice.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use windlass_core::entry::Entry;
use windlass_core::id::{Digest, HostId, JobId};
use windlass_core::instance::InstanceName;
use windlass_core::job::{Job, JobState};
use windlass_host::store::{
    Change, CommitError, Cursor, Due, Expected, Exported, JobFilter, JobPage, Record, RecordKey, RecordKind,
    Reference, Store, StoreFailure, UniqueKey, Unit,
};
use windlass_tests::model::Model;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    ClaimsAreNotFenced,
    NotesAreNotFenced,
    ThirdChangesAreLost,
    GenerationsAreNotChecked,
    KeysAreNotUnique,
    RefusedUnitsLeaveWhatCameBefore,
    LastEntriesAreLost,
    BoardIsByAgeAlone,
    DueIsEarly,
    PagesEndEarly,
    TailStopsOneShort,
    RetiredOperationsNeedPlugins,
    NotesOfPurgedJobsAreKept,
    RemovedBlobsAreKept,
    AwaitsAreOfJobsThatWait,
    EndedJobsTellNothing,
    FreeKeysAreNotChecked,
}

impl Flaw {
    pub const ALL: [Self; 17] = [
        Self::ClaimsAreNotFenced,
        Self::NotesAreNotFenced,
        Self::ThirdChangesAreLost,
        Self::GenerationsAreNotChecked,
        Self::KeysAreNotUnique,
        Self::RefusedUnitsLeaveWhatCameBefore,
        Self::LastEntriesAreLost,
        Self::BoardIsByAgeAlone,
        Self::DueIsEarly,
        Self::PagesEndEarly,
        Self::TailStopsOneShort,
        Self::RetiredOperationsNeedPlugins,
        Self::NotesOfPurgedJobsAreKept,
        Self::RemovedBlobsAreKept,
        Self::AwaitsAreOfJobsThatWait,
        Self::EndedJobsTellNothing,
        Self::FreeKeysAreNotChecked,
    ];
}

/// A model with a flaw.
pub struct Flawed {
    model: Model,
    flaw: Flaw,
}

impl Flawed {
    pub fn of(flaw: Flaw) -> Self {
        Self { model: Model::default(), flaw }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn alter(&self, change: &mut Change) {
        match change {
            Change::Job(change) if self.has(Flaw::ClaimsAreNotFenced) => change.epoch = None,
            Change::Job(change) if self.has(Flaw::LastEntriesAreLost) && change.entries.len() > 1 => {
                change.entries.pop();
            }
            Change::Note { job, epoch, .. } if self.has(Flaw::NotesAreNotFenced) => {
                let claim = self.model.state().jobs.get(job).and_then(|job| job.status.claim);
                *epoch = claim.map_or(*epoch, |claim| Some(claim.epoch));
            }
            Change::Put { expected, .. } if self.has(Flaw::GenerationsAreNotChecked) => {
                *expected = Expected::Any;
            }
            Change::ExpectFree { .. } if self.has(Flaw::FreeKeysAreNotChecked) => {
                *change = Change::ExpireKeys { before: DateTime::<Utc>::MIN_UTC };
            }
            Change::Take { key, .. } if self.has(Flaw::KeysAreNotUnique) => {
                self.model.state().keys.remove(key);
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Store for Flawed {
    async fn commit(&self, mut unit: Unit) -> Result<(), CommitError> {
        unit.changes.iter_mut().for_each(|change| self.alter(change));
        if self.has(Flaw::ThirdChangesAreLost) && unit.changes.len() > 2 {
            unit.changes.remove(2);
        }
        let notes = self.model.state().notes.clone();
        if self.has(Flaw::RefusedUnitsLeaveWhatCameBefore) && self.model.state().after(&unit).is_err() {
            for change in unit.changes.drain(..) {
                self.model.commit(Unit::of(vec![change])).await?;
            }
        }
        self.model.commit(unit).await?;
        if self.has(Flaw::NotesOfPurgedJobsAreKept) {
            let mut state = self.model.state();
            for (of, value) in notes {
                state.notes.entry(of).or_insert(value);
            }
        }
        Ok(())
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreFailure> {
        self.model.job(id).await
    }

    async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<JobPage, StoreFailure> {
        let mut page = self.model.jobs(filter, after, limit).await?;
        if self.has(Flaw::PagesEndEarly) && page.jobs.len() == limit {
            page.next = None;
        }
        Ok(page)
    }

    async fn board(&self, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        let mut board = self.model.board(limit).await?;
        if self.has(Flaw::BoardIsByAgeAlone) {
            board.sort();
        }
        Ok(board)
    }

    async fn claims(&self) -> Result<Vec<(HostId, JobId)>, StoreFailure> {
        self.model.claims().await
    }

    async fn awaiting(
        &self,
        event_type: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, StoreFailure> {
        let mut jobs = self.model.awaiting(event_type, after, limit).await?;
        if self.has(Flaw::AwaitsAreOfJobsThatWait) {
            let state = self.model.state();
            jobs.retain(|job| state.jobs.get(job).is_some_and(|job| job.status.state == JobState::Waiting));
        }
        Ok(jobs)
    }

    async fn untold(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, StoreFailure> {
        let mut jobs = self.model.untold(after, limit).await?;
        if self.has(Flaw::EndedJobsTellNothing) {
            let state = self.model.state();
            jobs.retain(|job| state.jobs.get(job).is_some_and(|job| !job.status.state.is_ended()));
        }
        Ok(jobs)
    }

    async fn due(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Due>, StoreFailure> {
        let early = if self.has(Flaw::DueIsEarly) { TimeDelta::microseconds(1) } else { TimeDelta::zero() };
        self.model.due(now + early, limit).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, StoreFailure> {
        self.model.next_due().await
    }

    async fn entries(&self, job: JobId, after: u64, limit: usize) -> Result<Vec<Entry>, StoreFailure> {
        self.model.entries(job, after, limit).await
    }

    async fn tail(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<(JobId, Entry)>, Cursor), StoreFailure> {
        let (mut entries, cursor) = self.model.tail(cursor, limit).await?;
        if self.has(Flaw::TailStopsOneShort) {
            entries.pop();
        }
        Ok((entries, cursor))
    }

    async fn tail_end(&self) -> Result<Cursor, StoreFailure> {
        self.model.tail_end().await
    }

    async fn record(&self, key: RecordKey) -> Result<Option<Record>, StoreFailure> {
        self.model.record(key).await
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreFailure> {
        self.model.records(kind, after, limit).await
    }

    async fn holder(&self, key: &UniqueKey) -> Result<Option<JobId>, StoreFailure> {
        self.model.holder(key).await
    }

    async fn note(
        &self,
        job: JobId,
        task: &InstanceName,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.model.note(job, task, name).await
    }

    async fn export(&self, items: mpsc::Sender<Exported>) -> Result<(), StoreFailure> {
        self.model.export(items).await
    }

    async fn references(&self, plugin: Digest, limit: usize) -> Result<Vec<Reference>, StoreFailure> {
        let mut found = self.model.references(plugin, limit).await?;
        if self.has(Flaw::RetiredOperationsNeedPlugins) {
            let operations = self.model.records(RecordKind::Operation, None, usize::MAX).await?;
            let deleted = operations.into_iter().filter_map(|record| match record {
                Record::Operation(operation) if operation.deleted.is_some() => Some(operation),
                _ => None,
            });
            let naming = deleted.filter(|it| it.flow.plugins().any(|pin| pin.digest == plugin));
            found.extend(naming.map(|operation| Reference::Operation(operation.id)));
        }
        Ok(found)
    }

    async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), StoreFailure> {
        self.model.put_blob(digest, bytes).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.model.blob(digest).await
    }

    async fn remove_blob(&self, digest: Digest) -> Result<(), StoreFailure> {
        if self.has(Flaw::RemovedBlobsAreKept) { Ok(()) } else { self.model.remove_blob(digest).await }
    }
}
