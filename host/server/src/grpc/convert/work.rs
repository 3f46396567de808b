//! Work: one action, or a flow of tasks.

use windlass_core::flow::{
    Flow, InDoubt, Inputs, Nested, Node, ObservePolicy, Pattern, PluginPin, RetryPolicy, Task,
};
use windlass_core::own_revert::OwnRevert;
use windlass_core::phase::Phase;
use windlass_core::problem::Problems;
use windlass_proto::v1;
use windlass_proto::v1::work::Kind;

use super::time::{duration, millis};
use super::{input, json, known, retry, scope, stored_flow, wait};
use crate::engine::revision::FlowReference;

/// The flow that does the work, and the name that stands for it, if one does. One action is a flow of one task, whose
/// input is the job's arguments.
pub fn flow(
    problems: &mut Problems,
    path: &str,
    work: Option<v1::Work>,
) -> (Flow<String>, Option<FlowReference>) {
    match work.and_then(|work| work.kind) {
        Some(Kind::Action(action)) => (lone(problems, &format!("{path}.action"), action), None),
        Some(Kind::Flow(flow)) => (several(problems, &format!("{path}.flow"), flow), None),
        Some(Kind::Reference(reference)) => {
            if reference.name.is_empty() {
                problems.add(format!("{path}.reference.name"), "is empty: give the name of a stored flow");
            }
            (Flow::linear([]), Some(stored_flow::reference(reference.name, reference.revision)))
        }
        None => {
            problems.add(path, "is not given: give an action, a flow or a reference");
            (Flow::linear([]), None)
        }
    }
}

fn lone(problems: &mut Problems, path: &str, action: v1::Action) -> Flow<String> {
    named(problems, path, &action.plugin, &action.action);
    let task = Task {
        name: action.action.clone(),
        plugin: action.plugin,
        action: action.action,
        inputs: Inputs::Arguments,
        revert_inputs: None,
        provides: Default::default(),
        needs: Vec::new(),
        priority: 0,
        timeout_ms: None,
        retry: RetryPolicy::default(),
        when: None,
        memory_bytes_max: None,
        in_doubt: InDoubt::default(),
        observe: ObservePolicy::default(),
        phase: None,
    };
    Flow::linear([task])
}

/// A flow that is given whole.
pub(super) fn several(problems: &mut Problems, path: &str, flow: v1::Flow) -> Flow<String> {
    let defaults = json::object(problems, &format!("{path}.defaults_json"), &flow.defaults_json);
    Flow {
        pattern: pattern(problems, path, flow.pattern),
        nodes: nodes(problems, path, flow.tasks),
        defaults: defaults.into_iter().collect(),
        parallel_max: (flow.parallel_max != 0).then_some(flow.parallel_max),
        scope: scope::scope(problems, path, flow.scope),
        revert: own_revert(problems, path, flow.revert),
    }
}

fn pattern(problems: &mut Problems, path: &str, pattern: i32) -> Pattern {
    match v1::Pattern::try_from(pattern) {
        Ok(v1::Pattern::Unspecified | v1::Pattern::Linear) => Pattern::Linear,
        Ok(v1::Pattern::Unordered) => Pattern::Unordered,
        Ok(v1::Pattern::Graph) => Pattern::Graph,
        Err(_) => {
            problems.add(format!("{path}.pattern"), format!("{pattern} is no pattern that this host knows"));
            Pattern::Linear
        }
    }
}

fn nodes(problems: &mut Problems, path: &str, tasks: Vec<v1::Task>) -> Vec<Node<String>> {
    let tasks = tasks.into_iter().enumerate();
    let nodes = tasks.map(|(index, mut wire)| {
        let path = format!("{path}.tasks[{index}]");
        match wire.flow.take() {
            Some(flow) => Node::Flow(nested(problems, &path, wire, flow)),
            None => match wire.wait.take() {
                Some(until) => Node::Wait(wait::wait(problems, &path, wire, until)),
                None => Node::Task(task(problems, &path, wire)),
            },
        }
    });
    nodes.collect()
}

/// The fields of a node that are given, and that only a task with an action has.
pub(super) fn of_action(node: &v1::Task) -> impl Iterator<Item = &'static str> + use<> {
    let fields = [
        ("plugin", !node.plugin.is_empty()),
        ("action", !node.action.is_empty()),
        ("inputs", !node.inputs.is_empty()),
        ("revert_inputs", !node.revert_inputs.is_empty()),
        ("timeout", node.timeout.is_some()),
        ("retry", node.retry.is_some()),
        ("priority", node.priority != 0),
        ("memory_bytes_max", node.memory_bytes_max.is_some()),
        ("in_doubt", node.in_doubt != 0),
        ("observe", node.observe.is_some()),
    ];
    fields.into_iter().filter(|(_, is_given)| *is_given).map(|(field, _)| field)
}

