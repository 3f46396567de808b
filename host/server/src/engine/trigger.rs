//! Triggers: their life, and what happens when one is due.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use windlass_core::decide::create::{Timing, create, create_dropped};
use windlass_core::entry::Actor;
use windlass_core::id::{JobId, OperationId, TriggerId};
use windlass_core::job::{Cause, Job, JobSpec, Origin};
use windlass_core::occurrence::Occurrence;
use windlass_core::operation::Operation;
use windlass_core::permit::{Kind, Verb};
use windlass_core::schedule::{Schedule, ScheduleContext, ScheduleSpec};
use windlass_core::trigger::{Trigger, TriggerKind, TriggerRefused, TriggerSpec, Verdict};

use crate::engine::plugin::check_generation;
use crate::engine::{DECIDE_TRIES_MAX, Engine, EngineError};
use crate::store::{
    Change, CommitError, Expected, JobFilter, Record, RecordKey, RecordKind, UniqueKey, Unit,
};

/// Jobs that one firing makes in one transaction: enough for any fan-out, small enough not to hold up others.
pub const FIRING_JOBS_MAX: usize = 1_000;
/// Bytes of arguments that one firing copies into its jobs in one transaction.
pub const FIRING_BYTES_MAX: usize = 16 << 20;
/// The jobs of one firing are made within moments of each other.
const FIRING_SPREAD: TimeDelta = TimeDelta::seconds(60);
/// Times that one preview shows.
pub const PREVIEW_MAX: usize = 1_000;
/// Records read from the store at once.
const PAGE: usize = 500;

