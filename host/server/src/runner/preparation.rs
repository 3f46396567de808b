//! What a call is given: input, evidence, key, deadline, grants.

use super::{Call, Direction, Fault, Job, Outcome, Payload, Runner, TaskInstance};

impl Runner {
    /// The call, or the outcome of an attempt that could not be made: it did nothing.
    pub(super) async fn prepare(
        &self,
        job: &Job,
        instance: &TaskInstance,
        direction: Direction,
    ) -> Result<Call, Outcome> {
        let Some(task) = job.task(&instance.name.task) else {
            return Err(reject("input.invalid", format!("the flow has no task {}", instance.name.task)));
        };
        let input =
            job.input(task, direction).map_err(|problems| reject("input.invalid", problems.to_string()))?;
        if direction == Direction::Apply {
            self.registry.check_input(instance.plugin, &task.action, &input).await?;
        }
        let default_timeout = self.engine.limits.call_timeout;
        let timeout = task.timeout_ms.map_or(default_timeout, std::time::Duration::from_millis);
        let left = job.status.deadline.map(|deadline| deadline - self.engine.now());
        let left = left.map(|left| left.to_std().unwrap_or(std::time::Duration::from_millis(1)));
        let timeout = match (direction, left) {
            (Direction::Apply, Some(left)) => timeout.min(left),
            _ => timeout,
        };
        let attempt = match direction {
            Direction::Apply => instance.attempt,
            Direction::Revert => instance.revert_attempt,
        };
        Ok(Call {
            plugin: instance.plugin,
            direction,
            job: job.id().to_string(),
            task: instance.name.task.clone(),
            iteration: instance.name.iteration.clone(),
            action: task.action.clone(),
            attempt,
            scope_attempt: 1,
            prior: instance.prior,
            idempotency_key: instance.name.key(job.id(), direction),
            fence: job.status.epoch,
            fired_for: job.expected_start(),
            timeout,
            attributes: job.spec.labels.clone().into_iter().collect(),
            input: Payload::json(&input),
            evidence: (direction == Direction::Revert).then(|| instance.evidence()),
            failures: job.failures(),
            grants: job.spec.grants.clone(),
        })
    }
}

fn reject(class: &str, message: String) -> Outcome {
    Outcome::Reject { fault: Fault::new(class, message) }
}
