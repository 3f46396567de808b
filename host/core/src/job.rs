//! Jobs: one execution of a flow, from its creation to its end.
//!
//! What a job was asked to do ([`JobSpec`]) never changes; where it stands ([`JobStatus`]) changes only by
//! recording a [`Fact`](crate::entry::Fact), so that the logbook replayed over the spec gives the status.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::{Direction, Grants};
use crate::child::{Child, Parent};
use crate::fault::Fault;
use crate::flow::{Flow, Task};
use crate::frontier::{Frontier, Seat, View};
use crate::id::{Digest, HostId, JobId};
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::occurrence::Occurrence;
use crate::own_revert::Called;
use crate::plan::Plan;
use crate::revision::RevisionName;
use crate::wait::Wait;

/// What was asked for. Immutable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    pub id: JobId,
    pub owner: String,
    /// On whose behalf it runs.
    pub principal: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job_type: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Content hash of the flow, which is stored once for all its jobs.
    pub flow: Digest,
    /// The revision that the flow is, where it was taken from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_revision: Option<RevisionName>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    #[serde(default)]
    pub grants: Grants,
    /// Milliseconds from the start of each run; unlimited where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// Stop at a failure and leave everything as it is.
    #[serde(default)]
    pub never_revert: bool,
    pub created: DateTime<Utc>,
}

/// Where a job comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Submitted,
    /// It is a node of another job.
    Child(Parent),
    Operation {
        operation: crate::id::OperationId,
        occurrence: Occurrence,
        /// Milliseconds after the nominal time in which the job may start.
        window_ms: u64,
    },
}

/// The states of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Scheduled,
    Ready,
    Waiting,
    Running,
    Reverting,
    Suspending,
    Suspended,
    Quarantined,
    Succeeded,
    Reverted,
    Failed,
    Dropped,
    Cancelled,
    Superseded,
}

impl JobState {
    pub const ALL: [Self; 14] = [
        Self::Scheduled,
        Self::Ready,
        Self::Waiting,
        Self::Running,
        Self::Reverting,
        Self::Suspending,
        Self::Suspended,
        Self::Quarantined,
        Self::Succeeded,
        Self::Reverted,
        Self::Failed,
        Self::Dropped,
        Self::Cancelled,
        Self::Superseded,
    ];

    /// Nothing happens to an ended job unless an operator asks for it.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Succeeded
            | Self::Reverted
            | Self::Failed
            | Self::Dropped
            | Self::Cancelled
            | Self::Superseded => true,
            Self::Scheduled
            | Self::Ready
            | Self::Waiting
            | Self::Running
            | Self::Reverting
            | Self::Suspending
            | Self::Suspended
            | Self::Quarantined => false,
        }
    }

    /// A host has the job.
    pub fn is_claimed(self) -> bool {
        matches!(self, Self::Running | Self::Reverting | Self::Suspending)
    }

    /// The word for it in logs, the API and the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Reverting => "reverting",
            Self::Suspending => "suspending",
            Self::Suspended => "suspended",
            Self::Quarantined => "quarantined",
            Self::Succeeded => "succeeded",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// Why a job is unwinding, or ended other than by success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Cancelled {
        reason: String,
    },
    Timeout,
    Permission {
        message: String,
    },
    NoMatch {
        message: String,
    },
    Invalid {
        message: String,
    },
    Superseded,
    Window,
    Overlap,
    Task {
        task: InstanceName,
        fault: Fault,
    },
    /// An operator asked to revert a job that had ended.
    Requested {
        reason: String,
    },
}

impl Cause {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::Cancelled { reason } | Self::Requested { reason } => reason.clone(),
            Self::Permission { message } | Self::NoMatch { message } | Self::Invalid { message } => {
                message.clone()
            }
            Self::Timeout => "the job's timeout was over".to_owned(),
            Self::Superseded => "a newer job took its place".to_owned(),
            Self::Window => "its window was over".to_owned(),
            Self::Overlap => "another job of the operation was in the way".to_owned(),
            Self::Task { task, fault } => format!("task {task} failed: {}", fault.message),
        }
    }
}

/// A host's right to run the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub host: HostId,
    /// Rises with every new claim of the job; fences every write of the holder.
    pub epoch: u64,
}

/// What an operator asked of a job that a host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Suspend,
    Cancel { mode: CancelMode, reason: String },
}

/// What cancelling does about effects that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    Revert,
    Leave,
}

