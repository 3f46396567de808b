//! Operations: a trigger bound to a flow, with arguments, grants and a principal.
//!
//! Invariants:
//! - An operation has jobs only of occurrences since it was enabled: disabled time has none.
//! - Deleting leaves a tombstone, which never changes again. Its jobs stay readable.
//! - An edit is not retroactive: jobs that exist keep what they were made with, and bound to another trigger, an
//!   operation is due only for what comes after the edit.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::arguments::{Schemas, check_description, check_labels, check_name, check_text, validate_flow};
use crate::call::Grants;
use crate::flow::{Flow, PluginPin};
use crate::id::{OperationId, TriggerId};
use crate::occurrence::{Occurrence, Origin};
use crate::problem::Problems;
use crate::revision::RevisionName;
use crate::schedule::whole_milliseconds;
use crate::trigger::{Trigger, TriggerKind, TriggerRefused};

/// The longest that a job may be given: 31 days, as long as the longest window of a trigger.
pub const JOB_TIMEOUT_MS_MAX: u64 = 31 * 24 * 3_600 * 1_000;
/// The lowest and the highest priority: people count in tens and hundreds, and nobody outbids everybody for ever.
pub const PRIORITY_MIN: i32 = -1_000;
pub const PRIORITY_MAX: i32 = 1_000;
/// Directories that one operation may be granted; each costs an open handle in every call.
pub const DIRECTORY_GRANTS_MAX: usize = 32;

/// A trigger bound to a flow, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub id: OperationId,
    pub name: String,
    pub owner: String,
    /// On whose behalf its jobs run.
    pub principal: String,
    pub trigger: TriggerId,
    pub flow: Flow,
    /// The revision that the flow is, where it was taken from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_revision: Option<RevisionName>,
    pub arguments: Map<String, Value>,
    #[serde(default)]
    pub grants: Grants,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub job_type: String,
    /// Higher is claimed first.
    #[serde(default)]
    pub priority: i32,
    /// How long a job may take in all, from its first start.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// The argument that is given the event as JSON; only with a trigger that waits for events.
    #[serde(default)]
    pub event_argument: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its jobs stop at a failure and leave their effects, named as residue.
    #[serde(default)]
    pub never_revert: bool,
    pub enabled: bool,
    /// When it was last enabled.
    #[serde(default)]
    pub enabled_since: Option<DateTime<Utc>>,
    /// From 1; rises with every change that people make.
    pub generation: u64,
    pub created: DateTime<Utc>,
    pub updated: DateTime<Utc>,
    #[serde(default)]
    pub deleted: Option<DateTime<Utc>>,
}

/// An operation as people write it, its plugins pinned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationSpec {
    pub name: String,
    pub owner: String,
    pub principal: String,
    pub trigger: TriggerId,
    pub flow: Flow,
    #[serde(default)]
    pub flow_revision: Option<RevisionName>,
    #[serde(default)]
    pub arguments: Map<String, Value>,
    #[serde(default)]
    pub grants: Grants,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Empty where the job has no type.
    #[serde(default)]
    pub job_type: String,
    #[serde(default)]
    pub priority: i32,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub event_argument: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub never_revert: bool,
}

/// Why an operation is not created or changed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationRefused {
    #[error("the operation is not valid: {0}")]
    Invalid(Problems),
    /// The trigger does not take operations.
    #[error(transparent)]
    Trigger(#[from] TriggerRefused),
    #[error("operation {operation} was deleted at {deleted}: create another one")]
    Deleted { operation: OperationId, deleted: DateTime<Utc> },
}

