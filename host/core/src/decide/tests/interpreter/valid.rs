//! Which random flows are no flows: as validation sees it, plugins and schemas apart.

use super::draft::ARGUMENT;
use crate::expression::names_of;
use crate::flow::{Flow, Input, Inputs, Node, Pattern};
use crate::own_revert::OwnRevert;
use crate::plan::{OUTERMOST, Plan, Provider};
use crate::scope::Scope;
use crate::wait::{EVENT, EventWait, Until};

pub fn is_valid(flow: &Flow) -> bool {
    let plan = Plan::of(flow);
    plan.cycles().is_empty()
        && flow.scope.as_ref().is_none_or(|scope| is_valid_scope(&plan, OUTERMOST, scope))
        && is_valid_own_revert(&plan, OUTERMOST, flow.revert.as_ref(), flow.scope.as_ref())
        && has_valid_phases(flow.pattern, &flow.nodes)
        && flow.nodes.iter().all(|node| is_valid_node(&plan, node))
}

fn is_valid_own_revert(plan: &Plan, flow: &str, revert: Option<&OwnRevert>, scope: Option<&Scope>) -> bool {
    let Some(revert) = revert else { return true };
    let is_valid = |input: &Input| match input {
        Input::Output { task, .. } => {
            plan.index(task).is_some_and(|task| plan.holds(flow, task))
                || plan.relation(flow, task).is_allowed()
        }
        Input::From(name) => is_provided(&plan.provider_at_end(flow, name)),
        Input::Literal(_) | Input::Argument(_) | Input::Optional(_) => true,
    };
    scope.is_none() && revert.inputs.values().all(is_valid)
}

fn has_valid_phases(pattern: Pattern, nodes: &[Node]) -> bool {
    let phases: Vec<_> = nodes.iter().filter_map(Node::phase).collect();
    match pattern {
        Pattern::Graph => true,
        Pattern::Linear => phases.is_sorted(),
        Pattern::Unordered => phases.is_empty(),
    }
}

fn is_valid_node(plan: &Plan, node: &Node) -> bool {
    let is_known = |name: &String| name == ARGUMENT || is_provided(&plan.provider(node.name(), name));
    let needs = node.needs().iter();
    let is_like_any = needs.clone().all(|on| plan.relation(node.name(), on).is_allowed())
        && node.when().is_none_or(|when| names_of(&when.condition).iter().all(is_known));
    is_like_any
        && match node {
            Node::Task(task) => {
                let named = match &task.inputs {
                    Inputs::Arguments => None,
                    Inputs::Named(inputs) => Some(inputs),
                };
                let inputs = named.into_iter().chain(&task.revert_inputs).flat_map(|inputs| inputs.values());
                inputs.into_iter().all(|input| is_valid_input(plan, &task.name, input))
            }
            Node::Wait(wait) => match &wait.until {
                Until::Time(input) => is_valid_input(plan, &wait.name, input),
                Until::Event(EventWait { condition: Some(condition), .. }) => {
                    names_of(condition).iter().all(|name| name == EVENT || is_known(name))
                }
                Until::Event(_) | Until::Passed { .. } | Until::Approval(_) => true,
                // Families have histories of their own.
                Until::Child(_) => false,
            },
            Node::Flow(nested) => {
                let scope = nested.scope.as_ref();
                scope.is_none_or(|scope| is_valid_scope(plan, &nested.name, scope))
                    && is_valid_own_revert(plan, &nested.name, nested.revert.as_ref(), scope)
                    && has_valid_phases(nested.pattern, &nested.nodes)
                    && nested.nodes.iter().all(|node| is_valid_node(plan, node))
            }
        }
}

fn is_valid_scope(plan: &Plan, name: &str, scope: &Scope) -> bool {
    let is_known = |read: &String| {
        ["round", ARGUMENT].contains(&read.as_str()) || is_provided(&plan.provider_at_end(name, read))
    };
    scope.over().is_none_or(|over| is_valid_input(plan, name, over))
        && match scope {
            Scope::Repeat(repeat) => names_of(&repeat.until).iter().all(is_known),
            Scope::Retry(_) | Scope::Map(_) => true,
        }
}

fn is_valid_input(plan: &Plan, reader: &str, input: &Input) -> bool {
    match input {
        Input::Output { task, .. } => plan.relation(reader, task).is_allowed(),
        Input::From(name) => is_provided(&plan.provider(reader, name)),
        Input::Literal(_) | Input::Argument(_) | Input::Optional(_) => true,
    }
}

fn is_provided(provider: &Provider) -> bool {
    matches!(provider, Provider::Task(_) | Provider::Scope(_))
}
