//! Plans: what follows from a flow's definition for the order of its tasks, and who provides what to whom.
//!
//! A plan is made once for a flow and never changes. It is a graph of *points*: one for each task, and two for each
//! flow, its beginning and its end, so that a hundred tasks after a hundred others take two hundred edges and not ten
//! thousand. An edge says that one point is passed before the other.
//!
//! Invariant: a plan depends on the flow alone, never on the arguments of a job. Every edge is one that the definition
//! allows; what it asks for and does not allow makes no edge and is a problem that validation tells. A valid flow's
//! points have no cycle.

mod cycle;
mod lookup;
mod outline;

use std::collections::BTreeSet;

use crate::call::Direction;
use crate::flow::{Flow, Input, Inputs, Pattern, Task};

pub use lookup::Provider;
pub use outline::Relation;
use outline::{Member, Outline};

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    outline: Outline,
    /// By point: what is passed before it, and what after it.
    before: Vec<Vec<u32>>,
    after: Vec<Vec<u32>>,
    /// Names of the tasks and nested flows on each cycle. Empty for a valid flow.
    cycles: Vec<Vec<String>>,
}

impl Plan {
    pub fn of<P>(flow: &Flow<P>) -> Self {
        let outline = Outline::of(flow);
        let mut edges = Edges { outline: &outline, pairs: BTreeSet::new() };
        edges.patterns();
        edges.needs();
        edges.data(flow);
        let pairs = std::mem::take(&mut edges.pairs);
        let mut before = vec![Vec::new(); outline.point_count()];
        let mut after = before.clone();
        for (from, to) in pairs {
            after[from as usize].push(to);
            before[to as usize].push(from);
        }
        let cycles = cycle::cycles(&before, &after);
        let cycles = cycles.iter().map(|cycle| outline.names_of(cycle)).collect();
        Self { outline, before, after, cycles }
    }

    pub fn task_count(&self) -> usize {
        self.outline.task_count()
    }

    /// The number of a task in the order of definition.
    pub fn index(&self, task: &str) -> Option<u32> {
        match self.outline.member(task)? {
            Member::Task(index) => Some(index),
            Member::Flow(_) => None,
        }
    }

    /// The name of the task with that number.
    pub fn name(&self, index: u32) -> &str {
        self.outline.task_name(index)
    }

    pub(crate) fn priority(&self, index: u32) -> i32 {
        self.outline.priority(index)
    }

    /// Where in the definition the task is, from the outermost level on.
    pub(crate) fn place(&self, index: u32) -> Vec<u32> {
        self.outline.task_place(index)
    }

    pub(crate) fn point_count(&self) -> usize {
        self.before.len()
    }

    /// What is passed before a point, going in this direction.
    pub(crate) fn waits_for(&self, direction: Direction, point: u32) -> &[u32] {
        match direction {
            Direction::Apply => &self.before[point as usize],
            Direction::Revert => &self.after[point as usize],
        }
    }

    /// What is passed after a point, going in this direction.
    pub(crate) fn lets_go(&self, direction: Direction, point: u32) -> &[u32] {
        self.waits_for(direction.opposite(), point)
    }

    /// The tasks that are applied before this one begins and reverted after it, as far as nothing lies between.
    pub fn predecessors(&self, task: &str) -> Vec<&str> {
        self.neighbours(task, &self.before)
    }

    /// The tasks that begin after this one is applied, as far as nothing lies between.
    pub fn successors(&self, task: &str) -> Vec<&str> {
        self.neighbours(task, &self.after)
    }

    fn neighbours(&self, task: &str, edges: &[Vec<u32>]) -> Vec<&str> {
        let Some(index) = self.index(task) else { return Vec::new() };
        let (mut seen, mut tasks) = (BTreeSet::new(), BTreeSet::new());
        let mut open = edges[index as usize].clone();
        while let Some(point) = open.pop() {
            if self.outline.is_task(point) {
                tasks.insert(point);
            } else if seen.insert(point) {
                open.extend(&edges[point as usize]);
            }
        }
        tasks.into_iter().map(|task| self.name(task)).collect()
    }

    /// Names of the tasks and nested flows on each cycle: what can never run. Empty for a valid flow.
    pub fn cycles(&self) -> &[Vec<String>] {
        &self.cycles
    }

    /// The nearest visible provider of a name, for a task that looks for it.
    pub fn provider(&self, reader: &str, name: &str) -> Provider {
        self.index(reader).map_or(Provider::Nobody, |reader| self.outline.nearest(reader, name))
    }

    /// How a node may depend on another.
    pub fn relation(&self, node: &str, on: &str) -> Relation {
        self.outline.relation(node, on)
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({} tasks, {} points)", self.task_count(), self.before.len())
    }
}

struct Edges<'a> {
    outline: &'a Outline,
    pairs: BTreeSet<(u32, u32)>,
}

impl Edges<'_> {
    /// What the patterns say.
    fn patterns(&mut self) {
        let outline = self.outline;
        for (flow, level) in outline.levels() {
            let (begin, end) = (outline.begin(Member::Flow(flow)), outline.end(Member::Flow(flow)));
            if level.members.is_empty() {
                self.pairs.insert((begin, end));
            }
            let mut last = begin;
            for member in &level.members {
                self.pairs.insert((last, outline.begin(*member)));
                match level.pattern {
                    Pattern::Linear => last = outline.end(*member),
                    Pattern::Unordered | Pattern::Graph => {
                        self.pairs.insert((outline.end(*member), end));
                    }
                }
            }
            if level.pattern == Pattern::Linear && !level.members.is_empty() {
                self.pairs.insert((last, end));
            }
        }
    }

    /// What is said in as many words.
    fn needs(&mut self) {
        for (name, member, needs) in self.outline.needs() {
            for needed in needs {
                if self.outline.relation(name, needed).is_allowed()
                    && let Some(other) = self.outline.member(needed)
                {
                    self.pairs.insert((self.outline.end(other), self.outline.begin(member)));
                }
            }
        }
    }

    /// What follows from the inputs, of revert as well: it wants them when it undoes the task, and what they come
    /// from is undone later than that.
    fn data<P>(&mut self, flow: &Flow<P>) {
        for (reader, task) in (0_u32..).zip(flow.tasks()) {
            for input in inputs(task) {
                let provider = match input {
                    Input::Output { task: of, .. } if self.outline.relation(&task.name, of).is_allowed() => {
                        self.outline.member(of).filter(|member| matches!(member, Member::Task(_)))
                    }
                    Input::From(name) | Input::Optional(name) => match self.outline.nearest(reader, name) {
                        Provider::Task(provider) => Some(Member::Task(provider)),
                        Provider::Nobody | Provider::Several(_) => None,
                    },
                    Input::Output { .. } | Input::Literal(_) | Input::Argument(_) => None,
                };
                if let Some(provider) = provider {
                    self.pairs.insert((self.outline.end(provider), reader));
                }
            }
        }
    }
}

fn inputs<P>(task: &Task<P>) -> impl Iterator<Item = &Input> {
    let applied = match &task.inputs {
        Inputs::Arguments => None,
        Inputs::Named(inputs) => Some(inputs),
    };
    applied.into_iter().chain(&task.revert_inputs).flat_map(|inputs| inputs.values())
}

#[cfg(test)]
mod tests;
