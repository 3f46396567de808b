//! Operations: a flow bound to a trigger.

use serde_json::Value;
use windlass_core::flow::Flow;
use windlass_core::id::OperationId;
use windlass_core::job::JobState;
use windlass_core::operation::{Operation, OperationRefused, OperationSpec};
use windlass_core::permit::{Kind, Verb};
use windlass_core::problem::Problems;
use windlass_core::trigger::{Trigger, TriggerState};

use crate::engine::flow::Pinned;
use crate::engine::plugin::check_generation;
use crate::engine::revision::FlowReference;
use crate::engine::trigger::FIRING_JOBS_MAX;
use crate::engine::{DECIDE_TRIES_MAX, Engine, EngineError};
use crate::store::{Change, CommitError, Expected, JobFilter, Record, RecordKey, RecordKind, Unit};

/// Jobs looked at in one read.
const LIVE_PAGE: usize = 1_000;

/// An operation as somebody asks for it: plugins by name, trigger by id or name.
#[derive(Debug, Clone)]
pub struct OperationDraft {
    /// All but the flow and the trigger.
    pub spec: OperationSpec,
    pub trigger: String,
    pub flow: Flow<String>,
    /// A flow under a name, in the place of `flow`.
    pub reference: Option<FlowReference>,
}

/// A draft with everything found that it names.
struct Settled {
    spec: OperationSpec,
    trigger: Trigger,
    pinned: Pinned,
    /// What of the flow's name must still be so.
    expectation: Option<Change>,
}

/// What an operation is doing, derived from its trigger and its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    /// Not armed: disabled, or its trigger is not active.
    Init,
    Registered,
    /// A job waits.
    Triggered,
    /// A job runs.
    Running,
    Deleted,
}

