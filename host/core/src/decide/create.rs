//! The birth of a job.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::child::Order;
use crate::decide::Decision;
use crate::decide::child::Birth;
use crate::entry::{Actor, Entry, Fact};
use crate::flow::Flow;
use crate::job::{Cause, Job, JobSpec, JobState, Origin};
use crate::plan::Plan;

/// When and how urgently.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    pub execute_at: Option<DateTime<Utc>>,
    pub priority: i32,
}

/// A new job, on the board at once where it is due.
pub fn create(spec: Arc<JobSpec>, flow: Arc<Flow>, timing: Timing, actor: Actor) -> (Job, Vec<Entry>) {
    let plan = Arc::new(Plan::of(&flow));
    create_planned(spec, (flow, plan), timing, actor)
}

/// As `create`, with a plan that was made of the flow before.
pub fn create_planned(
    spec: Arc<JobSpec>,
    planned: (Arc<Flow>, Arc<Plan>),
    timing: Timing,
    actor: Actor,
) -> (Job, Vec<Entry>) {
    let now = spec.created;
    let nominal = match &spec.origin {
        Origin::Operation { occurrence, .. } => Some(occurrence.nominal),
        Origin::Submitted | Origin::Child(_) => None,
    };
    let due = timing.execute_at.or(nominal).map_or(now, |at| at.max(now));
    let mut job = Job::unborn_planned(spec, planned);
    let mut decision = Decision::new(&mut job, now, actor);
    decision.record(Fact::Created { execute_at: timing.execute_at, due, priority: timing.priority });
    if due <= now {
        decision.record(Fact::Triggered);
    }
    let entries = decision.into_entries();
    (job, entries)
}

/// The job that a node of another is. It knows of the order that made it.
pub fn create_child(birth: Birth<'_>, number: u32, actor: Actor) -> (Job, Vec<Entry>) {
    let (now, flow) = (birth.spec.created, Arc::new(Flow::clone(&birth.child.flow)));
    let timing = Timing { execute_at: None, priority: birth.priority };
    let (mut job, mut entries) = create(Arc::new(birth.spec), flow, timing, actor.clone());
    let mut decision = Decision::new(&mut job, now, actor);
    decision.obey_parent(Order::Start, number);
    entries.extend(decision.into_entries());
    (job, entries)
}

/// A job that is recorded, and never runs: its occurrence was missed, or may not be.
pub fn create_dropped(spec: Arc<JobSpec>, flow: Arc<Flow>, cause: Cause, actor: Actor) -> (Job, Vec<Entry>) {
    let now = spec.created;
    let mut job = Job::unborn(spec, flow);
    let mut decision = Decision::new(&mut job, now, actor);
    decision.record(Fact::Created { execute_at: None, due: now, priority: 0 });
    let state = match cause {
        Cause::Window | Cause::Overlap => JobState::Dropped,
        _ => JobState::Failed,
    };
    decision.record(Fact::Ended { state, cause: Some(cause), residue: Vec::new() });
    let entries = decision.into_entries();
    (job, entries)
}
