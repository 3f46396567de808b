//! Inputs of tasks: where each value comes from.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_core::flow::Input;
use windlass_core::problem::Problems;
use windlass_proto::v1;
use windlass_proto::v1::input::Source;

use super::json;

pub fn inputs(
    problems: &mut Problems,
    path: &str,
    inputs: BTreeMap<String, v1::Input>,
) -> BTreeMap<String, Input> {
    let converted = inputs.into_iter().map(|(name, input)| {
        let input = source(problems, &format!("{path}.{name}"), input.source);
        (name, input)
    });
    converted.collect()
}

/// Where one value comes from.
pub(super) fn source(problems: &mut Problems, path: &str, source: Option<Source>) -> Input {
    match source {
        Some(Source::LiteralJson(text)) => Input::Literal(json::value(problems, path, &text)),
        Some(Source::Argument(name)) => Input::Argument(name),
        Some(Source::Output(v1::TaskOutput { task, pointer })) => Input::Output { task, pointer },
        Some(Source::Name(name)) => Input::From(name),
        Some(Source::OptionalName(name)) => Input::Optional(name),
        None => {
            problems.add(path, "has no source: give a literal, an argument, an output or a name");
            Input::Literal(Value::Null)
        }
    }
}

pub fn to_wire(inputs: &BTreeMap<String, Input>) -> BTreeMap<String, v1::Input> {
    inputs.iter().map(|(name, input)| (name.clone(), source_to_wire(input))).collect()
}

pub(super) fn source_to_wire(input: &Input) -> v1::Input {
    let source = match input {
        Input::Literal(value) => Source::LiteralJson(value.to_string()),
        Input::Argument(name) => Source::Argument(name.clone()),
        Input::Output { task, pointer } => {
            Source::Output(v1::TaskOutput { task: task.clone(), pointer: pointer.clone() })
        }
        Input::From(name) => Source::Name(name.clone()),
        Input::Optional(name) => Source::OptionalName(name.clone()),
    };
    v1::Input { source: Some(source) }
}
