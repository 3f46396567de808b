//! Flows as tests write them.

use std::collections::BTreeMap;

use crate::child::Child;
use crate::flow::{Flow, InDoubt, Input, Inputs, Nested, Node, Pattern, PluginPin, RetryPolicy, Task};
use crate::id::Digest;
use crate::own_revert::OwnRevert;
use crate::phase::Phase;
use crate::scope::{Backoff, Map, Repeat, Scope, ScopeRetry, SkipDepth, Strategy, When};
use crate::wait::{Approval, EventWait, Until, Wait};

/// A task that takes all arguments.
pub fn task(name: &str) -> Task {
    Task {
        name: name.to_owned(),
        plugin: PluginPin {
            digest: Digest::of(b"plugin"),
            name: "fixture".to_owned(),
            version: "1.0.0".to_owned(),
        },
        action: "act".to_owned(),
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
    }
}

pub fn t(name: &str) -> Node {
    Node::Task(task(name))
}

fn wait(name: &str, until: Until) -> Node {
    let (provides, needs) = (BTreeMap::new(), Vec::new());
    Node::Wait(Wait { name: name.to_owned(), until, provides, needs, when: None })
}

/// Waits so many seconds.
pub fn sleep(name: &str, seconds: u64) -> Node {
    wait(name, Until::Passed { ms: seconds * 1_000 })
}

pub fn sleep_until(name: &str, until: Input) -> Node {
    wait(name, Until::Time(until))
}

/// Waits an hour for an answer.
pub fn approval(name: &str, principals: &[&str]) -> Node {
    let principals = principals.iter().map(|principal| (*principal).to_owned()).collect();
    wait(name, Until::Approval(Approval { message: "go on?".to_owned(), principals, timeout_ms: 3_600_000 }))
}

/// Waits an hour for an event of a type.
pub fn event_wait(name: &str, type_: &str, condition: Option<&str>) -> Node {
    let condition = condition.map(str::to_owned);
    let (type_, timeout_ms) = (type_.to_owned(), 3_600_000);
    wait(name, Until::Event(EventWait { type_, source: None, subject: None, condition, timeout_ms }))
}

/// A job of its own, which is given everything that its inputs name.
pub fn child(name: &str, flow: Flow, inputs: &[(&str, Input)]) -> Node {
    let inputs = inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect();
    let timeout_ms = 3_600_000;
    let child = Child { flow: Box::new(flow), flow_revision: None, inputs, priority: None, timeout_ms };
    wait(name, Until::Child(child))
}

pub fn nested(name: &str, pattern: Pattern, nodes: impl IntoIterator<Item = Node>) -> Node {
    Node::Flow(Nested {
        name: name.to_owned(),
        pattern,
        nodes: nodes.into_iter().collect(),
        needs: Vec::new(),
        scope: None,
        when: None,
        phase: None,
        revert: None,
    })
}

pub fn flow_of(pattern: Pattern, nodes: impl IntoIterator<Item = Node>) -> Flow {
    let nodes = nodes.into_iter().collect();
    Flow { pattern, nodes, defaults: BTreeMap::new(), parallel_max: None, scope: None, revert: None }
}

/// More about a node.
pub trait Shape {
    fn needs(self, needs: &[&str]) -> Self;
    fn priority(self, priority: i32) -> Self;
    /// Its input `x` comes from somewhere.
    fn takes(self, input: Input) -> Self;
    fn revert_takes(self, input: Input) -> Self;
    fn provides(self, name: &str) -> Self;
    fn retried(self, retry: RetryPolicy) -> Self;
    fn when(self, condition: &str, skips: SkipDepth) -> Self;
    fn scope(self, scope: Scope) -> Self;
    fn in_doubt(self, in_doubt: InDoubt) -> Self;
    fn phase(self, phase: Phase) -> Self;
    /// It is undone as a whole.
    fn reverts(self, revert: OwnRevert) -> Self;
}

