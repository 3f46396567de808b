//! Events: what is published, the jobs that it is given to, and those that it makes.

use windlass_core::entry::Actor;
use windlass_core::event::CloudEvent;
use windlass_core::id::JobId;
use windlass_core::permit::{Kind, Verb};
use windlass_core::problem::Problems;
use windlass_core::trigger::Verdict;

use crate::engine::delivery::Delivery;
use crate::engine::trigger::{FIRING_BYTES_MAX, FIRING_JOBS_MAX, arguments_bytes};
use crate::engine::{DECIDE_TRIES_MAX, Engine, EngineError};
use crate::store::{Change, CommitError, RecordKey, UniqueKey, Unit};

/// Events of one publication.
pub const EVENTS_MAX: usize = 1_000;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    Accepted {
        /// Those that it made.
        jobs: Vec<JobId>,
        /// How many jobs waited for it, and were given it.
        delivered: usize,
    },
    /// The same (source, id) was taken before, within the window of deduplication.
    Duplicate,
}

impl Engine {
    /// Takes events: where one is malformed, none of them. The jobs of each are durable when it returns, and every job
    /// that waited for it has it.
    pub async fn publish(
        &self,
        principal: &str,
        events: &[CloudEvent],
    ) -> Result<Vec<Published>, EngineError> {
        self.permits(principal, Verb::Create, Kind::Event, principal)?;
        let mut problems = Problems::default();
        if events.is_empty() || events.len() > EVENTS_MAX {
            problems.add("events", format!("are {}: give 1 to {EVENTS_MAX}", events.len()));
        }
        for (index, event) in events.iter().enumerate() {
            for problem in event.validate().err().map(|problems| problems.0).into_iter().flatten() {
                let field = problem.path.strip_prefix("event").unwrap_or(&problem.path);
                problems.add(format!("events[{index}]{field}"), problem.message);
            }
        }
        problems.or(())?;
        let mut published = Vec::with_capacity(events.len());
        for event in events {
            published.push(self.publish_one(principal, event).await?);
        }
        Ok(published)
    }

    async fn publish_one(&self, principal: &str, event: &CloudEvent) -> Result<Published, EngineError> {
        let key = key_of(event);
        if self.store.holder(&key).await?.is_some() {
            return Ok(Published::Duplicate);
        }
        // First: an event that makes too much is refused before anybody has it.
        let mut matched = self.match_event(principal, event).await?;
        let actor = Actor::Principal(principal.to_owned());
        let delivered = match self.deliver(&actor, event, &key).await? {
            Delivery::Made(count) => count,
            Delivery::Taken => return Ok(Published::Duplicate),
        };
        for _ in 0..DECIDE_TRIES_MAX {
            let (unit, jobs) = matched;
            match self.commit(unit).await {
                Ok(()) => return Ok(Published::Accepted { jobs, delivered }),
                Err(CommitError::Taken { .. }) => return Ok(Published::Duplicate),
                Err(CommitError::Conflict(_)) => matched = self.match_event(principal, event).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject: format!("event {} of {}", event.id, event.source) })
    }

    async fn match_event(
        &self,
        principal: &str,
        event: &CloudEvent,
    ) -> Result<(Unit, Vec<JobId>), EngineError> {
        let now = self.now();
        let actor = Actor::Principal(principal.to_owned());
        let mut unit = Unit::default();
        let mut jobs = Vec::new();
        let mut bytes = 0;
        for trigger in self.triggers().await? {
            let Some(occurrence) = trigger.on_event(event, now) else { continue };
            let key = RecordKey::Trigger(trigger.id);
            unit.changes.push(Change::Expect { key, generation: trigger.revision });
            for operation in self.bound(trigger.id).await? {
                if !operation.due_for(&occurrence) {
                    continue;
                }
                let key = RecordKey::Operation(operation.id);
                unit.changes.push(Change::Expect { key, generation: operation.generation });
                bytes += arguments_bytes(&operation);
                if jobs.len() >= FIRING_JOBS_MAX || bytes > FIRING_BYTES_MAX {
                    return Err(too_many(event));
                }
                let json = Some(event.to_json());
                let window_ms = trigger.window_ms;
                jobs.push(self.occur(
                    &mut unit,
                    &operation,
                    &occurrence,
                    window_ms,
                    Verdict::Run,
                    json,
                    &actor,
                ));
            }
        }
        let key = key_of(event);
        let job = jobs.first().copied().unwrap_or(JobId(uuid::Uuid::nil()));
        unit.changes.insert(0, Change::Take { key, at: now, job });
        Ok((unit, jobs))
    }
}

fn key_of(event: &CloudEvent) -> UniqueKey {
    let (source, id) = event.dedupe_key();
    UniqueKey::Event { source: source.to_owned(), id: id.to_owned() }
}

fn too_many(event: &CloudEvent) -> EngineError {
    let message = format!(
        "event {} of {} would make more than {FIRING_JOBS_MAX} jobs, or jobs with more than {FIRING_BYTES_MAX} bytes \
         of arguments: nothing was made; bind fewer operations to what it matches",
        event.id, event.source
    );
    EngineError::precondition(format!("event {}", event.id), message)
}
