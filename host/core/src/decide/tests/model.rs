//! The order of a flow as a reader of its definition would say: slow, and written apart from the plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::expression::names_of;
use crate::flow::{Flow, Input, Inputs, Nested, Node, Pattern, Task};
use crate::own_revert::OwnRevert;
use crate::plan::OUTERMOST;
use crate::scope::Scope;
use crate::wait::{EVENT, Until, Wait};

/// For each task, which tasks must be applied before it begins.
pub fn before(flow: &Flow) -> BTreeMap<String, BTreeSet<String>> {
    let mut before: BTreeMap<String, BTreeSet<String>> =
        flow.leaves().map(|leaf| (leaf.name().to_owned(), BTreeSet::new())).collect();
    by_pattern(flow.pattern, &flow.nodes, &mut before);
    by_phase(flow.pattern, &flow.nodes, &mut before);
    let mut nodes = Vec::new();
    every(&flow.nodes, &mut nodes);
    for node in &nodes {
        for needed in node.needs() {
            let needed = nodes.iter().find(|other| other.name() == needed).expect("needs are known");
            for task in leaves(node) {
                before.get_mut(&task).expect("all are there").extend(leaves(needed));
            }
        }
    }
    for node in &nodes {
        let providers = read_by(flow, node);
        for task in leaves(node) {
            before.get_mut(&task).expect("all are there").extend(providers.clone());
        }
    }
    whole_scopes(&nodes, &mut before);
    through(&mut before);
    before
}

/// What is before something that is before a task is before the task, even where what lies between is left out.
fn through(before: &mut BTreeMap<String, BTreeSet<String>>) {
    let names: Vec<_> = before.keys().cloned().collect();
    for between in &names {
        let earlier = before[between].clone();
        for of_task in before.values_mut().filter(|of_task| of_task.contains(between)) {
            of_task.extend(earlier.iter().cloned());
        }
    }
}

/// The tasks outside a node that it reads something of: a task in its inputs and its condition, a nested flow in its
/// condition and its scope.
fn read_by(flow: &Flow, node: &Node) -> BTreeSet<String> {
    let when = node.when().map(|when| names_of(&when.condition));
    let mut inputs: Vec<Input> = when.into_iter().flatten().map(Input::From).collect();
    let mut tasks = BTreeSet::new();
    match node {
        Node::Task(task) => inputs.extend(inputs_of(task).cloned()),
        Node::Wait(wait) => match &wait.until {
            Until::Time(time) => inputs.push(time.clone()),
            Until::Event(event) => {
                let names = event.condition.as_deref().map(names_of).into_iter().flatten();
                inputs.extend(names.filter(|name| name != EVENT).map(Input::From));
            }
            Until::Child(child) => inputs.extend(child.inputs.values().cloned()),
            Until::Passed { .. } | Until::Approval(_) => {}
        },
        Node::Flow(nested) => {
            inputs.extend(nested.scope.as_ref().and_then(Scope::over).cloned());
            if let Some(Scope::Repeat(repeat)) = &nested.scope {
                let seen =
                    names_of(&repeat.until).into_iter().map(|name| seen_at_end(flow, &nested.name, &name));
                tasks.extend(seen.filter_map(Seen::task));
            }
            for input in nested.revert.iter().flat_map(|revert| revert.inputs.values()) {
                tasks.extend(match input {
                    Input::Output { task, .. } => Some(task.clone()),
                    Input::From(name) | Input::Optional(name) => seen_at_end(flow, &nested.name, name).task(),
                    Input::Literal(_) | Input::Argument(_) => None,
                });
            }
        }
    }
    tasks.extend(inputs.into_iter().filter_map(|input| match input {
        Input::Output { task, .. } => Some(task),
        Input::From(name) | Input::Optional(name) => seen(flow, node.name(), &name).task(),
        Input::Literal(_) | Input::Argument(_) => None,
    }));
    let inside = leaves(node);
    tasks.retain(|task| !inside.contains(task));
    tasks
}

/// Who comes before or after something in a scope comes before or after all of it.
fn whole_scopes(nodes: &[&Node], before: &mut BTreeMap<String, BTreeSet<String>>) {
    let scopes = nodes.iter().filter_map(|node| match node {
        Node::Flow(nested) if is_whole(nested) => Some(leaves(node).into_iter().collect::<BTreeSet<_>>()),
        _ => None,
    });
    let scopes: Vec<_> = scopes.collect();
    loop {
        let was = before.clone();
        for inside in &scopes {
            let earlier: BTreeSet<_> = inside
                .iter()
                .flat_map(|task| before[task].clone())
                .filter(|task| !inside.contains(task))
                .collect();
            for task in inside {
                before.get_mut(task).expect("all are there").extend(earlier.clone());
            }
            for (task, earlier) in before.iter_mut().filter(|(task, _)| !inside.contains(*task)) {
                if earlier.iter().any(|other| inside.contains(other)) {
                    assert!(!inside.contains(task));
                    earlier.extend(inside.clone());
                }
            }
        }
        if *before == was {
            return;
        }
    }
}

