//! What nodes read: the names and outputs that their inputs, conditions and scopes are made of.

use super::outline::Member;
use crate::expression::names_of;
use crate::flow::{Flow, Input, Inputs, Node, Task};
use crate::scope::{Scope, When};

/// One thing that a node reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read<'a> {
    /// A part of a task's output.
    Output(&'a str),
    /// A name, looked up from where the node is.
    Name(String),
    /// A name, looked up when all of the flow is applied.
    AtEnd(String),
}

/// Tells of everything that is read, with its reader.
pub fn each<'a, P>(flow: &'a Flow<P>, tell: &mut dyn FnMut(Member, Read<'a>)) {
    let mut walk = Walk { tasks: 0, flows: 1, tell };
    if let Some(scope) = &flow.scope {
        walk.scope(Member::Flow(0), scope);
    }
    walk.nodes(&flow.nodes);
}

struct Walk<'a, 't> {
    tasks: u32,
    flows: u32,
    tell: &'t mut dyn FnMut(Member, Read<'a>),
}

impl<'a> Walk<'a, '_> {
    fn nodes<P>(&mut self, nodes: &'a [Node<P>]) {
        for node in nodes {
            match node {
                Node::Task(task) => {
                    let member = Member::Task(self.tasks);
                    self.tasks += 1;
                    self.when(member, task.when.as_ref());
                    inputs(task).for_each(|input| self.input(member, input));
                }
                Node::Flow(nested) => {
                    let member = Member::Flow(self.flows);
                    self.flows += 1;
                    self.when(member, nested.when.as_ref());
                    if let Some(scope) = &nested.scope {
                        self.scope(member, scope);
                    }
                    self.nodes(&nested.nodes);
                }
            }
        }
    }

    fn when(&mut self, member: Member, when: Option<&When>) {
        let names = when.map(|when| names_of(&when.condition));
        names.into_iter().flatten().for_each(|name| (self.tell)(member, Read::Name(name)));
    }

    fn scope(&mut self, member: Member, scope: &'a Scope) {
        if let Some(over) = scope.over() {
            self.input(member, over);
        }
        if let Scope::Repeat(repeat) = scope {
            names_of(&repeat.until).into_iter().for_each(|name| (self.tell)(member, Read::AtEnd(name)));
        }
    }

    fn input(&mut self, member: Member, input: &'a Input) {
        match input {
            Input::Output { task, .. } => (self.tell)(member, Read::Output(task)),
            Input::From(name) | Input::Optional(name) => (self.tell)(member, Read::Name(name.clone())),
            Input::Literal(_) | Input::Argument(_) => {}
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
