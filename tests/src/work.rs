//! Work as tests write it: actions of the fixtures, tasks, inputs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use windlass_proto::v1;
use windlass_proto::v1::flow::Scope;
use windlass_proto::v1::input::Source;
use windlass_proto::v1::scope_retry::Strategy;

use crate::plugins::FIXTURES;

/// One action of the fixtures.
pub fn action(name: &str) -> v1::Work {
    action_of(FIXTURES, name)
}

/// One action of a plugin.
pub fn action_of(plugin: &str, name: &str) -> v1::Work {
    let action = v1::Action { plugin: plugin.to_owned(), action: name.to_owned(), digest: String::new() };
    v1::Work { kind: Some(v1::work::Kind::Action(action)) }
}

/// A linear flow.
pub fn flow(tasks: impl IntoIterator<Item = v1::Task>) -> v1::Work {
    flow_with_defaults(tasks, "")
}

/// A linear flow with values for arguments that a job does not give.
pub fn flow_with_defaults(tasks: impl IntoIterator<Item = v1::Task>, defaults_json: &str) -> v1::Work {
    let defaults_json = defaults_json.to_owned();
    whole(v1::Flow { tasks: tasks.into_iter().collect(), defaults_json, ..v1::Flow::default() })
}

/// A flow in a pattern.
pub fn pattern(pattern: v1::Pattern, tasks: impl IntoIterator<Item = v1::Task>) -> v1::Work {
    whole(v1::Flow { tasks: tasks.into_iter().collect(), pattern: pattern.into(), ..v1::Flow::default() })
}

/// A flow, as it is.
pub fn whole(flow: v1::Flow) -> v1::Work {
    v1::Work { kind: Some(v1::work::Kind::Flow(flow)) }
}

/// A flow that is stored under a name; revision 0 is the latest.
pub fn stored(name: &str, revision: u32) -> v1::Work {
    let reference = v1::FlowReference { name: name.to_owned(), revision };
    v1::Work { kind: Some(v1::work::Kind::Reference(reference)) }
}

/// A flow in a flow.
pub fn nested(name: &str, pattern: v1::Pattern, tasks: impl IntoIterator<Item = v1::Task>) -> v1::Task {
    let flow =
        v1::Flow { tasks: tasks.into_iter().collect(), pattern: pattern.into(), ..v1::Flow::default() };
    v1::Task { name: name.to_owned(), flow: Some(flow), ..v1::Task::default() }
}

/// A job of its own, as yet without inputs: of a flow, given whole or by the name under which it is stored.
pub fn child(name: &str, work: v1::Work) -> v1::Task {
    use v1::child_job::Work;
    use v1::work::Kind;
    let work = match work.kind {
        Some(Kind::Flow(flow)) => Work::Flow(flow),
        Some(Kind::Reference(reference)) => Work::Reference(reference),
        Some(Kind::Action(_)) | None => panic!("a child job has a flow"),
    };
    let job = v1::ChildJob { work: Some(work), ..v1::ChildJob::default() };
    v1::Task { name: name.to_owned(), wait: Some(v1::task::Wait::Job(job)), ..v1::Task::default() }
}

/// A task that runs an action of the fixtures, as yet without inputs.
pub fn task(name: &str, action: &str) -> v1::Task {
    v1::Task {
        name: name.to_owned(),
        plugin: FIXTURES.to_owned(),
        action: action.to_owned(),
        ..v1::Task::default()
    }
}

/// A task of the fixture `gate` that waits for the gate of its own name.
pub fn gate(name: &str) -> v1::Task {
    task(name, "gate").with("name", literal(name.into()))
}

/// A task of the fixture `remote`, called there as it is in the flow.
pub fn remote(name: &str) -> v1::Task {
    task(name, "remote").with("name", literal(name.into()))
}

/// A flow that is tried so many times.
pub fn times(times: u32) -> Scope {
    tried(Strategy::Times(times))
}

/// A flow that is tried for each value of a list, seen as `x`.
pub fn for_each(over: v1::Input) -> Scope {
    tried(Strategy::ForEach(v1::ForEach { over: Some(over), name: "x".to_owned() }))
}

pub fn tried(strategy: Strategy) -> Scope {
    Scope::Retry(v1::ScopeRetry { strategy: Some(strategy), ..v1::ScopeRetry::default() })
}

/// A flow that runs until a condition holds.
pub fn repeat(until: &str, rounds_max: u32, pause: Duration) -> Scope {
    Scope::Repeat(v1::Repeat {
        until: until.to_owned(),
        rounds_max,
        backoff_initial: Some(duration(pause)),
        ..v1::Repeat::default()
    })
}

/// A flow that runs for each value of a list, seen as `x`.
pub fn map(over: v1::Input, parallel_max: u32) -> Scope {
    Scope::Map(v1::Map { over: Some(over), name: "x".to_owned(), parallel_max })
}