impl Engine {
    pub async fn create_trigger(
        &self,
        id: Option<TriggerId>,
        spec: &TriggerSpec,
    ) -> Result<Trigger, EngineError> {
        self.permits(&spec.owner, Verb::Create, Kind::Trigger, &spec.owner)?;
        let _names = self.names.lock().await;
        self.check_trigger_name(&spec.name, None).await?;
        let id = id.unwrap_or_else(|| TriggerId(self.new_id()));
        let trigger = Trigger::create(id, spec, self.interval_floor_ms(), self.now())?;
        let record = Record::Trigger(trigger.clone());
        match self.commit(Unit::of(vec![Change::Put { record, expected: Expected::Absent }])).await {
            Ok(()) => Ok(trigger),
            Err(CommitError::Conflict(_)) => Err(EngineError::Exists {
                kind: "trigger",
                id: id.to_string(),
                message: "choose another id, or update it".to_owned(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// A trigger by its id or name.
    pub async fn trigger(&self, reference: &str) -> Result<Trigger, EngineError> {
        if let Ok(id) = reference.parse::<TriggerId>() {
            return self.trigger_by_id(id).await?.ok_or_else(|| EngineError::not_found("trigger", reference));
        }
        let named = self.triggers().await?.into_iter().find(|trigger| trigger.name == reference);
        named.ok_or_else(|| EngineError::not_found("trigger", reference))
    }

    pub async fn trigger_by_id(&self, id: TriggerId) -> Result<Option<Trigger>, EngineError> {
        match self.store.record(RecordKey::Trigger(id)).await? {
            Some(Record::Trigger(trigger)) => Ok(Some(trigger)),
            _ => Ok(None),
        }
    }

    /// Every trigger, in the order of creation.
    pub async fn triggers(&self) -> Result<Vec<Trigger>, EngineError> {
        let records = self.all_records(RecordKind::Trigger).await?;
        Ok(records
            .into_iter()
            .filter_map(|record| match record {
                Record::Trigger(trigger) => Some(trigger),
                _ => None,
            })
            .collect())
    }

    pub async fn update_trigger(
        &self,
        reference: &str,
        principal: &str,
        generation: Option<u64>,
        edit: impl Fn(&Trigger) -> Result<TriggerSpec, EngineError>,
    ) -> Result<Trigger, EngineError> {
        let _names = self.names.lock().await;
        let floor_ms = self.interval_floor_ms();
        let found = self.trigger(reference).await?;
        self.permits(principal, Verb::Update, Kind::Trigger, &found.owner)?;
        self.check_trigger_name(&edit(&found)?.name, Some(found.id)).await?;
        self.change_trigger(found.id, generation, |trigger, now| {
            Ok(trigger.update(&edit(trigger)?, floor_ms, now)?)
        })
        .await
    }

    pub async fn pause_trigger(
        &self,
        reference: &str,
        principal: &str,
        note: &str,
        generation: Option<u64>,
    ) -> Result<Trigger, EngineError> {
        let found = self.trigger(reference).await?;
        self.permits(principal, Verb::Update, Kind::Trigger, &found.owner)?;
        self.change_trigger(found.id, generation, |trigger, now| Ok(trigger.pause(note, now)?)).await
    }

    pub async fn resume_trigger(
        &self,
        reference: &str,
        principal: &str,
        generation: Option<u64>,
    ) -> Result<Trigger, EngineError> {
        let found = self.trigger(reference).await?;
        self.permits(principal, Verb::Update, Kind::Trigger, &found.owner)?;
        self.change_trigger(found.id, generation, |trigger, now| Ok(trigger.resume(now)?)).await
    }

    pub async fn delete_trigger(
        &self,
        reference: &str,
        principal: &str,
        generation: Option<u64>,
    ) -> Result<(), EngineError> {
        // No operation is bound meanwhile: that takes the same lock.
        let _names = self.names.lock().await;
        let trigger = self.trigger(reference).await?;
        self.permits(principal, Verb::Delete, Kind::Trigger, &trigger.owner)?;
        check_generation(&format!("trigger {reference}"), trigger.generation, generation)?;
        let bound = self.bound(trigger.id).await?;
        let named: Vec<(OperationId, &str)> = bound.iter().map(|o| (o.id, o.name.as_str())).collect();
        trigger.check_delete(&named)?;
        let remove = Change::Remove { key: RecordKey::Trigger(trigger.id), generation: trigger.revision };
        Ok(self.commit(Unit::of(vec![remove])).await?)
    }

    /// Makes an occurrence now, once for each request id: a repeated one answers the jobs of the first.
    pub async fn fire_trigger(
        &self,
        reference: &str,
        principal: &str,
        request_id: &str,
    ) -> Result<Vec<JobId>, EngineError> {
        for _ in 0..DECIDE_TRIES_MAX {
            let trigger = self.trigger(reference).await?;
            self.permits(principal, Verb::Fire, Kind::Trigger, &trigger.owner)?;
            let key = UniqueKey::Request {
                principal: principal.to_owned(),
                request_id: format!("fire/{}/{request_id}", trigger.id),
            };
            let now = self.now();
            let occurrence = trigger.fire_now(request_id, now)?;
            let actor = Actor::Principal(principal.to_owned());
            let (mut unit, jobs) =
                self.fan_out(&trigger, &[(occurrence, Verdict::Run)], None, &actor).await?;
            let holder = jobs.first().copied().unwrap_or(JobId(trigger.id.0));
            unit.changes.insert(0, Change::Take { key, at: now, job: holder });
            match self.commit(unit).await {
                Ok(()) => return Ok(jobs),
                Err(CommitError::Taken { holder }) => return self.fired_before(&trigger, holder).await,
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject: format!("trigger {reference}") })
    }

    /// The jobs of the firing that made this one.
    async fn fired_before(&self, trigger: &Trigger, first: JobId) -> Result<Vec<JobId>, EngineError> {
        let occurrence_of = |spec: &JobSpec| match &spec.origin {
            Origin::Operation { occurrence, .. } => Some(occurrence.clone()),
            Origin::Submitted | Origin::Child(_) => None,
        };
        let Some(job) = self.store.job(first).await? else { return Ok(Vec::new()) };
        let occurrence = occurrence_of(&job.spec);
        let filter = JobFilter {
            trigger: Some(trigger.id),
            created_from: Some(job.spec.created - FIRING_SPREAD),
            created_before: Some(job.spec.created + FIRING_SPREAD),
            ..JobFilter::default()
        };
        let (mut jobs, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.jobs(&filter, after, PAGE).await?;
            let same = page.jobs.iter().filter(|(spec, _)| occurrence_of(spec) == occurrence);
            jobs.extend(same.map(|(spec, _)| spec.id));
            after = page.next;
            if after.is_none() {
                jobs.sort();
                return Ok(jobs);
            }
        }
    }

    /// When a schedule will be due.
    pub fn preview(
        &self,
        schedule: &Schedule,
        after: DateTime<Utc>,
        count: usize,
    ) -> Result<Vec<DateTime<Utc>>, EngineError> {
        let times = schedule.preview(after, count.min(PREVIEW_MAX));
        times.map_err(|error| EngineError::invalid("schedule", error.to_string()))
    }

    /// A schedule that need not exist.
    pub fn check_schedule(&self, spec: &ScheduleSpec) -> Result<Schedule, EngineError> {
        let now = self.now();
        let context = ScheduleContext { now, anchor: now, floor_ms: self.interval_floor_ms() };
        Ok(Schedule::validate(spec, context)?)
    }

    /// The schedule of a trigger that has one.
    pub fn schedule_of(trigger: &Trigger) -> Result<&Schedule, EngineError> {
        match &trigger.kind {
            TriggerKind::Schedule(schedule) => Ok(schedule),
            TriggerKind::Events(_) => {
                let message = format!("trigger {} waits for events: it has no times", trigger.name);
                Err(EngineError::precondition(format!("trigger {}", trigger.id), message))
            }
        }
    }

    /// Decides everything that a trigger is due for: the jobs, the high-water mark and the next due time in one
    /// transaction, as often as it takes.
    pub async fn fire_due(&self, id: TriggerId) -> Result<(), EngineError> {
        for _ in 0..DECIDE_TRIES_MAX {
            let Some(trigger) = self.trigger_by_id(id).await? else { return Ok(()) };
            let bound = self.bound(id).await?;
            let bytes: usize = bound.iter().map(arguments_bytes).sum();
            let by_bytes = FIRING_BYTES_MAX / bytes.max(1);
            let batch_max = (FIRING_JOBS_MAX / bound.len().max(1)).min(by_bytes).max(1);
            let firing = match trigger.fire(self.now(), batch_max) {
                Ok(firing) => firing,
                Err(error) => {
                    tracing::error!(trigger = %id, %error, "a schedule cannot be evaluated");
                    return Ok(());
                }
            };
            if firing.trigger == trigger {
                return Ok(());
            }
            if let Some(gap) = &firing.gap {
                tracing::warn!(trigger = %id, from = %gap.from, to = %gap.to, count = gap.count, "missed");
            }
            let due: Vec<_> =
                firing.occurrences.into_iter().map(|due| (due.occurrence, due.verdict)).collect();
            let actor = self.host_actor();
            let (unit, _) = self.fan_out(&trigger, &due, Some(firing.trigger), &actor).await?;
            match self.commit(unit).await {
                Ok(()) if !firing.more => return Ok(()),
                Ok(()) | Err(CommitError::Conflict(_) | CommitError::Taken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The due index still names it: it goes on at the next turn.
        tracing::warn!(trigger = %id, tries = DECIDE_TRIES_MAX, "a trigger is due for more than one turn decides");
        Ok(())
    }

    /// The jobs that occurrences make of every operation that is bound and enabled.
    async fn fan_out(
        &self,
        trigger: &Trigger,
        due: &[(Occurrence, Verdict)],
        after: Option<Trigger>,
        actor: &Actor,
    ) -> Result<(Unit, Vec<JobId>), EngineError> {
        let operations = self.bound(trigger.id).await?;
        let mut unit = Unit::default();
        match after {
            Some(mut after) => {
                after.revision = trigger.revision + 1;
                let expected = Expected::Generation(trigger.revision);
                unit.changes.push(Change::Put { record: Record::Trigger(after), expected });
            }
            None => unit
                .changes
                .push(Change::Expect { key: RecordKey::Trigger(trigger.id), generation: trigger.revision }),
        }
        for operation in &operations {
            let key = RecordKey::Operation(operation.id);
            unit.changes.push(Change::Expect { key, generation: operation.generation });
        }
        let mut jobs = Vec::new();
        for (occurrence, verdict) in due {
            for operation in operations.iter().filter(|operation| operation.due_for(occurrence)) {
                let job =
                    self.occur(&mut unit, operation, occurrence, trigger.window_ms, *verdict, None, actor);
                jobs.push(job);
            }
        }
        Ok((unit, jobs))
    }

    /// Adds the job that an occurrence makes of one operation.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn occur(
        &self,
        unit: &mut Unit,
        operation: &Operation,
        occurrence: &Occurrence,
        window_ms: u64,
        verdict: Verdict,
        event: Option<serde_json::Value>,
        actor: &Actor,
    ) -> JobId {
        let now = self.now();
        let spec = self.spec_of(operation, occurrence, window_ms, event, now);
        let id = spec.id;
        let key = UniqueKey::Occurrence { key: occurrence.key(operation.id).to_vec() };
        unit.changes.push(Change::Take { key, at: now, job: id });
        let (spec, flow) = (Arc::new(spec), Arc::new(operation.flow.clone()));
        let (job, entries): (Job, _) = match verdict {
            Verdict::Run | Verdict::CatchUp => {
                let timing = Timing { execute_at: None, priority: operation.priority };
                create(spec, flow, timing, actor.clone())
            }
            Verdict::Dropped => create_dropped(spec, flow, Cause::Window, actor.clone()),
        };
        unit.changes.push(Change::birth(&job, entries));
        id
    }

    fn spec_of(
        &self,
        operation: &Operation,
        occurrence: &Occurrence,
        window_ms: u64,
        event: Option<serde_json::Value>,
        now: DateTime<Utc>,
    ) -> JobSpec {
        let mut arguments = operation.arguments.clone();
        if let (Some(name), Some(event)) = (&operation.event_argument, event) {
            arguments.insert(name.clone(), event);
        }
        JobSpec {
            id: JobId(self.new_id()),
            owner: operation.owner.clone(),
            principal: operation.principal.clone(),
            job_type: operation.job_type.clone(),
            labels: operation.labels.clone(),
            flow: operation.flow.digest(),
            flow_revision: operation.flow_revision.clone(),
            arguments,
            grants: operation.grants.clone(),
            timeout_ms: operation.timeout_ms,
            origin: Origin::Operation { operation: operation.id, occurrence: occurrence.clone(), window_ms },
            rerun_of: None,
            never_revert: operation.never_revert,
            created: now,
        }
    }

    /// The operations that are bound to a trigger and not deleted.
    pub(super) async fn bound(&self, trigger: TriggerId) -> Result<Vec<Operation>, EngineError> {
        let operations = self.operations().await?;
        Ok(operations.into_iter().filter(|o| o.trigger == trigger && o.deleted.is_none()).collect())
    }

    async fn change_trigger(
        &self,
        id: TriggerId,
        generation: Option<u64>,
        decide: impl Fn(&Trigger, DateTime<Utc>) -> Result<Trigger, EngineError>,
    ) -> Result<Trigger, EngineError> {
        for _ in 0..DECIDE_TRIES_MAX {
            let trigger =
                self.trigger_by_id(id).await?.ok_or_else(|| EngineError::not_found("trigger", id))?;
            check_generation(&format!("trigger {id}"), trigger.generation, generation)?;
            // What is due already is decided under the old rules first.
            if trigger.next_due.is_some_and(|due| due <= self.now()) {
                self.fire_due(id).await?;
                continue;
            }
            let mut changed = decide(&trigger, self.now())?;
            if changed == trigger {
                return Ok(trigger);
            }
            changed.revision = trigger.revision + 1;
            let expected = Expected::Generation(trigger.revision);
            let put = Change::Put { record: Record::Trigger(changed.clone()), expected };
            match self.commit(Unit::of(vec![put])).await {
                Ok(()) => return Ok(changed),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy { subject: format!("trigger {id}") })
    }

    async fn check_trigger_name(&self, name: &str, but: Option<TriggerId>) -> Result<(), EngineError> {
        let triggers = self.triggers().await?;
        match triggers.iter().find(|trigger| trigger.name == name && Some(trigger.id) != but) {
            None => Ok(()),
            Some(other) => Err(EngineError::Exists {
                kind: "trigger",
                id: name.to_owned(),
                message: format!("it has the id {}; choose another name", other.id),
            }),
        }
    }

    fn interval_floor_ms(&self) -> u64 {
        self.limits.interval_min_ms
    }

    pub(super) async fn all_records(&self, kind: RecordKind) -> Result<Vec<Record>, EngineError> {
        let mut records: Vec<Record> = Vec::new();
        loop {
            let after = records.last().map(Record::key);
            let page = self.store.records(kind, after, PAGE).await?;
            let is_last = page.len() < PAGE;
            records.extend(page);
            if is_last {
                return Ok(records);
            }
        }
    }
}

/// What the arguments of an operation add to each of its jobs.
pub(super) fn arguments_bytes(operation: &Operation) -> usize {
    serde_json::Value::Object(operation.arguments.clone()).to_string().len()
}

impl From<TriggerRefused> for EngineError {
    fn from(refused: TriggerRefused) -> Self {
        let subject = match &refused {
            TriggerRefused::Invalid(problems) => return Self::Invalid(problems.clone()),
            TriggerRefused::Undecided { trigger, .. } => {
                return Self::Busy { subject: format!("trigger {trigger}") };
            }
            TriggerRefused::WindowOpen { trigger, .. }
            | TriggerRefused::Bound { trigger, .. }
            | TriggerRefused::Exhausted { trigger }
            | TriggerRefused::Paused { trigger }
            | TriggerRefused::WaitsForEvents { trigger }
            | TriggerRefused::Unevaluable { trigger, .. } => format!("trigger {trigger}"),
        };
        Self::Precondition { subject, message: refused.to_string() }
    }
}