impl Operation {
    /// A new operation on `trigger`, which is the one that `spec` names.
    pub fn create(
        id: OperationId,
        spec: &OperationSpec,
        trigger: &Trigger,
        enabled: bool,
        lookup: &dyn Fn(&PluginPin) -> Option<Arc<Schemas>>,
        now: DateTime<Utc>,
    ) -> Result<Self, OperationRefused> {
        check(spec, trigger, lookup).map_err(OperationRefused::Invalid)?;
        trigger.check_bind(now)?;
        let now = whole_milliseconds(now);
        Ok(Self {
            id,
            name: spec.name.clone(),
            owner: spec.owner.clone(),
            principal: spec.principal.clone(),
            trigger: spec.trigger,
            flow: spec.flow.clone(),
            flow_revision: spec.flow_revision.clone(),
            arguments: spec.arguments.clone(),
            grants: spec.grants.clone(),
            labels: spec.labels.clone(),
            job_type: spec.job_type.clone(),
            priority: spec.priority,
            timeout_ms: spec.timeout_ms,
            event_argument: spec.event_argument.clone(),
            description: spec.description.clone(),
            never_revert: spec.never_revert,
            enabled,
            enabled_since: enabled.then_some(now),
            generation: 1,
            created: now,
            updated: now,
            deleted: None,
        })
    }

    /// This operation as `spec` wants it, on `trigger`, which is the one that `spec` names. The owner stays.
    pub fn update(
        &self,
        spec: &OperationSpec,
        trigger: &Trigger,
        lookup: &dyn Fn(&PluginPin) -> Option<Arc<Schemas>>,
        now: DateTime<Utc>,
    ) -> Result<Self, OperationRefused> {
        self.check_present()?;
        check(spec, trigger, lookup).map_err(OperationRefused::Invalid)?;
        let mut updated = self.changed(now);
        if spec.trigger != self.trigger {
            trigger.check_bind(now)?;
            // What the other trigger has still to catch up with was not this operation's.
            updated.enabled_since = self.enabled.then_some(updated.updated);
        }
        Ok(Self {
            name: spec.name.clone(),
            description: spec.description.clone(),
            principal: spec.principal.clone(),
            trigger: spec.trigger,
            flow: spec.flow.clone(),
            flow_revision: spec.flow_revision.clone(),
            arguments: spec.arguments.clone(),
            grants: spec.grants.clone(),
            labels: spec.labels.clone(),
            job_type: spec.job_type.clone(),
            priority: spec.priority,
            timeout_ms: spec.timeout_ms,
            event_argument: spec.event_argument.clone(),
            never_revert: spec.never_revert,
            ..updated
        })
    }

    /// This operation, enabled from `now` on. An enabled one stays as it is.
    pub fn enable(&self, now: DateTime<Utc>) -> Result<Self, OperationRefused> {
        self.check_present()?;
        if self.enabled {
            return Ok(self.clone());
        }
        Ok(Self { enabled: true, enabled_since: Some(whole_milliseconds(now)), ..self.changed(now) })
    }

    /// This operation, disabled: no further jobs. A disabled one stays as it is.
    pub fn disable(&self, now: DateTime<Utc>) -> Result<Self, OperationRefused> {
        self.check_present()?;
        if !self.enabled {
            return Ok(self.clone());
        }
        Ok(Self { enabled: false, ..self.changed(now) })
    }

    /// The tombstone of this operation.
    pub fn delete(&self, now: DateTime<Utc>) -> Result<Self, OperationRefused> {
        self.check_present()?;
        Ok(Self { enabled: false, deleted: Some(whole_milliseconds(now)), ..self.changed(now) })
    }

    /// Whether the occurrence makes a job of this operation.
    pub fn due_for(&self, occurrence: &Occurrence) -> bool {
        let Some(since) = self.enabled_since.filter(|_| self.enabled && self.deleted.is_none()) else {
            return false;
        };
        occurrence.trigger == self.trigger
            && match occurrence.origin {
                // The instant of enabling itself may have been decided before.
                Origin::Schedule => occurrence.nominal > since,
                // Accepted by a host that found the operation enabled: the same millisecond counts.
                Origin::Manual { .. } | Origin::Event { .. } => occurrence.nominal >= since,
            }
    }

