//! How jobs and their tasks are shown.

use std::collections::BTreeMap;
use std::time::Duration;

use prost_types::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use windlass_proto::v1;

use crate::flow::reference;
use crate::grant::GrantsView;
use crate::job::task_view::{ScopeView, TaskView};
use crate::output::Show;
use crate::text::{self, FaultView};
use crate::time;
use crate::work::{self, WorkView};

#[derive(Serialize)]
pub struct JobView {
    id: String,
    owner: String,
    principal: String,
    r#type: String,
    labels: BTreeMap<String, String>,
    state: String,
    direction: String,
    cause: Option<CauseView>,
    work: Option<WorkView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_revision: Option<String>,
    #[serde(skip)]
    work_line: String,
    arguments: Option<Box<RawValue>>,
    grants: GrantsView,
    priority: i32,
    timeout: Option<String>,
    never_revert: bool,
    operation: String,
    trigger: String,
    event_source: String,
    event_id: String,
    manual: bool,
    rerun_of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ParentView>,
    request_id: String,
    create_time: Option<String>,
    execute_time: Option<String>,
    expect_start_time: Option<String>,
    due_time: Option<String>,
    trigger_time: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    #[serde(skip)]
    duration: String,
    runs: Vec<RunView>,
    host: String,
    epoch: u64,
    residue: Vec<String>,
    task_count: u32,
    task_done_count: u32,
    sequence: u64,
    etag: String,
}

/// Where a child job belongs.
#[derive(Serialize)]
struct ParentView {
    job: String,
    task: String,
}

#[derive(Serialize)]
struct CauseView {
    kind: String,
    task: Option<String>,
    fault: Option<FaultView>,
    reason: String,
    #[serde(skip)]
    lines: String,
}

#[derive(Serialize)]
struct RunView {
    number: u32,
    start_time: Option<String>,
    end_time: Option<String>,
}

impl JobView {
    pub fn state(&self) -> &str {
        &self.state
    }
}

impl From<&v1::Job> for JobView {
    fn from(job: &v1::Job) -> Self {
        let at = |time: &Option<Timestamp>| time.as_ref().map(time::rfc3339);
        let origin = job.origin.clone().unwrap_or_default();
        Self {
            id: job.id.clone(),
            owner: job.owner.clone(),
            principal: job.principal.clone(),
            r#type: job.r#type.clone(),
            labels: job.labels.clone(),
            state: text::word(job.state().as_str_name(), "JOB_STATE_"),
            direction: text::word(job.direction().as_str_name(), "DIRECTION_"),
            cause: job.cause.as_ref().map(CauseView::from),
            work: job.work.as_ref().and_then(WorkView::of),
            flow_revision: job.flow_revision.as_ref().map(reference::written),
            work_line: work::line(job.work.as_ref()),
            arguments: text::raw(&job.arguments_json),
            grants: GrantsView::of(job.grants.as_ref()),
            priority: job.priority,
            timeout: job.timeout.as_ref().map(|timeout| time::written(time::of_wire(timeout))),
            never_revert: job.never_revert,
            operation: origin.operation,
            trigger: origin.trigger,
            event_source: origin.event_source,
            event_id: origin.event_id,
            manual: origin.manual,
            rerun_of: origin.rerun_of,
            parent: origin.parent.as_ref().map(ParentView::from),
            request_id: origin.request_id,
            create_time: at(&job.create_time),
            execute_time: at(&job.execute_time),
            expect_start_time: at(&job.expect_start_time),
            due_time: at(&job.due_time),
            trigger_time: at(&job.trigger_time),
            start_time: at(&job.start_time),
            end_time: at(&job.end_time),
            duration: between(&job.start_time, &job.end_time).unwrap_or_default(),
            runs: job.runs.iter().map(RunView::from).collect(),
            host: job.host.clone(),
            epoch: job.epoch,
            residue: job.residue.iter().map(|name| text::instance(&name.task, &name.iteration)).collect(),
            task_count: job.task_count,
            task_done_count: job.task_done_count,
            sequence: job.sequence,
            etag: job.etag.clone(),
        }
    }
}

impl From<&v1::JobParent> for ParentView {
    fn from(parent: &v1::JobParent) -> Self {
        let task = parent.task.clone().unwrap_or_default();
        Self { job: parent.job.clone(), task: text::instance(&task.task, &task.iteration) }
    }
}

