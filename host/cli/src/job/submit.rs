//! Submitting jobs: one, many, or one that was there before.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use windlass_proto::v1;
use windlass_proto::v1::submit_job_result::Outcome;

use super::view::JobView;
use super::wait::{self, WaitArguments};
use crate::arguments::{self, Arguments};
use crate::exit::Exit;
use crate::flow::work::WorkDocument;
use crate::grant::GrantArguments;
use crate::output::{Format, Show};
use crate::problem::Problem;
use crate::session::Session;
use crate::time;
use crate::work::WorkArguments;

#[derive(Debug, Args)]
pub struct SubmitArguments {
    #[command(flatten)]
    work: WorkArguments,
    #[command(flatten)]
    arguments: Arguments,
    #[command(flatten)]
    grants: GrantArguments,
    /// Not before this time
    #[arg(long, value_parser = time::instant, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Higher runs first
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    priority: i32,
    /// The type, for filters
    #[arg(long = "type", default_value = "", hide_default_value = true, value_name = "TYPE")]
    job_type: String,
    /// A label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = arguments::pair)]
    labels: Vec<(String, String)>,
    /// How long it may run before it is reverted
    #[arg(long, value_parser = time::duration, value_name = "DURATION")]
    timeout: Option<Duration>,
    /// Stop at a failure and leave the effects
    #[arg(long)]
    never_revert: bool,
    /// Submitting again with the same id makes no second job; default: a fresh one
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only check; nothing is stored
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

impl SubmitArguments {
    fn spec(&self) -> Result<v1::JobSpec, Problem> {
        Ok(v1::JobSpec {
            work: Some(self.work.wire()?),
            arguments_json: self.arguments.json()?,
            grants: self.grants.wire(),
            execute_time: self.at,
            priority: self.priority,
            r#type: self.job_type.clone(),
            labels: self.labels.iter().cloned().collect(),
            timeout: self.timeout.map(time::wire),
            never_revert: self.never_revert,
        })
    }
}

/// `windlass job submit`.
pub async fn submit(session: &Session, arguments: &SubmitArguments) -> Result<Exit, Problem> {
    let request = v1::SubmitJobRequest {
        job: Some(Box::new(arguments.spec()?)),
        request_id: arguments.request_id.clone().unwrap_or_else(fresh),
        dry_run: arguments.dry_run,
        // Its id is told first.
        wait: None,
    };
    let answer = session.jobs().submit(request).await?.into_inner();
    let job = job(answer.job.map(|job| *job))?;
    if answer.known {
        session.output.note("a job with this request id was there already");
    }
    if arguments.dry_run {
        session.output.note("checked: it would be taken, and nothing was stored");
    }
    wait::shown(session, job, &arguments.wait, wait::Goal::Success).await
}

#[derive(Debug, Args)]
pub struct RerunArguments {
    job: String,
    /// Not before this time
    #[arg(long, value_parser = time::instant, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Asking again with the same id makes no second job; default: a fresh one
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    wait: WaitArguments,
}

/// `windlass job rerun`.
pub async fn rerun(session: &Session, arguments: RerunArguments) -> Result<Exit, Problem> {
    let request = v1::RerunJobRequest {
        job: arguments.job,
        request_id: arguments.request_id.unwrap_or_else(fresh),
        execute_time: arguments.at,
    };
    let job = session.jobs().rerun(request).await?.into_inner();
    wait::shown(session, job, &arguments.wait, wait::Goal::Success).await
}

#[derive(Debug, Args)]
pub struct BatchArguments {
    /// A JSON object on each line: {"plugin", "action"} or {"flow": FLOW or "NAME[@REVISION]"}, and what else there is to
    /// say: "arguments", "at", "priority", "type", "labels", "timeout", "never_revert",
    /// "grants": {"directories": ["HOST:GUEST:ro"]}, "request_id"; `-` for standard input
    file: String,
    /// Only check; nothing is stored
    #[arg(long)]
    dry_run: bool,
}

/// One line of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobDocument {
    plugin: Option<String>,
    action: Option<String>,
    flow: Option<WorkDocument>,
    #[serde(default)]
    arguments: BTreeMap<String, Box<RawValue>>,
    at: Option<String>,
    #[serde(default)]
    priority: i32,
    #[serde(default, rename = "type")]
    job_type: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    timeout: Option<String>,
    #[serde(default)]
    never_revert: bool,
    grants: Option<GrantsDocument>,
    request_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsDocument {
    #[serde(default)]
    directories: Vec<String>,
    memory_bytes_max: Option<u64>,
}

impl JobDocument {
    fn request(self, dry_run: bool) -> Result<v1::SubmitJobRequest, String> {
        use v1::work::Kind;
        let kind = match (self.flow, self.plugin, self.action) {
            (Some(WorkDocument::Written(flow)), None, None) => Kind::Flow(flow.0.wire()),
            (Some(WorkDocument::Stored(reference)), None, None) => Kind::Reference(reference),
            (None, Some(plugin), Some(action)) => {
                Kind::Action(v1::Action { plugin, action, digest: String::new() })
            }
            _ => return Err("give either \"plugin\" and \"action\", or \"flow\"".to_owned()),
        };
        let arguments_json = serde_json::to_string(&self.arguments).map_err(|error| error.to_string())?;
        let timeout = self.timeout.as_deref().map(time::duration).transpose()?;
        let job = v1::JobSpec {
            work: Some(v1::Work { kind: Some(kind) }),
            arguments_json,
            grants: self.grants.map(GrantsDocument::wire).transpose()?,
            execute_time: self.at.as_deref().map(time::instant).transpose()?,
            priority: self.priority,
            r#type: self.job_type,
            labels: self.labels,
            timeout: timeout.map(time::wire),
            never_revert: self.never_revert,
        };
        Ok(v1::SubmitJobRequest {
            job: Some(Box::new(job)),
            request_id: self.request_id.unwrap_or_else(fresh),
            dry_run,
            wait: None,
        })
    }
}

impl GrantsDocument {
    fn wire(self) -> Result<v1::Grants, String> {
        let directories = self.directories.iter().map(|text| crate::grant::directory(text));
        Ok(v1::Grants {
            directories: directories.collect::<Result<_, _>>()?,
            memory_bytes_max: self.memory_bytes_max,
        })
    }
}

/// `windlass job submit-batch`. Refused when any request is, though its neighbours were taken.
pub async fn batch(session: &Session, arguments: &BatchArguments) -> Result<Exit, Problem> {
    let text = arguments::read(&arguments.file)?;
    let requests = requests(&text, arguments.dry_run)
        .map_err(|what| Problem::usage(format!("{}: {what}", arguments::named(&arguments.file))))?;
    let request = v1::SubmitJobBatchRequest { requests, view: v1::JobView::Full.into() };
    let answer = session.jobs().submit_batch(request).await?.into_inner();
    let views: Vec<ResultView> = answer.results.iter().map(ResultView::from).collect();
    match session.output.format {
        // A refused request has no id: what was refused is on standard error.
        Format::Id => {
            for view in &views {
                match &view.refusal {
                    None => session.output.line(&view.id)?,
                    Some(refusal) => eprintln!("refused: {refusal}"),
                }
            }
        }
        _ => session.output.many(&views)?,
    }
    let refused = views.iter().any(|view| view.refusal.is_some());
    Ok(if refused { Exit::Refused } else { Exit::Done })
}

fn requests(text: &str, dry_run: bool) -> Result<Vec<v1::SubmitJobRequest>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str::<JobDocument>(line)
                .map_err(|error| error.to_string())
                .and_then(|document| document.request(dry_run))
                .map_err(|what| format!("line {}: {what}", index + 1))
        })
        .collect()
}

