//! Flows: what a job does, as a tree of patterns over tasks.
//!
//! A flow is immutable, and pins each of its plugins by digest. A single action is a flow of one task. What is written
//! here is the definition; in what order it runs is worked out in [`plan`](crate::plan).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::child::Child;
use crate::id::Digest;
use crate::own_revert::{Called, OwnRevert};
use crate::phase::Phase;
use crate::scope::{Scope, When};
use crate::wait::Wait;

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
    /// What undoes all of it in one call.
    // Absent is none without a `default`, which would ask that plugins have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert: Option<OwnRevert<P>>,
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
    Wait(Wait<P>),
}

/// A task, or a wait: what has no members.
#[derive(Debug, PartialEq)]
pub enum Leaf<'a, P = PluginPin> {
    Task(&'a Task<P>),
    Wait(&'a Wait<P>),
}

impl<P> Clone for Leaf<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Leaf<'_, P> {}

impl<'a, P> Leaf<'a, P> {
    pub fn name(self) -> &'a str {
        match self {
            Self::Task(task) => &task.name,
            Self::Wait(wait) => &wait.name,
        }
    }

    pub fn provides(self) -> &'a BTreeMap<String, String> {
        match self {
            Self::Task(task) => &task.provides,
            Self::Wait(wait) => &wait.provides,
        }
    }
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What undoes all of it in one call.
    // Absent is none without a `default`, which would ask that plugins have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert: Option<OwnRevert<P>>,
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
    /// How what it accepted is looked at.
    #[serde(default, skip_serializing_if = "ObservePolicy::is_default")]
    pub observe: ObservePolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
}

/// What becomes of a task whose host was lost while it was applied, or that is late: nobody knows what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// It is applied again, under the same key.
    #[default]
    Reapply,
    /// The plugin's observer looks: what is present is applied, what is absent is applied again. Where that cannot be
    /// said, as `Hold`.
    Observe,
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

/// How long, and how often, what a task accepted is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservePolicy {
    /// Milliseconds from when it was accepted; what is not ready then is in doubt.
    pub deadline_ms: u64,
    /// Milliseconds between two observations where the plugin does not say; between the first two.
    pub pause_ms: u64,
    pub pause_ms_max: u64,
    /// What each pause is multiplied with for the next, in percent; at least 100.
    pub factor_percent: u32,
}

impl Default for ObservePolicy {
    /// A day, in which most of what is provisioned, copied or restored is ready; every five minutes at last.
    fn default() -> Self {
        Self { deadline_ms: 24 * 3_600_000, pause_ms: 1_000, pause_ms_max: 300_000, factor_percent: 200 }
    }
}

impl ObservePolicy {
    fn is_default(&self) -> bool {
        *self == Self::default()
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
        Self {
            pattern: Pattern::Linear,
            nodes,
            defaults: BTreeMap::new(),
            parallel_max: None,
            scope: None,
            revert: None,
        }
    }

    /// Every task at any depth, in the order of definition.
    pub fn tasks(&self) -> impl Iterator<Item = &Task<P>> {
        self.leaves().filter_map(|leaf| match leaf {
            Leaf::Task(task) => Some(task),
            Leaf::Wait(_) => None,
        })
    }

