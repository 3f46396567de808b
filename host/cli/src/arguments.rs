//! Arguments: the JSON object that work is given, from the command line and from files.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use crate::problem::Problem;
use clap::Args;
use serde_json::value::RawValue;

/// Larger than any document that a host takes; a mistyped file name must not fill the memory.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What the work is given.
#[derive(Debug, Clone, Default, Args)]
pub struct Arguments {
    /// One argument. VALUE is JSON where it is well-formed, otherwise a string; repeatable
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub arg: Vec<(String, String)>,
    /// All arguments: a file with a JSON object, `-` for standard input; --arg adds to it and wins
    #[arg(long = "args", value_name = "FILE")]
    pub args: Option<String>,
}

impl Arguments {
    pub fn is_given(&self) -> bool {
        !self.arg.is_empty() || self.args.is_some()
    }

    /// One JSON object; every value exactly as it was written.
    pub fn json(&self) -> Result<String, Problem> {
        self.json_over("{}")
    }

    /// Likewise, on top of the object `before`, unless a file replaces it.
    pub fn json_over(&self, before: &str) -> Result<String, Problem> {
        let mut members: BTreeMap<String, Box<RawValue>> = match &self.args {
            None if before.is_empty() => BTreeMap::new(),
            None => serde_json::from_str(before).map_err(|error| {
                Problem::broken(format!("the arguments so far are no JSON object: {error}"))
            })?,
            Some(file) => serde_json::from_str(&read(file)?).map_err(|error| {
                Problem::usage(format!("{} holds no JSON object of arguments: {error}", named(file)))
            })?,
        };
        for (name, value) in &self.arg {
            let value = RawValue::from_string(value.clone())
                .or_else(|_| serde_json::value::to_raw_value(value))
                .map_err(|error| Problem::usage(format!("the argument {name:?}: {error}")))?;
            members.insert(name.clone(), value);
        }
        serde_json::to_string(&members)
            .map_err(|error| Problem::broken(format!("the arguments cannot be written: {error}")))
    }
}

/// `NAME=VALUE`, the value possibly empty.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form NAME=VALUE")),
    }
}

/// The text of a file, or of standard input for `-`.
pub fn read(file: &str) -> Result<String, Problem> {
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(Path::new(file))
            .and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Problem::usage(format!("{} cannot be read: {error}", named(file))))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Problem::usage(format!(
            "{} is larger than {}",
            named(file),
            crate::text::bytes(FILE_BYTES_MAX)
        )));
    }
    Ok(text)
}

/// A file, for people.
pub fn named(file: &str) -> String {
    if file == "-" { "standard input".to_owned() } else { format!("the file {file:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[&str]) -> Arguments {
        Arguments { arg: pairs.iter().map(|text| pair(text).unwrap()).collect(), args: None }
    }

    #[test]
    fn values_are_json_where_they_can_be() {
        let json = given(&["keep=3", "name=nightly", "deep={\"a\":[1.10]}", "empty="]).json().unwrap();
        assert_eq!(json, r#"{"deep":{"a":[1.10]},"empty":"","keep":3,"name":"nightly"}"#);
    }

    #[test]
    fn without_arguments_there_is_an_empty_object() {
        assert_eq!(Arguments::default().json().unwrap(), "{}");
    }

    #[test]
    fn the_last_of_two_equal_names_wins() {
        assert_eq!(given(&["a=1", "a=2"]).json().unwrap(), r#"{"a":2}"#);
    }

    #[test]
    fn pairs_need_a_name() {
        assert!(pair("=x").is_err());
        assert!(pair("x").is_err());
        assert_eq!(pair("x=a=b"), Ok(("x".to_owned(), "a=b".to_owned())));
    }

    #[test]
    fn a_file_that_is_not_there_is_a_usage_problem() {
        let problem = read("/nowhere/at/all.json").unwrap_err();
        assert_eq!(problem.exit, crate::exit::Exit::Usage);
        assert!(problem.what.contains("/nowhere/at/all.json"));
    }
}
