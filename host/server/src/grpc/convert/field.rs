//! Fields: where in a request the engine's problems are.
//!
//! The core names places in its own records; a client knows only the messages. Each request has a table of what its
//! fields are called in the core.

use windlass_core::problem::Problems;
use windlass_proto::v1;
use windlass_proto::v1::work::Kind;

use crate::engine::EngineError;

/// What the fields of one message are called: in the core, on the wire. Below them names stay.
type Names = &'static [(&'static str, &'static str)];

const JOB: Names = &[
    ("arguments", "job.arguments_json"),
    ("flow.defaults", "job.work.flow.defaults_json"),
    ("flow", "job.work.flow"),
    ("grants", "job.grants"),
    ("priority", "job.priority"),
    ("type", "job.type"),
    ("labels", "job.labels"),
    ("timeout", "job.timeout"),
    ("principal", "metadata.windlass-principal"),
];
const OPERATION: Names = &[
    ("arguments", "operation.arguments_json"),
    ("flow.defaults", "operation.work.flow.defaults_json"),
    ("flow", "operation.work.flow"),
    ("priority", "operation.job_priority"),
    ("timeout_ms", "operation.job_timeout"),
    ("owner", "metadata.windlass-principal"),
    ("principal", "metadata.windlass-principal"),
    ("", "operation"),
];
const TRIGGER: Names = &[
    ("window_ms", "trigger.window"),
    ("events", "trigger.event"),
    ("kind", "trigger.due"),
    ("schedule.interval.every_ms", "trigger.schedule.interval.every"),
    ("schedule.cron.zone", "trigger.schedule.cron.time_zone"),
    ("schedule.start", "trigger.schedule.start_time"),
    ("schedule.end", "trigger.schedule.end_time"),
    ("owner", "metadata.windlass-principal"),
    ("", "trigger"),
];
const SCHEDULE: Names = &[
    ("schedule.interval.every_ms", "schedule.interval.every"),
    ("schedule.cron.zone", "schedule.cron.time_zone"),
    ("schedule.start", "schedule.start_time"),
    ("schedule.end", "schedule.end_time"),
];
const EVENT: Names = &[
    ("specversion", "spec_version"),
    ("datacontenttype", "data_content_type"),
    ("dataschema", "data_schema"),
    ("data", "data_json"),
];
const TASK: Names = &[
    ("timeout_ms", "timeout"),
    ("retry.pause_ms_max", "retry.backoff_max"),
    ("retry.pause_ms", "retry.backoff_initial"),
    ("retry.factor_percent", "retry.backoff_multiplier"),
    ("wait_event.timeout_ms", "wait_event.timeout"),
    ("approval.timeout_ms", "approval.timeout"),
    ("job.timeout_ms", "job.timeout"),
    ("job.flow.defaults", "job.flow.defaults_json"),
];

const FLOW: Names = &[
    ("flow.defaults", "flow.defaults_json"),
    ("arguments", "arguments_json"),
    ("principal", "metadata.windlass-principal"),
];

/// The problems of a flow that is stored.
pub fn of_flow(error: EngineError) -> EngineError {
    renamed(error, |path| work_path(path, FLOW, "", Form::Flow))
}

/// The problems of a flow that is only checked.
pub fn of_validated_flow(problems: Problems) -> Problems {
    let renamed = problems.0.into_iter().map(|problem| {
        windlass_core::problem::Problem::new(work_path(&problem.path, FLOW, "", Form::Flow), problem.message)
    });
    Problems(renamed.collect())
}

/// The problems of a submission, or of one of a batch. `work` is what was submitted.
pub fn of_job(work: Option<&v1::Work>) -> impl Fn(EngineError) -> EngineError + use<> {
    let form = Form::of(work);
    move |error| renamed(told_of(form, error), |path| work_path(path, JOB, "job.work", form))
}

/// The problems of an operation.
pub fn of_operation(work: Option<&v1::Work>) -> impl Fn(EngineError) -> EngineError + use<> {
    let form = Form::of(work);
    move |error| renamed(told_of(form, error), |path| work_path(path, OPERATION, "operation.work", form))
}

pub fn of_trigger(error: EngineError) -> EngineError {
    renamed(error, |path| replaced(path, TRIGGER))
}

pub fn of_schedule(error: EngineError) -> EngineError {
    renamed(error, |path| replaced(path, SCHEDULE))
}

pub fn of_events(error: EngineError) -> EngineError {
    renamed(error, |path| match path.split_once("].") {
        Some((head, rest)) => format!("{head}].{}", replaced(rest, EVENT)),
        None => path.to_owned(),
    })
}

/// How work was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Action,
    Flow,
    Reference,
}

impl Form {
    fn of(work: Option<&v1::Work>) -> Self {
        match work.and_then(|work| work.kind.as_ref()) {
            Some(Kind::Action(_)) => Self::Action,
            Some(Kind::Reference(_)) => Self::Reference,
            Some(Kind::Flow(_)) | None => Self::Flow,
        }
    }
}

/// A place in a stored flow is none in the request: it becomes part of what is told.
fn told_of(form: Form, error: EngineError) -> EngineError {
    let EngineError::Invalid(mut problems) = error else { return error };
    let inner = |path: &str| form == Form::Reference && (path == "flow" || path.starts_with("flow."));
    for problem in problems.0.iter_mut().filter(|problem| inner(&problem.path)) {
        problem.message = format!("{} {}", problem.path, problem.message);
    }
    EngineError::Invalid(problems)
}

