//! What a call is given: input, evidence, key, deadline, grants.

use std::time::Duration;

use windlass_core::call::{Call, Direction, Grants, Outcome};
use windlass_core::decide::outcome::CallName;
use windlass_core::fault::Fault;
use windlass_core::flow::Task;
use windlass_core::job::Job;
use windlass_core::payload::Payload;

use super::Runner;
use super::desk::Desk;

impl Runner {
    /// The call, or the outcome of an attempt that could not be made: it did nothing.
    pub(super) async fn prepare(&self, desk: &Desk, name: &CallName) -> Result<Call, Outcome> {
        let drafted = desk.read(|job| self.draft(job, name)).await;
        let (call, input) = drafted.map_err(|message| reject("input.invalid", message))?;
        if call.direction == Direction::Apply {
            self.registry.check_input(call.plugin, &call.action, &input).await?;
        }
        Ok(Call { input: Payload::json(&input), ..call })
    }

    /// The call without its input, and that; or why there is no such call.
    fn draft(&self, job: &Job, name: &CallName) -> Result<(Call, serde_json::Value), String> {
        let (task, instance) = (job.task(&name.task.task), job.instances.get(&name.task));
        let (Some(task), Some(instance)) = (task, instance) else {
            return Err(format!("the flow has no task {}", name.task.task));
        };
        let direction = name.direction;
        let input = job.input(&name.task, direction).map_err(|problems| problems.to_string())?;
        let default_timeout = self.engine.limits.call_timeout;
        let timeout = task.timeout_ms.map_or(default_timeout, Duration::from_millis);
        let left = job.status.deadline.map(|deadline| deadline - self.engine.now());
        let left = left.map(|left| left.to_std().unwrap_or(Duration::from_millis(1)));
        let timeout = match (direction, left) {
            (Direction::Apply, Some(left)) => timeout.min(left),
            _ => timeout,
        };
        let call = Call {
            plugin: instance.plugin.unwrap_or(task.plugin.digest),
            direction,
            job: job.id().to_string(),
            task: instance.name.task.clone(),
            iteration: instance.name.iteration.clone(),
            action: task.action.clone(),
            attempt: name.attempt,
            scope_attempt: job.scope_attempt(&name.task),
            prior: instance.prior,
            idempotency_key: instance.name.key(job.id(), direction),
            fence: job.status.epoch,
            fired_for: job.expected_start(),
            timeout,
            attributes: job.spec.labels.clone().into_iter().collect(),
            input: Payload::json(&serde_json::Value::Null),
            evidence: (direction == Direction::Revert).then(|| instance.evidence()),
            failures: job.failures(),
            grants: grants(job, task),
        };
        Ok((call, input))
    }
}

/// What the job is granted, with no more memory than the task takes.
fn grants(job: &Job, task: &Task) -> Grants {
    let mut grants = job.spec.grants.clone();
    if let Some(most) = task.memory_bytes_max {
        grants.memory_bytes_max = Some(grants.memory_bytes_max.map_or(most, |granted| granted.min(most)));
    }
    grants
}

fn reject(class: &str, message: String) -> Outcome {
    Outcome::Reject { fault: Fault::new(class, message) }
}
