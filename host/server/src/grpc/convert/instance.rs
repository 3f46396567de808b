//! Task instances, and what they leave: payloads and faults.

use std::collections::BTreeMap;

use windlass_core::call::Direction;
use windlass_core::fault::Fault;
use windlass_core::flow::Leaf;
use windlass_core::id::JobId;
use windlass_core::instance::{InstanceName, TaskInstance, TaskState};
use windlass_core::job::Job;
use windlass_core::own_revert::Called;
use windlass_core::payload::{JSON, Payload};
use windlass_proto::v1;

use super::time::timestamp;
use crate::engine::job::{RevertStep, Undoer};

/// Bytes of all outputs that one answer shows. Above it there are none: `GetOutput` has them.
const OUTPUTS_BYTES_MAX: usize = 1 << 20;
/// Bytes of what a scope runs for that an answer shows.
const VALUE_BYTES_MAX: usize = 64 * 1_024;

/// Every instance in the order of the flow, then of iteration; pending tasks too. Behind them the own reverts of flows
/// that were called.
pub fn all_to_wire(job: &Job) -> Vec<v1::TaskInstance> {
    let bytes_of = |payload: &Option<Payload>| payload.as_ref().map_or(0, |payload| payload.bytes.len());
    let outputs = job.instances.values().map(|i| bytes_of(&i.output) + bytes_of(&i.revert_output));
    let shows_outputs = outputs.sum::<usize>() <= OUTPUTS_BYTES_MAX;
    let mut by_task: BTreeMap<&str, Vec<&TaskInstance>> = BTreeMap::new();
    for instance in job.instances.values() {
        by_task.entry(&instance.name.task).or_default().push(instance);
    }
    let mut all = Vec::new();
    for leaf in job.flow.leaves() {
        match by_task.get(leaf.name()) {
            Some(instances) => {
                all.extend(
                    instances.iter().map(|instance| to_wire(job, of_leaf(leaf), instance, shows_outputs)),
                );
            }
            None => all.push(pending(job.id(), leaf)),
        }
    }
    for name in job.own_reverts() {
        let Some(called) = job.called(name) else { continue };
        let instances = by_task.get(name).into_iter().flatten();
        all.extend(instances.map(|instance| to_wire(job, of_called(called), instance, shows_outputs)));
    }
    all
}

/// Every scope that was begun or left out.
pub fn scopes_to_wire(job: &Job) -> Vec<v1::ScopeInstance> {
    job.scope_instances().map(scope_to_wire).collect()
}

fn scope_to_wire(scope: &TaskInstance) -> v1::ScopeInstance {
    let progress = scope.scope.clone().unwrap_or_default();
    let value = progress.value.as_ref().filter(|value| value.bytes.len() <= VALUE_BYTES_MAX);
    v1::ScopeInstance {
        name: Some(name_to_wire(&scope.name)),
        state: state_to_wire(scope.state).into(),
        iteration: progress.iteration,
        attempt: progress.tries_made(),
        attempts_max: progress.bound,
        value: value.map(payload_to_wire),
        fault: scope.fault.as_ref().map(fault_to_wire),
        start_time: scope.started.map(timestamp),
        end_time: scope.ended.map(timestamp),
        next_try_time: scope.next_try.map(timestamp),
        skipped_by: scope.skipped_by.clone().unwrap_or_default(),
    }
}

fn pending(job: JobId, leaf: Leaf<'_>) -> v1::TaskInstance {
    let name = InstanceName { task: leaf.name().to_owned(), iteration: Vec::new() };
    v1::TaskInstance {
        state: v1::TaskState::Pending.into(),
        scope_attempt: 1,
        idempotency_key: name.key(job, Direction::Apply),
        revert_idempotency_key: name.key(job, Direction::Revert),
        name: Some(name_to_wire(&name)),
        ..of_leaf(leaf)
    }
}

/// What the definition says: a task has a plugin, a wait and a child job have none.
fn of_leaf(leaf: Leaf<'_>) -> v1::TaskInstance {
    match leaf {
        Leaf::Task(task) => of_called(Called::Task(task)),
        Leaf::Wait(wait) => {
            v1::TaskInstance { wait: wait.until.word().to_owned(), ..v1::TaskInstance::default() }
        }
    }
}

fn of_called(called: Called<'_>) -> v1::TaskInstance {
    v1::TaskInstance {
        plugin_digest: called.plugin().digest.to_string(),
        action: called.action().to_owned(),
        ..v1::TaskInstance::default()
    }
}

