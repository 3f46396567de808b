//! A flow as the interpreter reads it: places, which run as a whole, with tasks, waits and scopes in them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::decide::tests::model;
use crate::flow::{Flow, Node, Task};
use crate::plan::OUTERMOST;
use crate::scope::{Scope, When};

/// The outermost flow, or the inside of a flow that has a scope, a condition or a revert of its own.
#[derive(Debug)]
pub struct Place {
    pub members: Vec<Member>,
    /// By member: those that are applied or left out before it, however far.
    pub before: Vec<BTreeSet<usize>>,
}

/// A task or wait, or a flow that has a scope, a condition or a revert of its own.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    /// Among the tasks and waits, or among the scopes, in the order of definition.
    pub order: usize,
    is_wait: bool,
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
    /// Its own revert, numbered behind all tasks and waits, in the order of definition.
    pub own_revert: Option<usize>,
    pub place: Place,
}

impl Member {
    /// It is a task or a wait.
    pub fn is_task(&self) -> bool {
        self.inside.is_none()
    }

    /// It takes a call to be applied.
    pub fn is_call(&self) -> bool {
        self.is_task() && !self.is_wait
    }

    pub fn scope(&self) -> Option<&Scope> {
        self.inside.as_ref()?.scope.as_ref()
    }

    pub fn own_revert(&self) -> Option<usize> {
        self.inside.as_ref()?.own_revert
    }

    pub fn is_map(&self) -> bool {
        matches!(self.scope(), Some(Scope::Map(_)))
    }
}

impl Place {
    /// The place that a whole flow is; where it has a scope, that is the one member.
    pub fn of(flow: &Flow) -> Self {
        let own_reverts = flow.leaves().count();
        let mut reader = Reader { before: model::before(flow), tasks: 0, scopes: 0, own_reverts };
        if flow.scope.is_none() && flow.revert.is_none() {
            return reader.place(&flow.nodes);
        }
        reader.scopes += 1;
        let own_revert = reader.own_revert(flow.revert.is_some());
        let inside = Inside { scope: flow.scope.clone(), own_revert, place: reader.place(&flow.nodes) };
        let member = Member {
            name: OUTERMOST.to_owned(),
            order: 0,
            is_wait: false,
            priority: 0,
            when: None,
            flow: 0..1,
            inside: Some(inside),
            tasks: flow.leaves().map(|leaf| leaf.name().to_owned()).collect(),
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
    /// The tasks and waits, then the own reverts, in the order of definition.
    pub called: Vec<String>,
    own_reverts: Vec<String>,
    /// By task and nested flow: the scopes around it that run again, itself included, the outermost first.
    pub around: BTreeMap<String, Vec<String>>,
    pub scopes: BTreeMap<String, Scope>,
}

impl Names {
    pub fn of(flow: &Flow) -> Self {
        let mut names = Self::default();
        let around = names.scope(OUTERMOST, flow.scope.as_ref(), &[]);
        names.own_reverts.extend(flow.revert.as_ref().map(|_| OUTERMOST.to_owned()));
        names.nodes(&flow.nodes, &around);
        let own_reverts = names.own_reverts.iter().map(|flow| format!("{flow}.revert"));
        names.called.extend(own_reverts);
        names
    }

    /// The flow of an own revert; none for a task.
    pub fn flow_of(&self, called: usize) -> Option<&str> {
        let first = self.called.len() - self.own_reverts.len();
        called.checked_sub(first).map(|own_revert| self.own_reverts[own_revert].as_str())
    }

    fn nodes(&mut self, nodes: &[Node], around: &[String]) {
        for node in nodes {
            match node {
                Node::Task(_) | Node::Wait(_) => {
                    self.called.push(node.name().to_owned());
                    self.around.insert(node.name().to_owned(), around.to_vec());
                }
                Node::Flow(nested) => {
                    let around = self.scope(&nested.name, nested.scope.as_ref(), around);
                    self.own_reverts.extend(nested.revert.as_ref().map(|_| nested.name.clone()));
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
    own_reverts: usize,
}

impl Reader {
    fn own_revert(&mut self, is_any: bool) -> Option<usize> {
        self.own_reverts += usize::from(is_any);
        is_any.then(|| self.own_reverts - 1)
    }

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
                Node::Flow(nested) if !model::is_whole(nested) => {
                    self.flow(&nested.nodes, members);
                    continue;
                }
                Node::Flow(nested) => {
                    let order = self.scopes;
                    self.scopes += 1;
                    let own_revert = self.own_revert(nested.revert.is_some());
                    let place = self.place(&nested.nodes);
                    let inside = Some(Inside { scope: nested.scope.clone(), own_revert, place });
                    members.push(self.member(node, order, 0, inside));
                }
                Node::Task(Task { priority, .. }) => {
                    self.tasks += 1;
                    members.push(self.member(node, self.tasks - 1, *priority, None));
                }
                Node::Wait(_) => {
                    self.tasks += 1;
                    members.push(self.member(node, self.tasks - 1, 0, None));
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
            is_wait: matches!(node, Node::Wait(_)),
            priority,
            when: node.when().cloned(),
            flow: 0..0,
            inside,
            tasks: model::leaves(node).into_iter().collect(),
        }
    }
}
