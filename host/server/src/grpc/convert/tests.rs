//! What is converted to the wire and back is what it was.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use prost_types::{Duration, FieldMask, Timestamp};
use uuid::Uuid;
use windlass_core::flow::{Flow, Node, PluginPin};
use windlass_core::id::{Digest, OperationId, TriggerId};
use windlass_core::operation::Operation;
use windlass_core::problem::Problems;
use windlass_core::revision::RevisionName;
use windlass_core::trigger::{CatchUp, KindSpec, Trigger};
use windlass_core::wait::Until;
use windlass_proto::v1;
use windlass_proto::v1::input::Source;
use windlass_proto::v1::trigger::Due;
use windlass_proto::v1::work::Kind;

use super::{demand, operation, submission, trigger, work};
use crate::engine::EngineError;
use crate::engine::operation::OperationState;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}

fn paths(error: EngineError) -> Vec<String> {
    let EngineError::Invalid(problems) = error else { panic!("{error}") };
    problems.0.into_iter().map(|problem| problem.path).collect()
}

fn flow() -> v1::Work {
    let input = |source| v1::Input { source: Some(source) };
    let inputs = [
        ("level", input(Source::LiteralJson("19".to_owned()))),
        ("path", input(Source::Argument("source".to_owned()))),
        (
            "size",
            input(Source::Output(v1::TaskOutput { task: "count".to_owned(), pointer: "/bytes".to_owned() })),
        ),
        ("keep", input(Source::Name("keep".to_owned()))),
        ("note", input(Source::OptionalName("note".to_owned()))),
    ];
    let inputs: BTreeMap<_, _> = inputs.into_iter().map(|(name, input)| (name.to_owned(), input)).collect();
    let task = v1::Task {
        name: "pack".to_owned(),
        plugin: "backup@1.0.0".to_owned(),
        action: "snapshot".to_owned(),
        revert_inputs: [("path".to_owned(), inputs["path"].clone())].into(),
        inputs,
        provides: [("archive".to_owned(), "/path".to_owned())].into(),
        timeout: Some(Duration { seconds: 90, nanos: 500_000_000 }),
        retry: Some(v1::RetryPolicy {
            attempts_max: 3,
            backoff_initial: Some(Duration { seconds: 2, nanos: 0 }),
            backoff_max: Some(Duration { seconds: 60, nanos: 0 }),
            backoff_multiplier: 1.5,
        }),
        digest: String::new(),
        ..v1::Task::default()
    };
    let defaults_json = r#"{"keep":3}"#.to_owned();
    v1::Work { kind: Some(Kind::Flow(v1::Flow { tasks: vec![task], defaults_json, ..v1::Flow::default() })) }
}

fn action() -> v1::Work {
    let action =
        v1::Action { plugin: "backup@1.0.0".to_owned(), action: "verify".to_owned(), digest: String::new() };
    v1::Work { kind: Some(Kind::Action(action)) }
}

/// The task of `flow`, and twice in a nested flow that needs it.
fn tree() -> v1::Work {
    let Some(Kind::Flow(mut tree)) = flow().kind else { panic!() };
    let twice =
        ["one", "two"].map(|name| v1::Task { name: name.to_owned(), priority: -3, ..tree.tasks[0].clone() });
    let until = v1::Repeat { until: "done".to_owned(), rounds_max: 3, ..v1::Repeat::default() };
    let inner = v1::Flow {
        tasks: twice.to_vec(),
        pattern: v1::Pattern::Unordered.into(),
        scope: Some(v1::flow::Scope::Repeat(until)),
        ..v1::Flow::default()
    };
    let needs = vec![tree.tasks[0].name.clone()];
    let when = Some(v1::When { condition: "keep > 1".to_owned(), skips: v1::SkipDepth::Flow.into() });
    tree.tasks[0].when = when.clone();
    let both = v1::Task { name: "both".to_owned(), flow: Some(inner), needs, when, ..v1::Task::default() };
    tree.tasks.push(both);
    let strategy = Some(v1::scope_retry::Strategy::Times(2));
    let retry = v1::ScopeRetry { strategy, ..v1::ScopeRetry::default() };
    tree.scope = Some(v1::flow::Scope::Retry(retry));
    (tree.pattern, tree.parallel_max) = (v1::Pattern::Graph.into(), 7);
    v1::Work { kind: Some(Kind::Flow(tree)) }
}

