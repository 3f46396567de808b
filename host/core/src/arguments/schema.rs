//! JSON Schemas: what an action takes and gives, compiled once.
//!
//! Invariant: compiling and checking fetch nothing. A reference that leaves the document is refused when the plugin
//! is admitted, and so is a schema that cannot be compiled: later checks only find problems of values.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::plugin::Manifest;
use crate::problem::Problems;

/// Bytes of one schema as JSON. Generated ones have a few KiB; compiled ones take many times their text.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1_024;
/// Problems listed of one value: an array of a million wrong items needs no million messages.
const PROBLEMS_MAX: usize = 100;
/// Steps back that a pattern may take: plugins write the patterns, and some patterns never end.
const BACKTRACK_MAX: usize = 100_000;
/// Bytes of a message; values are quoted in them.
const MESSAGE_BYTES_MAX: usize = 400;
/// Local references followed from the root of a schema to its object.
const REFERENCES_MAX: usize = 16;

/// The keywords at the root that say something about single properties; all others judge the object as a whole.
const PROPERTY_KEYWORDS: [&str; 9] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "type",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
];

/// The compiled schemas of one plugin.
#[derive(Debug)]
pub struct Schemas {
    actions: BTreeMap<String, ActionSchemas>,
}

/// The compiled schemas of one action.
#[derive(Debug)]
pub struct ActionSchemas {
    pub input: Schema,
    pub output: Schema,
    /// What it begins may finish elsewhere, and its plugin can be asked about it.
    pub is_observed: bool,
}

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    whole: Validator,
    /// Judges an object of which only some properties are known; `None` where the root does not describe an object.
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    validator: Validator,
    required: BTreeSet<String>,
}

impl Schemas {
    /// The schemas of all actions of a plugin, or everything that is wrong with them: asked when it is admitted.
    pub fn compile(manifest: &Manifest) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut actions = BTreeMap::new();
        for (index, action) in manifest.actions.iter().enumerate() {
            let input = Schema::compile(&action.input, &format!("actions[{index}].input"));
            let output = Schema::compile(&action.output, &format!("actions[{index}].output"));
            match (input, output) {
                (Ok(input), Ok(output)) => {
                    actions.insert(
                        action.name.clone(),
                        ActionSchemas { input, output, is_observed: action.observed },
                    );
                }
                (input, output) => {
                    let found = [input.err(), output.err()].into_iter().flatten();
                    problems.0.extend(found.flat_map(|problems| problems.0));
                }
            }
        }
        problems.or(Self { actions })
    }

    pub fn action(&self, name: &str) -> Option<&ActionSchemas> {
        self.actions.get(name)
    }

    /// The names of all actions, sorted.
    pub fn action_names(&self) -> impl Iterator<Item = &str> {
        self.actions.keys().map(String::as_str)
    }
}

impl Schema {
    /// The compiled schema, or what is wrong with it, below `path`.
    pub fn compile(schema: &Value, path: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let size_bytes = schema.to_string().len();
        if size_bytes > SCHEMA_BYTES_MAX {
            problems.add(
                path,
                format!("has {size_bytes} bytes as JSON: a schema has at most {SCHEMA_BYTES_MAX}"),
            );
            return Err(problems);
        }
        let whole = match build(schema) {
            Ok(whole) => whole,
            Err(error) => {
                let place = joined(path, error.instance_path().as_str());
                problems.add(place, format!("is not a usable JSON Schema: {}", told(&error)));
                return Err(problems);
            }
        };
        Ok(Self { whole, parts: Parts::of(schema) })
    }

    /// Every problem of `value` (the first hundred), each with its place below `path`.
    pub fn check(&self, value: &Value, path: &str) -> Problems {
        listed(&self.whole, value, path)
    }

    /// Every problem of an object of which `known` is known, and which will have properties called `awaited` too.
    pub fn check_parts(
        &self,
        known: &Map<String, Value>,
        awaited: &BTreeSet<String>,
        path: &str,
    ) -> Problems {
        let Some(parts) = &self.parts else {
            return Problems::default();
        };
        let mut problems = listed(&parts.validator, &Value::Object(known.clone()), path);
        for name in
            parts.required.iter().filter(|name| !known.contains_key(*name) && !awaited.contains(*name))
        {
            problems.add(joined(path, &format!("/{name}")), "is required: give it as an input");
        }
        problems
    }

    /// Whether an object of this schema may have a property of that name at all.
    pub fn knows(&self, name: &str) -> bool {
        let Some(parts) = &self.parts else {
            return true;
        };
        let probe = Value::Object(Map::from_iter([(name.to_owned(), Value::Null)]));
        // A property that is known has problems below its own path; one that is not is a problem of the object.
        let mut errors = parts.validator.iter_errors(&probe);
        errors.all(|error| !error.instance_path().as_str().is_empty())
    }
}

impl Parts {
    fn of(schema: &Value) -> Option<Self> {
        let root = root_object(schema)?;
        let mut judged: Map<String, Value> = Map::new();
        let mut required = BTreeSet::new();
        for source in [schema.as_object()?, root] {
            let kept = source.iter().filter(|(keyword, _)| PROPERTY_KEYWORDS.contains(&keyword.as_str()));
            judged.extend(kept.map(|(keyword, value)| (keyword.clone(), value.clone())));
            let names = source.get("required").and_then(Value::as_array).into_iter().flatten();
            required.extend(names.filter_map(Value::as_str).map(str::to_owned));
        }
        // What compiled as a whole compiles in part, unless a reference points at a keyword that was left out.
        Some(Self { validator: build(&Value::Object(judged)).ok()?, required })
    }
}

/// The object that the root is, or refers to within the document.
fn root_object(schema: &Value) -> Option<&Map<String, Value>> {
    let mut root = schema.as_object()?;
    for _ in 0..REFERENCES_MAX {
        let Some(reference) = root.get("$ref").and_then(Value::as_str) else {
            return Some(root);
        };
        root = schema.pointer(reference.strip_prefix('#')?)?.as_object()?;
    }
    None
}

fn build(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX))
        .build(schema)
}

fn listed(validator: &Validator, value: &Value, path: &str) -> Problems {
    let mut problems = Problems::default();
    for error in validator.iter_errors(value).take(PROBLEMS_MAX) {
        problems.add(joined(path, error.instance_path().as_str()), told(&error));
    }
    problems
}

/// `path` with the steps of a JSON pointer, as `path.name[0]`.
fn joined(path: &str, pointer: &str) -> String {
    pointer.split('/').skip(1).fold(path.to_owned(), |path, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        let is_index = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
        match (is_index, path.is_empty()) {
            (true, _) => format!("{path}[{step}]"),
            (false, true) => step,
            (false, false) => format!("{path}.{step}"),
        }
    })
}

/// The library's message, no longer than a message may be: it quotes values whole.
fn told(error: &ValidationError<'_>) -> String {
    let text = error.to_string();
    if text.len() <= MESSAGE_BYTES_MAX {
        return text;
    }
    let masked = error.masked().to_string();
    let kept: String = masked.chars().take(MESSAGE_BYTES_MAX / 4).collect();
    if kept.len() == masked.len() { kept } else { format!("{kept}...") }
}
