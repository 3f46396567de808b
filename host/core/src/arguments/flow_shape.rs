//! The shape of a flow: its bounds, the names in it, and whether its nodes have an order.

use std::collections::BTreeMap;

use super::name::check_name;
use crate::child::GENERATIONS_MAX;
use crate::flow::{Flow, Node};
use crate::plan::{Plan, Relation};
use crate::problem::Problems;

/// Tasks of one flow: what a job's row, its answers and one look at it can carry.
pub const TASKS_MAX: usize = 10_000;
/// Flows nested in one flow, at any depth; a flow of more of them is a program.
pub const NESTED_MAX: usize = 1_000;
/// How deep flows nest, the outermost counted: what a person can still read.
pub const NESTING_MAX: usize = 8;
/// Values of one list that a scope runs for.
pub const ELEMENTS_MAX: usize = 10_000;
/// Task instances of one job, in all iterations of all scopes: what one look at it can carry.
pub const INSTANCES_MAX: usize = 100_000;
/// Needs of one node; whoever needs more of them needs a nested flow.
pub const NEEDS_MAX: usize = 128;
/// Priorities beyond this are a way to shout, not an order.
pub const TASK_PRIORITY_MAX: i32 = 1_000;

/// A task or nested flow with the path to its place.
pub(super) struct Placed<'a, P> {
    pub path: String,
    pub node: &'a Node<P>,
}

/// Every node in the order of definition, a nested flow before what is in it. None where there are too many or they
/// are too deep, which is told.
pub(super) fn nodes<'a, P>(problems: &mut Problems, flow: &'a Flow<P>) -> Option<Vec<Placed<'a, P>>> {
    let mut walk = Walk { found: Vec::new(), tasks: 0, flows: 0, deepest: None };
    walk.level("flow", &flow.nodes, 1);
    if let Some(path) = walk.deepest {
        problems.add(path, format!("is nested too deep: flows nest {NESTING_MAX} deep at most"));
    }
    if walk.tasks > TASKS_MAX {
        problems.add("flow.tasks", format!("are {} tasks: a flow has at most {TASKS_MAX}", walk.tasks));
    }
    let all: usize = flow.generations().map(|flow| flow.leaves().count()).sum();
    if walk.tasks <= TASKS_MAX && all > TASKS_MAX {
        let message = format!("are {all} tasks with those of its child jobs: at most {TASKS_MAX}");
        problems.add("flow.tasks", message);
    }
    if generations(flow) > GENERATIONS_MAX {
        let message =
            format!("are child jobs of child jobs: {GENERATIONS_MAX} deep at most, the outermost counted");
        problems.add("flow.tasks", message);
    }
    if walk.flows > NESTED_MAX {
        problems.add("flow.tasks", format!("are {} nested flows: at most {NESTED_MAX}", walk.flows));
    }
    problems.0.is_empty().then_some(walk.found)
}

/// How deep jobs are children of jobs.
fn generations<P>(flow: &Flow<P>) -> usize {
    1 + flow.children().map(|(_, child)| generations(&child.flow)).max().unwrap_or(0)
}

struct Walk<'a, P> {
    found: Vec<Placed<'a, P>>,
    tasks: usize,
    flows: usize,
    /// The first flow that is too deep.
    deepest: Option<String>,
}

impl<'a, P> Walk<'a, P> {
    fn level(&mut self, path: &str, nodes: &'a [Node<P>], depth: usize) {
        if depth > NESTING_MAX {
            self.deepest.get_or_insert_with(|| path.to_owned());
            return;
        }
        for (index, node) in nodes.iter().enumerate() {
            let path = format!("{path}.tasks[{index}]");
            self.found.push(Placed { path: path.clone(), node });
            match node {
                Node::Task(_) | Node::Wait(_) => self.tasks += 1,
                Node::Flow(nested) => {
                    self.flows += 1;
                    self.level(&format!("{path}.flow"), &nested.nodes, depth + 1);
                }
            }
        }
    }
}

/// Two nodes of one name, anywhere in the nesting.
pub(super) fn check_duplicates<P>(problems: &mut Problems, nodes: &[Placed<'_, P>]) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for Placed { path, node } in nodes {
        let first = *seen.entry(node.name()).or_insert(path);
        if first != path {
            let message = format!("{:?} is the name of {first} already: rename one of them", node.name());
            problems.add(format!("{path}.name"), message);
        }
    }
}

/// Its name and its needs; a task has more to check.
pub(super) fn check_node<P>(problems: &mut Problems, plan: &Plan, placed: &Placed<'_, P>) {
    let Placed { path, node } = placed;
    check_name(problems, &format!("{path}.name"), node.name());
    if let Node::Task(task) = node
        && !(-TASK_PRIORITY_MAX..=TASK_PRIORITY_MAX).contains(&task.priority)
    {
        let message =
            format!("{} is out of bounds: give -{TASK_PRIORITY_MAX} to {TASK_PRIORITY_MAX}", task.priority);
        problems.add(format!("{path}.priority"), message);
    }
    if node.needs().len() > NEEDS_MAX {
        let message = format!(
            "are {}: at most {NEEDS_MAX}; put them into a nested flow and need that",
            node.needs().len()
        );
        problems.add(format!("{path}.needs"), message);
        return;
    }
    for (index, needed) in node.needs().iter().enumerate() {
        if let Some(reason) = refused(&plan.relation(node.name(), needed), needed) {
            problems.add(format!("{path}.needs[{index}]"), reason);
        }
    }
}

/// Why a node may not come after another, and what to do.
pub(super) fn refused(relation: &Relation, other: &str) -> Option<String> {
    Some(match relation {
        Relation::Allowed => return None,
        Relation::Later => {
            format!("{other:?} comes later in a linear flow; move it before, or make the flow a graph")
        }
        Relation::Unordered(flow) => {
            let flow = if flow.is_empty() {
                "the unordered flow".to_owned()
            } else {
                format!("the unordered flow {flow:?}")
            };
            format!("{other:?} is beside it in {flow}, whose members have no order; make that flow a graph")
        }
        Relation::Within => {
            format!("{other:?} is the same, holds it or is in it: nothing can come after itself")
        }
        Relation::Unknown => format!("no task and no nested flow is called {other:?}"),
    })
}

/// What no order can serve.
pub(super) fn check_cycles<P>(problems: &mut Problems, plan: &Plan, nodes: &[Placed<'_, P>]) {
    for cycle in plan.cycles() {
        let path = nodes.iter().find(|placed| cycle.first().is_some_and(|first| placed.node.name() == first));
        let path = path.map_or("flow.tasks", |placed| placed.path.as_str());
        let way = cycle.join(" -> ");
        let first = cycle.first().map_or("", String::as_str);
        let message = format!(
            "{way} -> {first} goes in a circle, and none of them can begin: take one need or input away"
        );
        problems.add(path, message);
    }
}