    fn changed(&self, now: DateTime<Utc>) -> Self {
        Self { generation: self.generation + 1, updated: whole_milliseconds(now), ..self.clone() }
    }

    fn check_present(&self) -> Result<(), OperationRefused> {
        match self.deleted {
            Some(deleted) => Err(OperationRefused::Deleted { operation: self.id, deleted }),
            None => Ok(()),
        }
    }
}

/// Adds every problem of grants: paths that are not absolute or go up, guests' names that are used twice.
pub fn check_grants(problems: &mut Problems, grants: &Grants) {
    if grants.directories.len() > DIRECTORY_GRANTS_MAX {
        let count = grants.directories.len();
        problems.add("grants.directories", format!("are {count}: at most {DIRECTORY_GRANTS_MAX}"));
    }
    for (index, directory) in grants.directories.iter().enumerate() {
        for (field, path) in [("host_path", &directory.host_path), ("guest_path", &directory.guest_path)] {
            let is_plain =
                path.starts_with('/') && !path.contains('\0') && path.split('/').all(|part| part != "..");
            if !is_plain {
                let message = format!("{path:?} is refused: give an absolute path without \"..\"");
                problems.add(format!("grants.directories[{index}].{field}"), message);
            }
        }
        let mut earlier = grants.directories[..index].iter();
        if earlier.any(|other| other.guest_path == directory.guest_path) {
            let message = format!("{:?} is granted twice: give each its own", directory.guest_path);
            problems.add(format!("grants.directories[{index}].guest_path"), message);
        }
    }
    if grants.memory_bytes_max == Some(0) {
        problems.add("grants.memory_bytes_max", "is 0: give bytes, or leave it out for the host's default");
    }
}

fn check(
    spec: &OperationSpec,
    trigger: &Trigger,
    lookup: &dyn Fn(&PluginPin) -> Option<Arc<Schemas>>,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    check_name(&mut problems, "name", &spec.name);
    check_description(&mut problems, "description", &spec.description);
    check_text(&mut problems, "owner", &spec.owner);
    check_text(&mut problems, "principal", &spec.principal);
    if !spec.job_type.is_empty() {
        check_name(&mut problems, "job_type", &spec.job_type);
    }
    check_labels(&mut problems, "labels", spec.labels.iter());
    check_grants(&mut problems, &spec.grants);
    if let Some(timeout_ms) = spec.timeout_ms
        && !(1..=JOB_TIMEOUT_MS_MAX).contains(&timeout_ms)
    {
        problems
            .add("timeout_ms", format!("{timeout_ms} is out of bounds: give 1 to {JOB_TIMEOUT_MS_MAX} ms"));
    }
    if !(PRIORITY_MIN..=PRIORITY_MAX).contains(&spec.priority) {
        let (asked, from, to) = (spec.priority, PRIORITY_MIN, PRIORITY_MAX);
        problems.add("priority", format!("{asked} is out of bounds: give {from} to {to}"));
    }
    check_event_argument(&mut problems, spec, trigger);
    let awaited: Vec<&str> = spec.event_argument.as_deref().into_iter().collect();
    problems.0.extend(validate_flow(&spec.flow, &spec.arguments, &awaited, lookup).0);
    problems.or(())
}

fn check_event_argument(problems: &mut Problems, spec: &OperationSpec, trigger: &Trigger) {
    let Some(argument) = &spec.event_argument else { return };
    check_name(problems, "event_argument", argument);
    if let TriggerKind::Schedule(_) = trigger.kind {
        let message = "the trigger goes by time and has no event: leave it out, or bind an event trigger";
        problems.add("event_argument", message);
    }
    if spec.arguments.contains_key(argument) {
        let message = format!("{argument:?} is given as an argument too: the event would replace it");
        problems.add("event_argument", message);
    }
}

#[cfg(test)]
mod tests;
