//! A flow as the interpreter reads it: places, which run as a whole, with tasks and scopes in them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::decide::tests::model;
use crate::flow::{Flow, Node};
use crate::plan::OUTERMOST;
use crate::scope::{Scope, When};

/// The outermost flow, or the inside of a nested flow that has a scope or a condition.
#[derive(Debug)]
pub struct Place {
    pub members: Vec<Member>,
    /// By member: those that are applied or left out before it, however far.
    pub before: Vec<BTreeSet<usize>>,
}

/// A task, or a nested flow that has a scope or a condition.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    /// Among the tasks, or among the scopes, in the order of definition.
    pub order: usize,
    pub priority: i32,
    pub when: Option<When>,
    /// The members of the flow that it is written in.
    pub flow: Range<usize>,
    pub inside: Option<Inside>,
    tasks: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Inside {
    pub scope: Option<Scope>,
    pub place: Place,
}

impl Member {
    pub fn is_task(&self) -> bool {
        self.inside.is_none()
    }

    pub fn scope(&self) -> Option<&Scope> {
        self.inside.as_ref()?.scope.as_ref()
    }

    pub fn is_map(&self) -> bool {
        matches!(self.scope(), Some(Scope::Map(_)))
    }
}

impl Place {
    /// The place that a whole flow is; where it has a scope, that is the one member.
    pub fn of(flow: &Flow) -> Self {
        let mut reader = Reader { before: model::before(flow), tasks: 0, scopes: 0 };
        let Some(scope) = &flow.scope else { return reader.place(&flow.nodes) };
        reader.scopes += 1;
        let inside = Inside { scope: Some(scope.clone()), place: reader.place(&flow.nodes) };
        let member = Member {
            name: OUTERMOST.to_owned(),
            order: 0,
            priority: 0,
            when: None,
            flow: 0..1,
            inside: Some(inside),
            tasks: flow.tasks().map(|task| task.name.clone()).collect(),
        };
        Self { members: vec![member], before: vec![BTreeSet::new()] }
    }

    /// The members that come after one, however far.
    pub fn after(&self, member: usize) -> BTreeSet<usize> {
        (0..self.members.len()).filter(|other| self.before[*other].contains(&member)).collect()
    }

    /// Those with nothing in between.
    pub fn right_after(&self, member: usize) -> BTreeSet<usize> {
        let after = self.after(member);
        let is_right = |other: &usize| self.before[*other].is_disjoint(&after);
        after.iter().copied().filter(is_right).collect()
    }
}

/// What of its names the interpreter looks up again and again.
#[derive(Debug, Default)]
pub struct Names {
    pub tasks: Vec<String>,
    /// By task and nested flow: the scopes around it that run again, itself included, the outermost first.
    pub around: BTreeMap<String, Vec<String>>,
    pub scopes: BTreeMap<String, Scope>,
}

impl Names {
    pub fn of(flow: &Flow) -> Self {
        let mut names = Self::default();
        let around = names.scope(OUTERMOST, flow.scope.as_ref(), &[]);
        names.nodes(&flow.nodes, &around);
        names
    }

    fn nodes(&mut self, nodes: &[Node], around: &[String]) {
        for node in nodes {
            match node {
                Node::Task(task) => {
                    self.tasks.push(task.name.clone());
                    self.around.insert(task.name.clone(), around.to_vec());
                }
                Node::Flow(nested) => {
                    let around = self.scope(&nested.name, nested.scope.as_ref(), around);
                    self.nodes(&nested.nodes, &around);
                }
            }
        }
    }

    fn scope(&mut self, name: &str, scope: Option<&Scope>, around: &[String]) -> Vec<String> {
        let around: Vec<_> = around.iter().cloned().chain(scope.map(|_| name.to_owned())).collect();
        self.around.insert(name.to_owned(), around.clone());
        self.scopes.extend(scope.map(|scope| (name.to_owned(), scope.clone())));
        around
    }
}

struct Reader {
    before: BTreeMap<String, BTreeSet<String>>,
    tasks: usize,
    scopes: usize,
}

impl Reader {
    fn place(&mut self, nodes: &[Node]) -> Place {
        let mut members = Vec::new();
        self.flow(nodes, &mut members);
        let comes_before = |one: &Member, other: &Member| {
            one.name != other.name
                && other.tasks.iter().any(|task| !self.before[task].is_disjoint(&one.tasks))
        };
        let before = members.iter().map(|other| {
            let earlier = members.iter().enumerate().filter(|(_, one)| comes_before(one, other));
            earlier.map(|(index, _)| index).collect()
        });
        Place { before: before.collect(), members }
    }

    /// The members of a flow; those of a nested flow that always runs once are members of what it is in.
    fn flow(&mut self, nodes: &[Node], members: &mut Vec<Member>) {
        let first = members.len();
        let mut own = Vec::new();
        for node in nodes {
            let from = members.len();
            match node {
                Node::Flow(nested) if nested.scope.is_none() && nested.when.is_none() => {
                    self.flow(&nested.nodes, members);
                    continue;
                }
                Node::Flow(nested) => {
                    let order = self.scopes;
                    self.scopes += 1;
                    let place = self.place(&nested.nodes);
                    let inside = Some(Inside { scope: nested.scope.clone(), place });
                    members.push(self.member(node, order, 0, inside));
                }
                Node::Task(task) => {
                    self.tasks += 1;
                    members.push(self.member(node, self.tasks - 1, task.priority, None));
                }
            }
            own.push(from);
        }
        let last = members.len();
        own.into_iter().for_each(|member| members[member].flow = first..last);
    }

    fn member(&self, node: &Node, order: usize, priority: i32, inside: Option<Inside>) -> Member {
        Member {
            name: node.name().to_owned(),
            order,
            priority,
            when: node.when().cloned(),
            flow: 0..0,
            inside,
            tasks: model::leaves(node).into_iter().collect(),
        }
    }
}