/// An own revert without inputs.
pub fn own_revert() -> OwnRevert {
    let Task { plugin, action, retry, .. } = task("own");
    OwnRevert { plugin, action, inputs: BTreeMap::new(), timeout_ms: None, retry, memory_bytes_max: None }
}

/// A scope that is tried so many times.
pub fn times(times: u32) -> Scope {
    tried(Strategy::Times(times))
}

pub fn tried(strategy: Strategy) -> Scope {
    Scope::Retry(ScopeRetry { strategy, backoff: Backoff::default(), except: Vec::new(), revert_all: false })
}

/// A scope that is tried for each value of a list, seen as `x`.
pub fn for_each(over: Input) -> Scope {
    tried(Strategy::ForEach { over, name: "x".to_owned() })
}

pub fn repeat(until: &str, rounds_max: u32) -> Scope {
    Scope::Repeat(Repeat { until: until.to_owned(), rounds_max, backoff: Backoff::default() })
}

/// A flow that runs for each value of a list, seen as `x`.
pub fn map(over: Input, parallel_max: Option<u32>) -> Scope {
    Scope::Map(Map { over, name: "x".to_owned(), parallel_max })
}

pub fn literal(value: serde_json::Value) -> Input {
    Input::Literal(value)
}

fn task_of(node: &mut Node) -> &mut Task {
    match node {
        Node::Task(task) => task,
        Node::Flow(_) | Node::Wait(_) => panic!("{} is no task", node.name()),
    }
}

impl Shape for Node {
    fn needs(mut self, needs: &[&str]) -> Self {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        match &mut self {
            Node::Task(task) => task.needs = needs,
            Node::Flow(nested) => nested.needs = needs,
            Node::Wait(wait) => wait.needs = needs,
        }
        self
    }

    fn priority(mut self, priority: i32) -> Self {
        task_of(&mut self).priority = priority;
        self
    }

    fn takes(mut self, input: Input) -> Self {
        task_of(&mut self).inputs = Inputs::Named(BTreeMap::from([("x".to_owned(), input)]));
        self
    }

    fn revert_takes(mut self, input: Input) -> Self {
        task_of(&mut self).revert_inputs = Some(BTreeMap::from([("x".to_owned(), input)]));
        self
    }

    fn provides(mut self, name: &str) -> Self {
        task_of(&mut self).provides.insert(name.to_owned(), String::new());
        self
    }

    fn retried(mut self, retry: RetryPolicy) -> Self {
        task_of(&mut self).retry = retry;
        self
    }

    fn when(mut self, condition: &str, skips: SkipDepth) -> Self {
        let when = Some(When { condition: condition.to_owned(), skips });
        match &mut self {
            Node::Task(task) => task.when = when,
            Node::Flow(nested) => nested.when = when,
            Node::Wait(wait) => wait.when = when,
        }
        self
    }

    fn in_doubt(mut self, in_doubt: InDoubt) -> Self {
        task_of(&mut self).in_doubt = in_doubt;
        self
    }

    fn phase(mut self, phase: Phase) -> Self {
        match &mut self {
            Node::Task(task) => task.phase = Some(phase),
            Node::Flow(nested) => nested.phase = Some(phase),
            Node::Wait(wait) => panic!("{} is a wait", wait.name),
        }
        self
    }

    fn reverts(mut self, revert: OwnRevert) -> Self {
        match &mut self {
            Node::Task(_) | Node::Wait(_) => panic!("it is no flow"),
            Node::Flow(nested) => nested.revert = Some(revert),
        }
        self
    }

    fn scope(mut self, scope: Scope) -> Self {
        match &mut self {
            Node::Task(_) | Node::Wait(_) => panic!("{} is no flow", self.name()),
            Node::Flow(nested) => nested.scope = Some(scope),
        }
        self
    }
}

/// A name, looked up.
pub fn from(name: &str) -> Input {
    Input::From(name.to_owned())
}

/// The whole output of a task.
pub fn output(task: &str) -> Input {
    Input::Output { task: task.to_owned(), pointer: String::new() }
}
