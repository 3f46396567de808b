//! Demands: what clients ask of a job that exists.

use chrono::{DateTime, Utc};
use windlass_core::decide::control::Resolution;
use windlass_core::decide::wait::Verdict;
use windlass_core::instance::InstanceName;
use windlass_core::job::CancelMode;
use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::time::instant;
use super::{checked, known, mask};
use crate::engine::EngineError;
use crate::engine::job::{Demand, REASON_BYTES_MAX};
use crate::engine::submit::PRIORITY_MAX;

/// What an update can replace.
const FIELDS: [&str; 2] = ["execute_time", "priority"];

/// `now` stands for an execution time that is replaced by none.
pub fn update(request: &v1::UpdateJobRequest, now: DateTime<Utc>) -> Result<Vec<Demand>, EngineError> {
    let mut problems = Problems::default();
    let fields = mask::fields(&mut problems, request.update_mask.as_ref(), &FIELDS);
    let execute_at = instant(&mut problems, "execute_time", request.execute_time.as_ref());
    let mut demands = Vec::new();
    if fields.contains(&"execute_time") {
        demands.push(Demand::Reschedule(execute_at.unwrap_or(now)));
    }
    if fields.contains(&"priority") {
        let priority = request.priority;
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&priority) {
            problems.add("priority", format!("is {priority}: give -{PRIORITY_MAX} to {PRIORITY_MAX}"));
        }
        demands.push(Demand::Prioritise(priority));
    }
    checked(problems, demands)
}

pub fn cancel(mode: i32) -> Result<Demand, EngineError> {
    let mut problems = Problems::default();
    let mode = match known(&mut problems, "mode", mode) {
        Some(v1::CancelMode::Leave) => CancelMode::Leave,
        Some(v1::CancelMode::Revert | v1::CancelMode::Unspecified) | None => CancelMode::Revert,
    };
    checked(problems, Demand::Cancel(mode))
}

/// What the principal says who asks.
pub fn answer(request: &v1::AnswerJobRequest, principal: &str) -> Result<Demand, EngineError> {
    let mut problems = Problems::default();
    if request.comment.len() > REASON_BYTES_MAX {
        let message = format!("has {} bytes: at most {REASON_BYTES_MAX}", request.comment.len());
        problems.add("comment", message);
    }
    let task = request.task.clone().unwrap_or_default();
    let task = InstanceName { task: task.task, iteration: task.iteration };
    let (is_approved, comment) = (request.approved, request.comment.clone());
    let verdict = Verdict { is_approved, principal: principal.to_owned(), comment };
    checked(problems, Demand::Answer { task, verdict })
}

pub fn resolve(task: Option<&v1::TaskInstanceName>, resolution: i32) -> Result<Demand, EngineError> {
    let mut problems = Problems::default();
    let resolution = match known(&mut problems, "resolution", resolution) {
        Some(v1::Resolution::Retry) | None => Resolution::Retry,
        Some(v1::Resolution::Accept) => Resolution::Accept,
        Some(v1::Resolution::Skip) => Resolution::Skip,
        Some(v1::Resolution::Unspecified) => {
            problems.add("resolution", "is not given: say retry, accept or skip");
            Resolution::Retry
        }
    };
    let task = task.cloned().unwrap_or_default();
    let task = InstanceName { task: task.task, iteration: task.iteration };
    if task.task.is_empty() {
        problems.add("task.task", "is empty: name the task whose revert failed");
    }
    checked(problems, Demand::Resolve { task, resolution })
}