fn nested(problems: &mut Problems, path: &str, task: v1::Task, flow: v1::Flow) -> Nested<String> {
    let besides = [
        ("provides", !task.provides.is_empty()),
        ("wait", task.wait.is_some()),
        ("flow.defaults_json", !flow.defaults_json.is_empty()),
        ("flow.parallel_max", flow.parallel_max != 0),
    ];
    let besides = besides.into_iter().filter(|(_, is_given)| *is_given).map(|(field, _)| field);
    for field in of_action(&task).chain(besides) {
        let whose = if field.starts_with("flow.") { "the outermost flow" } else { "the tasks in it" };
        problems.add(format!("{path}.{field}"), format!("is not of a nested flow: give it to {whose}"));
    }
    let when = scope::when(problems, path, task.when);
    let phase = phase(problems, path, task.phase);
    let path = format!("{path}.flow");
    Nested {
        when,
        phase,
        scope: scope::scope(problems, &path, flow.scope),
        revert: own_revert(problems, &path, flow.revert),
        name: task.name,
        pattern: pattern(problems, &path, flow.pattern),
        nodes: nodes(problems, &path, flow.tasks),
        needs: task.needs,
    }
}

fn task(problems: &mut Problems, path: &str, task: v1::Task) -> Task<String> {
    named(problems, path, &task.plugin, &task.action);
    let reverts = (!task.revert_inputs.is_empty())
        .then(|| input::inputs(problems, &format!("{path}.revert_inputs"), task.revert_inputs));
    Task {
        inputs: Inputs::Named(input::inputs(problems, &format!("{path}.inputs"), task.inputs)),
        revert_inputs: reverts,
        provides: task.provides,
        needs: task.needs,
        priority: task.priority,
        timeout_ms: millis(problems, &format!("{path}.timeout"), task.timeout.as_ref()),
        retry: retry::policy(problems, &format!("{path}.retry"), task.retry.as_ref()),
        when: scope::when(problems, path, task.when),
        memory_bytes_max: task.memory_bytes_max,
        in_doubt: in_doubt(problems, path, task.in_doubt),
        observe: wait::observe(problems, &format!("{path}.observe"), task.observe.as_ref()),
        phase: phase(problems, path, task.phase),
        name: task.name,
        plugin: task.plugin,
        action: task.action,
    }
}

/// What undoes the flow at `path` as a whole.
fn own_revert(
    problems: &mut Problems,
    path: &str,
    revert: Option<v1::OwnRevert>,
) -> Option<OwnRevert<String>> {
    let revert = revert?;
    let path = format!("{path}.revert");
    named(problems, &path, &revert.plugin, &revert.action);
    Some(OwnRevert {
        inputs: input::inputs(problems, &format!("{path}.inputs"), revert.inputs),
        timeout_ms: millis(problems, &format!("{path}.timeout"), revert.timeout.as_ref()),
        retry: retry::policy(problems, &format!("{path}.retry"), revert.retry.as_ref()),
        memory_bytes_max: revert.memory_bytes_max,
        plugin: revert.plugin,
        action: revert.action,
    })
}

fn phase(problems: &mut Problems, path: &str, phase: i32) -> Option<Phase> {
    match known(problems, &format!("{path}.phase"), phase)? {
        v1::Phase::Unspecified => None,
        v1::Phase::Reserve => Some(Phase::Reserve),
        v1::Phase::Configure => Some(Phase::Configure),
        v1::Phase::Acquire => Some(Phase::Acquire),
    }
}

fn in_doubt(problems: &mut Problems, path: &str, in_doubt: i32) -> InDoubt {
    match known(problems, &format!("{path}.in_doubt"), in_doubt) {
        Some(v1::InDoubt::Unspecified | v1::InDoubt::Reapply) | None => InDoubt::Reapply,
        Some(v1::InDoubt::Revert) => InDoubt::Revert,
        Some(v1::InDoubt::Hold) => InDoubt::Hold,
        Some(v1::InDoubt::Observe) => InDoubt::Observe,
    }
}

fn named(problems: &mut Problems, path: &str, plugin: &str, action: &str) {
    if plugin.is_empty() {
        problems.add(format!("{path}.plugin"), "is empty: give a digest, `name@version` or a name");
    }
    if action.is_empty() {
        problems.add(format!("{path}.action"), "is empty: give the name of an action of the plugin");
    }
}