/// The revert of an action of the fixtures, which undoes a flow as a whole.
pub fn own_revert(action: &str, inputs: &[(&str, v1::Input)]) -> v1::OwnRevert {
    v1::OwnRevert {
        plugin: FIXTURES.to_owned(),
        action: action.to_owned(),
        inputs: inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect(),
        ..v1::OwnRevert::default()
    }
}

/// More about a task.
pub trait Shape {
    fn with(self, name: &str, input: v1::Input) -> Self;
    fn revert_with(self, name: &str, input: v1::Input) -> Self;
    fn provides(self, name: &str, pointer: &str) -> Self;
    fn needs(self, needs: &[&str]) -> Self;
    fn priority(self, priority: i32) -> Self;
    fn within(self, timeout: Duration) -> Self;
    fn when(self, condition: &str, skips: v1::SkipDepth) -> Self;
    /// Of a nested flow: what makes it run again.
    fn scope(self, scope: Scope) -> Self;
    fn retried(self, attempts_max: u32, backoff_initial: Duration) -> Self;
    fn phase(self, phase: v1::Phase) -> Self;
    /// Of a nested flow: what undoes it as a whole.
    fn reverts(self, revert: v1::OwnRevert) -> Self;
}

impl Shape for v1::Task {
    fn with(mut self, name: &str, input: v1::Input) -> Self {
        let inputs = match &mut self.wait {
            Some(v1::task::Wait::Job(job)) => &mut job.inputs,
            _ => &mut self.inputs,
        };
        inputs.insert(name.to_owned(), input);
        self
    }

    fn revert_with(mut self, name: &str, input: v1::Input) -> Self {
        self.revert_inputs.insert(name.to_owned(), input);
        self
    }

    fn provides(mut self, name: &str, pointer: &str) -> Self {
        self.provides.insert(name.to_owned(), pointer.to_owned());
        self
    }

    fn needs(mut self, needs: &[&str]) -> Self {
        self.needs = needs.iter().map(|need| (*need).to_owned()).collect();
        self
    }

    fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    fn within(mut self, timeout: Duration) -> Self {
        let within = match &mut self.wait {
            Some(v1::task::Wait::Job(job)) => &mut job.timeout,
            _ => &mut self.timeout,
        };
        *within = Some(duration(timeout));
        self
    }

    fn when(mut self, condition: &str, skips: v1::SkipDepth) -> Self {
        self.when = Some(v1::When { condition: condition.to_owned(), skips: skips.into() });
        self
    }

    fn scope(mut self, scope: Scope) -> Self {
        self.flow.as_mut().expect("only a nested flow runs again").scope = Some(scope);
        self
    }

    fn retried(mut self, attempts_max: u32, backoff_initial: Duration) -> Self {
        self.retry = Some(v1::RetryPolicy {
            attempts_max,
            backoff_initial: Some(duration(backoff_initial)),
            ..v1::RetryPolicy::default()
        });
        self
    }

    fn phase(mut self, phase: v1::Phase) -> Self {
        self.phase = phase.into();
        self
    }

    fn reverts(mut self, revert: v1::OwnRevert) -> Self {
        self.flow.as_mut().expect("only a flow is undone as a whole").revert = Some(revert);
        self
    }
}

pub fn literal(value: Value) -> v1::Input {
    input(Source::LiteralJson(value.to_string()))
}

pub fn argument(name: &str) -> v1::Input {
    input(Source::Argument(name.to_owned()))
}

/// What an earlier task gave.
pub fn output(task: &str, pointer: &str) -> v1::Input {
    input(Source::Output(v1::TaskOutput { task: task.to_owned(), pointer: pointer.to_owned() }))
}

/// A name, looked up.
pub fn named(name: &str) -> v1::Input {
    input(Source::Name(name.to_owned()))
}

fn input(source: Source) -> v1::Input {
    v1::Input { source: Some(source) }
}

pub fn duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().expect("tests use short durations")
}

pub fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.timestamp_subsec_nanos()).expect("less than a second");
    prost_types::Timestamp { seconds: at.timestamp(), nanos }
}

/// What a timestamp of an answer says.
pub fn instant(at: Option<&prost_types::Timestamp>) -> Option<DateTime<Utc>> {
    let at = at?;
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}

/// The JSON of a payload.
pub fn json_of(payload: &v1::Payload) -> Value {
    assert_eq!(payload.media_type, "application/json");
    serde_json::from_slice(&payload.bytes).expect("a payload of JSON is JSON")
}

/// What an operator decides about the failed revert of a task.
pub fn resolve(job: &str, task: &str, resolution: v1::Resolution) -> v1::ResolveJobRequest {
    v1::ResolveJobRequest {
        job: job.to_owned(),
        task: Some(instance(task)),
        resolution: resolution.into(),
        reason: "seen to".to_owned(),
        etag: String::new(),
    }
}

/// A name without rounds.
pub fn instance(task: &str) -> v1::TaskInstanceName {
    v1::TaskInstanceName { task: task.to_owned(), iteration: Vec::new() }
}
