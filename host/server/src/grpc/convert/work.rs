//! Work: one action, or a flow of tasks.

use windlass_core::flow::{Flow, Inputs, PluginPin, RetryPolicy, Task};
use windlass_core::problem::Problems;
use windlass_proto::v1;
use windlass_proto::v1::work::Kind;

use super::time::{duration, millis};
use super::{input, json, retry};

/// The flow that does the work. One action is a flow of one task, whose input is the job's arguments.
pub fn flow(problems: &mut Problems, path: &str, work: Option<v1::Work>) -> Flow<String> {
    match work.and_then(|work| work.kind) {
        Some(Kind::Action(action)) => lone(problems, &format!("{path}.action"), action),
        Some(Kind::Flow(flow)) => several(problems, &format!("{path}.flow"), flow),
        None => {
            problems.add(path, "is not given: give an action or a flow");
            Flow { tasks: Vec::new(), defaults: Default::default() }
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
        timeout_ms: None,
        retry: RetryPolicy::default(),
    };
    Flow { tasks: vec![task], defaults: Default::default() }
}

fn several(problems: &mut Problems, path: &str, flow: v1::Flow) -> Flow<String> {
    let defaults = json::object(problems, &format!("{path}.defaults_json"), &flow.defaults_json);
    let tasks = flow.tasks.into_iter().enumerate();
    let tasks = tasks.map(|(index, wire)| task(problems, &format!("{path}.tasks[{index}]"), wire));
    Flow { tasks: tasks.collect(), defaults: defaults.into_iter().collect() }
}

fn task(problems: &mut Problems, path: &str, task: v1::Task) -> Task<String> {
    named(problems, path, &task.plugin, &task.action);
    let reverts = (!task.revert_inputs.is_empty())
        .then(|| input::inputs(problems, &format!("{path}.revert_inputs"), task.revert_inputs));
    Task {
        inputs: Inputs::Named(input::inputs(problems, &format!("{path}.inputs"), task.inputs)),
        revert_inputs: reverts,
        provides: task.provides,
        timeout_ms: millis(problems, &format!("{path}.timeout"), task.timeout.as_ref()),
        retry: retry::policy(problems, &format!("{path}.retry"), task.retry.as_ref()),
        name: task.name,
        plugin: task.plugin,
        action: task.action,
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
    let kind = match flow.tasks.as_slice() {
        // Only an action gives a task all arguments.
        [task] if task.inputs == Inputs::Arguments => Kind::Action(v1::Action {
            plugin: name_of(&task.plugin),
            action: task.action.clone(),
            digest: task.plugin.digest.to_string(),
        }),
        tasks => Kind::Flow(v1::Flow {
            tasks: tasks.iter().map(task_to_wire).collect(),
            defaults_json: match flow.defaults.is_empty() {
                true => String::new(),
                false => serde_json::Value::from_iter(flow.defaults.clone()).to_string(),
            },
        }),
    };
    v1::Work { kind: Some(kind) }
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
    }
}

/// What people call a pinned plugin.
fn name_of(pin: &PluginPin) -> String {
    format!("{}@{}", pin.name, pin.version)
}