impl From<&v1::Cause> for CauseView {
    fn from(cause: &v1::Cause) -> Self {
        let kind = text::word(cause.kind().as_str_name(), "CAUSE_KIND_");
        let task = cause.task.as_ref().map(|name| text::instance(&name.task, &name.iteration));
        let mut lines = kind.replace('_', " ");
        if let Some(task) = &task {
            lines.push_str(&format!(": {task}"));
        }
        if let Some(fault) = &cause.fault {
            lines.push_str(&format!("\n{}", text::fault(fault)));
        }
        if !cause.reason.is_empty() {
            lines.push_str(&format!("\n{}", cause.reason));
        }
        Self {
            kind,
            task,
            fault: cause.fault.as_ref().map(FaultView::from),
            reason: cause.reason.clone(),
            lines,
        }
    }
}

impl CauseView {
    fn first_line(&self) -> String {
        self.lines.lines().next().unwrap_or_default().to_owned()
    }
}

impl From<&v1::Run> for RunView {
    fn from(run: &v1::Run) -> Self {
        Self {
            number: run.number,
            start_time: run.start_time.as_ref().map(time::rfc3339),
            end_time: run.end_time.as_ref().map(time::rfc3339),
        }
    }
}

/// The time from one instant to another, for people.
pub fn between(start: &Option<Timestamp>, end: &Option<Timestamp>) -> Option<String> {
    elapsed(start.as_ref()?, end.as_ref()?).map(time::human)
}

/// The time from one instant to another; none when it went backwards.
pub fn elapsed(start: &Timestamp, end: &Timestamp) -> Option<Duration> {
    (time::of_timestamp(end)? - time::of_timestamp(start)?).to_std().ok()
}

impl JobView {
    /// Lists do not say.
    fn done(&self) -> String {
        if self.task_count == 0 {
            return String::new();
        }
        format!("{} of {}", self.task_done_count, self.task_count)
    }

    fn child_of(&self) -> String {
        let parent = self.parent.as_ref();
        parent.map(|parent| format!("job {}, {}", parent.job, parent.task)).unwrap_or_default()
    }

    fn origin(&self) -> String {
        let from = match (self.operation.as_str(), self.event_id.as_str()) {
            ("", _) => return String::new(),
            (_, "") if self.manual => "fired by request",
            (_, "") => "its schedule",
            (_, _) => "an event",
        };
        let mut origin = format!("operation {}, {from}", self.operation);
        if !self.event_id.is_empty() {
            origin.push_str(&format!(" ({} {})", self.event_source, self.event_id));
        }
        origin
    }
}

