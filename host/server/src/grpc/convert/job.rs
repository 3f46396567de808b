//! Jobs as clients see them, and which of them a list shows.

use chrono::{DateTime, Utc};
use windlass_core::call::Direction;
use windlass_core::instance::TaskState;
use windlass_core::job::{Cause, Job, JobSpec, JobState, JobStatus, Origin};
use windlass_core::occurrence::Origin as Due;
use windlass_core::problem::Problems;
use windlass_proto::v1;

use super::instance::{fault_to_wire, name_to_wire};
use super::time::{duration, instant, timestamp};
use super::{checked, etag, given, grants, known, stored_flow, work};
use crate::engine::{EngineError, JobFilter};

pub fn to_wire(job: &Job) -> v1::Job {
    let is_done = |leaf: &windlass_core::flow::Leaf<'_>| {
        let is_done = |state| matches!(state, TaskState::Applied | TaskState::Skipped);
        job.current(leaf.name()).is_some_and(|instance| is_done(instance.state))
    };
    v1::Job {
        work: Some(work::to_wire(&job.flow)),
        task_count: job.plan.task_count() as u32,
        task_done_count: job.flow.leaves().filter(is_done).count() as u32,
        ..listed(&job.spec, &job.status)
    }
}

/// Which view of jobs is asked for.
pub fn view(view: i32) -> Result<v1::JobView, EngineError> {
    let mut problems = Problems::default();
    let view = known(&mut problems, "view", view);
    checked(problems, view.unwrap_or_default())
}

/// So much of a job.
pub fn viewed(job: &Job, view: v1::JobView) -> v1::Job {
    match view {
        v1::JobView::Unspecified | v1::JobView::Full => to_wire(job),
        v1::JobView::Id => v1::Job {
            id: job.id().to_string(),
            state: state_to_wire(job.status.state).into(),
            sequence: job.status.sequence,
            etag: etag(job.status.sequence),
            ..v1::Job::default()
        },
    }
}

/// So much of a job that nothing is stored of: what a dry run answers.
pub fn tried(job: &Job, view: v1::JobView) -> v1::Job {
    v1::Job { id: String::new(), etag: String::new(), ..viewed(job, view) }
}

/// A job without its work and its tasks.
pub fn listed(spec: &JobSpec, status: &JobStatus) -> v1::Job {
    let runs = status.runs.iter().zip(1..).map(|(run, number)| v1::Run {
        number,
        start_time: run.started.map(timestamp),
        end_time: run.ended.map(timestamp),
    });
    v1::Job {
        id: spec.id.to_string(),
        owner: spec.owner.clone(),
        principal: spec.principal.clone(),
        r#type: spec.job_type.clone(),
        labels: spec.labels.clone(),
        state: state_to_wire(status.state).into(),
        direction: direction_to_wire(status.direction).into(),
        cause: status.cause.as_ref().map(cause_to_wire),
        work: None,
        arguments_json: serde_json::Value::Object(spec.arguments.clone()).to_string(),
        grants: Some(grants::to_wire(&spec.grants)),
        priority: status.priority,
        timeout: spec.timeout_ms.map(duration),
        never_revert: spec.never_revert,
        origin: Some(origin_to_wire(spec)),
        create_time: Some(timestamp(spec.created)),
        execute_time: status.execute_at.map(timestamp),
        expect_start_time: Some(timestamp(expect_start(spec, status))),
        due_time: Some(timestamp(status.due)),
        trigger_time: status.triggered.map(timestamp),
        start_time: status.runs.first().and_then(|run| run.started).map(timestamp),
        end_time: status.run().ended.map(timestamp),
        runs: runs.collect(),
        host: status.claim.map(|claim| claim.host.to_string()).unwrap_or_default(),
        epoch: status.epoch,
        residue: status.residue.iter().map(name_to_wire).collect(),
        task_count: 0,
        task_done_count: 0,
        sequence: status.sequence,
        update_time: Some(timestamp(status.updated)),
        etag: etag(status.sequence),
        flow_revision: spec.flow_revision.as_ref().map(stored_flow::name_to_wire),
    }
}

fn expect_start(spec: &JobSpec, status: &JobStatus) -> DateTime<Utc> {
    match &spec.origin {
        Origin::Operation { occurrence, .. } => occurrence.nominal,
        Origin::Submitted | Origin::Child(_) => status.execute_at.unwrap_or(spec.created),
    }
}