pub fn to_wire(flow: &Flow) -> v1::Work {
    let kind = match flow.nodes.as_slice() {
        // Only an action gives a task all arguments.
        [Node::Task(task)] if task.inputs == Inputs::Arguments => Kind::Action(v1::Action {
            plugin: name_of(&task.plugin),
            action: task.action.clone(),
            digest: task.plugin.digest.to_string(),
        }),
        _ => Kind::Flow(flow_to_wire(flow)),
    };
    v1::Work { kind: Some(kind) }
}

pub(super) fn flow_to_wire(flow: &Flow) -> v1::Flow {
    v1::Flow {
        tasks: flow.nodes.iter().map(node_to_wire).collect(),
        defaults_json: match flow.defaults.is_empty() {
            true => String::new(),
            false => serde_json::Value::from_iter(flow.defaults.clone()).to_string(),
        },
        pattern: pattern_to_wire(flow.pattern).into(),
        parallel_max: flow.parallel_max.unwrap_or_default(),
        scope: flow.scope.as_ref().map(scope::to_wire),
        revert: flow.revert.as_ref().map(own_revert_to_wire),
    }
}

fn own_revert_to_wire(revert: &OwnRevert) -> v1::OwnRevert {
    v1::OwnRevert {
        plugin: name_of(&revert.plugin),
        action: revert.action.clone(),
        inputs: input::to_wire(&revert.inputs),
        timeout: revert.timeout_ms.map(duration),
        retry: Some(retry::to_wire(&revert.retry)),
        memory_bytes_max: revert.memory_bytes_max,
        digest: revert.plugin.digest.to_string(),
    }
}

fn phase_to_wire(phase: Option<Phase>) -> v1::Phase {
    match phase {
        None => v1::Phase::Unspecified,
        Some(Phase::Reserve) => v1::Phase::Reserve,
        Some(Phase::Configure) => v1::Phase::Configure,
        Some(Phase::Acquire) => v1::Phase::Acquire,
    }
}

fn pattern_to_wire(pattern: Pattern) -> v1::Pattern {
    match pattern {
        Pattern::Linear => v1::Pattern::Linear,
        Pattern::Unordered => v1::Pattern::Unordered,
        Pattern::Graph => v1::Pattern::Graph,
    }
}

fn node_to_wire(node: &Node) -> v1::Task {
    let nested = match node {
        Node::Task(task) => return task_to_wire(task),
        Node::Wait(node) => return wait::to_wire(node),
        Node::Flow(nested) => nested,
    };
    v1::Task {
        name: nested.name.clone(),
        needs: nested.needs.clone(),
        when: nested.when.as_ref().map(scope::when_to_wire),
        flow: Some(v1::Flow {
            tasks: nested.nodes.iter().map(node_to_wire).collect(),
            pattern: pattern_to_wire(nested.pattern).into(),
            scope: nested.scope.as_ref().map(scope::to_wire),
            revert: nested.revert.as_ref().map(own_revert_to_wire),
            ..v1::Flow::default()
        }),
        phase: phase_to_wire(nested.phase).into(),
        ..v1::Task::default()
    }
}

fn task_to_wire(task: &Task) -> v1::Task {
    v1::Task {
        name: task.name.clone(),
        plugin: name_of(&task.plugin),
        action: task.action.clone(),
        inputs: match &task.inputs {
            Inputs::Named(inputs) => input::to_wire(inputs),
            Inputs::Arguments => Default::default(),
        },
        revert_inputs: task.revert_inputs.as_ref().map(input::to_wire).unwrap_or_default(),
        provides: task.provides.clone(),
        timeout: task.timeout_ms.map(duration),
        retry: Some(retry::to_wire(&task.retry)),
        digest: task.plugin.digest.to_string(),
        flow: None,
        needs: task.needs.clone(),
        priority: task.priority,
        when: task.when.as_ref().map(scope::when_to_wire),
        memory_bytes_max: task.memory_bytes_max,
        in_doubt: match task.in_doubt {
            InDoubt::Reapply => v1::InDoubt::Reapply,
            InDoubt::Revert => v1::InDoubt::Revert,
            InDoubt::Hold => v1::InDoubt::Hold,
            InDoubt::Observe => v1::InDoubt::Observe,
        }
        .into(),
        wait: None,
        observe: Some(wait::observe_to_wire(&task.observe)),
        phase: phase_to_wire(task.phase).into(),
    }
}

/// What people call a pinned plugin.
fn name_of(pin: &PluginPin) -> String {
    format!("{}@{}", pin.name, pin.version)
}
