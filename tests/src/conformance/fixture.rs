//! What the cases are made of: jobs, flows, hosts and times that are the same in every run.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;
use windlass_core::call::Grants;
use windlass_core::child::Child;
use windlass_core::decide::Decision;
use windlass_core::decide::create::{Timing, create, create_child};
use windlass_core::decide::outcome::CallName;
use windlass_core::entry::Actor;
use windlass_core::event::CloudEvent;
use windlass_core::flow::{Flow, Inputs, Node, Pattern, PluginPin, RetryPolicy, Task};
use windlass_core::id::{Digest, FlowId, HostId, JobId, OperationId, TriggerId};
use windlass_core::job::{Job, JobSpec, Origin};
use windlass_core::own_revert::OwnRevert;
use windlass_core::revision::{FlowRevision, NamedFlow};
use windlass_core::wait::{EventWait, Until, Wait};
use windlass_host::store::{Change, CommitError, HostRecord, HostState, Record, Store, Unit};

/// Milliseconds after the beginning of 2026.
pub fn at(ms: i64) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(1_767_225_600, 0).expect("a valid instant");
    start + TimeDelta::milliseconds(ms)
}

/// The n-th job: ids are ordered as UUIDv7 are.
pub fn job_id(n: u64) -> JobId {
    JobId(Uuid::from_u128((0x0198_c0de_0000_7000_8000 << 48) | u128::from(n)))
}

pub fn host_id(n: u128) -> HostId {
    HostId(Uuid::from_u128(0xB0_0000 + n))
}

pub fn trigger_id(n: u128) -> TriggerId {
    TriggerId(Uuid::from_u128(0x7E_0000 + n))
}

pub fn operation_id(n: u128) -> OperationId {
    OperationId(Uuid::from_u128(0x09_0000 + n))
}