/// One numbered execution of a job: the first, or one that an operator opened by retry or revert.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub started: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    pub state: JobState,
    pub direction: Direction,
    pub cause: Option<Cause>,
    /// Higher first.
    pub priority: i32,
    pub execute_at: Option<DateTime<Utc>>,
    /// max(created, nominal time or `execute_at`).
    pub due: DateTime<Utc>,
    /// When it became ready for the first time.
    pub triggered: Option<DateTime<Utc>>,
    /// Never empty: the last one is the current run.
    pub runs: Vec<Run>,
    pub claim: Option<Claim>,
    /// The epoch of the last claim.
    pub epoch: u64,
    /// Claims lost with a call in flight, since the last outcome.
    pub claims_lost: u32,
    /// When a waiting job is due again.
    pub wake: Option<DateTime<Utc>>,
    pub request: Option<Request>,
    /// When the job times out.
    pub deadline: Option<DateTime<Utc>>,
    /// Instances whose effects remain. Empty unless the job ended `failed`.
    pub residue: Vec<InstanceName>,
    /// Types of the events that are waited for, and by how many waits each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub awaits: BTreeMap<String, u32>,
    /// Orders to its child jobs that these have not recorded yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub orders: u32,
    /// The number of the last order of its parent that it knows of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub order_number: u32,
    /// It has ended, and its parent has not recorded that yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owes_end: bool,
    /// When the last entry was recorded.
    pub updated: DateTime<Utc>,
    /// Sequence number of the last entry, and so the revision of the job.
    pub sequence: u64,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl JobStatus {
    /// Something of it is to be told to another job.
    pub fn is_untold(&self) -> bool {
        self.orders > 0 || self.owes_end
    }

    pub fn run(&self) -> &Run {
        self.runs.last().expect("a job has at least one run")
    }

    pub(crate) fn run_mut(&mut self) -> &mut Run {
        self.runs.last_mut().expect("a job has at least one run")
    }

    /// The types of events that the job is to be told of.
    pub fn awaited_events(&self) -> impl Iterator<Item = &str> {
        let is_waiting = !self.state.is_ended() && self.direction == Direction::Apply;
        self.awaits.keys().map(String::as_str).filter(move |_| is_waiting)
    }

    /// When the job wants to be looked at again without anybody asking.
    pub fn alarm(&self) -> Option<DateTime<Utc>> {
        match self.state {
            JobState::Scheduled => Some(self.due),
            JobState::Waiting => self.wake,
            JobState::Ready
            | JobState::Running
            | JobState::Reverting
            | JobState::Suspending
            | JobState::Suspended
            | JobState::Quarantined
            | JobState::Succeeded
            | JobState::Reverted
            | JobState::Failed
            | JobState::Dropped
            | JobState::Cancelled
            | JobState::Superseded => None,
        }
    }
}

/// A job in memory: what was asked, where it stands, and every task instance that was touched.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub spec: Arc<JobSpec>,
    pub flow: Arc<Flow>,
    /// In what order the flow's tasks go.
    pub plan: Arc<Plan>,
    pub status: JobStatus,
    pub instances: BTreeMap<InstanceName, TaskInstance>,
    /// Follows from the rest.
    pub(crate) frontier: Frontier,
}

impl Job {
    /// The job as it is stored.
    pub fn restore(
        spec: Arc<JobSpec>,
        flow: Arc<Flow>,
        status: JobStatus,
        instances: BTreeMap<InstanceName, TaskInstance>,
    ) -> Self {
        let plan = Arc::new(Plan::of(&flow));
        Self::restore_planned(spec, (flow, plan), status, instances)
    }

    /// As `restore`, with a plan that was made of the flow before.
    pub fn restore_planned(
        spec: Arc<JobSpec>,
        (flow, plan): (Arc<Flow>, Arc<Plan>),
        status: JobStatus,
        instances: BTreeMap<InstanceName, TaskInstance>,
    ) -> Self {
        let never_revert = spec.never_revert;
        let run = status.runs.len() as u32;
        let view = View { plan: &plan, flow: &flow, instances: &instances, run, never_revert };
        let frontier = Frontier::of(&view, status.direction);
        Self { spec, flow, plan, status, instances, frontier }
    }

    pub fn id(&self) -> JobId {
        self.spec.id
    }

    /// The nominal time of its occurrence, else `execute_at`, else its creation.
    pub fn expected_start(&self) -> DateTime<Utc> {
        match &self.spec.origin {
            Origin::Operation { occurrence, .. } => occurrence.nominal,
            Origin::Submitted | Origin::Child(_) => self.status.execute_at.unwrap_or(self.spec.created),
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            plan: &self.plan,
            flow: &self.flow,
            instances: &self.instances,
            run: self.status.runs.len() as u32,
            never_revert: self.spec.never_revert,
        }
    }

    /// The frontier as it follows from the instances.
    pub(crate) fn frontier_anew(&self) -> Frontier {
        Frontier::of(&self.view(), self.status.direction)
    }

    /// Takes what became of a task or scope into the frontier.
    pub(crate) fn settle(&mut self, name: &InstanceName) {
        let Some(seat) = self.plan.seat_of(name) else { return };
        let view = View {
            plan: &self.plan,
            flow: &self.flow,
            instances: &self.instances,
            run: self.status.runs.len() as u32,
            never_revert: self.spec.never_revert,
        };
        self.frontier.settle(&view, &seat);
    }

    /// The latest instance of a task or scope: a scope around it, or an operator's retry, opens the next.
    pub fn current(&self, task: &str) -> Option<&TaskInstance> {
        self.instances_of(task).last()
    }

    pub fn task(&self, name: &str) -> Option<&Task> {
        self.flow.task_at(&self.plan.place(self.plan.index(name)?))
    }

