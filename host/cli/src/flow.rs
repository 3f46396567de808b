//! Flow documents: the JSON form of a flow, read from files and written in answers.
//!
//! ```json
//! {
//!   "tasks": [
//!     {"name": "snapshot", "plugin": "backup", "action": "snapshot",
//!      "inputs": {"keep": {"literal": 3}, "source": {"argument": "source"}},
//!      "provides": {"archive": "/path"}, "timeout": "5m",
//!      "retry": {"attempts_max": 3, "backoff_initial": "1s"}},
//!     {"name": "verify", "plugin": "backup", "action": "verify",
//!      "inputs": {"archive": {"name": "archive"}, "size": {"output": {"task": "snapshot", "pointer": "/size"}}}}
//!   ],
//!   "defaults": {"source": "docs"}
//! }
//! ```
//!
//! A flow may say `"pattern": "unordered"` or `"graph"`, and `"parallel_max"`; in the place of a task's plugin and action
//! there may be a `flow`; tasks and nested flows may have `needs`, tasks a `priority`.
//!
//! Invariant: what is written can be read again, and means the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use windlass_proto::v1;

use crate::problem::Problem;

pub mod picture;
pub mod show;

/// A flow.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowDocument {
    #[serde(default, skip_serializing_if = "PatternDocument::is_linear")]
    pattern: PatternDocument,
    tasks: Vec<TaskDocument>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    defaults: BTreeMap<String, Box<RawValue>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    parallel_max: u32,
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PatternDocument {
    #[default]
    Linear,
    Unordered,
    Graph,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskDocument {
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    plugin: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    action: String,
    /// In the place of plugin and action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow: Option<Box<FlowDocument>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    priority: i32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    inputs: BTreeMap<String, InputDocument>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    revert_inputs: BTreeMap<String, InputDocument>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    provides: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<RetryDocument>,
    /// Only in answers: what the plugin was resolved to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    digest: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InputDocument {
    Literal(Box<RawValue>),
    Argument(String),
    Output(OutputDocument),
    Name(String),
    OptionalName(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputDocument {
    task: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pointer: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryDocument {
    #[serde(default)]
    attempts_max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_initial: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff_max: Option<Pause>,
    #[serde(default)]
    backoff_multiplier: f64,
}

/// A duration, written as on the command line.
#[derive(Debug)]
struct Pause(prost_types::Duration);

impl Serialize for Pause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::time::written(crate::time::of_wire(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = crate::time::duration(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(crate::time::wire(duration)))
    }
}

/// Reads a flow from a file, or from standard input for `-`.
pub fn read(file: &str) -> Result<v1::Flow, Problem> {
    let text = crate::arguments::read(file)?;
    let document: FlowDocument = serde_json::from_str(&text).map_err(|error| {
        Problem::usage(format!("{} holds no flow: {error}", crate::arguments::named(file)))
    })?;
    document.wire()
}

impl FlowDocument {
    pub fn wire(self) -> Result<v1::Flow, Problem> {
        let defaults_json = if self.defaults.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&self.defaults)
                .map_err(|error| Problem::usage(format!("the defaults of the flow: {error}")))?
        };
        let tasks = self.tasks.into_iter().map(TaskDocument::wire).collect::<Result<_, _>>()?;
        let pattern = self.pattern.wire().into();
        Ok(v1::Flow { tasks, defaults_json, pattern, parallel_max: self.parallel_max, scope: None })
    }
}

impl PatternDocument {
    fn is_linear(&self) -> bool {
        *self == Self::Linear
    }

    fn wire(self) -> v1::Pattern {
        match self {
            Self::Linear => v1::Pattern::Linear,
            Self::Unordered => v1::Pattern::Unordered,
            Self::Graph => v1::Pattern::Graph,
        }
    }

    fn of_wire(pattern: v1::Pattern) -> Self {
        match pattern {
            v1::Pattern::Unspecified | v1::Pattern::Linear => Self::Linear,
            v1::Pattern::Unordered => Self::Unordered,
            v1::Pattern::Graph => Self::Graph,
        }
    }
}

impl TaskDocument {
    fn wire(self) -> Result<v1::Task, Problem> {
        let missing = match (&self.flow, self.plugin.is_empty(), self.action.is_empty()) {
            (None, true, _) => Some("plugin"),
            (None, false, true) => Some("action"),
            _ => None,
        };
        if let Some(field) = missing {
            return Err(Problem::usage(format!("the task {:?} of the flow has no `{field}`", self.name))
                .advise("give a plugin and an action, or a flow in their place"));
        }
        let inputs = |inputs: BTreeMap<String, InputDocument>| {
            inputs.into_iter().map(|(name, input)| (name, input.wire())).collect()
        };
        Ok(v1::Task {
            name: self.name,
            plugin: self.plugin,
            action: self.action,
            flow: self.flow.map(|flow| flow.wire()).transpose()?,
            needs: self.needs,
            priority: self.priority,
            inputs: inputs(self.inputs),
            revert_inputs: inputs(self.revert_inputs),
            provides: self.provides,
            timeout: self.timeout.map(|pause| pause.0),
            retry: self.retry.map(|retry| v1::RetryPolicy {
                attempts_max: retry.attempts_max,
                backoff_initial: retry.backoff_initial.map(|pause| pause.0),
                backoff_max: retry.backoff_max.map(|pause| pause.0),
                backoff_multiplier: retry.backoff_multiplier,
            }),
            digest: String::new(),
            when: None,
        })
    }
}

impl InputDocument {
    fn wire(self) -> v1::Input {
        use v1::input::Source;
        v1::Input {
            source: Some(match self {
                Self::Literal(json) => Source::LiteralJson(json.get().to_owned()),
                Self::Argument(name) => Source::Argument(name),
                Self::Output(output) => {
                    Source::Output(v1::TaskOutput { task: output.task, pointer: output.pointer })
                }
                Self::Name(name) => Source::Name(name),
                Self::OptionalName(name) => Source::OptionalName(name),
            }),
        }
    }

    fn of_wire(input: &v1::Input) -> Option<Self> {
        use v1::input::Source;
        Some(match input.source.as_ref()? {
            Source::LiteralJson(json) => Self::Literal(crate::text::raw(json)?),
            Source::Argument(name) => Self::Argument(name.clone()),
            Source::Output(output) => {
                Self::Output(OutputDocument { task: output.task.clone(), pointer: output.pointer.clone() })
            }
            Source::Name(name) => Self::Name(name.clone()),
            Source::OptionalName(name) => Self::OptionalName(name.clone()),
        })
    }
}

impl From<&v1::Flow> for FlowDocument {
    fn from(flow: &v1::Flow) -> Self {
        Self {
            pattern: PatternDocument::of_wire(flow.pattern()),
            parallel_max: flow.parallel_max,
            tasks: flow.tasks.iter().map(TaskDocument::from).collect(),
            // What a host answers is an object; anything else is nothing that could be shown as one.
            defaults: serde_json::from_str(&flow.defaults_json).unwrap_or_else(|_| BTreeMap::new()),
        }
    }
}

impl From<&v1::Task> for TaskDocument {
    fn from(task: &v1::Task) -> Self {
        let inputs = |inputs: &BTreeMap<String, v1::Input>| {
            inputs
                .iter()
                .filter_map(|(name, input)| Some((name.clone(), InputDocument::of_wire(input)?)))
                .collect()
        };
        Self {
            name: task.name.clone(),
            plugin: task.plugin.clone(),
            action: task.action.clone(),
            flow: task.flow.as_ref().map(|flow| Box::new(FlowDocument::from(flow))),
            needs: task.needs.clone(),
            priority: task.priority,
            inputs: inputs(&task.inputs),
            revert_inputs: inputs(&task.revert_inputs),
            provides: task.provides.clone(),
            timeout: task.timeout.map(Pause),
            retry: task.retry.as_ref().map(|retry| RetryDocument {
                attempts_max: retry.attempts_max,
                backoff_initial: retry.backoff_initial.map(Pause),
                backoff_max: retry.backoff_max.map(Pause),
                backoff_multiplier: retry.backoff_multiplier,
            }),
            digest: task.digest.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"tasks":[{"name":"snapshot","plugin":"backup","action":"snapshot","inputs":{"exact":{"literal":1.10},"keep":{"literal":{"n":3}},"source":{"argument":"source"}},"provides":{"archive":"/path"},"timeout":"5m","retry":{"attempts_max":3,"backoff_initial":"1s","backoff_multiplier":2.0}},{"name":"verify","plugin":"backup@0.1.0","action":"verify","inputs":{"archive":{"name":"archive"},"note":{"optional_name":"note"},"size":{"output":{"task":"snapshot","pointer":"/size"}}},"revert_inputs":{"why":{"literal":"undone"}}}],"defaults":{"source":"docs"}}"#;

    #[test]
    fn a_flow_is_written_as_it_was_read() {
        let document: FlowDocument = serde_json::from_str(DOCUMENT).unwrap();
        let flow = document.wire().unwrap();

        assert_eq!(flow.tasks[0].timeout.unwrap().seconds, 300);
        assert_eq!(
            flow.tasks[0].inputs["exact"].source,
            Some(v1::input::Source::LiteralJson("1.10".to_owned()))
        );
        assert_eq!(serde_json::to_string(&FlowDocument::from(&flow)).unwrap(), DOCUMENT);
    }

    #[test]
    fn a_nested_flow_is_written_as_it_was_read() {
        let tree = r#"{"pattern":"graph","tasks":[{"name":"both","flow":{"pattern":"unordered","tasks":[{"name":"a","plugin":"p","action":"x","priority":-2},{"name":"b","plugin":"p","action":"x"}]},"needs":["c"]},{"name":"c","plugin":"p","action":"x"}],"parallel_max":3}"#;
        let flow = serde_json::from_str::<FlowDocument>(tree).unwrap().wire().unwrap();
        assert_eq!(flow.tasks[0].flow.as_ref().unwrap().tasks[0].priority, -2);
        assert_eq!(serde_json::to_string(&FlowDocument::from(&flow)).unwrap(), tree);
    }

    #[test]
    fn what_is_no_flow_is_refused_with_its_place() {
        for (bad, word) in [
            (r#"{"tasks":[{"name":"a"}]}"#, "plugin"),
            (r#"{"tasks":[{"name":"a","plugin":"p"}]}"#, "action"),
            (r#"{"tasks":[{"name":"n","flow":{"tasks":[{"name":"a"}]}}]}"#, "plugin"),
            (r#"{"pattern":"circle","tasks":[]}"#, "circle"),
            (r#"{"task":[]}"#, "task"),
            (r#"{"tasks":[{"name":"a","plugin":"p","action":"x","timeout":"soon"}]}"#, "soon"),
            (r#"{"tasks":[{"name":"a","plugin":"p","action":"x","inputs":{"i":{"guess":1}}}]}"#, "guess"),
        ] {
            let told = match serde_json::from_str::<FlowDocument>(bad) {
                Ok(document) => document.wire().unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(told.contains(word), "{told}");
        }
    }
}
