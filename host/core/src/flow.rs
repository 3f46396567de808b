//! Flows: what a job does, as a tree of patterns over tasks.
//!
//! A flow is immutable, and pins each of its plugins by digest. A single action is a flow of one task. What is written
//! here is the definition; in what order it runs is worked out in [`plan`](crate::plan).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Digest;
use crate::scope::{Scope, When};

/// Tasks, and flows nested in them, in one pattern.
///
/// `P` is how its plugins are named: pinned by digest, or as a client wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow<P = PluginPin> {
    #[serde(default, skip_serializing_if = "Pattern::is_linear")]
    pub pattern: Pattern,
    /// In the order of definition.
    #[serde(rename = "tasks")]
    pub nodes: Vec<Node<P>>,
    /// Values of arguments that the job does not give.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, Value>,
    /// Calls that one job may have under way at once; the host's bound where absent, and never more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_max: Option<u32>,
    /// What makes the whole flow run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// What order the nodes of a flow have among themselves, before their needs are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Each begins when all of the one before it is applied.
    #[default]
    Linear,
    /// None, and none may be asked for.
    Unordered,
    /// What their inputs and their `needs` say.
    Graph,
}

impl Pattern {
    pub fn word(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Unordered => "unordered",
            Self::Graph => "graph",
        }
    }

    fn is_linear(&self) -> bool {
        *self == Self::Linear
    }
}

/// A member of a flow.
// A nested flow is tried first: it alone has `tasks`. A list of tasks, as linear flows were, reads as before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant)] // Tasks, by far the most, are the large ones.
pub enum Node<P = PluginPin> {
    Flow(Nested<P>),
    Task(Task<P>),
}

/// A flow in a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nested<P = PluginPin> {
    /// Unique among the tasks and nested flows of the whole flow.
    pub name: String,
    #[serde(default, skip_serializing_if = "Pattern::is_linear")]
    pub pattern: Pattern,
    #[serde(rename = "tasks")]
    pub nodes: Vec<Node<P>>,
    /// Tasks and nested flows that are applied before any of this one begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What makes it run again, or for each of several values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// One task: an action of a pinned plugin, with inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task<P = PluginPin> {
    /// Unique among the tasks and nested flows of the whole flow.
    pub name: String,
    pub plugin: P,
    pub action: String,
    pub inputs: Inputs,
    /// What revert gets as its input; what apply got where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert_inputs: Option<BTreeMap<String, Input>>,
    /// Name that other tasks and readers use -> JSON pointer (RFC 6901) into the output; empty for the whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provides: BTreeMap<String, String>,
    /// Tasks and nested flows that are applied before this one begins, whatever its inputs say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Among tasks that could begin, the higher one does first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Milliseconds that one call may take; the host's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub retry: RetryPolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Bytes over all memories of an instance; the job's grant or the host's default where absent, and never more than
    /// the job's grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    #[serde(default, skip_serializing_if = "InDoubt::is_reapply")]
    pub in_doubt: InDoubt,
}

/// What becomes of a task whose host was lost while it was applied: nobody knows what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// It is applied again, under the same key.
    #[default]
    Reapply,
    /// It has failed, and is undone.
    Revert,
    /// The job is suspended, for a person to look; resumed, it is applied again.
    Hold,
}

impl InDoubt {
    fn is_reapply(&self) -> bool {
        *self == Self::Reapply
    }
}

fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

/// The exact bytes that a task runs, and what they were called when it was pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPin {
    pub digest: Digest,
    pub name: String,
    pub version: String,
}

/// Where a task's input comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inputs {
    /// The input is all arguments of the job: how a single action runs.
    Arguments,
    Named(BTreeMap<String, Input>),
}

/// Where one property of the input comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// This value: it outranks every other source.
    Literal(Value),
    /// The job argument of that name, or the flow's default.
    Argument(String),
    /// A part of what another task returned: a JSON pointer (RFC 6901), empty for the whole.
    Output { task: String, pointer: String },
    /// The job argument of that name, else the flow's default, else what the nearest visible task provides.
    From(String),
    /// As `From`; the property is left out where nobody provides it.
    Optional(String),
}

/// How often a call that ended in `retry` is made again, and after what pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Calls in all, the first one included.
    pub attempts_max: u32,
    /// Milliseconds after the first call.
    pub pause_ms: u64,
    pub pause_ms_max: u64,
    /// What each pause is multiplied with for the next, in percent; at least 100.
    pub factor_percent: u32,
}