impl Engine {
    pub async fn create_operation(
        &self,
        id: Option<OperationId>,
        draft: OperationDraft,
        enabled: bool,
        dry_run: bool,
    ) -> Result<Operation, EngineError> {
        self.permits(&draft.spec.principal, Verb::Create, Kind::Operation, &draft.spec.owner)?;
        let _names = self.names.lock().await;
        let Settled { spec, trigger, pinned, expectation } = self.settle(draft, None).await?;
        self.check_operation_name(&spec.name, None).await?;
        if self.bound(trigger.id).await?.len() >= FIRING_JOBS_MAX {
            let message =
                format!("trigger {} has {FIRING_JOBS_MAX} operations, the most it can have", trigger.name);
            return Err(EngineError::precondition(format!("trigger {}", trigger.id), message));
        }
        let id = id.unwrap_or_else(|| OperationId(self.new_id()));
        let now = self.now();
        let operation = Operation::create(id, &spec, &trigger, enabled, &|pin| pinned.lookup(pin), now)?;
        if dry_run {
            return Ok(operation);
        }
        let mut changes: Vec<_> = pinned.expectations().chain(expectation).collect();
        changes
            .push(Change::Put { record: Record::Operation(operation.clone()), expected: Expected::Absent });
        match self.commit(Unit::of(changes)).await {
            Ok(()) => Ok(operation),
            Err(CommitError::Conflict(crate::store::Conflict::Exists { .. })) => Err(EngineError::Exists {
                kind: "operation",
                id: id.to_string(),
                message: "choose another id, or update it".to_owned(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// An operation by its id, also a deleted one, or by its name.
    pub async fn operation(&self, reference: &str) -> Result<Operation, EngineError> {
        let not_found = || EngineError::not_found("operation", reference);
        if let Ok(id) = reference.parse::<OperationId>() {
            return match self.store.record(RecordKey::Operation(id)).await? {
                Some(Record::Operation(operation)) => Ok(operation),
                _ => Err(not_found()),
            };
        }
        let operations = self.operations().await?;
        let named = operations.into_iter().find(|o| o.name == reference && o.deleted.is_none());
        named.ok_or_else(not_found)
    }

    /// Every operation, deleted ones too, in the order of creation.
    pub async fn operations(&self) -> Result<Vec<Operation>, EngineError> {
        let records = self.all_records(RecordKind::Operation).await?;
        Ok(records
            .into_iter()
            .filter_map(|record| match record {
                Record::Operation(operation) => Some(operation),
                _ => None,
            })
            .collect())
    }

    pub async fn update_operation(
        &self,
        reference: &str,
        principal: &str,
        generation: Option<u64>,
        edit: impl Fn(&Operation) -> Result<OperationDraft, EngineError>,
    ) -> Result<Operation, EngineError> {
        let _names = self.names.lock().await;
        for _ in 0..DECIDE_TRIES_MAX {
            let operation = self.operation(reference).await?;
            self.permits(principal, Verb::Update, Kind::Operation, &operation.owner)?;
            check_generation(&format!("operation {reference}"), operation.generation, generation)?;
            let draft = edit(&operation)?;
            let Settled { spec, trigger, pinned, expectation } =
                self.settle(draft, Some(&operation.flow)).await?;
            self.check_operation_name(&spec.name, Some(operation.id)).await?;
            let updated = operation.update(&spec, &trigger, &|pin| pinned.lookup(pin), self.now())?;
            let expectations: Vec<_> = pinned.expectations().chain(expectation).collect();
            if self.replace(&operation, &updated, expectations).await? {
                return Ok(updated);
            }
        }
        Err(EngineError::Busy { subject: format!("operation {reference}") })
    }

    pub async fn enable_operation(
        &self,
        reference: &str,
        principal: &str,
        enabled: bool,
        generation: Option<u64>,
    ) -> Result<Operation, EngineError> {
        self.change_operation(reference, principal, Verb::Update, generation, |operation| {
            if enabled { operation.enable(self.now()) } else { operation.disable(self.now()) }
        })
        .await
    }

    pub async fn delete_operation(
        &self,
        reference: &str,
        principal: &str,
        generation: Option<u64>,
    ) -> Result<Operation, EngineError> {
        self.change_operation(reference, principal, Verb::Delete, generation, |o| o.delete(self.now())).await
    }

    pub async fn operation_state(&self, operation: &Operation) -> Result<OperationState, EngineError> {
        if operation.deleted.is_some() {
            return Ok(OperationState::Deleted);
        }
        let mut has_waiting = false;
        let live = JobState::ALL.into_iter().filter(|state| !state.is_ended()).collect();
        let filter = JobFilter { states: live, operation: Some(operation.id), ..JobFilter::default() };
        let mut after = None;
        loop {
            let page = self.store.jobs(&filter, after, LIVE_PAGE).await?;
            if page.jobs.iter().any(|(_, status)| status.state.is_claimed()) {
                return Ok(OperationState::Running);
            }
            has_waiting |= !page.jobs.is_empty();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if has_waiting {
            return Ok(OperationState::Triggered);
        }
        let trigger = self.trigger_by_id(operation.trigger).await?;
        let is_armed = operation.enabled && trigger.is_some_and(|t| t.state == TriggerState::Active);
        Ok(if is_armed { OperationState::Registered } else { OperationState::Init })
    }

    async fn change_operation(
        &self,
        reference: &str,
        principal: &str,
        verb: Verb,
        generation: Option<u64>,
        decide: impl Fn(&Operation) -> Result<Operation, OperationRefused>,
    ) -> Result<Operation, EngineError> {
        for _ in 0..DECIDE_TRIES_MAX {
            let operation = self.operation(reference).await?;
            self.permits(principal, verb, Kind::Operation, &operation.owner)?;
            check_generation(&format!("operation {reference}"), operation.generation, generation)?;
            let changed = decide(&operation)?;
            if changed == operation || self.replace(&operation, &changed, Vec::new()).await? {
                return Ok(changed);
            }
        }
        Err(EngineError::Busy { subject: format!("operation {reference}") })
    }

    /// False where somebody else moved first.
    async fn replace(
        &self,
        old: &Operation,
        new: &Operation,
        mut changes: Vec<Change>,
    ) -> Result<bool, EngineError> {
        let expected = Expected::Generation(old.generation);
        changes.push(Change::Put { record: Record::Operation(new.clone()), expected });
        match self.commit(Unit::of(changes)).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds the trigger and the flow, and pins the plugins; every problem of all, and of the grants, at once.
    async fn settle(&self, draft: OperationDraft, kept: Option<&Flow>) -> Result<Settled, EngineError> {
        let trigger = self.trigger(&draft.trigger).await?;
        self.permits(&draft.spec.principal, Verb::Read, Kind::Trigger, &trigger.owner)?;
        let mut problems: Problems = self.check_host_grants(&draft.spec.grants);
        let bytes = Value::Object(draft.spec.arguments.clone()).to_string().len();
        if bytes > self.limits.arguments_bytes_max {
            let message = format!("are {bytes} bytes as JSON: at most {}", self.limits.arguments_bytes_max);
            problems.add("arguments", message);
        }
        let (flow, flow_revision, expectation) = match &draft.reference {
            None => (draft.flow, draft.spec.flow_revision.clone(), None),
            Some(reference) => {
                let resolved = self.resolve_flow(reference, &draft.spec.principal).await?;
                (resolved.flow, Some(resolved.name), Some(resolved.expectation))
            }
        };
        let pinned = match self.pin_flow(flow, &draft.spec.principal, kept).await {
            Ok(pinned) => pinned,
            Err(EngineError::Invalid(more)) => {
                problems.0.extend(more.0);
                return Err(problems.into());
            }
            Err(error) => return Err(error),
        };
        problems.or(())?;
        let spec = OperationSpec {
            trigger: trigger.id,
            flow: Flow::clone(&pinned.flow),
            flow_revision,
            ..draft.spec
        };
        Ok(Settled { spec, trigger, pinned, expectation })
    }

    async fn check_operation_name(&self, name: &str, but: Option<OperationId>) -> Result<(), EngineError> {
        let operations = self.operations().await?;
        let is_other = |o: &&Operation| o.name == name && o.deleted.is_none() && Some(o.id) != but;
        match operations.iter().find(is_other) {
            None => Ok(()),
            Some(other) => Err(EngineError::Exists {
                kind: "operation",
                id: name.to_owned(),
                message: format!("it has the id {}; choose another name", other.id),
            }),
        }
    }
}

impl From<OperationRefused> for EngineError {
    fn from(refused: OperationRefused) -> Self {
        match refused {
            OperationRefused::Invalid(problems) => Self::Invalid(problems),
            OperationRefused::Trigger(refused) => refused.into(),
            OperationRefused::Deleted { operation, .. } => {
                Self::precondition(format!("operation {operation}"), refused.to_string())
            }
        }
    }
}
