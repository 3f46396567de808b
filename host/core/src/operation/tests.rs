//! Operations: their life, and what they refuse.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::flow::{Inputs, RetryPolicy, Task};
use crate::id::Digest;
use crate::plugin::{ActionManifest, AskedGrants, Manifest};
use crate::schedule::{CadenceSpec, INTERVAL_FLOOR_MS, ScheduleSpec};
use crate::trigger::{CatchUp, EventFilter, KindSpec, TriggerSpec, Verdict};

const ID: OperationId = OperationId(Uuid::from_u128(1));
const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(2));

fn clock(time: &str) -> DateTime<Utc> {
    format!("2026-11-21T{time}Z").parse().expect("a test writes RFC 3339")
}

fn trigger(kind: KindSpec) -> Trigger {
    let spec = TriggerSpec {
        name: "t".to_owned(),
        owner: "ann".to_owned(),
        description: String::new(),
        labels: BTreeMap::new(),
        kind,
        window_ms: None,
        catch_up: CatchUp::default(),
    };
    Trigger::create(TRIGGER, &spec, INTERVAL_FLOOR_MS, clock("07:00:00")).expect("a test's trigger is valid")
}

fn minutely(end: Option<&str>) -> Trigger {
    let cadence = CadenceSpec::Interval { every_ms: 60_000, anchor: None };
    trigger(KindSpec::Schedule(ScheduleSpec { cadence, start: None, end: end.map(str::to_owned) }))
}

fn waiting() -> Trigger {
    trigger(KindSpec::Events(EventFilter { type_: "a".to_owned(), source: None, subject: None }))
}

fn schemas(_: &PluginPin) -> Option<Arc<Schemas>> {
    let properties = json!({"path": {"type": "string"}, "event": {}});
    let input = json!({"properties": properties, "required": ["path"], "additionalProperties": false});
    let action = ActionManifest {
        name: "save".to_owned(),
        description: String::new(),
        input,
        output: json!(true),
        reversible: true,
        observed: false,
    };
    let manifest = Manifest {
        manifest: 1,
        name: "files".to_owned(),
        version: "1.0.0".to_owned(),
        description: String::new(),
        actions: vec![action],
        grants: AskedGrants::default(),
    };
    Some(Arc::new(Schemas::compile(&manifest).expect("a test's schema is one")))
}

fn spec() -> OperationSpec {
    let plugin =
        PluginPin { digest: Digest::of(b"f"), name: "files".to_owned(), version: "1.0.0".to_owned() };
    let task = Task {
        name: "save".to_owned(),
        plugin,
        action: "save".to_owned(),
        inputs: Inputs::Arguments,
        revert_inputs: None,
        provides: BTreeMap::new(),
        needs: Vec::new(),
        priority: 0,
        timeout_ms: None,
        retry: RetryPolicy::default(),
        when: None,
        memory_bytes_max: None,
        in_doubt: Default::default(),
        observe: crate::flow::ObservePolicy::default(),
        phase: None,
    };
    OperationSpec {
        name: "backup".to_owned(),
        owner: "ann".to_owned(),
        principal: "ann".to_owned(),
        trigger: TRIGGER,
        flow: Flow::linear([task]),
        flow_revision: None,
        arguments: Map::from_iter([("path".to_owned(), json!("/a"))]),
        grants: Grants::default(),
        labels: BTreeMap::new(),
        job_type: "backup".to_owned(),
        priority: 0,
        timeout_ms: None,
        event_argument: None,
        description: String::new(),
        never_revert: false,
    }
}

fn create(
    spec: &OperationSpec,
    trigger: &Trigger,
    enabled: bool,
    now: &str,
) -> Result<Operation, OperationRefused> {
    Operation::create(ID, spec, trigger, enabled, &schemas, clock(now))
}

