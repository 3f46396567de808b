//! The board, what is due, and what is left of hosts that are gone.

use chrono::{DateTime, Utc};
use windlass_core::id::JobId;

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

    /// Makes this host known, and takes every claim from hosts that are gone. Who holds the store's file knows
    /// that its predecessor is dead: no lease needs to be waited for.
    pub async fn succeed_predecessors(&self, name: &str, version: &str) -> Result<usize, EngineError> {
        for mut host in self.hosts().await? {
            if host.id != self.host && matches!(host.state, HostState::Live | HostState::Draining) {
                host.state = HostState::Dead;
                self.put_host(host).await?;
            }
        }
        self.put_host(HostRecord {
            id: self.host,
            name: name.to_owned(),
            version: version.to_owned(),
            state: HostState::Live,
            started: self.now(),
            generation: 0,
        })
        .await?;
        let lost: Vec<_> =
            self.store.claims().await?.into_iter().filter(|(host, _)| *host != self.host).collect();
        let actor = self.host_actor();
        for (host, job) in &lost {
            self.decide(*job, &actor, |decision| decision.lose_claim(*host)).await?;
        }
        Ok(lost.len())
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