    /// Every task and wait at any depth, in the order of definition.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf<'_, P>> {
        let mut nodes = vec![self.nodes.iter()];
        std::iter::from_fn(move || {
            loop {
                match nodes.last_mut()?.next() {
                    Some(Node::Task(task)) => return Some(Leaf::Task(task)),
                    Some(Node::Wait(wait)) => return Some(Leaf::Wait(wait)),
                    Some(Node::Flow(nested)) => nodes.push(nested.nodes.iter()),
                    None => {
                        nodes.pop();
                    }
                }
            }
        })
    }

    /// Whatever is called, with the path to its place, in the order of definition: an own revert before what is in its
    /// flow. What child jobs call is among it.
    pub fn placed_calls(&self) -> Vec<(String, Called<'_, P>)> {
        let mut placed = Vec::new();
        place("flow", self.revert.as_ref(), &self.nodes, &mut placed);
        placed
    }

    /// The plugin of everything that is called, in its child jobs too.
    pub fn plugins(&self) -> impl Iterator<Item = &P> {
        self.generations().flat_map(|flow| {
            flow.own_reverts().map(|revert| &revert.plugin).chain(flow.tasks().map(|task| &task.plugin))
        })
    }

    /// Every child job of it, in the order of definition.
    pub fn children(&self) -> impl Iterator<Item = (&str, &Child<P>)> {
        self.leaves().filter_map(|leaf| match leaf {
            Leaf::Wait(wait) => Some((wait.name.as_str(), wait.child()?)),
            Leaf::Task(_) => None,
        })
    }

    /// The flow itself, and those of its child jobs at any depth.
    pub fn generations(&self) -> impl Iterator<Item = &Self> {
        let mut left = vec![self];
        std::iter::from_fn(move || {
            let flow = left.pop()?;
            left.extend(flow.children().map(|(_, child)| &*child.flow));
            Some(flow)
        })
    }

    /// Every own revert, that of the outermost flow first.
    pub fn own_reverts(&self) -> impl Iterator<Item = &OwnRevert<P>> {
        let mut nodes = vec![self.nodes.iter()];
        let nested = std::iter::from_fn(move || {
            loop {
                match nodes.last_mut()?.next() {
                    Some(Node::Flow(nested)) => {
                        nodes.push(nested.nodes.iter());
                        return Some(nested.revert.as_ref());
                    }
                    Some(Node::Task(_) | Node::Wait(_)) => {}
                    None => {
                        nodes.pop();
                    }
                }
            }
        });
        self.revert.as_ref().into_iter().chain(nested.flatten())
    }

    /// The node whose place in each level, from the outermost on, is given; none for the outermost flow.
    pub(crate) fn node_at(&self, place: &[u32]) -> Option<&Node<P>> {
        let (last, levels) = place.split_last()?;
        let mut nodes = &self.nodes;
        for level in levels {
            let Node::Flow(nested) = nodes.get(*level as usize)? else { return None };
            nodes = &nested.nodes;
        }
        nodes.get(*last as usize)
    }

    /// The task at that place.
    pub(crate) fn task_at(&self, place: &[u32]) -> Option<&Task<P>> {
        match self.node_at(place)? {
            Node::Task(task) => Some(task),
            Node::Flow(_) | Node::Wait(_) => None,
        }
    }

    /// The wait at that place.
    pub(crate) fn wait_at(&self, place: &[u32]) -> Option<&Wait<P>> {
        match self.node_at(place)? {
            Node::Wait(wait) => Some(wait),
            Node::Flow(_) | Node::Task(_) => None,
        }
    }

    /// The nested flow whose place in each level, from the outermost on, is given.
    pub(crate) fn nested_at(&self, place: &[u32]) -> Option<&Nested<P>> {
        match self.node_at(place)? {
            Node::Flow(nested) => Some(nested),
            Node::Task(_) | Node::Wait(_) => None,
        }
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
            revert: self.revert.map(|revert| revert.map(plugin)),
        }
    }
}

fn place<'a, P>(
    path: &str,
    revert: Option<&'a OwnRevert<P>>,
    nodes: &'a [Node<P>],
    placed: &mut Vec<(String, Called<'a, P>)>,
) {
    placed.extend(revert.map(|revert| (format!("{path}.revert"), Called::OwnRevert(revert))));
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("{path}.tasks[{index}]");
        match node {
            Node::Task(task) => placed.push((path, Called::Task(task))),
            Node::Flow(nested) => {
                place(&format!("{path}.flow"), nested.revert.as_ref(), &nested.nodes, placed);
            }
            Node::Wait(wait) => {
                if let Some(child) = wait.child() {
                    let path = format!("{path}.{}.flow", wait.until.word());
                    place(&path, child.flow.revert.as_ref(), &child.flow.nodes, placed);
                }
            }
        }
    }
}

impl<P> Node<P> {
    pub fn name(&self) -> &str {
        match self {
            Self::Task(task) => &task.name,
            Self::Flow(nested) => &nested.name,
            Self::Wait(wait) => &wait.name,
        }
    }

    pub fn needs(&self) -> &[String] {
        match self {
            Self::Task(task) => &task.needs,
            Self::Flow(nested) => &nested.needs,
            Self::Wait(wait) => &wait.needs,
        }
    }

    pub fn when(&self) -> Option<&When> {
        match self {
            Self::Task(task) => task.when.as_ref(),
            Self::Flow(nested) => nested.when.as_ref(),
            Self::Wait(wait) => wait.when.as_ref(),
        }
    }

    pub fn phase(&self) -> Option<Phase> {
        match self {
            Self::Task(task) => task.phase,
            Self::Flow(nested) => nested.phase,
            Self::Wait(_) => None,
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
                observe: task.observe,
                phase: task.phase,
            }),
            Self::Wait(wait) => Node::Wait(wait.map(plugin)),
            Self::Flow(nested) => Node::Flow(Nested {
                name: nested.name,
                pattern: nested.pattern,
                nodes: nested.nodes.into_iter().map(|node| node.map(plugin)).collect(),
                needs: nested.needs,
                scope: nested.scope,
                when: nested.when,
                phase: nested.phase,
                revert: nested.revert.map(|revert| revert.map(plugin)),
            }),
        }
    }
}
