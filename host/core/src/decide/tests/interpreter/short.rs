//! A random flow on a few lines, for whoever reads of a failure.

use crate::flow::{Flow, Inputs, Node};
use crate::own_revert::OwnRevert;
use crate::scope::Scope;

/// A flow on a few lines, for whoever reads of a failure.
pub fn in_short(flow: &Flow) -> String {
    let nodes: String = flow.nodes.iter().map(|node| node_in_short(node, 1)).collect();
    let most = flow.parallel_max.map_or(String::new(), |most| format!(" at most {most}"));
    let revert = undo_in_short(flow.revert.as_ref());
    format!("{}{}{most}{revert}:{nodes}", flow.pattern.word(), scope_in_short(flow.scope.as_ref()))
}

fn undo_in_short(revert: Option<&OwnRevert>) -> String {
    revert.map_or(String::new(), |revert| format!(" reverts {:?}", revert.inputs.values()))
}

fn node_in_short(node: &Node, depth: usize) -> String {
    let when =
        node.when().map_or(String::new(), |w| format!(" when {:?} skips {}", w.condition, w.skips.word()));
    let needs = if node.needs().is_empty() { String::new() } else { format!(" needs {:?}", node.needs()) };
    let (rest, nodes) = match node {
        Node::Task(task) => {
            let inputs = match &task.inputs {
                Inputs::Arguments => String::new(),
                Inputs::Named(inputs) => format!(" takes {:?}", inputs.values()),
            };
            let back =
                task.revert_inputs.as_ref().map_or(String::new(), |i| format!(" back {:?}", i.values()));
            let doubt = format!(" in doubt {:?} {:?} {:?}", task.in_doubt, task.observe, task.retry);
            (format!(" priority {}{inputs}{back}{doubt}", task.priority), String::new())
        }
        Node::Wait(wait) => (format!(" waits {:?}", wait.until), String::new()),
        Node::Flow(nested) => {
            let nodes = nested.nodes.iter().map(|node| node_in_short(node, depth + 1)).collect();
            let revert = undo_in_short(nested.revert.as_ref());
            (format!(" {}{}{revert}:", nested.pattern.word(), scope_in_short(nested.scope.as_ref())), nodes)
        }
    };
    let phase = node.phase().map_or(String::new(), |phase| format!(" in {}", phase.word()));
    format!("\n{}{}{phase}{needs}{when}{rest}{nodes}", "    ".repeat(depth), node.name())
}

fn scope_in_short(scope: Option<&Scope>) -> String {
    scope.map_or(String::new(), |scope| format!(" {scope:?}"))
}
