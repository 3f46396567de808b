//! Data between tasks: what a call is given, and what a job has given so far.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::call::Direction;
use crate::flow::{Input, Inputs, Leaf, Node};
use crate::frontier::{FrameName, Seat};
use crate::instance::{InstanceName, TaskInstance, TaskState};
use crate::job::Job;
use crate::own_revert::{Called, OwnRevert};
use crate::plan::Provider;
use crate::problem::Problems;
use crate::scope::Scope;

/// Names that an error tells of: a flow may provide thousands.
const NAMED_MAX: usize = 64;

/// A name that no task of the flow provides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    #[error("no task of the job provides {name:?}; it provides {}", list(.known))]
    Unknown { name: String, known: Vec<String> },
    #[error("{name:?} is provided by task {task}, which is {state}")]
    NotYet { name: String, task: String, state: &'static str },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing by name".to_owned() } else { names.join(", ") }
}

impl Job {
    /// The input of a task's call. What it is made of never changes while the task is applied or reverted,
    /// so that every attempt gets the same.
    pub fn input(&self, name: &InstanceName, direction: Direction) -> Result<Value, Problems> {
        if let (Some(Called::OwnRevert(revert)), Some(seat)) =
            (self.called(&name.task), self.own_revert(name))
        {
            return self.input_of_own_revert(revert, &name.task, &FrameName::of(&self.plan, &seat));
        }
        let (Some(task), Some(seat)) = (self.task(&name.task), self.plan.seat_of(name)) else {
            let mut problems = Problems::default();
            problems.add(format!("tasks.{}", name.task), "the flow has no such task");
            return Err(problems);
        };
        let (field, inputs) = match (direction, &task.revert_inputs, &task.inputs) {
            (Direction::Revert, Some(inputs), _) => ("revert_inputs", inputs),
            (_, _, Inputs::Named(inputs)) => ("inputs", inputs),
            (_, _, Inputs::Arguments) => return Ok(Value::Object(self.arguments())),
        };
        let frame = FrameName::of(&self.plan, &seat);
        self.resolve_all(&task.name, &frame, field, inputs).map(Value::Object)
    }

    /// What a task is given, or the job that a node is, for the inputs of that field of it.
    pub(crate) fn resolve_all(
        &self,
        reader: &str,
        frame: &FrameName,
        field: &str,
        inputs: &BTreeMap<String, Input>,
    ) -> Result<Map<String, Value>, Problems> {
        let mut object = Map::new();
        let mut problems = Problems::default();
        for (property, input) in inputs {
            match self.resolve(reader, frame, input) {
                Some(value) => drop(object.insert(property.clone(), value)),
                None if matches!(input, Input::Optional(_)) => {}
                None => problems.add(
                    format!("tasks.{reader}.{field}.{property}"),
                    "nothing gives a value: neither an argument nor a task before it",
                ),
            }
        }
        problems.or(object)
    }

    /// What the own revert of a flow is given, in the frame that is the inside of the flow. What nobody inside came to
    /// give is left out.
    fn input_of_own_revert(
        &self,
        revert: &OwnRevert,
        name: &str,
        inside: &FrameName,
    ) -> Result<Value, Problems> {
        let flow = self.plan.flow_of(inside.section);
        let mut object = Map::new();
        let mut problems = Problems::default();
        for (property, input) in &revert.inputs {
            let (value, provider) = match input {
                Input::From(name) | Input::Optional(name) => {
                    (self.lookup_at_end(flow, inside, name), self.plan.provider_at_end(flow, name))
                }
                Input::Output { task, .. } => {
                    let provider = self.plan.index(task).map_or(Provider::Nobody, Provider::Task);
                    (self.resolve(flow, inside, input), provider)
                }
                Input::Literal(_) | Input::Argument(_) => {
                    (self.resolve(flow, inside, input), Provider::Nobody)
                }
            };
            let is_inside =
                matches!(provider, Provider::Task(task) if self.plan.is_within(inside.section, task));
            match value {
                Some(value) => drop(object.insert(property.clone(), value)),
                None if is_inside || matches!(input, Input::Optional(_)) => {}
                None => problems.add(
                    format!("tasks.{name}.inputs.{property}"),
                    "nothing gives a value: neither an argument nor a task",
                ),
            }
        }
        problems.or(Value::Object(object))
    }

    /// The value of an input, for a task or scope in a frame.
    pub(crate) fn resolve(&self, reader: &str, frame: &FrameName, input: &Input) -> Option<Value> {
        match input {
            Input::Literal(value) => Some(value.clone()),
            Input::Argument(name) => self.argument(name),
            Input::Output { task, pointer } => self.given(frame, self.plan.index(task)?, pointer, |_| true),
            Input::From(name) | Input::Optional(name) => self.lookup(reader, frame, name),
        }
    }

    fn argument(&self, name: &str) -> Option<Value> {
        self.spec.arguments.get(name).or_else(|| self.flow.defaults.get(name)).cloned()
    }

    /// The job's arguments over the flow's defaults.
    pub fn arguments(&self) -> Map<String, Value> {
        let defaults = self.flow.defaults.iter().map(|(name, value)| (name.clone(), value.clone()));
        let mut arguments: Map<_, _> = defaults.collect();
        arguments.extend(self.spec.arguments.clone());
        arguments
    }

    /// A job argument, else what the nearest visible provider has.
    pub(crate) fn lookup(&self, reader: &str, frame: &FrameName, name: &str) -> Option<Value> {
        self.argument(name).or_else(|| self.provided(frame, name, self.plan.provider(reader, name)))
    }

