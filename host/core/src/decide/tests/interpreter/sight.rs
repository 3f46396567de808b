//! The interpreter, reading data: what a name stands for, seen from a task or scope in some iteration.

use std::collections::BTreeSet;

use serde_json::Value;

use super::back::is_to_be_undone;
use super::told::{End, Mark, ScopeMark, Told};
use super::walk::Interpreter;
use crate::call::Direction;
use crate::decide::tests::model::{self, Seen};
use crate::expression::Expression;
use crate::flow::{Input, Inputs};
use crate::scope::{Repeat, Scope, When};

/// From where something is seen: the scopes around that run again, and their numbers.
struct Eye<'a> {
    scopes: &'a [String],
    path: &'a [u32],
}

impl Interpreter {
    /// Whether a condition holds; none where it cannot be evaluated.
    pub fn is_wanted(&self, name: &str, path: &[u32], when: &When) -> Option<bool> {
        let condition = Expression::parse(&when.condition).ok()?;
        condition.holds(|read| self.value(name, path, read, model::seen(&self.flow, name, read))).ok()
    }

    /// Whether the condition of a repeated scope holds after a round; none where it cannot be evaluated.
    pub fn has_come_true(&self, scope: &str, inside: &[u32], repeat: &Repeat, round: u32) -> Option<bool> {
        let until = Expression::parse(&repeat.until).ok()?;
        let value = |read: &str| match read {
            "round" => Some(Value::from(round)),
            _ => self.value(scope, inside, read, model::seen_at_end(&self.flow, scope, read)),
        };
        until.holds(value).ok()
    }

    /// The input of a call; none where nobody gives one of its properties.
    pub fn input(&self, task: usize, path: &[u32], direction: Direction) -> Option<Value> {
        if let Some(flow) = self.names.flow_of(task) {
            return self.input_of_whole(flow, &path[..self.names.around[flow].len()]);
        }
        // What was done anew for an operator has a number more.
        let path = &path[..self.names.around[&self.names.called[task]].len()];
        let task = self.task(task);
        let inputs = match (direction, &task.revert_inputs, &task.inputs) {
            (Direction::Revert, Some(inputs), _) | (_, _, Inputs::Named(inputs)) => inputs,
            (_, _, Inputs::Arguments) => return Some(self.arguments.clone().into_iter().collect()),
        };
        let resolved = inputs
            .iter()
            .map(|(property, input)| Some((property.clone(), self.resolve(&task.name, path, input)?)));
        resolved.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
    }

    /// Of what is inside the flow that is left out which nobody came to give.
    fn input_of_whole(&self, flow: &str, path: &[u32]) -> Option<Value> {
        let (revert, inside) = model::own_revert(&self.flow, flow);
        let mut given = serde_json::Map::new();
        for (property, input) in &revert.inputs {
            let (value, provider) = match input {
                Input::Output { task, .. } => (self.resolve(flow, path, input), Some(task.clone())),
                Input::From(name) | Input::Optional(name) => {
                    let seen = model::seen_at_end(&self.flow, flow, name);
                    (self.value(flow, path, name, seen.clone()), seen.task())
                }
                Input::Literal(_) | Input::Argument(_) => (self.resolve(flow, path, input), None),
            };
            let may_be_left_out =
                matches!(input, Input::Optional(_)) || provider.is_some_and(|task| inside.contains(&task));
            match value {
                Some(value) => drop(given.insert(property.clone(), value)),
                None if may_be_left_out => {}
                None => return None,
            }
        }
        Some(Value::Object(given))
    }

    /// What the own revert of a flow is told of how it ended, as far as that follows from the marks: none where
    /// something in it was already being undone.
    pub fn end_of_whole(&self, flow: &str, path: &[u32]) -> Option<End> {
        let (_, inside) = model::own_revert(&self.flow, flow);
        let inside = |name: &str| inside.contains(name);
        let tasks = self
            .told
            .iter()
            .filter(|((task, at), _)| inside(&self.names.called[*task]) && at.starts_with(path));
        let tasks: Vec<_> = tasks.collect();
        let is_half_undone = |mark| matches!(mark, Mark::Undoing | Mark::UndoAgain | Mark::Stuck);
        if tasks.iter().any(|(_, told)| is_half_undone(told.mark)) {
            return None;
        }
        let is_left = |mark| is_to_be_undone(mark) || matches!(mark, Mark::Failed(_));
        let ends: Vec<_> =
            tasks.iter().filter(|(_, told)| is_left(told.mark)).map(|(_, told)| &told.end).collect();
        let scopes = self.scopes.iter().filter(|((_, at), _)| at.starts_with(path));
        let mut scopes = scopes.filter(|((scope, _), _)| model::scopes_in(&self.flow, flow).contains(scope));
        let applied: BTreeSet<_> =
            tasks.iter().filter(|(_, told)| told.mark == Mark::Applied).map(|((task, _), _)| *task).collect();
        let outputs = applied.into_iter().filter_map(|task| {
            let name = &self.names.called[task];
            Some((name.clone(), self.given(&self.eye(flow, path), name, "")?))
        });
        let outputs = Value::Object(outputs.collect());
        let own = self.scopes.get(&(flow.to_owned(), path.to_vec()));
        if own.is_some_and(|run| run.mark == ScopeMark::Applied) {
            return Some(End::Applied(outputs));
        }
        // Where its host was lost and its policy is to undo it then, it has failed, and nobody knows how it ended.
        let has_failed = tasks.iter().any(|(_, told)| matches!(told.mark, Mark::Failed(_)))
            || ends.iter().any(|end| matches!(end, End::Failed(..)))
            || scopes.any(|(_, run)| matches!(run.mark, ScopeMark::Failed { .. }));
        Some(End::Partial { outputs, has_failed, is_interrupted: ends.contains(&&End::Interrupted) })
    }