fn paths(refused: OperationRefused) -> Vec<String> {
    match refused {
        OperationRefused::Invalid(problems) => problems.0.into_iter().map(|problem| problem.path).collect(),
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn t11_an_exhausted_trigger_takes_no_operation() {
    let ended = minutely(Some("2026-11-21T08:00:00Z"));
    assert!(create(&spec(), &ended, true, "07:00:00").is_ok());
    let refused = create(&spec(), &ended, true, "08:00:00").unwrap_err();
    assert_eq!(refused, OperationRefused::Trigger(TriggerRefused::Exhausted { trigger: TRIGGER }));
}

#[test]
fn t22_only_occurrences_after_the_enabling_are_due() {
    let trigger = minutely(None);
    let fired = trigger.fire(clock("07:05:00"), 100).unwrap();
    assert!(fired.occurrences.iter().all(|due| due.verdict == Verdict::Run));
    let due = |operation: &Operation| {
        let due = fired.occurrences.iter().filter(|due| operation.due_for(&due.occurrence));
        due.map(|due| due.occurrence.nominal.format("%H:%M").to_string()).collect::<Vec<_>>()
    };
    let operation = create(&spec(), &trigger, false, "07:00:00").unwrap();
    assert!(due(&operation).is_empty());
    let enabled = operation.enable(clock("07:03:00")).unwrap();
    assert_eq!(due(&enabled), ["07:04", "07:05"]);
    // Enabling what is enabled does not move the instant.
    assert_eq!(enabled.enable(clock("07:04:30")), Ok(enabled.clone()));
    let disabled = enabled.disable(clock("07:04:30")).unwrap();
    assert!(due(&disabled).is_empty());
    assert_eq!(disabled.disable(clock("07:04:40")), Ok(disabled.clone()));
    assert_eq!(due(&disabled.enable(clock("07:04:30")).unwrap()), ["07:05"]);
    // A person who fires it in the millisecond of its enabling means it.
    let manual = trigger.fire_now("r", clock("07:03:00")).unwrap();
    assert!(enabled.due_for(&manual) && !operation.due_for(&manual));
    let other = Occurrence { trigger: TriggerId(Uuid::from_u128(9)), ..manual };
    assert!(!enabled.due_for(&other));
}

#[test]
fn w10_wrong_arguments_grants_and_names_are_told_at_once() {
    let mut bad = spec();
    bad.name = "no/name".to_owned();
    bad.principal = String::new();
    bad.job_type = "a b".to_owned();
    bad.labels.insert("-".to_owned(), "x".to_owned());
    bad.labels.insert("host.trace".to_owned(), "x".to_owned());
    bad.grants.memory_bytes_max = Some(0);
    for guest_path in ["/data", "/data"] {
        let directory = crate::call::DirectoryGrant {
            host_path: "/srv/../etc".to_owned(),
            guest_path: guest_path.to_owned(),
            access: crate::call::Access::ReadOnly,
        };
        bad.grants.directories.push(directory);
    }
    bad.timeout_ms = Some(0);
    bad.priority = 1_001;
    bad.event_argument = Some("path".to_owned());
    bad.arguments.insert("depth".to_owned(), json!(1));
    let told = paths(create(&bad, &minutely(None), true, "07:00:00").unwrap_err());
    let expected = [
        "name",
        "principal",
        "job_type",
        "labels.-",
        "labels.host.trace",
        "grants.directories[0].host_path",
        "grants.directories[1].host_path",
        "grants.directories[1].guest_path",
        "grants.memory_bytes_max",
        "timeout_ms",
        "priority",
        "event_argument",
        "event_argument",
        "arguments",
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_event_argument_needs_an_event_trigger() {
    let mut with_event = spec();
    with_event.event_argument = Some("event".to_owned());
    assert!(create(&with_event, &waiting(), true, "07:00:00").is_ok());
    assert_eq!(
        paths(create(&with_event, &minutely(None), true, "07:00:00").unwrap_err()),
        ["event_argument"]
    );
}

#[test]
fn an_update_is_the_next_generation_of_the_same_binding() {
    let operation = create(&spec(), &minutely(None), true, "07:00:00").unwrap();
    let mut changed = spec();
    changed.owner = "bob".to_owned();
    changed.priority = 7;
    let updated = operation.update(&changed, &minutely(None), &schemas, clock("07:01:00")).unwrap();
    assert_eq!((updated.generation, updated.priority, updated.owner.as_str()), (2, 7, "ann"));
    assert_eq!((updated.enabled_since, updated.created), (operation.enabled_since, operation.created));
    // Bound to another trigger, it is due only for what comes after.
    let other = Trigger { id: TriggerId(Uuid::from_u128(9)), ..minutely(None) };
    changed.trigger = other.id;
    let rebound = operation.update(&changed, &other, &schemas, clock("07:03:00")).unwrap();
    assert_eq!((rebound.trigger, rebound.enabled_since), (other.id, Some(clock("07:03:00"))));
    let ended = Trigger { id: other.id, ..minutely(Some("2026-11-21T07:02:00Z")) };
    let refused = operation.update(&changed, &ended, &schemas, clock("07:03:00")).unwrap_err();
    assert_eq!(refused, OperationRefused::Trigger(TriggerRefused::Exhausted { trigger: other.id }));
}

#[test]
fn a_tombstone_never_changes_and_reads_back() {
    let operation = create(&spec(), &minutely(None), true, "07:00:00").unwrap();
    let deleted = operation.delete(clock("07:01:00")).unwrap();
    let expected = OperationRefused::Deleted { operation: ID, deleted: clock("07:01:00") };
    for refused in [
        deleted.delete(clock("07:02:00")),
        deleted.enable(clock("07:02:00")),
        deleted.disable(clock("07:02:00")),
        deleted.update(&spec(), &minutely(None), &schemas, clock("07:02:00")),
    ] {
        assert_eq!(refused, Err(expected.clone()));
    }
    assert!(!deleted.due_for(&minutely(None).fire_now("r", clock("07:02:00")).unwrap()));
    let row = rmp_serde::to_vec_named(&deleted).unwrap();
    assert_eq!(rmp_serde::from_slice::<Operation>(&row).unwrap(), deleted);
}