pub fn plugin(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

pub fn actor() -> Actor {
    Actor::Principal("tester".to_owned())
}

/// A flow of tasks in a row, named after their place, all of one plugin.
pub fn flow(plugin_name: &str, tasks: usize) -> Arc<Flow> {
    let task = |n: usize| Task {
        name: format!("task-{n}"),
        plugin: PluginPin {
            digest: plugin(plugin_name),
            name: plugin_name.to_owned(),
            version: "1.0.0".to_owned(),
        },
        action: "act".to_owned(),
        inputs: Inputs::Arguments,
        revert_inputs: None,
        provides: BTreeMap::new(),
        needs: Vec::new(),
        priority: 0,
        timeout_ms: None,
        retry: RetryPolicy { attempts_max: 3, pause_ms: 100, pause_ms_max: 1_000, ..RetryPolicy::default() },
        when: None,
        memory_bytes_max: None,
        in_doubt: Default::default(),
        observe: Default::default(),
        phase: None,
    };
    Arc::new(Flow::linear((1..=tasks).map(task)))
}

/// The same flow with a revert of its own, of another plugin.
pub fn undone_as_a_whole(flow: Arc<Flow>, plugin_name: &str) -> Arc<Flow> {
    let revert = OwnRevert {
        plugin: PluginPin {
            digest: plugin(plugin_name),
            name: plugin_name.to_owned(),
            version: "1.0.0".to_owned(),
        },
        action: "release".to_owned(),
        inputs: BTreeMap::new(),
        timeout_ms: None,
        retry: RetryPolicy::default(),
        memory_bytes_max: None,
    };
    Arc::new(Flow { revert: Some(revert), ..Arc::unwrap_or_clone(flow) })
}

/// Types of events, some of which begin alike.
pub const EVENT_TYPES: [&str; 3] = ["test.built", "test.built.well", "test.b"];

/// A wait for an event of a type.
pub fn event_wait(name: &str, event_type: &str) -> Node {
    let event = EventWait {
        type_: event_type.to_owned(),
        source: None,
        subject: None,
        condition: None,
        timeout_ms: 3_600_000,
    };
    let (name, until) = (name.to_owned(), Until::Event(event));
    Node::Wait(Wait { name, until, provides: BTreeMap::new(), needs: Vec::new(), when: None })
}

/// Waits for events of these types, all at once, and a task beside them.
pub fn waiting_flow(event_types: &[&str]) -> Arc<Flow> {
    let mut flow = Flow::clone(&flow("copy", 1));
    let waits = event_types.iter().enumerate();
    flow.nodes.extend(waits.map(|(n, event_type)| event_wait(&format!("wait-{n}"), event_type)));
    flow.pattern = Pattern::Unordered;
    Arc::new(flow)
}

/// A flow whose only node is a child job, of one task.
pub fn family_flow() -> Arc<Flow> {
    Arc::new(Flow { nodes: vec![child_job("child", "copy")], ..Flow::clone(&flow("copy", 0)) })
}

/// A node that is a job of one task.
pub fn child_job(name: &str, plugin_name: &str) -> Node {
    let child = Child {
        flow: Box::new(Flow::clone(&flow(plugin_name, 1))),
        flow_revision: None,
        inputs: BTreeMap::new(),
        priority: None,
        timeout_ms: 3_600_000,
    };
    let (name, until) = (name.to_owned(), Until::Child(child));
    Node::Wait(Wait { name, until, provides: BTreeMap::new(), needs: Vec::new(), when: None })
}

/// The child that a parent's first open order is about, born as a host makes it.
pub fn born_of_parent(parent: &Job, now: DateTime<Utc>) -> (Job, Change) {
    let order = parent.open_orders().into_iter().next().expect("it has ordered something");
    let birth = parent.birth(&order.task, now).expect("it can be made");
    let (child, entries) = create_child(birth, order.number, actor());
    let change = Change::birth(&child, entries);
    (child, change)
}

pub fn event(event_type: &str, id: &str) -> CloudEvent {
    let stored = json!({"id": id, "source": "/tests", "specversion": "1.0", "type": event_type});
    serde_json::from_value(stored).expect("an event")
}

pub fn flow_digest(flow: &Flow) -> Digest {
    Digest::of(&serde_json::to_vec(flow).expect("a flow is JSON"))
}

pub fn spec(n: u64, flow: &Flow) -> JobSpec {
    let arguments = json!({"path": "/srv", "depth": 3, "ratio": 0.25, "big": u64::MAX, "list": [null, -1]});
    JobSpec {
        id: job_id(n),
        owner: "owner".to_owned(),
        principal: "tester".to_owned(),
        job_type: "test".to_owned(),
        labels: BTreeMap::from([(
            "parity".to_owned(),
            if n.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
        )]),
        flow: flow_digest(flow),
        flow_revision: None,
        arguments: arguments.as_object().expect("an object").clone(),
        grants: Grants::default(),
        timeout_ms: None,
        origin: Origin::Submitted,
        rerun_of: None,
        never_revert: false,
        // Nanoseconds: no store may round them.
        created: at(n as i64) + TimeDelta::nanoseconds(123_457),
    }
}

/// The n-th job, born, and the change that stores it.
pub fn born(n: u64, timing: Timing) -> (Job, Change) {
    born_of(n, flow("copy", 2), timing)
}

pub fn born_of(n: u64, flow: Arc<Flow>, timing: Timing) -> (Job, Change) {
    let (job, entries) = create(Arc::new(spec(n, &flow)), flow, timing, actor());
    let change = Change::birth(&job, entries);
    (job, change)
}

pub fn unit(changes: Vec<Change>) -> Unit {
    Unit { changes, ..Unit::default() }
}

/// Stores the n-th job.
pub async fn submit(store: &dyn Store, n: u64) -> Job {
    let (job, change) = born(n, Timing::default());
    store.commit(unit(vec![change])).await.expect("a new job is stored");
    job
}

/// Decides, and gives the change that stores the decision.
pub fn decide(job: &mut Job, now: DateTime<Utc>, ask: impl FnOnce(&mut Decision<'_>)) -> Change {
    let epoch = job.status.claim.map(|claim| claim.epoch);
    let mut decision = Decision::new(job, now, actor());
    ask(&mut decision);
    let entries = decision.into_entries();
    Change::recorded(job, entries, epoch)
}

/// Loads nothing: decides on the job in hand and commits.
pub async fn commit(
    store: &dyn Store,
    job: &mut Job,
    now: DateTime<Utc>,
    ask: impl FnOnce(&mut Decision<'_>),
) -> Result<(), CommitError> {
    let change = decide(job, now, ask);
    store.commit(unit(vec![change])).await
}

pub async fn claim(store: &dyn Store, job: &mut Job, host: HostId, now: DateTime<Utc>) {
    let claimed =
        commit(store, job, now, |decision| decision.claim(host).expect("a ready job can be claimed"));
    claimed.await.expect("the claim is stored");
}

/// The call that is under way.
pub fn call(job: &Job) -> Option<CallName> {
    job.in_flight().next().map(CallName::of)
}

/// Ends a job before it starts.
pub async fn cancel(store: &dyn Store, job: &mut Job, now: DateTime<Utc>) {
    let mode = windlass_core::job::CancelMode::Leave;
    let cancelled = commit(store, job, now, |decision| {
        decision.cancel(mode, "a test".to_owned()).expect("a waiting job can be cancelled");
    });
    cancelled.await.expect("the end is stored");
}

pub fn host(n: u128, generation: u64) -> Record {
    Record::Host(HostRecord {
        id: host_id(n),
        name: format!("host-{n}"),
        version: "0.1.0".to_owned(),
        state: HostState::Live,
        started: at(0),
        generation,
    })
}

/// A trigger that is due at `next_due`. Built from its stored form: its fields are the core's business.
pub fn trigger(n: u128, generation: u64, next_due: Option<DateTime<Utc>>) -> Record {
    let stored = json!({
        "id": trigger_id(n).0, "name": format!("trigger-{n}"), "owner": "owner",
        "kind": {"events": {"type": "test.happened"}}, "state": "active", "generation": generation, "revision": generation,
        "high_water": at(0), "next_due": next_due, "window_ms": 60_000, "catch_up": "latest",
        "created": at(0), "updated": at(0),
    });
    Record::Trigger(serde_json::from_value(stored).expect("a trigger"))
}

/// A name with as many revisions as its generation.
pub fn named_flow(name: &str, generation: u64) -> Record {
    let latest = u32::try_from(generation).expect("a test has few revisions");
    let (id, name, owner) = (FlowId::of_name(name), name.to_owned(), "owner".to_owned());
    let (created, updated) = (at(0), at(generation as i64));
    Record::Flow(NamedFlow { id, name, owner, first: 1, latest, generation, created, updated, deleted: None })
}

pub fn flow_revision(name: &str, revision: u32, flow: &Flow) -> Record {
    Record::FlowRevision(FlowRevision {
        id: FlowId::of_name(name),
        name: name.to_owned(),
        revision,
        flow: flow.clone(),
        description: "of a test".to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "tests".to_owned())]),
        principal: "tester".to_owned(),
        created: at(revision.into()),
    })
}

/// An operation on a flow.
pub fn operation(n: u128, generation: u64, flow: &Flow, deleted: Option<DateTime<Utc>>) -> Record {
    let stored = json!({
        "id": operation_id(n).0, "name": format!("operation-{n}"), "owner": "owner", "principal": "tester",
        "trigger": trigger_id(1).0, "flow": flow, "arguments": {}, "enabled": true, "generation": generation,
        "created": at(0), "updated": at(0), "deleted": deleted,
    });
    Record::Operation(serde_json::from_value(stored).expect("an operation"))
}