    /// The undo records that the own revert of a flow is told of: of all that it undoes, in the order in which they were
    /// begun, and its own.
    pub fn undo_of_whole(&self, flow: &str, path: &[u32], own: &Told) -> Vec<Value> {
        let (_, inside) = model::own_revert(&self.flow, flow);
        let flows = model::scopes_in(&self.flow, flow);
        let is_inside = |called: usize| match self.names.flow_of(called) {
            Some(flow) => flows.contains(flow),
            None => inside.contains(&self.names.called[called]),
        };
        let told = self.told.iter().filter(|((called, at), _)| is_inside(*called) && at.starts_with(path));
        let mut told: Vec<_> = told.map(|(_, told)| told).filter(|told| is_to_be_undone(told.mark)).collect();
        told.sort_by_key(|told| told.begun);
        told.into_iter().chain([own]).flat_map(|told| told.undo.clone()).collect()
    }

    pub fn resolve(&self, reader: &str, path: &[u32], input: &Input) -> Option<Value> {
        match input {
            Input::Literal(value) => Some(value.clone()),
            Input::Argument(name) => self.arguments.get(name).cloned(),
            Input::Output { task, pointer } => self.given(&self.eye(reader, path), task, pointer),
            Input::From(name) | Input::Optional(name) => {
                self.value(reader, path, name, model::seen(&self.flow, reader, name))
            }
        }
    }

    fn eye<'a>(&'a self, reader: &str, path: &'a [u32]) -> Eye<'a> {
        Eye { scopes: &self.names.around[reader][..path.len()], path }
    }

    fn value(&self, reader: &str, path: &[u32], name: &str, seen: Seen) -> Option<Value> {
        if let Some(argument) = self.arguments.get(name) {
            return Some(argument.clone());
        }
        let eye = self.eye(reader, path);
        match seen {
            Seen::Nobody => None,
            Seen::Task(task) => {
                let provider = self.flow.leaves().find(|other| other.name() == task)?;
                self.given(&eye, &task, provider.provides().get(name).map_or("", String::as_str))
            }
            Seen::Scope(scope) => {
                let depth = eye.scopes.iter().position(|around| *around == scope)?;
                let number = path[depth];
                let run = self.scopes.get(&(scope.clone(), path[..depth].to_vec()))?;
                // What belongs to an earlier series has no value any more.
                let index = if self.is_map(&scope) { number } else { number.checked_sub(run.first)? };
                run.list.get(index as usize).cloned()
            }
        }
    }

    fn is_map(&self, scope: &str) -> bool {
        self.names.scopes.get(scope).is_some_and(|policy| matches!(policy, Scope::Map(_)))
    }

    /// What a task gave: in the iterations that it shares with the eye; of other scopes in the last, of a map all.
    fn given(&self, eye: &Eye<'_>, task: &str, pointer: &str) -> Option<Value> {
        let order = self.flow.leaves().position(|other| other.name() == task)?;
        self.given_in(eye, (order, &self.names.around[task]), Vec::new(), pointer)
    }

    fn given_in(
        &self,
        eye: &Eye<'_>,
        task: (usize, &[String]),
        path: Vec<u32>,
        pointer: &str,
    ) -> Option<Value> {
        let (order, scopes) = task;
        let depth = path.len();
        let Some(scope) = scopes.get(depth) else {
            return self.told.get(&self.latest(order, &path))?.output.as_ref()?.pointer(pointer).cloned();
        };
        let at = |number: u32| path.iter().copied().chain([number]).collect();
        if eye.scopes.get(depth) == Some(scope) {
            return self.given_in(eye, task, at(eye.path[depth]), pointer);
        }
        let run = self.scopes.get(&(scope.clone(), path.clone()))?;
        match run.mark {
            ScopeMark::Skipped => None,
            _ if self.is_map(scope) => {
                let element = |number| self.given_in(eye, task, at(number), pointer).unwrap_or(Value::Null);
                Some((0..run.most).map(element).collect())
            }
            _ => self.given_in(eye, task, at(run.number), pointer),
        }
    }
}