/// What is outside a nested flow has to do with all of it.
pub fn is_whole(nested: &Nested) -> bool {
    nested.scope.is_some() || nested.when.is_some() || nested.revert.is_some()
}

/// The names of the scopes around each task and own revert that run again, the outermost first.
pub fn scopes(flow: &Flow) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let outermost: Vec<_> = flow.scope.iter().map(|_| OUTERMOST.to_owned()).collect();
    found.extend(flow.revert.as_ref().map(|_| (format!("{OUTERMOST}.revert"), outermost.clone())));
    scopes_around(&flow.nodes, outermost, &mut found);
    found
}

/// The own revert of a flow, and the tasks that it undoes.
pub fn own_revert<'a>(flow: &'a Flow, name: &str) -> (&'a OwnRevert, BTreeSet<String>) {
    let mut nodes = Vec::new();
    every(&flow.nodes, &mut nodes);
    let nested = nodes.into_iter().find_map(|node| match node {
        Node::Flow(nested) if nested.name == name => nested.revert.as_ref(),
        _ => None,
    });
    let revert = nested.or(flow.revert.as_ref()).expect("it has one");
    (revert, own_reverts(flow).remove(&format!("{name}.revert")).expect("it has one"))
}

/// The nested flows in a flow.
pub fn scopes_in(flow: &Flow, name: &str) -> BTreeSet<String> {
    let mut nodes = Vec::new();
    every(&flow.nodes, &mut nodes);
    let inside = nodes.iter().find_map(|node| match node {
        Node::Flow(nested) if nested.name == name => Some(&nested.nodes),
        _ => None,
    });
    let mut found = Vec::new();
    every(inside.unwrap_or(&flow.nodes), &mut found);
    let nested = found.into_iter().filter(|node| matches!(node, Node::Flow(_)));
    nested.map(|node| node.name().to_owned()).collect()
}

/// For each own revert, the tasks that it undoes.
pub fn own_reverts(flow: &Flow) -> BTreeMap<String, BTreeSet<String>> {
    let mut nodes = Vec::new();
    every(&flow.nodes, &mut nodes);
    let nested = nodes.into_iter().filter_map(|node| match node {
        Node::Flow(nested) => {
            nested.revert.as_ref().map(|_| (nested.name.as_str(), leaves(node).into_iter().collect()))
        }
        Node::Task(_) | Node::Wait(_) => None,
    });
    let all = || (OUTERMOST, flow.leaves().map(|leaf| leaf.name().to_owned()).collect());
    let own_reverts = nested.chain(flow.revert.as_ref().map(|_| all()));
    own_reverts.map(|(name, tasks)| (format!("{name}.revert"), tasks)).collect()
}

/// The names of the scopes that are tried again.
pub fn tried(flow: &Flow) -> BTreeSet<String> {
    let mut nodes = Vec::new();
    every(&flow.nodes, &mut nodes);
    let nested = nodes.into_iter().filter_map(|node| match node {
        Node::Flow(nested) => Some((nested.name.as_str(), nested.scope.as_ref()?)),
        Node::Task(_) | Node::Wait(_) => None,
    });
    let scopes = nested.chain(flow.scope.as_ref().map(|scope| (OUTERMOST, scope)));
    let tried = scopes.filter(|(_, scope)| matches!(scope, Scope::Retry(_)));
    tried.map(|(name, _)| name.to_owned()).collect()
}

fn scopes_around(nodes: &[Node], around: Vec<String>, found: &mut BTreeMap<String, Vec<String>>) {
    for node in nodes {
        match node {
            Node::Task(_) | Node::Wait(_) => drop(found.insert(node.name().to_owned(), around.clone())),
            Node::Flow(nested) => {
                let mut around = around.clone();
                found.extend(
                    nested.revert.as_ref().map(|_| (format!("{}.revert", nested.name), around.clone())),
                );
                around.extend(nested.scope.as_ref().map(|_| nested.name.clone()));
                scopes_around(&nested.nodes, around, found);
            }
        }
    }
}

fn by_pattern(pattern: Pattern, nodes: &[Node], before: &mut BTreeMap<String, BTreeSet<String>>) {
    for (index, node) in nodes.iter().enumerate() {
        if let Node::Flow(nested) = node {
            by_pattern(nested.pattern, &nested.nodes, before);
        }
        if pattern == Pattern::Linear {
            let earlier: BTreeSet<_> = nodes[..index].iter().flat_map(leaves).collect();
            leaves(node).iter().for_each(|task| {
                before.get_mut(task).expect("all are there").extend(earlier.clone());
            });
        }
    }
}

/// In a graph, what is in an earlier phase comes first.
fn by_phase(pattern: Pattern, nodes: &[Node], before: &mut BTreeMap<String, BTreeSet<String>>) {
    for node in nodes {
        if let Node::Flow(nested) = node {
            by_phase(nested.pattern, &nested.nodes, before);
        }
        if pattern == Pattern::Graph {
            let is_earlier = |other: &&Node| other.phase().is_some() && other.phase() < node.phase();
            let earlier: BTreeSet<_> = nodes.iter().filter(is_earlier).flat_map(leaves).collect();
            leaves(node).iter().for_each(|task| {
                before.get_mut(task).expect("all are there").extend(earlier.clone());
            });
        }
    }
}

