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
//! Invariant: what is written can be read again, and means the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use windlass_proto::v1;

use crate::problem::Problem;

/// A flow.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowDocument {
    tasks: Vec<TaskDocument>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    defaults: BTreeMap<String, Box<RawValue>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskDocument {
    name: String,
    plugin: String,
    action: String,
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
        Ok(v1::Flow { tasks: self.tasks.into_iter().map(TaskDocument::wire).collect(), defaults_json })
    }
}

impl TaskDocument {
    fn wire(self) -> v1::Task {
        let inputs = |inputs: BTreeMap<String, InputDocument>| {
            inputs.into_iter().map(|(name, input)| (name, input.wire())).collect()
        };
        v1::Task {
            name: self.name,
            plugin: self.plugin,
            action: self.action,
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
        }
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
    fn what_is_no_flow_is_refused_with_its_place() {
        for (bad, word) in [
            (r#"{"tasks":[{"name":"a"}]}"#, "plugin"),
            (r#"{"task":[]}"#, "task"),
            (r#"{"tasks":[{"name":"a","plugin":"p","action":"x","timeout":"soon"}]}"#, "soon"),
            (r#"{"tasks":[{"name":"a","plugin":"p","action":"x","inputs":{"i":{"guess":1}}}]}"#, "guess"),
        ] {
            let error = serde_json::from_str::<FlowDocument>(bad).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
