//! Pictures of flows: a line for each task, nested flows as a tree, and a whole flow on one line.

use windlass_proto::v1;

/// Tasks that a line names; what has more is counted.
const LINE_TASKS_MAX: usize = 12;

/// The flow as a tree. Beside each task what it runs, beside each node what it needs and takes.
pub fn tree(flow: &v1::Flow) -> String {
    let mut rows = vec![(pattern(flow).to_owned(), bound(flow))];
    level(flow, "", &mut rows);
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let lines = rows.into_iter().map(|(left, right)| {
        let gap = " ".repeat(width - left.chars().count());
        format!("{left}{gap}  {right}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn level(flow: &v1::Flow, indent: &str, rows: &mut Vec<(String, String)>) {
    for (index, task) in flow.tasks.iter().enumerate() {
        let (branch, below) = if index + 1 == flow.tasks.len() { ("└ ", "  ") } else { ("├ ", "│ ") };
        rows.push((format!("{indent}{branch}{}", task.name), beside(task)));
        if let Some(nested) = &task.flow {
            level(nested, &format!("{indent}{below}"), rows);
        }
    }
}

fn beside(task: &v1::Task) -> String {
    let mut words = match &task.flow {
        Some(nested) => vec![pattern(nested).to_owned()],
        None => vec![format!("{} {}", task.plugin, task.action)],
    };
    if !task.needs.is_empty() {
        words.push(format!("needs {}", task.needs.join(", ")));
    }
    let taken = takes(task);
    if !taken.is_empty() {
        words.push(format!("takes {}", taken.join(", ")));
    }
    if task.priority != 0 {
        words.push(format!("priority {}", task.priority));
    }
    words.join("; ")
}

/// What its inputs ask for by name, and of tasks.
fn takes(task: &v1::Task) -> Vec<String> {
    use v1::input::Source;
    let inputs = task.inputs.values().chain(task.revert_inputs.values());
    let mut names: Vec<String> = inputs
        .filter_map(|input| match input.source.as_ref()? {
            Source::Output(output) => Some(format!("{}{}", output.task, output.pointer)),
            Source::Name(name) => Some(name.clone()),
            Source::OptionalName(name) => Some(format!("{name}?")),
            Source::LiteralJson(_) | Source::Argument(_) => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn bound(flow: &v1::Flow) -> String {
    if flow.parallel_max == 0 {
        String::new()
    } else {
        format!("at most {} calls at once", flow.parallel_max)
    }
}

fn pattern(flow: &v1::Flow) -> &'static str {
    match flow.pattern() {
        v1::Pattern::Unspecified | v1::Pattern::Linear => "linear",
        v1::Pattern::Unordered => "unordered",
        v1::Pattern::Graph => "graph",
    }
}

/// The flow on one line: `a > b` is linear, `a | b` unordered, `a, b` a graph.
pub fn line(flow: &v1::Flow) -> String {
    let names = names(flow);
    if names.len() > LINE_TASKS_MAX {
        return format!("{} of {} tasks, the first {}", pattern(flow), names.len(), names[0]);
    }
    let nodes = flow.tasks.iter().map(|task| match &task.flow {
        None => task.name.clone(),
        Some(nested) => format!("({})", line(nested)),
    });
    let between = match flow.pattern() {
        v1::Pattern::Unspecified | v1::Pattern::Linear => " > ",
        v1::Pattern::Unordered => " | ",
        v1::Pattern::Graph => ", ",
    };
    nodes.collect::<Vec<_>>().join(between)
}

/// The names of the tasks at any depth, in the order of definition.
pub fn names(flow: &v1::Flow) -> Vec<&str> {
    let names = flow.tasks.iter().flat_map(|task| match &task.flow {
        Some(nested) => names(nested),
        None => vec![task.name.as_str()],
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowDocument;

    fn flow(document: &str) -> v1::Flow {
        serde_json::from_str::<FlowDocument>(document).unwrap().wire().unwrap()
    }

    #[test]
    fn a_nested_flow_is_a_tree_and_a_line() {
        let shown = flow(
            r#"{"pattern": "graph", "parallel_max": 4, "tasks": [
                {"name": "copies", "needs": ["snapshot"], "flow": {"pattern": "unordered", "tasks": [
                    {"name": "near", "plugin": "copy", "action": "put", "inputs": {"a": {"name": "archive"}}},
                    {"name": "far", "plugin": "copy", "action": "put", "priority": 1,
                     "inputs": {"a": {"output": {"task": "snapshot", "pointer": "/path"}}}}]}},
                {"name": "snapshot", "plugin": "backup", "action": "snapshot"}]}"#,
        );
        let tree = "graph       at most 4 calls at once\n\
                    ├ copies    unordered; needs snapshot\n\
                    │ ├ near    copy put; takes archive\n\
                    │ └ far     copy put; takes snapshot/path; priority 1\n\
                    └ snapshot  backup snapshot";
        assert_eq!(super::tree(&shown), tree);
        assert_eq!(line(&shown), "(near | far), snapshot");
        assert_eq!(names(&shown), ["near", "far", "snapshot"]);
    }

    #[test]
    fn a_long_flow_is_counted() {
        let tasks: Vec<_> =
            (0..40).map(|n| format!(r#"{{"name": "t{n}", "plugin": "p", "action": "a"}}"#)).collect();
        let shown = flow(&format!(r#"{{"tasks": [{}]}}"#, tasks.join(",")));
        assert_eq!(line(&shown), "linear of 40 tasks, the first t0");
    }
}