fn every<'a>(nodes: &'a [Node], all: &mut Vec<&'a Node>) {
    for node in nodes {
        all.push(node);
        if let Node::Flow(nested) = node {
            every(&nested.nodes, all);
        }
    }
}

/// The tasks in a node.
pub fn leaves(node: &Node) -> Vec<String> {
    match node {
        Node::Task(_) | Node::Wait(_) => vec![node.name().to_owned()],
        Node::Flow(nested) => nested.nodes.iter().flat_map(leaves).collect(),
    }
}

fn inputs_of(task: &Task) -> impl Iterator<Item = &Input> {
    let named = match &task.inputs {
        Inputs::Arguments => None,
        Inputs::Named(inputs) => Some(inputs),
    };
    named.into_iter().chain(&task.revert_inputs).flat_map(|inputs| inputs.values())
}

/// Whom a node sees as the provider of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Nobody,
    Task(String),
    /// The scope that runs for a value of that name.
    Scope(String),
}

impl Seen {
    pub fn task(self) -> Option<String> {
        match self {
            Self::Task(task) => Some(task),
            Self::Scope(_) | Self::Nobody => None,
        }
    }
}

pub fn seen(flow: &Flow, reader: &str, name: &str) -> Seen {
    match seen_by(flow.pattern, &flow.nodes, reader, name) {
        Ok(Some(task)) => Seen::Task(task),
        Ok(None) if flow.scope.as_ref().and_then(Scope::variable) == Some(name) && reader != OUTERMOST => {
            Seen::Scope(OUTERMOST.to_owned())
        }
        Ok(None) => Seen::Nobody,
        Err(seen) => seen,
    }
}

/// The same when all of a scope is applied: what is in it comes first.
pub fn seen_at_end(flow: &Flow, scope: &str, name: &str) -> Seen {
    let mut nodes = Vec::new();
    every(&flow.nodes, &mut nodes);
    let nested = nodes.iter().find_map(|node| match node {
        Node::Flow(nested) if nested.name == scope => Some(nested),
        _ => None,
    });
    let (shown, variable) = match nested {
        Some(nested) => (shown(nested.pattern, &nested.nodes, name), &nested.scope),
        None => (shown(flow.pattern, &flow.nodes, name), &flow.scope),
    };
    match shown.as_slice() {
        [one] => Seen::Task(one.clone()),
        [] if variable.as_ref().and_then(Scope::variable) == Some(name) => Seen::Scope(scope.to_owned()),
        [] => seen(flow, scope, name),
        _ => Seen::Nobody,
    }
}

/// The error: the name is not to be looked for further out.
fn seen_by(pattern: Pattern, nodes: &[Node], reader: &str, name: &str) -> Result<Option<String>, Seen> {
    let Some(holder) = nodes.iter().position(|node| holds(node, reader)) else { return Err(Seen::Nobody) };
    if let Node::Flow(nested) = &nodes[holder]
        && nested.name != reader
    {
        if let Some(found) = seen_by(nested.pattern, &nested.nodes, reader, name)? {
            return Ok(Some(found));
        }
        if nested.scope.as_ref().and_then(Scope::variable) == Some(name) {
            return Err(Seen::Scope(nested.name.clone()));
        }
    }
    let shown: Vec<Vec<String>> = match pattern {
        Pattern::Unordered => Vec::new(),
        Pattern::Linear => nodes[..holder].iter().rev().map(|node| shows(node, name)).collect(),
        Pattern::Graph => {
            let others = nodes.iter().enumerate().filter(|(index, _)| *index != holder);
            vec![others.flat_map(|(_, node)| shows(node, name)).collect()]
        }
    };
    match shown.into_iter().find(|tasks| !tasks.is_empty()).as_deref() {
        None => Ok(None),
        Some([one]) => Ok(Some(one.clone())),
        Some(_) => Err(Seen::Nobody),
    }
}

fn holds(node: &Node, name: &str) -> bool {
    match node {
        Node::Task(_) | Node::Wait(_) => node.name() == name,
        Node::Flow(nested) => nested.name == name || nested.nodes.iter().any(|node| holds(node, name)),
    }
}

/// The tasks of a node that show a name outside it.
fn shows(node: &Node, name: &str) -> Vec<String> {
    match node {
        Node::Task(Task { provides, .. }) | Node::Wait(Wait { provides, .. }) => {
            let provides = provides.contains_key(name) || node.name() == name;
            provides.then(|| node.name().to_owned()).into_iter().collect()
        }
        Node::Flow(nested) => shown(nested.pattern, &nested.nodes, name),
    }
}

/// The tasks of a flow that show a name outside it.
fn shown(pattern: Pattern, nodes: &[Node], name: &str) -> Vec<String> {
    let all: Vec<_> = nodes.iter().map(|node| shows(node, name)).filter(|shown| !shown.is_empty()).collect();
    match pattern {
        Pattern::Linear => all.last().cloned().unwrap_or_default(),
        Pattern::Unordered | Pattern::Graph => all.concat(),
    }
}
