//! JSON texts.

use serde_json::{Map, Value};
use windlass_core::problem::Problems;

/// Any value.
pub fn value(problems: &mut Problems, path: &str, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| {
        problems.add(path, format!("is not JSON: {error}"));
        Value::Null
    })
}

/// An object; an empty text is an empty one.
pub fn object(problems: &mut Problems, path: &str, text: &str) -> Map<String, Value> {
    if text.is_empty() {
        return Map::new();
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => {
            problems.add(path, "is JSON, but no object: give {\"name\": value, ...}");
            Map::new()
        }
        Err(error) => {
            problems.add(path, format!("is not JSON: {error}"));
            Map::new()
        }
    }
}