fn to_wire(
    job: &Job,
    definition: v1::TaskInstance,
    instance: &TaskInstance,
    shows_outputs: bool,
) -> v1::TaskInstance {
    let output = |payload: &Option<Payload>| payload.as_ref().filter(|_| shows_outputs).map(payload_to_wire);
    let is_reverted = match instance.state {
        TaskState::Reverted | TaskState::RevertFailed | TaskState::Accepted | TaskState::SkippedRevert => {
            true
        }
        TaskState::Pending
        | TaskState::Skipped
        | TaskState::Applying
        | TaskState::Observing
        | TaskState::Waiting
        | TaskState::Backoff
        | TaskState::InDoubt
        | TaskState::ApplyFailed
        | TaskState::Applied
        | TaskState::Reverting => false,
    };
    v1::TaskInstance {
        name: Some(name_to_wire(&instance.name)),
        plugin_digest: instance.plugin.map_or(definition.plugin_digest, |digest| digest.to_string()),
        action: definition.action,
        wait: definition.wait,
        child_job: instance.child.as_ref().map(|link| link.job.to_string()).unwrap_or_default(),
        handle: instance.handle.as_ref().map(payload_to_wire),
        observation_count: instance.observations,
        observe_deadline: instance.observe_until.map(timestamp),
        state: state_to_wire(instance.state).into(),
        apply_attempt: instance.attempt,
        revert_attempt: instance.revert_attempt,
        scope_attempt: job.scope_attempt(&instance.name),
        idempotency_key: instance.name.key(job.id(), Direction::Apply),
        revert_idempotency_key: instance.name.key(job.id(), Direction::Revert),
        // V06: what was undone is not there any more; its revert may have something to say.
        output: output(&instance.output).filter(|_| instance.state != TaskState::Reverted),
        revert_output: output(&instance.revert_output),
        apply_fault: instance.fault.as_ref().map(fault_to_wire),
        revert_fault: instance.revert_fault.as_ref().map(fault_to_wire),
        apply_start_time: instance.started.map(timestamp),
        apply_end_time: instance.apply_ended.map(timestamp),
        revert_start_time: instance.revert_started.map(timestamp),
        revert_end_time: instance.ended.filter(|_| is_reverted).map(timestamp),
        next_try_time: instance.next_try.map(timestamp),
        undo_record_count: u32::try_from(instance.undo.len()).unwrap_or(u32::MAX),
        progress: instance
            .progress
            .as_ref()
            .map(|(fraction, message)| v1::Progress { fraction: *fraction, message: message.clone() }),
        skipped_by: instance.skipped_by.clone().unwrap_or_default(),
    }
}

/// What a revert would do.
pub fn step_to_wire(step: &RevertStep) -> v1::RevertStep {
    let undoer = match &step.by {
        Undoer::Action { plugin, action } => v1::RevertStep {
            plugin: format!("{}@{}", plugin.name, plugin.version),
            plugin_digest: plugin.digest.to_string(),
            action: action.clone(),
            ..v1::RevertStep::default()
        },
        Undoer::Child(job) => v1::RevertStep { child_job: job.to_string(), ..v1::RevertStep::default() },
    };
    v1::RevertStep {
        task: Some(name_to_wire(&step.name)),
        undo_record_count: u32::try_from(step.undo_record_count).unwrap_or(u32::MAX),
        undoes: step.undoes.iter().map(name_to_wire).collect(),
        obstacle: step.obstacle.clone().unwrap_or_default(),
        ..undoer
    }
}

pub fn name_to_wire(name: &InstanceName) -> v1::TaskInstanceName {
    v1::TaskInstanceName { task: name.task.clone(), iteration: name.iteration.clone() }
}

pub fn payload_to_wire(payload: &Payload) -> v1::Payload {
    v1::Payload { media_type: payload.media_type.clone(), bytes: payload.bytes.clone() }
}

/// A part of an output.
pub fn value_to_wire(value: &serde_json::Value) -> v1::Payload {
    v1::Payload { media_type: JSON.to_owned(), bytes: value.to_string().into_bytes() }
}

pub fn fault_to_wire(fault: &Fault) -> v1::Fault {
    v1::Fault {
        class: fault.class.clone(),
        message: fault.message.clone(),
        causes: fault.causes.clone(),
        detail: fault.detail.as_ref().map(payload_to_wire),
    }
}

fn state_to_wire(state: TaskState) -> v1::TaskState {
    match state {
        TaskState::Pending => v1::TaskState::Pending,
        TaskState::Skipped => v1::TaskState::Skipped,
        TaskState::Applying => v1::TaskState::Applying,
        TaskState::Observing => v1::TaskState::Observing,
        TaskState::Waiting => v1::TaskState::Waiting,
        TaskState::Backoff => v1::TaskState::Backoff,
        TaskState::InDoubt => v1::TaskState::InDoubt,
        TaskState::ApplyFailed => v1::TaskState::ApplyFailed,
        TaskState::Applied => v1::TaskState::Applied,
        TaskState::Reverting => v1::TaskState::Reverting,
        TaskState::Reverted => v1::TaskState::Reverted,
        TaskState::RevertFailed => v1::TaskState::RevertFailed,
        TaskState::Accepted => v1::TaskState::Accepted,
        TaskState::SkippedRevert => v1::TaskState::SkippedRevert,
    }
}
