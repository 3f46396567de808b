//! Own reverts and phases: everything that is wrong with them.

use super::flow_check::{Check, Lookup, Sight, is_pointer, malformed};
use super::flow_shape::Placed;
use crate::flow::{Flow, Input, Node, Pattern, PluginPin};
use crate::own_revert::{self, Called, OwnRevert};
use crate::phase::Phase;
use crate::plan::{OUTERMOST, Provider, Relation};
use crate::scope::Scope;

impl Check<'_> {
    /// The own revert of a flow, which may run again or not.
    pub fn own_revert(
        &mut self,
        path: &str,
        flow: &str,
        (revert, scope): (Option<&OwnRevert>, Option<&Scope>),
        lookup: Lookup<'_>,
    ) {
        let Some(revert) = revert else { return };
        let path = format!("{path}.revert");
        if scope.is_some() {
            let message = format!(
                "flow {flow:?} runs again, and each iteration is undone for itself: nest the flow that has a revert of \
                 its own into the one that runs again"
            );
            return self.problems.add(path, message);
        }
        self.bounds(&path, Called::OwnRevert(revert));
        let who = format!("the own revert of flow {flow:?}");
        let foreseen =
            self.inputs(&who, format!("{path}.inputs"), "input", &revert.inputs, &|check, input| {
                check.sight_at_end(flow, input)
            });
        self.call(&path, Called::OwnRevert(revert), foreseen.into_iter().collect(), lookup);
    }

    /// No task and no nested flow has the name of an own revert.
    pub fn names_of_own_reverts(&mut self, flow: &Flow, nodes: &[Placed<'_, PluginPin>]) {
        let nested = nodes.iter().filter_map(|placed| match placed.node {
            Node::Flow(nested) => nested.revert.as_ref().map(|_| nested.name.as_str()),
            Node::Task(_) | Node::Wait(_) => None,
        });
        let taken: Vec<_> = nested.chain(flow.revert.as_ref().map(|_| OUTERMOST)).collect();
        for flow in taken {
            let name = own_revert::name_of(flow);
            for placed in nodes.iter().filter(|placed| placed.node.name() == name) {
                let message = format!("{name:?} is the name of the own revert of flow {flow:?}: rename it");
                self.problems.add(format!("{}.name", placed.path), message);
            }
        }
    }

    /// What the own revert of a flow is given: nothing of what is inside it is certain, and none of it is asked for.
    fn sight_at_end(&self, flow: &str, input: &Input) -> Sight {
        match input {
            Input::Literal(_) | Input::Argument(_) => self.sight(flow, input),
            Input::Output { task, pointer } => match self.plan.index(task) {
                Some(inside) if self.plan.holds(flow, inside) && !is_pointer(pointer) => {
                    Sight::Missing(malformed(pointer))
                }
                Some(inside) if self.plan.holds(flow, inside) => Sight::Awaited,
                None if self.plan.relation(task, task) != Relation::Unknown => {
                    Sight::Missing(format!("{task:?} is a nested flow; name the task in it"))
                }
                _ => self.sight(flow, input),
            },
            Input::From(name) | Input::Optional(name) => {
                match (self.argument(name), self.plan.provider_at_end(flow, name)) {
                    (None, Provider::Task(inside)) if self.plan.holds(flow, inside) => Sight::Awaited,
                    (None, Provider::Several(tasks)) => self.several(name, &tasks),
                    _ => self.sight(flow, input),
                }
            }
        }
    }

    /// The phases of the members of a flow, which is at a path.
    pub fn phases(&mut self, path: &str, pattern: Pattern, nodes: &[Node]) {
        let mut latest: Option<(Phase, &str)> = None;
        for (index, node) in nodes.iter().enumerate() {
            let Some(phase) = node.phase() else { continue };
            let reason = match (pattern, latest) {
                (Pattern::Graph, _) => None,
                (Pattern::Unordered, _) => Some(
                    "an unordered flow has no order, and so no phases: make it a graph, whose members may have them"
                        .to_owned(),
                ),
                (Pattern::Linear, Some((before, member))) if before > phase => Some(format!(
                    "phase {} comes before phase {}, and this is after {member:?} in a linear flow: move it before, or \
                     make the flow a graph",
                    phase.word(),
                    before.word()
                )),
                (Pattern::Linear, _) => {
                    latest = Some((phase, node.name()));
                    None
                }
            };
            if let Some(reason) = reason {
                self.problems.add(format!("{path}.tasks[{index}].phase"), reason);
            }
        }
    }
}
