//! What an operation is made of, from the command line.

use std::time::Duration;

use clap::Args;
use prost_types::FieldMask;
use windlass_proto::v1;

use crate::arguments::Arguments;
use crate::grant::GrantArguments;
use crate::problem::Problem;
use crate::time;
use crate::work::WorkArguments;

#[derive(Debug, Clone, Default, Args)]
pub struct OperationArguments {
    #[command(flatten)]
    work: WorkArguments,
    #[command(flatten)]
    arguments: Arguments,
    #[command(flatten)]
    grants: GrantArguments,
    /// A label, copied to its jobs; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = crate::arguments::pair)]
    labels: Vec<(String, String)>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The type of its jobs
    #[arg(long = "type", value_name = "TYPE")]
    job_type: Option<String>,
    /// Of its jobs: higher runs first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// How long a job may run before it is reverted
    #[arg(long, value_parser = time::duration, value_name = "DURATION")]
    timeout: Option<Duration>,
    /// Jobs stop at a failure and leave their effects
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    never_revert: Option<bool>,
    /// The argument that is given the event; only with a trigger that waits for events
    #[arg(long, value_name = "NAME")]
    event_argument: Option<String>,
}

/// An operation to be created.
pub fn created(name: String, trigger: String, more: &OperationArguments) -> Result<v1::Operation, Problem> {
    Ok(v1::Operation {
        name,
        trigger,
        description: more.description.clone().unwrap_or_default(),
        labels: more.labels.iter().cloned().collect(),
        work: Some(more.work.wire()?),
        arguments_json: more.arguments.json()?,
        grants: more.grants.wire(),
        job_type: more.job_type.clone().unwrap_or_default(),
        job_priority: more.priority.unwrap_or(0),
        job_timeout: more.timeout.map(time::wire),
        never_revert: more.never_revert.unwrap_or(false),
        event_argument: more.event_argument.clone().unwrap_or_default(),
        ..v1::Operation::default()
    })
}

/// An operation with what was given instead of what it had, and the names of what changes.
pub fn updated(
    before: v1::Operation,
    rename: Option<String>,
    more: &OperationArguments,
    etag: Option<String>,
) -> Result<v1::UpdateOperationRequest, Problem> {
    let mut operation = before;
    let mut paths = Vec::new();
    if let Some(etag) = etag {
        operation.etag = etag;
    }
    set(&mut operation.name, rename, "name", &mut paths);
    let event_argument = more.event_argument.clone();
    set(&mut operation.event_argument, event_argument, "event_argument", &mut paths);
    set(&mut operation.description, more.description.clone(), "description", &mut paths);
    set(&mut operation.job_type, more.job_type.clone(), "job_type", &mut paths);
    set(&mut operation.job_priority, more.priority, "job_priority", &mut paths);
    set(&mut operation.never_revert, more.never_revert, "never_revert", &mut paths);
    let labels = (!more.labels.is_empty()).then(|| more.labels.iter().cloned().collect());
    set(&mut operation.labels, labels, "labels", &mut paths);
    let timeout = more.timeout.map(|timeout| Some(time::wire(timeout)));
    set(&mut operation.job_timeout, timeout, "job_timeout", &mut paths);
    let work = more.work.is_given().then(|| more.work.wire()).transpose()?;
    set(&mut operation.work, work.map(Some), "work", &mut paths);
    if more.arguments.is_given() {
        operation.arguments_json = more.arguments.json_over(&operation.arguments_json)?;
        paths.push("arguments_json");
    }
    if more.grants.is_given() {
        operation.grants = more.grants.wire();
        paths.push("grants");
    }
    if paths.is_empty() {
        return Err(Problem::usage("nothing says what to change"));
    }
    Ok(v1::UpdateOperationRequest {
        operation: Some(operation),
        update_mask: Some(FieldMask { paths: paths.into_iter().map(str::to_owned).collect() }),
    })
}

fn set<T>(field: &mut T, given: Option<T>, path: &'static str, paths: &mut Vec<&'static str>) {
    if let Some(value) = given {
        *field = value;
        paths.push(path);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        more: OperationArguments,
    }

    fn line(words: &[&str]) -> OperationArguments {
        Line::try_parse_from(std::iter::once(&"x").chain(words)).unwrap().more
    }

    #[test]
    fn an_operation_is_what_was_given() {
        let more = line(&[
            "--plugin",
            "backup",
            "--action",
            "snapshot",
            "--arg",
            "keep=3",
            "--grant-dir",
            "/data:/source:ro",
            "--priority",
            "-5",
            "--never-revert",
        ]);
        let operation = created("nightly".to_owned(), "night".to_owned(), &more).unwrap();
        assert_eq!(operation.arguments_json, r#"{"keep":3}"#);
        assert_eq!(operation.grants.unwrap().directories.len(), 1);
        assert_eq!(operation.job_priority, -5);
        assert!(operation.never_revert);
    }

    #[test]
    fn an_update_changes_one_argument_and_keeps_the_others() {
        let more = line(&["--plugin", "p", "--action", "a", "--arg", "keep=3", "--arg", "x=1.10"]);
        let before = created("nightly".to_owned(), "night".to_owned(), &more).unwrap();
        let change = line(&["--arg", "keep=4", "--never-revert=false"]);

        let request = updated(before, None, &change, None).unwrap();

        assert_eq!(request.update_mask.unwrap().paths, ["never_revert", "arguments_json"]);
        assert_eq!(request.operation.unwrap().arguments_json, r#"{"keep":4,"x":1.10}"#);
    }

    #[test]
    fn work_is_an_action_or_a_flow() {
        assert!(created("n".to_owned(), "t".to_owned(), &line(&[])).is_err());
        assert!(Line::try_parse_from(["x", "--plugin", "p"]).is_err());
        assert!(Line::try_parse_from(["x", "--plugin", "p", "--action", "a", "--flow", "f"]).is_err());
    }
}