fn renamed(error: EngineError, rename: impl Fn(&str) -> String) -> EngineError {
    let EngineError::Invalid(mut problems) = error else { return error };
    problems.0.iter_mut().for_each(|problem| problem.path = rename(&problem.path));
    EngineError::Invalid(Problems(problems.0))
}

fn work_path(path: &str, names: Names, work: &str, form: Form) -> String {
    if form == Form::Reference && (path == "flow" || path.starts_with("flow.")) {
        return format!("{work}.reference");
    }
    // What conversion found has the path of the request already.
    let Some((head, rest)) = split_task(path) else { return replaced(path, names) };
    match (form, rest) {
        (Form::Action, "plugin" | "action") => format!("{work}.action.{rest}"),
        (Form::Action, _) => format!("{work}.action"),
        (Form::Flow | Form::Reference, _) => format!("{}.{}", replaced(head, names), replaced(rest, TASK)),
    }
}

/// The place of a task, at any depth, also within child jobs, and what is below it.
fn split_task(path: &str) -> Option<(&str, &str)> {
    let mut end = 0;
    while path[end..].starts_with("flow.tasks[") || end > 0 && path[end..].starts_with("job.flow.tasks[") {
        end += path[end..].find("].")? + 2;
    }
    (end > 0).then(|| (&path[..end - 1], &path[end..]))
}

/// The path with its beginning called as on the wire. An empty name stands for every field that is not named.
fn replaced(path: &str, names: Names) -> String {
    for (name, wire) in names {
        if name.is_empty() {
            let is_wire = path == *wire || path.starts_with(&format!("{wire}."));
            let is_request = ["metadata", "update_mask", "etag"].iter().any(|field| path.starts_with(field));
            return if is_wire || is_request { path.to_owned() } else { format!("{wire}.{path}") };
        }
        let Some(rest) = path.strip_prefix(name) else { continue };
        if rest.is_empty() || rest.starts_with(['.', '[']) {
            return format!("{wire}{rest}");
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_where_the_client_wrote_them() {
        let flow = |path| work_path(path, JOB, "job.work", Form::Flow);
        assert_eq!(flow("flow.tasks[2].inputs.archive"), "job.work.flow.tasks[2].inputs.archive");
        assert_eq!(flow("flow.tasks[0].retry.pause_ms_max"), "job.work.flow.tasks[0].retry.backoff_max");
        assert_eq!(flow("flow.tasks[0].timeout_ms"), "job.work.flow.tasks[0].timeout");
        assert_eq!(
            flow("flow.tasks[0].flow.tasks[12].inputs.list[3].timeout_ms"),
            "job.work.flow.tasks[0].flow.tasks[12].inputs.list[3].timeout_ms"
        );
        assert_eq!(
            flow("flow.tasks[0].flow.tasks[1].timeout_ms"),
            "job.work.flow.tasks[0].flow.tasks[1].timeout"
        );
        assert_eq!(flow("flow.tasks[0].flow"), "job.work.flow.tasks[0].flow");
        assert_eq!(flow("flow.tasks[0].job.timeout_ms"), "job.work.flow.tasks[0].job.timeout");
        assert_eq!(
            flow("flow.tasks[0].job.flow.defaults.a"),
            "job.work.flow.tasks[0].job.flow.defaults_json.a"
        );
        assert_eq!(
            flow("flow.tasks[0].flow.tasks[1].job.flow.tasks[2].timeout_ms"),
            "job.work.flow.tasks[0].flow.tasks[1].job.flow.tasks[2].timeout"
        );
        assert_eq!(flow("job.work.flow.tasks[0].job"), "job.work.flow.tasks[0].job");
        assert_eq!(flow("flow.tasks[0]"), "job.work.flow.tasks[0]");
        assert_eq!(flow("flow.parallel_max"), "job.work.flow.parallel_max");
        assert_eq!(flow("arguments.timeout_ms"), "job.arguments_json.timeout_ms");
        assert_eq!(flow("grants.directories[0].host_path"), "job.grants.directories[0].host_path");
        assert_eq!(flow("job.work.flow"), "job.work.flow");
        let named = |path| work_path(path, JOB, "job.work", Form::Reference);
        assert_eq!(named("flow.tasks[0].plugin"), "job.work.reference");
        assert_eq!(named("arguments.keep"), "job.arguments_json.keep");
        let stored = |path| work_path(path, FLOW, "", Form::Flow);
        assert_eq!(stored("flow.tasks[0].timeout_ms"), "flow.tasks[0].timeout");
        assert_eq!(stored("flow.defaults.a"), "flow.defaults_json.a");
        assert_eq!(stored("name"), "name");
        let action = |path| work_path(path, JOB, "job.work", Form::Action);
        assert_eq!(action("flow.tasks[0].plugin"), "job.work.action.plugin");
        assert_eq!(action("flow.tasks[0].name"), "job.work.action");

        assert_eq!(replaced("schedule.cron.zone", TRIGGER), "trigger.schedule.cron.time_zone");
        assert_eq!(replaced("schedule.cron.expression", TRIGGER), "trigger.schedule.cron.expression");
        assert_eq!(replaced("trigger.window", TRIGGER), "trigger.window");
        assert_eq!(replaced("update_mask", TRIGGER), "update_mask");
        assert_eq!(replaced("job_type", OPERATION), "operation.job_type");

        let mut problems = Problems::default();
        problems.add("events[3].specversion", "is odd");
        let EngineError::Invalid(problems) = of_events(problems.into()) else { panic!() };
        assert_eq!(problems.0[0].path, "events[3].spec_version");
    }
}
