//! Data between tasks: what a call is given, and what a job has given so far.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::call::Direction;
use crate::flow::{Input, Inputs, Task};
use crate::instance::TaskState;
use crate::job::Job;
use crate::plan::Provider;
use crate::problem::Problems;

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
    pub fn input(&self, task: &Task, direction: Direction) -> Result<Value, Problems> {
        let (field, inputs) = match (direction, &task.revert_inputs, &task.inputs) {
            (Direction::Revert, Some(inputs), _) => ("revert_inputs", inputs),
            (_, _, Inputs::Named(inputs)) => ("inputs", inputs),
            (_, _, Inputs::Arguments) => return Ok(Value::Object(self.arguments())),
        };
        let mut object = Map::new();
        let mut problems = Problems::default();
        for (property, input) in inputs {
            match self.resolve(task, input) {
                Some(value) => {
                    object.insert(property.clone(), value);
                }
                None if matches!(input, Input::Optional(_)) => {}
                None => problems.add(
                    format!("tasks.{}.{field}.{property}", task.name),
                    "nothing gives a value: neither an argument nor a task before it",
                ),
            }
        }
        problems.or(Value::Object(object))
    }

    fn resolve(&self, reader: &Task, input: &Input) -> Option<Value> {
        match input {
            Input::Literal(value) => Some(value.clone()),
            Input::Argument(name) => self.argument(name),
            Input::Output { task, pointer } => {
                self.current(task)?.output.as_ref()?.value()?.pointer(pointer).cloned()
            }
            Input::From(name) | Input::Optional(name) => self.lookup(reader, name),
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

    /// A job argument, else what the nearest visible task provides.
    fn lookup(&self, reader: &Task, name: &str) -> Option<Value> {
        if let Some(argument) = self.argument(name) {
            return Some(argument);
        }
        let Provider::Task(provider) = self.plan.provider(&reader.name, name) else { return None };
        let provider = self.task(self.plan.name(provider))?;
        // Its whole output goes by the task's own name.
        let pointer = provider.provides.get(name).map_or("", String::as_str);
        self.current(&provider.name)?.output.as_ref()?.value()?.pointer(pointer).cloned()
    }

    /// Everything that applied tasks provide: by name, and each whole output by the task's name.
    pub fn outputs(&self) -> BTreeMap<String, Value> {
        let mut outputs = BTreeMap::new();
        for task in self.flow.tasks() {
            let Some(instance) = self.current(&task.name) else { continue };
            if instance.state != TaskState::Applied {
                continue;
            }
            let Some(value) = instance.output.as_ref().and_then(|output| output.value()) else { continue };
            for (name, pointer) in &task.provides {
                if let Some(part) = value.pointer(pointer) {
                    outputs.insert(name.clone(), part.clone());
                }
            }
            outputs.entry(task.name.clone()).or_insert(value);
        }
        outputs
    }

    /// One output: a provided name, or a task's name for the whole of what it returned.
    pub fn output(&self, name: &str) -> Result<Value, OutputError> {
        if let Some(value) = self.outputs().remove(name) {
            return Ok(value);
        }
        let provides = |task: &&Task| task.provides.contains_key(name) || task.name == name;
        match self.flow.tasks().filter(provides).last() {
            Some(task) => Err(OutputError::NotYet {
                name: name.to_owned(),
                task: task.name.clone(),
                state: self.current(&task.name).map_or(TaskState::Pending, |i| i.state).word(),
            }),
            None => {
                let names = self
                    .flow
                    .tasks()
                    .flat_map(|task| task.provides.keys().cloned().chain([task.name.clone()]));
                Err(OutputError::Unknown { name: name.to_owned(), known: names.take(NAMED_MAX).collect() })
            }
        }
    }
}