fn origin_to_wire(spec: &JobSpec) -> v1::JobOrigin {
    let rerun_of = spec.rerun_of.map(|job| job.to_string()).unwrap_or_default();
    let (operation, occurrence) = match &spec.origin {
        Origin::Operation { operation, occurrence, .. } => (operation, occurrence),
        Origin::Submitted => return v1::JobOrigin { rerun_of, ..v1::JobOrigin::default() },
        Origin::Child(parent) => {
            let task = Some(name_to_wire(&parent.task));
            let parent = Some(v1::JobParent { job: parent.job.to_string(), task });
            return v1::JobOrigin { rerun_of, parent, ..v1::JobOrigin::default() };
        }
    };
    let origin = v1::JobOrigin {
        operation: operation.to_string(),
        trigger: occurrence.trigger.to_string(),
        trigger_generation: occurrence.generation,
        rerun_of,
        ..v1::JobOrigin::default()
    };
    match &occurrence.origin {
        Due::Schedule => origin,
        Due::Manual { request_id } => {
            v1::JobOrigin { manual: true, request_id: request_id.clone(), ..origin }
        }
        Due::Event { source, id } => {
            v1::JobOrigin { event_source: source.clone(), event_id: id.clone(), ..origin }
        }
    }
}

pub fn cause_to_wire(cause: &Cause) -> v1::Cause {
    use v1::CauseKind as Kind;
    let (kind, reason) = match cause {
        Cause::Cancelled { reason } => (Kind::Cancelled, reason.as_str()),
        Cause::Timeout => (Kind::Timeout, ""),
        Cause::Permission { message } => (Kind::Permission, message.as_str()),
        Cause::NoMatch { message } => (Kind::NoMatch, message.as_str()),
        Cause::Invalid { message } => (Kind::Invalid, message.as_str()),
        Cause::Superseded => (Kind::Superseded, ""),
        Cause::Window => (Kind::Window, ""),
        Cause::Overlap => (Kind::Overlap, ""),
        Cause::Task { .. } => (Kind::TaskFailed, ""),
        Cause::Requested { reason } => (Kind::RevertRequested, reason.as_str()),
    };
    let (task, fault) = match cause {
        Cause::Task { task, fault } => (Some(name_to_wire(task)), Some(fault_to_wire(fault))),
        _ => (None, None),
    };
    v1::Cause { kind: kind.into(), task, fault, reason: reason.to_owned() }
}

fn direction_to_wire(direction: Direction) -> v1::Direction {
    match direction {
        Direction::Apply => v1::Direction::Apply,
        Direction::Revert => v1::Direction::Revert,
    }
}

pub fn state_to_wire(state: JobState) -> v1::JobState {
    match state {
        JobState::Scheduled => v1::JobState::Scheduled,
        JobState::Ready => v1::JobState::Ready,
        JobState::Waiting => v1::JobState::Waiting,
        JobState::Running => v1::JobState::Running,
        JobState::Reverting => v1::JobState::Reverting,
        JobState::Suspending => v1::JobState::Suspending,
        JobState::Suspended => v1::JobState::Suspended,
        JobState::Quarantined => v1::JobState::Quarantined,
        JobState::Succeeded => v1::JobState::Succeeded,
        JobState::Reverted => v1::JobState::Reverted,
        JobState::Failed => v1::JobState::Failed,
        JobState::Dropped => v1::JobState::Dropped,
        JobState::Cancelled => v1::JobState::Cancelled,
        JobState::Superseded => v1::JobState::Superseded,
    }
}

fn state(problems: &mut Problems, path: &str, wire: i32) -> Option<JobState> {
    let wire: v1::JobState = known(problems, path, wire)?;
    let state = JobState::ALL.into_iter().find(|state| state_to_wire(*state) == wire);
    if state.is_none() {
        problems.add(path, "is unspecified: name a state, or leave it out for any");
    }
    state
}

/// What a list shows, but for owner, operation and trigger, which are to be looked up.
pub fn filter(request: &v1::ListJobsRequest) -> Result<JobFilter, EngineError> {
    let mut problems = Problems::default();
    let states = request.states.iter().enumerate();
    let states = states.filter_map(|(index, wire)| state(&mut problems, &format!("states[{index}]"), *wire));
    let filter = JobFilter {
        states: states.collect(),
        job_type: given(&request.r#type),
        labels: request.labels.clone(),
        created_from: instant(&mut problems, "create_time_min", request.create_time_min.as_ref()),
        created_before: instant(&mut problems, "create_time_end", request.create_time_end.as_ref()),
        ..JobFilter::default()
    };
    checked(problems, filter)
}
