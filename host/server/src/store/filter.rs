//! Which jobs a list shows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use windlass_core::id::{JobId, OperationId, TriggerId};
use windlass_core::job::{JobSpec, JobState, JobStatus, Origin};

/// All that is given must hold. An empty list of states stands for all.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub states: Vec<JobState>,
    pub owner: Option<String>,
    pub job_type: Option<String>,
    pub operation: Option<OperationId>,
    pub trigger: Option<TriggerId>,
    pub labels: BTreeMap<String, String>,
    pub created_from: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
}

/// Some of the jobs that match, newest first.
#[derive(Debug, Clone, Default)]
pub struct JobPage {
    pub jobs: Vec<(std::sync::Arc<JobSpec>, JobStatus)>,
    /// Where the next page begins; none at the end.
    pub next: Option<JobId>,
}

impl JobFilter {
    pub fn matches(&self, spec: &JobSpec, status: &JobStatus) -> bool {
        let (operation, trigger) = match &spec.origin {
            Origin::Operation { operation, occurrence, .. } => (Some(*operation), Some(occurrence.trigger)),
            Origin::Submitted | Origin::Child(_) => (None, None),
        };
        (self.states.is_empty() || self.states.contains(&status.state))
            && self.owner.as_ref().is_none_or(|owner| *owner == spec.owner)
            && self.job_type.as_ref().is_none_or(|job_type| *job_type == spec.job_type)
            && self.operation.is_none_or(|id| operation == Some(id))
            && self.trigger.is_none_or(|id| trigger == Some(id))
            && self.labels.iter().all(|(key, value)| spec.labels.get(key) == Some(value))
            && self.created_from.is_none_or(|from| spec.created >= from)
            && self.created_before.is_none_or(|before| spec.created < before)
    }
}
