//! Flows as tests write them.

use std::collections::BTreeMap;

use crate::flow::{Flow, Input, Inputs, Nested, Node, Pattern, PluginPin, RetryPolicy, Task};
use crate::id::Digest;

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
    }
}

pub fn t(name: &str) -> Node {
    Node::Task(task(name))
}

pub fn nested(name: &str, pattern: Pattern, nodes: impl IntoIterator<Item = Node>) -> Node {
    Node::Flow(Nested {
        name: name.to_owned(),
        pattern,
        nodes: nodes.into_iter().collect(),
        needs: Vec::new(),
        scope: None,
        when: None,
    })
}

pub fn flow_of(pattern: Pattern, nodes: impl IntoIterator<Item = Node>) -> Flow {
    let nodes = nodes.into_iter().collect();
    Flow { pattern, nodes, defaults: BTreeMap::new(), parallel_max: None, scope: None }
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
}

fn task_of(node: &mut Node) -> &mut Task {
    match node {
        Node::Task(task) => task,
        Node::Flow(nested) => panic!("{} is a nested flow", nested.name),
    }
}

impl Shape for Node {
    fn needs(mut self, needs: &[&str]) -> Self {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        match &mut self {
            Node::Task(task) => task.needs = needs,
            Node::Flow(nested) => nested.needs = needs,
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
}

/// A name, looked up.
pub fn from(name: &str) -> Input {
    Input::From(name.to_owned())
}

/// The whole output of a task.
pub fn output(task: &str) -> Input {
    Input::Output { task: task.to_owned(), pointer: String::new() }
}
