//! What a call is given: input, evidence, key, deadline, grants.
//!
//! Invariant: an observation is told of the apply that it looks at: its input, its key, how it ended.

use std::time::Duration;

use windlass_core::call::{Call, Evidence, Function, Grants, Outcome};
use windlass_core::decide::outcome::CallName;
use windlass_core::fault::{Fault, HOST_EVIDENCE};
use windlass_core::job::Job;
use windlass_core::own_revert::Called;
use windlass_core::payload::Payload;

use super::Runner;
use super::desk::Desk;

/// Bytes of all outputs and undo records that a revert is told of. One task leaves far less; a flow with more than that
/// would not fit into the memory of a guest.
const EVIDENCE_BYTES_MAX: usize = 16 << 20;

impl Runner {
    /// The call, or the outcome of an attempt that could not be made: it did nothing.
    pub(super) async fn prepare(&self, desk: &Desk, name: &CallName) -> Result<Call, Outcome> {
        let drafted = desk.read(|job| self.draft(job, name)).await;
        let (call, input) = drafted.map_err(|message| reject("input.invalid", message))?;
        if call.function == Function::Apply {
            self.registry.check_input(call.plugin, &call.action, &input).await?;
        }
        let bytes = call.evidence.as_ref().map_or(0, Evidence::bytes);
        if bytes > EVIDENCE_BYTES_MAX {
            let message = format!(
                "what {} is to be told of its flow has {bytes} bytes, at most {EVIDENCE_BYTES_MAX}: let its tasks give \
                 less, or undo them task by task",
                call.task
            );
            return Err(reject(HOST_EVIDENCE, message));
        }
        Ok(Call { input: Payload::json(&input), ..call })
    }

    /// The call without its input, and that; or why there is no such call.
    fn draft(&self, job: &Job, name: &CallName) -> Result<(Call, serde_json::Value), String> {
        let (called, instance) = (job.called(&name.task.task), job.instances.get(&name.task));
        let (Some(called), Some(instance)) = (called, instance) else {
            return Err(format!("the flow has no task {}", name.task.task));
        };
        let (function, direction) = (name.function, name.function.direction());
        let input = job.input(&name.task, direction).map_err(|problems| problems.to_string())?;
        let default_timeout = self.engine.limits.call_timeout;
        let timeout = called.timeout_ms().map_or(default_timeout, Duration::from_millis);
        let left = job.status.deadline.map(|deadline| deadline - self.engine.now());
        let left = left.map(|left| left.to_std().unwrap_or(Duration::from_millis(1)));
        let timeout = match (function, left) {
            (Function::Apply | Function::Observe, Some(left)) => timeout.min(left),
            (Function::Revert, _) | (_, None) => timeout,
        };
        let call = Call {
            plugin: instance.plugin.unwrap_or(called.plugin().digest),
            function,
            job: job.id().to_string(),
            task: instance.name.task.clone(),
            iteration: instance.name.iteration.clone(),
            action: called.action().to_owned(),
            attempt: name.attempt,
            scope_attempt: job.scope_attempt(&name.task),
            prior: instance.prior,
            idempotency_key: instance.name.key(job.id(), direction),
            fence: job.status.epoch,
            fired_for: job.expected_start(),
            timeout,
            attributes: job.spec.labels.clone().into_iter().collect(),
            input: Payload::json(&serde_json::Value::Null),
            evidence: job.evidence(&name.task).filter(|_| function != Function::Apply),
            failures: job.failures(),
            grants: grants(job, called),
        };
        Ok((call, input))
    }
}

/// What the job is granted, with no more memory than what is called takes.
fn grants(job: &Job, called: Called<'_>) -> Grants {
    let mut grants = job.spec.grants.clone();
    if let Some(most) = called.memory_bytes_max() {
        grants.memory_bytes_max = Some(grants.memory_bytes_max.map_or(most, |granted| granted.min(most)));
    }
    grants
}

fn reject(class: &str, message: String) -> Outcome {
    Outcome::Reject { fault: Fault::new(class, message) }
}