impl Show for JobView {
    const COLUMNS: &'static [&'static str] =
        &["ID", "STATE", "TYPE", "OPERATION", "DUE", "STARTED", "TOOK", "WHY"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.state.clone(),
            self.r#type.clone(),
            self.operation.clone(),
            self.due_time.clone().unwrap_or_default(),
            self.start_time.clone().unwrap_or_default(),
            self.duration.clone(),
            self.cause.as_ref().map(CauseView::first_line).unwrap_or_default(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let time = |time: &Option<String>| time.clone().unwrap_or_default();
        let cause = self.cause.as_ref().map(|cause| cause.lines.clone());
        let arguments = self.arguments.as_ref().map(|json| json.get().to_owned());
        vec![
            ("id", self.id.clone()),
            ("state", self.state.clone()),
            ("cause", cause.unwrap_or_default()),
            ("residue", self.residue.join("\n")),
            ("work", self.work_line.clone()),
            ("from", self.flow_revision.clone().map(|name| format!("flow {name}")).unwrap_or_default()),
            ("arguments", arguments.unwrap_or_default()),
            ("grants", self.grants.lines()),
            ("from", self.origin()),
            ("child of", self.child_of()),
            ("rerun of", self.rerun_of.clone()),
            ("type", self.r#type.clone()),
            ("labels", text::labels(&self.labels)),
            ("priority", self.priority.to_string()),
            ("timeout", self.timeout.clone().unwrap_or_default()),
            ("never revert", if self.never_revert { "yes" } else { "" }.to_owned()),
            ("owner", self.owner.clone()),
            ("created", time(&self.create_time)),
            ("due", time(&self.due_time)),
            ("triggered", time(&self.trigger_time)),
            ("started", time(&self.start_time)),
            ("ended", time(&self.end_time)),
            ("took", self.duration.clone()),
            ("runs", self.runs.len().to_string()),
            ("host", self.host.clone()),
            ("tasks done", self.done()),
            ("etag", self.etag.clone()),
        ]
    }
}

/// A job with its tasks.
#[derive(Serialize)]
pub struct DetailView {
    #[serde(flatten)]
    job: JobView,
    tasks: Vec<TaskView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<ScopeView>,
}

impl DetailView {
    pub fn of(job: &v1::Job, tasks: &[v1::TaskInstance], scopes: &[v1::ScopeInstance]) -> Self {
        Self {
            job: JobView::from(job),
            tasks: tasks.iter().map(TaskView::from).collect(),
            scopes: scopes.iter().map(ScopeView::from).collect(),
        }
    }
}

impl Show for DetailView {
    const COLUMNS: &'static [&'static str] = JobView::COLUMNS;

    fn id(&self) -> String {
        self.job.id()
    }

    fn row(&self) -> Vec<String> {
        self.job.row()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = self.job.facts();
        let width = self.tasks.iter().map(|task| task.name.len()).max();
        let width = width.unwrap_or(0);
        let tasks: Vec<String> = self.tasks.iter().map(|task| task.lines(width)).collect();
        facts.push(("tasks", tasks.join("\n")));
        let width = self.scopes.iter().map(|scope| scope.name.len()).max().unwrap_or(0);
        let scopes: Vec<String> = self.scopes.iter().map(|scope| scope.line(width)).collect();
        facts.push(("scopes", scopes.join("\n")));
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> v1::Job {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        v1::Job {
            id: "j".to_owned(),
            state: v1::JobState::Failed.into(),
            cause: Some(v1::Cause {
                kind: v1::CauseKind::TaskFailed.into(),
                task: Some(v1::TaskInstanceName { task: "verify".to_owned(), iteration: vec![1] }),
                fault: Some(v1::Fault {
                    class: "backup.mismatch".to_owned(),
                    message: "two files differ".to_owned(),
                    causes: vec!["a.txt".to_owned()],
                    detail: None,
                }),
                reason: String::new(),
            }),
            arguments_json: "{\"n\":1.10}".to_owned(),
            start_time: time(100),
            end_time: time(102),
            ..v1::Job::default()
        }
    }

    #[test]
    fn a_job_is_written_with_its_exact_arguments() {
        let json = serde_json::to_string(&DetailView::of(&job(), &[], &[])).unwrap();
        assert!(json.contains(r#""arguments":{"n":1.10}"#), "{json}");
        assert!(json.contains(r#""state":"failed""#), "{json}");
        assert!(json.contains(r#""tasks":[]"#), "{json}");
    }

    #[test]
    fn people_see_why_and_how_long() {
        let facts = JobView::from(&job()).facts();
        let fact = |name| &facts.iter().find(|(it, _)| *it == name).unwrap().1;
        assert_eq!(
            fact("cause"),
            "task failed: verify[1]\ntwo files differ (backup.mismatch)\ncaused by: a.txt"
        );
        assert_eq!(fact("took"), "2.00s");
    }

    #[test]
    fn a_child_says_where_it_belongs() {
        let name = |task: &str| v1::TaskInstanceName { task: task.to_owned(), iteration: vec![2] };
        let parent = v1::JobParent { job: "p".to_owned(), task: Some(name("image")) };
        let origin = v1::JobOrigin { parent: Some(parent), ..v1::JobOrigin::default() };
        let view = JobView::from(&v1::Job { origin: Some(origin), ..job() });
        let facts = view.facts();
        assert_eq!(facts.iter().find(|(name, _)| *name == "child of").unwrap().1, "job p, image[2]");
        let json = serde_json::to_string(&view).unwrap();
        assert!(json.contains(r#""parent":{"job":"p","task":"image[2]"}"#), "{json}");
    }

    #[test]
    fn a_clock_that_went_back_gives_no_duration() {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!(between(&time(2), &time(1)), None);
        assert_eq!(between(&None, &time(1)), None);
    }
}