/// `tree`, undone as a whole, with a nested flow in a phase that is so as well.
fn whole() -> v1::Work {
    let Some(Kind::Flow(mut whole)) = tree().kind else { panic!() };
    let v1::Task { plugin, action, inputs, timeout, retry, .. } = whole.tasks[0].clone();
    let revert = v1::OwnRevert {
        plugin,
        action,
        inputs,
        timeout,
        retry,
        memory_bytes_max: Some(1 << 20),
        ..v1::OwnRevert::default()
    };
    whole.scope = None;
    whole.revert = Some(revert.clone());
    whole.tasks[0].phase = v1::Phase::Reserve.into();
    whole.tasks[1].phase = v1::Phase::Acquire.into();
    let inner = whole.tasks[1].flow.as_mut().unwrap();
    (inner.scope, inner.revert) = (None, Some(revert));
    v1::Work { kind: Some(Kind::Flow(whole)) }
}

/// `tree` as a child job in a nested flow, with everything that one may have.
fn family() -> v1::Work {
    let Some(Kind::Flow(tree)) = tree().kind else { panic!() };
    let job = v1::ChildJob {
        inputs: [("keep".to_owned(), tree.tasks[0].inputs["keep"].clone())].into(),
        work: Some(v1::child_job::Work::Flow(tree)),
        priority: Some(-5),
        timeout: Some(Duration { seconds: 7_200, nanos: 0 }),
        flow_revision: None,
    };
    let node = v1::Task {
        name: "image".to_owned(),
        provides: [("digest".to_owned(), "/image/digest".to_owned())].into(),
        when: Some(v1::When { condition: "keep > 1".to_owned(), skips: v1::SkipDepth::Task.into() }),
        wait: Some(v1::task::Wait::Job(job)),
        ..v1::Task::default()
    };
    let inner = v1::Flow { tasks: vec![node], ..v1::Flow::default() };
    let outer = v1::Task { name: "both".to_owned(), flow: Some(inner), ..v1::Task::default() };
    v1::Work { kind: Some(Kind::Flow(v1::Flow { tasks: vec![outer], ..v1::Flow::default() })) }
}

fn job_of(work: &mut v1::Work) -> (&mut v1::Task, v1::ChildJob) {
    let Some(Kind::Flow(outer)) = work.kind.as_mut() else { panic!() };
    let node = &mut outer.tasks[0].flow.as_mut().unwrap().tasks[0];
    let Some(v1::task::Wait::Job(job)) = node.wait.clone() else { panic!() };
    (node, job)
}

#[test]
fn a_child_job_is_the_same_after_a_round_trip_and_says_which_revision_it_is() {
    let mut stored = pinned(converted(family()));
    let shown = work::to_wire(&stored);
    assert_eq!(pinned(converted(shown)), stored);
    let Node::Flow(nested) = &mut stored.nodes[0] else { panic!() };
    let Node::Wait(wait) = &mut nested.nodes[0] else { panic!() };
    let Until::Child(child) = &mut wait.until else { panic!() };
    assert_eq!((child.timeout_ms, child.priority), (7_200_000, Some(-5)));
    child.flow_revision = Some(RevisionName { name: "image".to_owned(), revision: 3 });
    let mut shown = work::to_wire(&stored);
    let (_, job) = job_of(&mut shown);
    assert_eq!(job.flow_revision, Some(v1::FlowReference { name: "image".to_owned(), revision: 3 }));
    assert!(matches!(job.work, Some(v1::child_job::Work::Flow(flow)) if flow.tasks.len() == 2));
}

#[test]
fn a_child_job_that_names_a_flow_asks_for_it_and_nobody_says_for_a_whole_one_where_it_is_from() {
    let mut named = family();
    let (node, mut job) = job_of(&mut named);
    let image = v1::FlowReference { name: "image".to_owned(), revision: 0 };
    job.work = Some(v1::child_job::Work::Reference(image.clone()));
    (job.timeout, job.priority) = (None, None);
    node.wait = Some(v1::task::Wait::Job(job));
    let flow = converted(named);
    let (_, child) = flow.children().next().unwrap();
    let wanted = RevisionName { name: "image".to_owned(), revision: 0 };
    assert_eq!((child.flow_revision.as_ref(), child.flow.nodes.len()), (Some(&wanted), 0));
    assert_eq!((child.timeout_ms, child.priority), (windlass_core::child::TIMEOUT_MS_DEFAULT, None));

    let mut whole = family();
    let (node, mut job) = job_of(&mut whole);
    job.flow_revision = Some(image);
    node.wait = Some(v1::task::Wait::Job(job));
    assert_eq!(converted(whole).children().next().unwrap().1.flow_revision, None);
}

