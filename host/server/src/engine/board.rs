//! The board, what is due, and what is left of hosts that are gone.

use chrono::{DateTime, Utc};
use futures::future::join_all;
use windlass_core::id::{HostId, JobId};

use crate::engine::{Engine, EngineError};
use crate::store::{Change, Due, Expected, HostRecord, HostState, Record, Unit};

impl Engine {
    /// Ready jobs, highest priority first, then oldest first.
    pub async fn ready(&self, limit: usize) -> Result<Vec<JobId>, EngineError> {
        Ok(self.store.board(limit).await?)
    }

    pub async fn due(&self, limit: usize) -> Result<Vec<Due>, EngineError> {
        Ok(self.store.due(self.now(), limit).await?)
    }

    pub async fn next_due(&self) -> Result<Option<DateTime<Utc>>, EngineError> {
        Ok(self.store.next_due().await?)
    }

    /// Makes this host known and its predecessors dead. Who holds the store's file knows that they are: no lease
    /// needs to be waited for.
    pub async fn succeed_predecessors(&self, name: &str, version: &str) -> Result<(), EngineError> {
        for mut host in self.hosts().await? {
            if host.id != self.host && matches!(host.state, HostState::Live | HostState::Draining) {
                host.state = HostState::Dead;
                self.put_host(host).await?;
            }
        }
        let started = self.now();
        let (name, version) = (name.to_owned(), version.to_owned());
        let state = HostState::Live;
        self.put_host(HostRecord { id: self.host, name, version, state, started, generation: 0 }).await
    }

    /// Claims that nobody serves: those of other hosts, which are gone, and those of this one that `is_served`
    /// does not know.
    pub async fn orphans(
        &self,
        is_served: impl Fn(JobId) -> bool,
    ) -> Result<Vec<(HostId, JobId)>, EngineError> {
        let claims = self.store.claims().await?;
        Ok(claims.into_iter().filter(|(host, job)| *host != self.host || !is_served(*job)).collect())
    }

    /// Takes claims from hosts that do not serve them. What they were doing is in doubt.
    pub async fn take_over(&self, orphans: &[(HostId, JobId)]) -> Result<(), EngineError> {
        let actor = self.host_actor();
        let taken = orphans.iter().map(|(host, job)| {
            self.decide(*job, &actor, move |decision| {
                // Whoever has the claim now, it is not the one that was lost.
                let is_held = decision.job.status.claim.is_some_and(|claim| claim.host == *host);
                if is_held { decision.lose_claim(*host) } else { Ok(()) }
            })
        });
        for taken in join_all(taken).await {
            taken?;
        }
        Ok(())
    }

    /// Tells where this host is in its life.
    pub async fn set_host_state(&self, state: HostState) -> Result<(), EngineError> {
        let found = self.hosts().await?.into_iter().find(|host| host.id == self.host);
        match found {
            Some(host) => self.put_host(HostRecord { state, ..host }).await,
            None => Err(EngineError::not_found("host", self.host)),
        }
    }

    async fn put_host(&self, mut host: HostRecord) -> Result<(), EngineError> {
        host.generation += 1;
        let put = Change::Put { record: Record::Host(host), expected: Expected::Any };
        Ok(self.commit(Unit::of(vec![put])).await?)
    }
}