impl Default for RetryPolicy {
    /// Five calls within about a quarter of a minute: what a restarted neighbour or a dropped connection needs.
    fn default() -> Self {
        Self { attempts_max: 5, pause_ms: 1_000, pause_ms_max: 300_000, factor_percent: 200 }
    }
}

impl Flow {
    /// What identifies the flow: equal flows are stored once.
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_vec(self).expect("a flow has only string keys");
        Digest::of(&text)
    }
}

impl<P> Flow<P> {
    /// Tasks, one after the other.
    pub fn linear(tasks: impl IntoIterator<Item = Task<P>>) -> Self {
        let nodes = tasks.into_iter().map(Node::Task).collect();
        Self { pattern: Pattern::Linear, nodes, defaults: BTreeMap::new(), parallel_max: None, scope: None }
    }

    /// Every task at any depth, in the order of definition.
    pub fn tasks(&self) -> impl Iterator<Item = &Task<P>> {
        let mut nodes = vec![self.nodes.iter()];
        std::iter::from_fn(move || {
            loop {
                match nodes.last_mut()?.next() {
                    Some(Node::Task(task)) => return Some(task),
                    Some(Node::Flow(nested)) => nodes.push(nested.nodes.iter()),
                    None => {
                        nodes.pop();
                    }
                }
            }
        })
    }

    /// Every task with the path to its place, in the order of definition.
    pub fn placed_tasks(&self) -> Vec<(String, &Task<P>)> {
        let mut placed = Vec::new();
        place("flow", &self.nodes, &mut placed);
        placed
    }

    /// The task whose place in each level, from the outermost on, is given.
    pub(crate) fn task_at(&self, place: &[u32]) -> Option<&Task<P>> {
        let (last, levels) = place.split_last()?;
        let mut nodes = &self.nodes;
        for level in levels {
            let Node::Flow(nested) = nodes.get(*level as usize)? else { return None };
            nodes = &nested.nodes;
        }
        match nodes.get(*last as usize)? {
            Node::Task(task) => Some(task),
            Node::Flow(_) => None,
        }
    }

    /// The nested flow whose place in each level, from the outermost on, is given.
    pub(crate) fn nested_at(&self, place: &[u32]) -> Option<&Nested<P>> {
        let mut found = None;
        let mut nodes = &self.nodes;
        for level in place {
            let Node::Flow(nested) = nodes.get(*level as usize)? else { return None };
            found = Some(nested);
            nodes = &nested.nodes;
        }
        found
    }

    /// The same flow with its plugins named otherwise.
    pub fn map<Q>(self, mut plugin: impl FnMut(P) -> Q) -> Flow<Q> {
        let nodes = self.nodes.into_iter().map(|node| node.map(&mut plugin)).collect();
        Flow {
            pattern: self.pattern,
            nodes,
            defaults: self.defaults,
            parallel_max: self.parallel_max,
            scope: self.scope,
        }
    }
}

fn place<'a, P>(path: &str, nodes: &'a [Node<P>], placed: &mut Vec<(String, &'a Task<P>)>) {
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("{path}.tasks[{index}]");
        match node {
            Node::Task(task) => placed.push((path, task)),
            Node::Flow(nested) => place(&format!("{path}.flow"), &nested.nodes, placed),
        }
    }
}

impl<P> Node<P> {
    pub fn name(&self) -> &str {
        match self {
            Self::Task(task) => &task.name,
            Self::Flow(nested) => &nested.name,
        }
    }

    pub fn needs(&self) -> &[String] {
        match self {
            Self::Task(task) => &task.needs,
            Self::Flow(nested) => &nested.needs,
        }
    }

    pub fn when(&self) -> Option<&When> {
        match self {
            Self::Task(task) => task.when.as_ref(),
            Self::Flow(nested) => nested.when.as_ref(),
        }
    }

    fn map<Q>(self, plugin: &mut dyn FnMut(P) -> Q) -> Node<Q> {
        match self {
            Self::Task(task) => Node::Task(Task {
                plugin: plugin(task.plugin),
                name: task.name,
                action: task.action,
                inputs: task.inputs,
                revert_inputs: task.revert_inputs,
                provides: task.provides,
                needs: task.needs,
                priority: task.priority,
                timeout_ms: task.timeout_ms,
                retry: task.retry,
                when: task.when,
                memory_bytes_max: task.memory_bytes_max,
                in_doubt: task.in_doubt,
            }),
            Self::Flow(nested) => Node::Flow(Nested {
                name: nested.name,
                pattern: nested.pattern,
                nodes: nested.nodes.into_iter().map(|node| node.map(plugin)).collect(),
                needs: nested.needs,
                scope: nested.scope,
                when: nested.when,
            }),
        }
    }
}