#[test]
fn what_is_wrong_with_a_child_job_is_told_with_its_field() {
    let mut wrong = family();
    let (node, mut job) = job_of(&mut wrong);
    job.timeout = Some(Duration { seconds: -1, nanos: 0 });
    job.inputs.insert("none".to_owned(), v1::Input { source: None });
    let within = v1::ChildJob { work: None, ..job.clone() };
    let Some(v1::child_job::Work::Flow(flow)) = job.work.as_mut() else { panic!() };
    flow.tasks[0].plugin.clear();
    (node.plugin, node.phase) = ("copy".to_owned(), v1::Phase::Reserve.into());
    flow.tasks.push(v1::Task { wait: Some(v1::task::Wait::Job(within)), ..v1::Task::default() });
    node.wait = Some(v1::task::Wait::Job(job));
    let mut problems = Problems::default();
    work::flow(&mut problems, "job.work", Some(wrong));
    let mut paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    paths.sort_unstable();
    let node = "job.work.flow.tasks[0].flow.tasks[0]";
    let expected = [
        "job.flow.tasks[0].plugin",
        "job.flow.tasks[2].job",
        "job.flow.tasks[2].job.inputs.none",
        "job.flow.tasks[2].job.timeout",
        "job.inputs.none",
        "job.timeout",
        "phase",
        "plugin",
    ];
    assert_eq!(paths, expected.map(|field| format!("{node}.{field}")));
}