    pub fn wait(&self, name: &str) -> Option<&Wait> {
        self.flow.wait_at(&self.plan.place(self.plan.index(name)?))
    }

    /// The job that the node of that name is.
    pub fn child(&self, name: &str) -> Option<&Child> {
        self.wait(name)?.child()
    }

    /// Where it belongs, if it is a child.
    pub fn parent(&self) -> Option<&Parent> {
        match &self.spec.origin {
            Origin::Child(parent) => Some(parent),
            Origin::Submitted | Origin::Operation { .. } => None,
        }
    }

    /// The task or own revert of that name.
    pub fn called(&self, name: &str) -> Option<Called<'_>> {
        if let Some(task) = self.task(name) {
            return Some(Called::Task(task));
        }
        let node = self.plan.node(name).filter(|node| self.plan.is_own_revert(*node))?;
        let revert = match self.flow.nested_at(&self.plan.place(node)) {
            Some(nested) => nested.revert.as_ref(),
            None => self.flow.revert.as_ref(),
        };
        revert.map(Called::OwnRevert)
    }

    /// Where the own revert of that name is.
    pub(crate) fn own_revert(&self, name: &InstanceName) -> Option<Seat> {
        self.plan.seat_of(name).filter(|seat| self.plan.is_own_revert(seat.node))
    }

    /// An own revert was begun and did not succeed: nothing in its flow can be applied before it did.
    pub(crate) fn has_half_undone_flow(&self) -> bool {
        let own_reverts = self.own_reverts().flat_map(|name| self.instances_of(name));
        let mut seats = own_reverts.filter_map(|instance| self.plan.seat_of(&instance.name));
        seats.any(|seat| self.view().is_half_undone(&seat))
    }

    /// A scope was applied, and some of it is undone since: applied anew it would be taken for done.
    pub(crate) fn has_half_undone_scope(&self) -> bool {
        let view = self.view();
        let is_undone = |seat: &Seat| {
            let state = view.current(seat).map(|instance| instance.state);
            matches!(state, Some(TaskState::Reverted | TaskState::Accepted | TaskState::SkippedRevert))
        };
        let seats = self.task_instances().filter_map(|instance| self.plan.seat_of(&instance.name));
        let mut undone = seats.filter(|seat| is_undone(seat) && view.is_of_last_try(seat));
        let is_applied =
            |scope: &Seat| view.current(scope).is_some_and(|instance| instance.state == TaskState::Applied);
        self.status.direction == Direction::Revert
            && undone.any(|seat| view.all_scopes_around(&seat).iter().any(is_applied))
    }

    /// The names of the own reverts, that of a flow before those in it.
    pub fn own_reverts(&self) -> impl Iterator<Item = &str> {
        self.plan.own_reverts().map(|node| self.plan.name(node))
    }

    /// The calls that were begun, and whose outcome is not known, in the order of the flow.
    pub fn in_flight(&self) -> impl Iterator<Item = &TaskInstance> {
        let in_flight = |seat| self.view().instances_at(seat).filter(|i| i.is_in_flight()).last();
        self.frontier.calling().filter_map(in_flight)
    }

    pub fn in_flight_count(&self) -> usize {
        self.frontier.calling().len()
    }

    /// Every instance of a task or scope, the first iteration first.
    pub fn instances_of(&self, task: &str) -> impl Iterator<Item = &TaskInstance> {
        let first = InstanceName { task: task.to_owned(), iteration: Vec::new() };
        self.instances.range(first..).map(|(_, i)| i).take_while(move |i| i.name.task == task)
    }

    /// Every instance of a task or wait, in the order of the flow, then of iteration.
    pub fn task_instances(&self) -> impl Iterator<Item = &TaskInstance> {
        self.flow.leaves().flat_map(|leaf| self.instances_of(leaf.name()))
    }

    /// Every scope that was begun or left out, in the order of the flow, then of iteration.
    pub fn scope_instances(&self) -> impl Iterator<Item = &TaskInstance> {
        self.plan.scopes_in_order().into_iter().flat_map(|scope| self.instances_of(self.plan.name(scope)))
    }

    /// When, at the earliest, a task whose last call asked for a pause wants to be called again.
    pub fn next_try(&self) -> Option<DateTime<Utc>> {
        self.frontier.wake()
    }

    /// The failures of the tasks that were not applied in the end, in the order of the flow; of a scope that was tried
    /// again, those of its last try.
    pub fn failures(&self) -> Vec<(InstanceName, Fault)> {
        let view = self.view();
        let faulty = self.frontier.faulty().filter(|seat| view.is_of_last_try(seat)).filter_map(|seat| {
            let instance = view.current(seat)?;
            Some((instance.name.clone(), instance.failure()?.clone()))
        });
        faulty.collect()
    }

    /// Which try of the innermost scope around it that is tried again an instance belongs to, from 1; 1 where there is
    /// none.
    pub fn scope_attempt(&self, name: &InstanceName) -> u32 {
        self.plan.seat_of(name).map_or(1, |seat| self.view().scope_attempt(&seat))
    }
}
