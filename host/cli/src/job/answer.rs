//! Answering what a job waits for.

use clap::Args;
use windlass_proto::v1;

use super::wait::{self, Goal, WaitArguments};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::session::Session;
use crate::text;

#[derive(Debug, Args)]
pub struct AnswerArguments {
    job: String,
    /// The approval: TASK or TASK[1.2]; may be left out where the job waits for one only
    #[arg(value_parser = text::parse_instance, value_name = "TASK")]
    task: Option<v1::TaskInstanceName>,
    /// Why, kept with the answer
    #[arg(long, default_value = "", hide_default_value = true)]
    comment: String,
    /// Only if the job has not changed since
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    #[command(flatten)]
    wait: WaitArguments,
}

pub async fn answer(session: &Session, arguments: AnswerArguments, approved: bool) -> Result<Exit, Problem> {
    let AnswerArguments { job, task, comment, etag, wait } = arguments;
    let request = v1::AnswerJobRequest { job, task, approved, comment, etag };
    let job = session.jobs().answer(request).await?.into_inner();
    let goal = if approved { Goal::of(&job) } else { Goal::Undone };
    wait::shown(session, job, &wait, goal).await
}
