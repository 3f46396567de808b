//! What nodes read: the names and outputs that their inputs, conditions and scopes are made of.

use super::outline::Member;
use crate::expression::names_of;
use crate::flow::{Flow, Input, Inputs, Node, Task};
use crate::own_revert::OwnRevert;
use crate::scope::{Scope, When};
use crate::wait::{EVENT, Until};

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
    walk.own_revert(Member::Flow(0), flow.revert.as_ref());
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
                Node::Wait(wait) => {
                    let member = Member::Task(self.tasks);
                    self.tasks += 1;
                    self.when(member, wait.when.as_ref());
                    self.wait(member, &wait.until);
                }
                Node::Flow(nested) => {
                    let member = Member::Flow(self.flows);
                    self.flows += 1;
                    self.when(member, nested.when.as_ref());
                    if let Some(scope) = &nested.scope {
                        self.scope(member, scope);
                    }
                    self.own_revert(member, nested.revert.as_ref());
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

    fn wait<P>(&mut self, member: Member, until: &'a Until<P>) {
        match until {
            Until::Time(time) => self.input(member, time),
            Until::Event(event) => {
                let names = event.condition.as_deref().map(names_of).into_iter().flatten();
                names.filter(|name| name != EVENT).for_each(|name| (self.tell)(member, Read::Name(name)));
            }
            Until::Child(child) => child.inputs.values().for_each(|input| self.input(member, input)),
            Until::Passed { .. } | Until::Approval(_) => {}
        }
    }

    fn own_revert<P>(&mut self, member: Member, revert: Option<&'a OwnRevert<P>>) {
        for input in revert.into_iter().flat_map(|revert| revert.inputs.values()) {
            match input {
                Input::From(name) | Input::Optional(name) => (self.tell)(member, Read::AtEnd(name.clone())),
                Input::Output { .. } | Input::Literal(_) | Input::Argument(_) => self.input(member, input),
            }
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