    /// The same when all of an iteration of a scope is applied.
    pub(crate) fn lookup_at_end(&self, scope: &str, inside: &FrameName, name: &str) -> Option<Value> {
        let provided = || self.provided(inside, name, self.plan.provider_at_end(scope, name));
        self.argument(name).or_else(provided)
    }

    fn provided(&self, frame: &FrameName, name: &str, provider: Provider) -> Option<Value> {
        match provider {
            Provider::Task(task) => {
                // Its whole output goes by the task's own name.
                let pointer = self.provides(task)?.get(name).map_or("", String::as_str);
                self.given(frame, task, pointer, |_| true)
            }
            Provider::Scope(scope) => self.value_run_for(frame, scope),
            Provider::Several(_) | Provider::Nobody => None,
        }
    }

    fn provides(&self, node: u32) -> Option<&BTreeMap<String, String>> {
        match self.flow.node_at(&self.plan.place(node))? {
            Node::Task(task) => Some(&task.provides),
            Node::Wait(wait) => Some(&wait.provides),
            Node::Flow(_) => None,
        }
    }

    /// What the frame's iteration of a scope runs for.
    fn value_run_for(&self, frame: &FrameName, scope: u32) -> Option<Value> {
        let depth = self.plan.section(self.plan.inside(scope)?).depth.checked_sub(1)?;
        let seat = Seat { node: scope, path: frame.path.get(..depth)?.to_vec() };
        let number = *frame.path.get(depth)?;
        let progress = self.view().current(&seat)?.scope.as_ref()?;
        let value = progress.value.as_ref()?.value();
        match self.view().policy(scope)? {
            Scope::Map(_) => value?.get(number as usize).cloned(),
            _ if number == progress.iteration => value,
            // An earlier try, of which something could not be undone.
            policy => {
                let around = FrameName::of(&self.plan, &seat);
                let list = self.resolve(self.plan.name(scope), &around, policy.over()?)?;
                list.get(number.checked_sub(progress.first)? as usize).cloned()
            }
        }
    }

    /// A part of what a task gave, as it is seen from a frame: of a scope that is elsewhere the last iteration, of a map
    /// a list.
    pub(crate) fn given(
        &self,
        frame: &FrameName,
        task: u32,
        pointer: &str,
        counts: impl Fn(&TaskInstance) -> bool + Copy,
    ) -> Option<Value> {
        let scopes = self.plan.scopes_around(task);
        self.given_in(frame, &scopes, Vec::new(), &|seat_path| {
            let instance = self.view().current(&Seat { node: task, path: seat_path })?;
            let output = instance.output.as_ref().filter(|_| counts(instance))?;
            output.value()?.pointer(pointer).cloned()
        })
    }

    fn given_in(
        &self,
        frame: &FrameName,
        scopes: &[u32],
        mut path: Vec<u32>,
        value: &dyn Fn(Vec<u32>) -> Option<Value>,
    ) -> Option<Value> {
        let Some((scope, rest)) = scopes.split_first() else { return value(path) };
        let inside = self.plan.inside(*scope)?;
        let section = self.plan.section(inside);
        if !section.iterates {
            return self.given_in(frame, rest, path, value);
        }
        if (inside..=section.last).contains(&frame.section) {
            path.push(*frame.path.get(section.depth - 1)?);
            return self.given_in(frame, rest, path, value);
        }
        let instance = self.view().current(&Seat { node: *scope, path: path.clone() })?;
        let progress = instance.scope.as_ref()?;
        if let Some(Scope::Map(_)) = self.view().policy(*scope) {
            let element = |index| {
                let path = path.iter().copied().chain([index]).collect();
                self.given_in(frame, rest, path, value).unwrap_or(Value::Null)
            };
            return Some((0..progress.bound).map(element).collect());
        }
        path.push(progress.iteration);
        self.given_in(frame, rest, path, value)
    }

    /// Everything that applied tasks provide: by name, and each whole output by the task's name. Of a scope that ran
    /// again that of the last iteration, of a map a list.
    pub fn outputs(&self) -> BTreeMap<String, Value> {
        let mut outputs = BTreeMap::new();
        let outermost = FrameName::outermost();
        let is_applied = |instance: &TaskInstance| instance.state == TaskState::Applied;
        for (index, leaf) in (0_u32..).zip(self.flow.leaves()) {
            if !self.instances_of(leaf.name()).any(is_applied) {
                continue;
            }
            let part = |pointer: &str| self.given(&outermost, index, pointer, is_applied);
            for (name, pointer) in leaf.provides() {
                outputs.extend(part(pointer).map(|part| (name.clone(), part)));
            }
            if let Some(whole) = part("") {
                outputs.entry(leaf.name().to_owned()).or_insert(whole);
            }
        }
        outputs
    }

    /// One output: a provided name, or a task's name for the whole of what it returned.
    pub fn output(&self, name: &str) -> Result<Value, OutputError> {
        if let Some(value) = self.outputs().remove(name) {
            return Ok(value);
        }
        let provides = |leaf: &Leaf<'_>| leaf.provides().contains_key(name) || leaf.name() == name;
        match self.flow.leaves().filter(provides).last() {
            Some(leaf) => Err(OutputError::NotYet {
                name: name.to_owned(),
                task: leaf.name().to_owned(),
                state: self.current(leaf.name()).map_or(TaskState::Pending, |i| i.state).word(),
            }),
            None => {
                let names = self
                    .flow
                    .leaves()
                    .flat_map(|leaf| leaf.provides().keys().cloned().chain([leaf.name().to_owned()]));
                Err(OutputError::Unknown { name: name.to_owned(), known: names.take(NAMED_MAX).collect() })
            }
        }
    }
}