#[test]
fn what_is_wrong_with_an_own_revert_or_a_phase_is_told_with_its_field() {
    let mut wrong = whole();
    let Some(Kind::Flow(flow)) = wrong.kind.as_mut() else { panic!() };
    flow.revert.as_mut().unwrap().plugin.clear();
    flow.tasks[0].phase = 9;
    let inner = flow.tasks[1].flow.as_mut().unwrap().revert.as_mut().unwrap();
    inner.action.clear();
    inner.inputs.insert("none".to_owned(), v1::Input { source: None });
    let mut problems = Problems::default();
    work::flow(&mut problems, "job.work", Some(wrong));
    let mut paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "job.work.flow.revert.plugin",
        "job.work.flow.tasks[0].phase",
        "job.work.flow.tasks[1].flow.revert.action",
        "job.work.flow.tasks[1].flow.revert.inputs.none",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn what_a_nested_flow_cannot_have_and_an_unknown_pattern_are_refused() {
    let mut wrong = tree();
    let Some(Kind::Flow(flow)) = wrong.kind.as_mut() else { panic!() };
    flow.pattern = 9;
    flow.tasks[1].action = "act".to_owned();
    let inner = flow.tasks[1].flow.as_mut().unwrap();
    (inner.parallel_max, inner.pattern) = (2, -1);
    let mut problems = Problems::default();
    work::flow(&mut problems, "job.work", Some(wrong));
    let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    let inner = "job.work.flow.tasks[1]";
    let expected = ["action", "flow.parallel_max", "flow.pattern"].map(|field| format!("{inner}.{field}"));
    assert_eq!(paths[0], "job.work.flow.pattern");
    assert_eq!(paths[1..], expected);
}

fn converted(work: v1::Work) -> Flow<String> {
    let mut problems = Problems::default();
    let (flow, reference) = work::flow(&mut problems, "job.work", Some(work));
    assert_eq!(reference, None);
    assert_eq!(problems, Problems::default());
    flow
}

fn pinned(flow: Flow<String>) -> Flow {
    flow.map(|plugin| {
        let (name, version) = plugin.split_once('@').unwrap();
        PluginPin { digest: Digest::of(b"x"), name: name.to_owned(), version: version.to_owned() }
    })
}

#[test]
fn work_is_the_same_after_a_round_trip() {
    for wire in [flow(), action(), tree(), whole(), family()] {
        let stored = pinned(converted(wire.clone()));
        let shown = work::to_wire(&stored);
        assert_eq!(pinned(converted(shown.clone())), stored);
        let kind = |work: &v1::Work| std::mem::discriminant(work.kind.as_ref().unwrap());
        assert_eq!(kind(&shown), kind(&wire));
    }
    let stored = pinned(converted(flow()));
    let task = stored.tasks().next().unwrap();
    assert_eq!(
        (task.timeout_ms, task.retry.factor_percent, task.retry.pause_ms_max),
        (Some(90_500), 150, 60_000)
    );
}

#[test]
fn a_submission_tells_every_problem_with_its_field_at_once() {
    let directory = v1::DirectoryGrant { host_path: "/a".to_owned(), guest_path: "/a".to_owned(), access: 0 };
    let mut wanted = v1::JobSpec {
        work: Some(flow()),
        arguments_json: "[1]".to_owned(),
        grants: Some(v1::Grants { directories: vec![directory], memory_bytes_max: None }),
        execute_time: Some(Timestamp { seconds: -1, nanos: 0 }),
        timeout: Some(Duration { seconds: -1, nanos: 0 }),
        ..v1::JobSpec::default()
    };
    let Some(Kind::Flow(flow)) = wanted.work.as_mut().and_then(|work| work.kind.as_mut()) else { panic!() };
    flow.defaults_json = "{".to_owned();
    flow.tasks[0].action.clear();
    flow.tasks[0].inputs.insert("bad".to_owned(), v1::Input { source: None });
    let request = v1::SubmitJobRequest { job: Some(Box::new(wanted)), ..v1::SubmitJobRequest::default() };
    let found = paths(submission::submission(request, "ann".to_owned()).unwrap_err());
    let expected = [
        "job.work.flow.defaults_json",
        "job.work.flow.tasks[0].action",
        "job.work.flow.tasks[0].inputs.bad",
        "job.arguments_json",
        "job.grants.directories[0].access",
        "job.timeout",
        "job.execute_time",
    ];
    assert_eq!(found, expected);
    let empty = submission::submission(v1::SubmitJobRequest::default(), "ann".to_owned());
    assert_eq!(paths(empty.unwrap_err()), ["job"]);
}

fn cron() -> v1::Trigger {
    let cron = v1::Cron { expression: "*/5 * * * *".to_owned(), time_zone: "Europe/Berlin".to_owned() };
    let schedule = v1::Schedule {
        rule: Some(v1::schedule::Rule::Cron(cron)),
        start_time: None,
        end_time: Some(Timestamp { seconds: 2_000_000_000, nanos: 0 }),
    };
    v1::Trigger {
        name: "nightly".to_owned(),
        description: "every five minutes".to_owned(),
        labels: [("team".to_owned(), "ops".to_owned())].into(),
        due: Some(Due::Schedule(schedule)),
        window: Some(Duration { seconds: 60, nanos: 0 }),
        catch_up: v1::CatchUp::All.into(),
        ..v1::Trigger::default()
    }
}

fn interval() -> v1::Trigger {
    let every = Some(Duration { seconds: 5, nanos: 0 });
    let interval = v1::Interval { every, anchor: Some(Timestamp { seconds: 1_000, nanos: 0 }) };
    let rule = Some(v1::schedule::Rule::Interval(interval));
    let schedule = v1::Schedule {
        rule,
        start_time: Some(Timestamp { seconds: 1_700_000_100, nanos: 0 }),
        end_time: None,
    };
    v1::Trigger { due: Some(Due::Schedule(schedule)), ..cron() }
}

fn on_event() -> v1::Trigger {
    let event = v1::EventSubscription {
        r#type: "file.closed".to_owned(),
        source: "/w".to_owned(),
        subject: String::new(),
    };
    v1::Trigger { due: Some(Due::Event(event)), ..cron() }
}

fn stored(wire: v1::Trigger) -> Trigger {
    let (id, spec) = trigger::creation(Some(wire), "ann".to_owned()).unwrap();
    Trigger::create(id.unwrap_or(TriggerId(Uuid::from_u128(7))), &spec, 1_000, now()).unwrap()
}

#[test]
fn triggers_are_the_same_after_a_round_trip() {
    for wire in [cron(), interval(), on_event()] {
        let stored_once = stored(wire);
        let shown = trigger::to_wire(&stored_once, 2);
        assert_eq!(stored(shown.clone()), stored_once);
        assert_eq!((shown.operation_count, shown.etag.as_str()), (2, "1"));
    }
}

#[test]
fn a_mask_replaces_what_it_names_and_nothing_else() {
    let before = stored(cron());
    let wanted = v1::Trigger { name: "hourly".to_owned(), ..v1::Trigger::default() };
    let edit = trigger::edit(wanted, Some(&mask(&["name", "catch_up"]))).unwrap();
    let spec = edit.spec(&before);
    assert_eq!(
        (spec.name.as_str(), spec.catch_up, spec.window_ms),
        ("hourly", CatchUp::Latest, Some(60_000))
    );
    assert_eq!(spec.description, before.description);
    let KindSpec::Schedule(schedule) = spec.kind else { panic!() };
    assert_eq!(schedule.end.as_deref(), Some("2033-05-18T03:33:20Z"));

    let edit = trigger::edit(interval(), Some(&mask(&["schedule"]))).unwrap();
    assert_ne!(edit.spec(&before).kind, KindSpec::Schedule(schedule));
    for bad in [mask(&[]), mask(&["state"]), mask(&["event"])] {
        assert_eq!(paths(trigger::edit(cron(), Some(&bad)).err().unwrap()), ["update_mask"], "{bad:?}");
    }
    let uuid = v1::Trigger { name: Uuid::nil().to_string(), ..cron() };
    assert_eq!(paths(trigger::creation(Some(uuid), "ann".to_owned()).unwrap_err()), ["trigger.name"]);
}

fn wanted_operation() -> v1::Operation {
    v1::Operation {
        name: "backup".to_owned(),
        description: "keeps three".to_owned(),
        labels: [("team".to_owned(), "ops".to_owned())].into(),
        trigger: Uuid::from_u128(7).to_string(),
        work: Some(flow()),
        arguments_json: r#"{"source":"/data"}"#.to_owned(),
        grants: Some(v1::Grants {
            directories: vec![v1::DirectoryGrant {
                host_path: "/data".to_owned(),
                guest_path: "/source".to_owned(),
                access: v1::Access::ReadWrite.into(),
            }],
            memory_bytes_max: Some(1 << 20),
        }),
        job_priority: 5,
        job_timeout: Some(Duration { seconds: 60, nanos: 0 }),
        never_revert: true,
        event_argument: "event".to_owned(),
        ..v1::Operation::default()
    }
}

fn stored_operation(wire: v1::Operation) -> Operation {
    let (id, draft) = operation::creation(Some(wire), "ann".to_owned()).unwrap();
    Operation {
        id: id.unwrap_or(OperationId(Uuid::from_u128(9))),
        trigger: draft.trigger.parse().unwrap(),
        flow: pinned(draft.flow),
        flow_revision: draft.spec.flow_revision,
        name: draft.spec.name,
        owner: draft.spec.owner,
        principal: draft.spec.principal,
        arguments: draft.spec.arguments,
        grants: draft.spec.grants,
        labels: draft.spec.labels,
        job_type: draft.spec.job_type,
        priority: draft.spec.priority,
        timeout_ms: draft.spec.timeout_ms,
        event_argument: draft.spec.event_argument,
        description: draft.spec.description,
        never_revert: draft.spec.never_revert,
        enabled: true,
        enabled_since: Some(now()),
        generation: 3,
        created: now(),
        updated: now(),
        deleted: None,
    }
}

#[test]
fn operations_are_the_same_after_a_round_trip() {
    let stored = stored_operation(wanted_operation());
    assert_eq!(stored.job_type, "operation");
    let shown = operation::to_wire(&stored, OperationState::Registered);
    assert_eq!(stored_operation(shown.clone()), stored);
    assert_eq!((shown.etag.as_str(), shown.state()), ("3", v1::OperationState::Registered));
}

#[test]
fn an_operation_is_edited_by_mask_and_only_what_it_names_is_checked() {
    let stored = stored_operation(wanted_operation());
    let wanted = v1::Operation {
        arguments_json: r#"{"source":"/b"}"#.to_owned(),
        job_priority: 9_999,
        ..Default::default()
    };
    let edit = operation::edit(wanted.clone(), Some(&mask(&["arguments_json"]))).unwrap();
    let draft = edit.draft(&stored);
    assert_eq!(draft.spec.arguments["source"], "/b");
    assert_eq!((draft.spec.priority, draft.spec.name.as_str()), (5, "backup"));
    assert_eq!(draft.flow.tasks().next().unwrap().plugin, Digest::of(b"x").to_string());

    let refused = operation::edit(wanted, Some(&mask(&["job_priority", "work", "trigger"])));
    assert_eq!(paths(refused.err().unwrap()), ["update_mask", "operation.work", "operation.job_priority"]);
}

#[test]
fn a_job_is_updated_by_mask() {
    let update = |paths: &[&str], priority| {
        let request = v1::UpdateJobRequest { update_mask: Some(mask(paths)), priority, ..Default::default() };
        demand::update(&request, now())
    };
    assert_eq!(update(&["priority", "execute_time"], 3).unwrap().len(), 2);
    assert_eq!(paths(update(&["priority"], 1_001).unwrap_err()), ["priority"]);
    assert_eq!(paths(update(&["state"], 0).unwrap_err()), ["update_mask"]);
}
