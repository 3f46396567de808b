//! The order of a flow as a reader of its definition would say: slow, and written apart from the plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::{Flow, Input, Inputs, Node, Pattern, Task};

/// For each task, which tasks must be applied before it begins.
pub fn before(flow: &Flow) -> BTreeMap<String, BTreeSet<String>> {
    let mut before: BTreeMap<String, BTreeSet<String>> =
        flow.tasks().map(|task| (task.name.clone(), BTreeSet::new())).collect();
    by_pattern(flow.pattern, &flow.nodes, &mut before);
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
    for task in flow.tasks() {
        let providers = inputs(task).filter_map(|input| match input {
            Input::Output { task, .. } => Some(task.clone()),
            Input::From(name) | Input::Optional(name) => {
                seen_by(flow.pattern, &flow.nodes, &task.name, name).ok().flatten()
            }
            Input::Literal(_) | Input::Argument(_) => None,
        });
        let providers: Vec<_> = providers.collect();
        before.get_mut(&task.name).expect("all are there").extend(providers);
    }
    for node in &nodes {
        let when = node.when().map(|when| crate::expression::names_of(&when.condition));
        let names = when.into_iter().flatten().map(Input::From);
        let over = match node {
            Node::Flow(nested) => nested.scope.as_ref().and_then(|scope| scope.over()).cloned(),
            Node::Task(_) => None,
        };
        let providers: Vec<_> = names
            .chain(over)
            .filter_map(|input| match input {
                Input::Output { task, .. } => Some(task),
                Input::From(name) | Input::Optional(name) => {
                    seen_by(flow.pattern, &flow.nodes, node.name(), &name).ok().flatten()
                }
                Input::Literal(_) | Input::Argument(_) => None,
            })
            .collect();
        for task in leaves(node) {
            before.get_mut(&task).expect("all are there").extend(providers.clone());
        }
    }
    whole_scopes(&nodes, &mut before);
    before
}

/// Who comes before or after something in a scope comes before or after all of it.
fn whole_scopes(nodes: &[&Node], before: &mut BTreeMap<String, BTreeSet<String>>) {
    let scopes = nodes.iter().filter_map(|node| match node {
        Node::Flow(nested) if nested.scope.is_some() || nested.when.is_some() => {
            Some(leaves(node).into_iter().collect::<BTreeSet<_>>())
        }
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

/// The names of the scopes around each task that run again, the outermost first.
pub fn scopes(flow: &Flow) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let outermost = flow.scope.as_ref().map(|_| crate::plan::OUTERMOST.to_owned());
    scopes_in(&flow.nodes, outermost.into_iter().collect(), &mut found);
    found
}

fn scopes_in(nodes: &[Node], around: Vec<String>, found: &mut BTreeMap<String, Vec<String>>) {
    for node in nodes {
        match node {
            Node::Task(task) => drop(found.insert(task.name.clone(), around.clone())),
            Node::Flow(nested) => {
                let mut around = around.clone();
                around.extend(nested.scope.as_ref().map(|_| nested.name.clone()));
                scopes_in(&nested.nodes, around, found);
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
        Node::Task(task) => vec![task.name.clone()],
        Node::Flow(nested) => nested.nodes.iter().flat_map(leaves).collect(),
    }
}

fn inputs(task: &Task) -> impl Iterator<Item = &Input> {
    let named = match &task.inputs {
        Inputs::Arguments => None,
        Inputs::Named(inputs) => Some(inputs),
    };
    named.into_iter().chain(&task.revert_inputs).flat_map(|inputs| inputs.values())
}

/// Whom a task sees as the provider of a name. The error: the name is not to be looked for further out.
fn seen_by(pattern: Pattern, nodes: &[Node], reader: &str, name: &str) -> Result<Option<String>, ()> {
    let holder = nodes.iter().position(|node| holds(node, reader)).ok_or(())?;
    if let Node::Flow(nested) = &nodes[holder]
        && nested.name != reader
    {
        if let Some(found) = seen_by(nested.pattern, &nested.nodes, reader, name)? {
            return Ok(Some(found));
        }
        if nested.scope.as_ref().and_then(|scope| scope.variable()) == Some(name) {
            return Err(());
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
        Some(_) => Err(()),
    }
}

fn holds(node: &Node, name: &str) -> bool {
    match node {
        Node::Task(task) => task.name == name,
        Node::Flow(nested) => nested.name == name || nested.nodes.iter().any(|node| holds(node, name)),
    }
}

/// The tasks of a node that show a name outside it.
fn shows(node: &Node, name: &str) -> Vec<String> {
    match node {
        Node::Task(task) => {
            let provides = task.provides.contains_key(name) || task.name == name;
            provides.then(|| task.name.clone()).into_iter().collect()
        }
        Node::Flow(nested) => {
            let all: Vec<_> =
                nested.nodes.iter().map(|node| shows(node, name)).filter(|s| !s.is_empty()).collect();
            match nested.pattern {
                Pattern::Linear => all.last().cloned().unwrap_or_default(),
                Pattern::Unordered | Pattern::Graph => all.concat(),
            }
        }
    }
}
