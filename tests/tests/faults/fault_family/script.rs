//! Families in all shapes: the flow of a parent, how its calls and those of its child jobs end, and what comes of it.

use std::collections::BTreeMap;

use serde_json::json;
use windlass_core::call::{Function, Outcome};
use windlass_core::child::Child;
use windlass_core::decide::outcome::CallName;
use windlass_core::flow::{Flow, Input, Nested, Node, Pattern, Task};
use windlass_core::job::{CancelMode, Job, JobState};
use windlass_core::scope::{Backoff, Map, Scope, ScopeRetry, Strategy};
use windlass_core::wait::{Approval, Until, Wait};
use windlass_tests::conformance::fixture::flow;
use windlass_tests::scripted::Answer;

/// Child jobs of a parent that has more than are told at a time.
pub const WIDE: usize = 300;
/// Above what the arguments of a job may be.
const LARGE_BYTES: usize = 2 << 20;
const HOUR_MS: u64 = 3_600_000;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A task, a job of two, a task.
    Succeeds,
    /// The same, and the job fails.
    ChildFails,
    /// The same, and the last task fails.
    ParentFails,
    /// A job beside a task that fails before the child is made.
    Overtaken,
    /// A job that waits for an answer, when its parent is cancelled.
    Undone,
    /// The same, and what there is is left.
    Left,
    /// A job for each of three values, one of which fails.
    MapFails,
    /// A job that fails, and is made anew by the scope around it.
    Retried,
    /// A job that is given too much.
    Large,
    /// A job for each of very many values.
    Wide,
}

/// Those that take few steps, and end well for whoever looks on.
pub const FLOWS: [Shape; 8] = [
    Shape::Succeeds,
    Shape::ChildFails,
    Shape::ParentFails,
    Shape::Overtaken,
    Shape::Undone,
    Shape::Left,
    Shape::MapFails,
    Shape::Retried,
];

impl Shape {
    pub fn flow(self) -> Flow {
        let both = || job("job", [task("x"), task("y")], &[]);
        let asking = || job("job", [task("x"), approval("sure")], &[]);
        match self {
            Self::Succeeds | Self::ChildFails | Self::ParentFails => {
                of(Pattern::Linear, [task("a"), both(), task("b")])
            }
            Self::Overtaken => of(Pattern::Unordered, [both(), task("b")]),
            Self::Undone | Self::Left => of(Pattern::Linear, [task("a"), asking(), task("b")]),
            Self::MapFails => of(Pattern::Linear, [task("a"), scope(map(3), both())]),
            Self::Retried => of(Pattern::Linear, [task("a"), scope(twice(), both()), task("b")]),
            Self::Large => {
                let large = Input::Literal(json!("x".repeat(LARGE_BYTES)));
                of(Pattern::Linear, [task("a"), job("job", [task("x")], &[("large", large)])])
            }
            Self::Wide => of(Pattern::Linear, [scope(map(WIDE), job("job", [task("x")], &[])), task("b")]),
        }
    }

    /// How a call ends, of the parent or of one of its children.
    pub fn outcome(self, job: &Job, call: &CallName) -> Outcome {
        let iteration = job.parent().map(|parent| parent.task.iteration.clone());
        let task = call.task.task.as_str();
        let is_broken = call.function == Function::Apply
            && match self {
                Self::ChildFails => task == "y",
                Self::ParentFails | Self::Overtaken => task == "b",
                Self::MapFails | Self::Retried => task == "y" && iteration == Some(vec![1]),
                Self::Succeeds | Self::Undone | Self::Left | Self::Large | Self::Wide => false,
            };
        if is_broken { Answer::broken() } else { Answer::good(call.function) }
    }

    /// How the parent is cancelled when its child waits.
    pub fn cancel(self) -> Option<CancelMode> {
        match self {
            Self::Undone => Some(CancelMode::Revert),
            Self::Left => Some(CancelMode::Leave),
            _ => None,
        }
    }

    /// How the parent ends, and its children, in the order of their states.
    pub fn ends(self) -> (JobState, Vec<JobState>) {
        use JobState::{Cancelled, Failed, Reverted, Succeeded};
        match self {
            Self::Succeeds => (Succeeded, vec![Succeeded]),
            Self::ChildFails | Self::ParentFails | Self::Undone => (Reverted, vec![Reverted]),
            Self::Overtaken => (Reverted, vec![Cancelled]),
            Self::Left => (Failed, vec![Failed]),
            Self::MapFails => (Reverted, vec![Reverted; 3]),
            Self::Retried => (Succeeded, vec![Reverted, Succeeded]),
            Self::Large => (Reverted, vec![]),
            Self::Wide => (Succeeded, vec![Succeeded; WIDE]),
        }
    }
}

fn of(pattern: Pattern, nodes: impl IntoIterator<Item = Node>) -> Flow {
    Flow { pattern, nodes: nodes.into_iter().collect(), ..Flow::clone(&flow("copy", 0)) }
}

fn task(name: &str) -> Node {
    let Some(Node::Task(task)) = flow("copy", 1).nodes.first().cloned() else {
        unreachable!("it has one task")
    };
    Node::Task(Task { name: name.to_owned(), ..task })
}

fn wait(name: &str, until: Until) -> Node {
    let name = name.to_owned();
    Node::Wait(Wait { name, until, provides: BTreeMap::new(), needs: Vec::new(), when: None })
}

fn approval(name: &str) -> Node {
    let message = "go on?".to_owned();
    wait(name, Until::Approval(Approval { message, principals: Vec::new(), timeout_ms: HOUR_MS }))
}

fn job(name: &str, nodes: impl IntoIterator<Item = Node>, inputs: &[(&str, Input)]) -> Node {
    let inputs = inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect();
    let flow = Box::new(of(Pattern::Linear, nodes));
    wait(name, Until::Child(Child { flow, flow_revision: None, inputs, priority: None, timeout_ms: HOUR_MS }))
}

fn scope(scope: Scope, node: Node) -> Node {
    Node::Flow(Nested {
        name: "scope".to_owned(),
        pattern: Pattern::Linear,
        nodes: vec![node],
        needs: Vec::new(),
        scope: Some(scope),
        when: None,
        phase: None,
        revert: None,
    })
}

fn map(values: usize) -> Scope {
    let over = Input::Literal((0..values).collect());
    Scope::Map(Map { over, name: "value".to_owned(), parallel_max: None })
}

fn twice() -> Scope {
    let strategy = Strategy::Times(2);
    Scope::Retry(ScopeRetry { strategy, backoff: Backoff::default(), except: Vec::new(), revert_all: false })
}
