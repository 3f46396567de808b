//! Changing what a job does.

use clap::{Args, ValueEnum};
use prost_types::{FieldMask, Timestamp};
use serde::Serialize;
use windlass_proto::v1;

use super::submit::job;
use super::wait::{self, Goal, WaitArguments};
use crate::exit::Exit;
use crate::output::Format;
use crate::problem::Problem;
use crate::session::Session;
use crate::{text, time};

/// A job, as it was seen.
#[derive(Debug, Args)]
pub struct SeenArguments {
    job: String,
    /// Only if it has not changed since
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

/// A change after which the job goes on.
#[derive(Debug, Args)]
pub struct GoOnArguments {
    #[command(flatten)]
    seen: SeenArguments,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Likewise, with a reason.
#[derive(Debug, Args)]
pub struct ChangeArguments {
    #[command(flatten)]
    seen: SeenArguments,
    /// Why, for the logbook
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    wait: WaitArguments,
}

#[derive(Debug, Args)]
pub struct UpdateArguments {
    job: String,
    /// Not before this time
    #[arg(long, value_parser = time::instant, value_name = "TIME", conflicts_with = "now")]
    at: Option<Timestamp>,
    /// As soon as possible
    #[arg(long)]
    now: bool,
    /// Higher runs first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Only if it has not changed since
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

pub async fn update(session: &Session, arguments: UpdateArguments) -> Result<Exit, Problem> {
    let mut paths = Vec::new();
    if arguments.at.is_some() || arguments.now {
        paths.push("execute_time".to_owned());
    }
    if arguments.priority.is_some() {
        paths.push("priority".to_owned());
    }
    if paths.is_empty() {
        return Err(Problem::usage("nothing says what to change").advise("--at, --now or --priority"));
    }
    let request = v1::UpdateJobRequest {
        job: arguments.job,
        execute_time: arguments.at,
        priority: arguments.priority.unwrap_or(0),
        update_mask: Some(FieldMask { paths }),
        etag: arguments.etag,
    };
    let job = session.jobs().update(request).await?.into_inner();
    wait::shown(session, job, &WaitArguments::default(), Goal::Success).await
}

#[derive(Debug, Args)]
pub struct CancelArguments {
    #[command(flatten)]
    change: ChangeArguments,
    /// Leave what was done, and name it as residue, instead of undoing it
    #[arg(long)]
    leave: bool,
}

pub async fn cancel(session: &Session, arguments: CancelArguments) -> Result<Exit, Problem> {
    let ChangeArguments { seen, reason, wait } = arguments.change;
    let (mode, goal) = if arguments.leave {
        (v1::CancelMode::Leave, Goal::End)
    } else {
        (v1::CancelMode::Revert, Goal::Undone)
    };
    let request = v1::CancelJobRequest { job: seen.job, mode: mode.into(), reason, etag: seen.etag };
    let job = session.jobs().cancel(request).await?.into_inner();
    wait::shown(session, job, &wait, goal).await
}

pub async fn suspend(session: &Session, arguments: SeenArguments) -> Result<Exit, Problem> {
    let SeenArguments { job, etag } = arguments;
    let request = v1::SuspendJobRequest { job, etag };
    let job = session.jobs().suspend(request).await?.into_inner();
    wait::shown(session, job, &WaitArguments::default(), Goal::Success).await
}

pub async fn resume(session: &Session, arguments: GoOnArguments) -> Result<Exit, Problem> {
    let SeenArguments { job, etag } = arguments.seen;
    let request = v1::ResumeJobRequest { job, etag };
    let job = session.jobs().resume(request).await?.into_inner();
    let goal = Goal::of(&job);
    wait::shown(session, job, &arguments.wait, goal).await
}

pub async fn retry(session: &Session, arguments: ChangeArguments) -> Result<Exit, Problem> {
    let ChangeArguments { seen, reason, wait } = arguments;
    let request = v1::RetryJobRequest { job: seen.job, reason, etag: seen.etag };
    let job = session.jobs().retry(request).await?.into_inner();
    wait::shown(session, job, &wait, Goal::Success).await
}

pub async fn release(session: &Session, arguments: GoOnArguments) -> Result<Exit, Problem> {
    let SeenArguments { job, etag } = arguments.seen;
    let request = v1::ReleaseJobRequest { job, etag };
    let job = session.jobs().release(request).await?.into_inner();
    let goal = Goal::of(&job);
    wait::shown(session, job, &arguments.wait, goal).await
}

#[derive(Debug, Args)]
pub struct RevertArguments {
    #[command(flatten)]
    change: ChangeArguments,
    /// Only tell what would be undone, in order
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

pub async fn revert(session: &Session, arguments: RevertArguments) -> Result<Exit, Problem> {
    let ChangeArguments { seen, reason, wait } = arguments.change;
    let request = v1::RevertJobRequest { job: seen.job, reason, etag: seen.etag, dry_run: arguments.dry_run };
    let answer = session.jobs().revert(request).await?.into_inner();
    if !arguments.dry_run {
        return wait::shown(session, job(answer.job)?, &wait, Goal::Undone).await;
    }
    let steps: Vec<StepView> = answer.steps.iter().map(StepView::from).collect();
    match session.output.format {
        Format::Json => session.output.json(&steps)?,
        Format::Jsonl => steps.iter().try_for_each(|step| session.output.jsonl(step))?,
        Format::Table => steps.iter().try_for_each(|step| session.output.line(&step.line()))?,
        Format::Id => steps.iter().try_for_each(|step| session.output.line(&step.task))?,
    }
    for name in &answer.remaining {
        let name = text::instance(&name.task, &name.iteration);
        session.output.note(&format!("{name} stays: it was let be when its revert had failed"));
    }
    Ok(Exit::Done)
}

/// What a revert would do about one task instance, or about a flow with a revert of its own.
#[derive(Serialize)]
struct StepView {
    task: String,
    plugin: String,
    action: String,
    /// The job that is undone, in the place of a call.
    #[serde(skip_serializing_if = "String::is_empty")]
    child_job: String,
    undo_record_count: u32,
    /// The tasks that the own revert of a flow undoes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undoes: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    obstacle: String,
}

impl From<&v1::RevertStep> for StepView {
    fn from(step: &v1::RevertStep) -> Self {
        let name = step.task.clone().unwrap_or_default();
        Self {
            task: text::instance(&name.task, &name.iteration),
            plugin: step.plugin.clone(),
            action: step.action.clone(),
            child_job: step.child_job.clone(),
            undo_record_count: step.undo_record_count,
            undoes: step.undoes.iter().map(|name| text::instance(&name.task, &name.iteration)).collect(),
            obstacle: step.obstacle.clone(),
        }
    }
}

impl StepView {
    fn line(&self) -> String {
        let records = match self.undo_record_count {
            0 => String::new(),
            1 => ", 1 undo record".to_owned(),
            count => format!(", {count} undo records"),
        };
        let obstacle = match self.obstacle.as_str() {
            "" => String::new(),
            obstacle => format!("; cannot be undone: {obstacle}"),
        };
        let undoes = match self.undoes.as_slice() {
            [] => String::new(),
            undoes => format!(", undoes {}", undoes.join(", ")),
        };
        let by = match self.child_job.as_str() {
            "" => format!("{} of {}", self.action, self.plugin),
            child => format!("job {child} is undone"),
        };
        format!("{}: {by}{records}{undoes}{obstacle}", self.task)
    }
}

/// What to do about a revert that failed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Resolution {
    /// Call revert again
    Retry,
    /// Take what is left for undone; it stays in the residue
    Accept,
    /// Leave this revert out; it stays in the residue
    Skip,
}

#[derive(Debug, Args)]
pub struct ResolveArguments {
    #[command(flatten)]
    change: ChangeArguments,
    /// The task instance: TASK (the last of it) or TASK[1.2]
    #[arg(long, value_parser = text::parse_instance, value_name = "TASK")]
    task: v1::TaskInstanceName,
    /// What to do about it
    #[arg(long = "as", value_enum, value_name = "RESOLUTION")]
    resolution: Resolution,
}

pub async fn resolve(session: &Session, arguments: ResolveArguments) -> Result<Exit, Problem> {
    let ChangeArguments { seen, reason, wait } = arguments.change;
    let resolution = match arguments.resolution {
        Resolution::Retry => v1::Resolution::Retry,
        Resolution::Accept => v1::Resolution::Accept,
        Resolution::Skip => v1::Resolution::Skip,
    };
    let request = v1::ResolveJobRequest {
        job: seen.job,
        task: Some(arguments.task),
        resolution: resolution.into(),
        reason,
        etag: seen.etag,
    };
    let job = session.jobs().resolve(request).await?.into_inner();
    wait::shown(session, job, &wait, Goal::Undone).await
}

pub async fn purge(session: &Session, arguments: SeenArguments) -> Result<(), Problem> {
    let SeenArguments { job, etag } = arguments;
    let request = v1::PurgeJobRequest { job: job.clone(), etag };
    session.jobs().purge(request).await?;
    session.output.note(&format!("job {job} is purged"));
    Ok(())
}