/// What became of one request.
#[derive(Serialize)]
struct ResultView {
    id: String,
    state: String,
    job: Option<JobView>,
    refusal: Option<String>,
}

impl From<&v1::SubmitJobResult> for ResultView {
    fn from(result: &v1::SubmitJobResult) -> Self {
        let view = match &result.outcome {
            Some(Outcome::Submitted(answer)) => answer.job.as_deref().map(JobView::from),
            _ => None,
        };
        let refusal = match &result.outcome {
            Some(Outcome::Submitted(_)) => None,
            Some(Outcome::Refused(refusal)) => Some(refusal_text(refusal)),
            None => Some("the host did not say what became of it".to_owned()),
        };
        Self {
            id: view.as_ref().map(Show::id).unwrap_or_default(),
            state: match &view {
                Some(view) => view.state().to_owned(),
                None => "refused".to_owned(),
            },
            job: view,
            refusal,
        }
    }
}

fn refusal_text(refusal: &v1::Refusal) -> String {
    let places =
        refusal.violations.iter().map(|violation| format!("{}: {}", violation.field, violation.description));
    std::iter::once(refusal.message.clone()).chain(places).collect::<Vec<_>>().join("; ")
}

impl Show for ResultView {
    const COLUMNS: &'static [&'static str] = &["ID", "STATE", "WHY"];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> Vec<String> {
        vec![self.id.clone(), self.state.clone(), self.refusal.clone().unwrap_or_default()]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.clone()),
            ("state", self.state.clone()),
            ("why", self.refusal.clone().unwrap_or_default()),
        ]
    }
}

/// A request id that nobody else has.
fn fresh() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The job of an answer that must have one.
pub fn job(job: Option<v1::Job>) -> Result<v1::Job, Problem> {
    job.ok_or_else(|| Problem::broken("the host answered without the job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_job_on_each_line() {
        let text = r#"{"plugin":"p","action":"a","arguments":{"n":1.10},"at":"2026-11-21T08:00:00Z","timeout":"5m","request_id":"r1"}

{"flow":{"tasks":[]},"grants":{"directories":["/d:/source:rw"]}}
{"flow":"nightly@3"}
"#;
        let requests = requests(text, true).unwrap();
        assert_eq!(requests.len(), 3);
        let named = requests[2].job.as_ref().unwrap().work.as_ref().unwrap();
        let reference = v1::FlowReference { name: "nightly".to_owned(), revision: 3 };
        assert_eq!(named.kind, Some(v1::work::Kind::Reference(reference)));
        let job = requests[0].job.as_ref().unwrap();
        assert_eq!(job.arguments_json, r#"{"n":1.10}"#);
        assert_eq!(requests[0].request_id, "r1");
        assert!(requests[0].dry_run);
        let grants = requests[1].job.as_ref().unwrap().grants.as_ref().unwrap();
        assert_eq!(grants.directories[0].guest_path, "/source");
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for (text, word) in [
            ("{\"plugin\":\"p\",\"action\":\"a\"}\n{}", "line 2"),
            ("{\"plugin\":\"p\"}", "line 1"),
            ("{\"plugin\":\"p\",\"action\":\"a\",\"at\":\"soon\"}", "soon"),
            ("nonsense", "line 1"),
            ("{\"flow\":\"nightly@x\"}", "nightly@3"),
            ("{\"flow\":{\"tasks\":[{\"name\":\"a\"}]}}", "plugin"),
        ] {
            let what = requests(text, false).unwrap_err();
            assert!(what.contains(word), "{what}");
        }
    }
}
