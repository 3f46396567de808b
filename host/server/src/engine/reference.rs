//! References: the stored flows that child jobs name, put in their place.
//!
//! A child that is asked for by a name has no flow yet, and says which revision it wants (0: the latest). Here it gets
//! the flow, and the number that it turned out to be.
//!
//! Invariant: what is stored is whole. Nothing that runs looks up a name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use windlass_core::arguments::TASKS_MAX;
use windlass_core::child::Child;
use windlass_core::flow::{Flow, Node};
use windlass_core::problem::{Problem, Problems};
use windlass_core::revision::RevisionName;
use windlass_core::wait::Until;

use crate::engine::revision::{FlowReference, Resolved};
use crate::engine::{Engine, EngineError};

/// How deep flows and child jobs may be in each other: a nested flow counts two levels, a child job three, the outermost
/// flow one, as they are messages on the wire. Clients refuse messages that are 100 deep, and around a flow there may
/// be 5, within its tasks 6.
pub const LEVELS_MAX: usize = 80;

/// What became of the names in a flow.
#[derive(Debug, Default)]
pub struct References {
    /// Where a stored flow was put in, such as `flow.tasks[2].job`.
    places: Vec<String>,
    /// What could not be: the flow has holes there.
    problems: Problems,
}

/// What a name stands for.
struct Stored {
    flow: Flow<String>,
    name: RevisionName,
    /// Those of its child jobs included.
    tasks: usize,
}

impl References {
    /// Whether the flow is whole.
    pub fn are_found(&self) -> bool {
        self.problems.0.is_empty()
    }

    /// What came of a request with that flow, where the flow is whole; otherwise everything that is wrong with both.
    pub fn judged<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        match result {
            Err(EngineError::Invalid(found)) => Err(self.with(found).into()),
            Ok(_) if !self.are_found() => Err(self.problems.clone().into()),
            result => result,
        }
    }

    /// What could not be found, and these other problems: a place within a stored flow is none in the request, and
    /// becomes part of what is told.
    pub fn with(&self, found: Problems) -> Problems {
        let mut all = self.problems.clone();
        all.0.extend(found.0.into_iter().map(|problem| self.told(problem)));
        all
    }

    fn told(&self, problem: Problem) -> Problem {
        let inner = self.places.iter().find_map(|place| {
            let inner = problem.path.strip_prefix(place.as_str())?.strip_prefix('.')?;
            (inner == "flow" || inner.starts_with("flow.")).then_some((place, inner))
        });
        match inner {
            Some((place, inner)) => {
                Problem::new(format!("{place}.reference"), format!("{inner} {}", problem.message))
            }
            None => problem,
        }
    }
}

impl Engine {
    /// Puts the flows that child jobs name into a flow, on behalf of a principal. What cannot be found leaves a hole, so
    /// that the rest can be judged as well.
    pub async fn fill_children(
        &self,
        flow: &mut Flow<String>,
        principal: &str,
    ) -> Result<References, EngineError> {
        let mut references = References::default();
        let mut left = TASKS_MAX.saturating_sub(tasks(flow));
        let mut found: BTreeMap<RevisionName, Result<Stored, String>> = BTreeMap::new();
        for (place, child) in holes(flow) {
            let Some(wanted) = child.flow_revision.clone() else { continue };
            let stored = match found.entry(wanted.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.stored_flow(&wanted, principal).await?),
            };
            match stored {
                Err(reason) => references.problems.add(format!("{place}.reference"), reason.clone()),
                // Many small names may stand for very much: no more is read, nor copied, than can be taken.
                Ok(stored) if stored.tasks > left => {
                    let message = format!(
                        "has {} tasks, and {left} are left: a flow and all of its child jobs have at most \
                         {TASKS_MAX}; names behind this one were not looked up",
                        stored.tasks
                    );
                    references.problems.add(format!("{place}.reference"), message);
                    break;
                }
                Ok(stored) => {
                    left -= stored.tasks;
                    *child.flow = stored.flow.clone();
                    child.flow_revision = Some(stored.name.clone());
                    references.places.push(place);
                }
            }
        }
        let levels = 1 + levels(&flow.nodes);
        if levels > LEVELS_MAX {
            let message = format!(
                "are flows and child jobs {levels} levels in each other: at most {LEVELS_MAX}, of which a nested \
                 flow takes 2 and a child job 3"
            );
            references.problems.add("flow.tasks", message);
        }
        Ok(references)
    }

    /// The inner error: why there is no such flow, for whoever named it.
    async fn stored_flow(
        &self,
        wanted: &RevisionName,
        principal: &str,
    ) -> Result<Result<Stored, String>, EngineError> {
        let revision = (wanted.revision != 0).then_some(wanted.revision);
        let reference = FlowReference { name: wanted.name.clone(), revision };
        match self.resolve_flow(&reference, principal).await {
            Ok(Resolved { flow, name, .. }) => Ok(Ok(Stored { tasks: tasks(&flow), flow, name })),
            Err(error @ EngineError::NotFound { .. }) => {
                Ok(Err(format!("{error}: store it first, or give it whole")))
            }
            Err(error) => Err(error),
        }
    }
}

/// The tasks of a flow and of all of its child jobs.
fn tasks(flow: &Flow<String>) -> usize {
    flow.generations().map(|flow| flow.leaves().count()).sum()
}

/// The child jobs that have a name and no flow yet, each with its place.
fn holes(flow: &mut Flow<String>) -> Vec<(String, &mut Child<String>)> {
    let mut found = Vec::new();
    holes_in("flow", &mut flow.nodes, &mut found);
    found
}

fn holes_in<'a>(path: &str, nodes: &'a mut [Node<String>], found: &mut Vec<(String, &'a mut Child<String>)>) {
    for (index, node) in nodes.iter_mut().enumerate() {
        match node {
            Node::Task(_) => {}
            Node::Flow(nested) => {
                holes_in(&format!("{path}.tasks[{index}].flow"), &mut nested.nodes, found);
            }
            Node::Wait(wait) => {
                let Until::Child(child) = &mut wait.until else { continue };
                let place = format!("{path}.tasks[{index}].job");
                if child.flow_revision.is_some() {
                    found.push((place, child));
                } else {
                    holes_in(&format!("{place}.flow"), &mut child.flow.nodes, found);
                }
            }
        }
    }
}

/// How many messages are within that of the flow with these members, in each other, as far as they are flows and jobs.
fn levels(nodes: &[Node<String>]) -> usize {
    let below = nodes.iter().map(|node| match node {
        Node::Task(_) => 1,
        Node::Flow(nested) => 2 + levels(&nested.nodes),
        Node::Wait(wait) => 1 + wait.child().map_or(0, |child| 2 + levels(&child.flow.nodes)),
    });
    below.max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
