//! `windlass job`: executions of work, and all that an operator may do about them.

mod answer;
mod control;
mod read;
mod submit;
mod task_view;
mod view;
pub mod wait;
mod watch;

use clap::Subcommand;

pub use view::elapsed;

use crate::exit::Exit;
use crate::problem::Problem;
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Submit a job: an action or a flow, now or later
    Submit(submit::SubmitArguments),
    /// Submit many jobs at once, from a file of JSON lines
    SubmitBatch(submit::BatchArguments),
    /// List jobs, the newest first
    List(read::ListArguments),
    /// Show one job and its tasks
    Get(read::JobArgument),
    /// Show what the tasks provided
    Output(read::OutputArguments),
    /// Follow a job until it has ended
    Watch(watch::WatchArguments),
    /// Wait until a job has ended
    Wait(wait::JobWaitArguments),
    /// Change when a job runs, or its priority, before it has started
    Update(control::UpdateArguments),
    /// End a job: undo what was done, or leave it
    Cancel(control::CancelArguments),
    /// Let running tasks finish, then stop
    Suspend(control::SeenArguments),
    /// Go on with a suspended job
    Resume(control::GoOnArguments),
    /// Go on with a failed job from its failure
    Retry(control::ChangeArguments),
    /// Undo a job that has ended
    Revert(control::RevertArguments),
    /// Submit the same work and arguments as a new job
    Rerun(submit::RerunArguments),
    /// Decide about a revert that failed
    Resolve(control::ResolveArguments),
    /// Say yes to an approval that a job waits for
    Approve(answer::AnswerArguments),
    /// Say no to it
    Refuse(answer::AnswerArguments),
    /// Return a quarantined job to the board
    Release(control::GoOnArguments),
    /// Remove a job that has ended, with its history
    Purge(control::SeenArguments),
}

/// Runs a verb. The exit code tells how jobs ended where they were waited for.
pub async fn run(session: &Session, verb: Verb) -> Result<Exit, Problem> {
    match verb {
        Verb::Submit(arguments) => submit::submit(session, &arguments).await,
        Verb::SubmitBatch(arguments) => submit::batch(session, &arguments).await,
        Verb::Rerun(arguments) => submit::rerun(session, arguments).await,
        Verb::Watch(arguments) => watch::run(session, &arguments).await,
        Verb::Wait(arguments) => wait::run(session, &arguments).await,
        Verb::List(arguments) => done(read::list(session, arguments).await),
        Verb::Get(arguments) => done(read::get(session, arguments).await),
        Verb::Output(arguments) => done(read::output(session, arguments).await),
        Verb::Update(arguments) => control::update(session, arguments).await,
        Verb::Cancel(arguments) => control::cancel(session, arguments).await,
        Verb::Suspend(arguments) => control::suspend(session, arguments).await,
        Verb::Resume(arguments) => control::resume(session, arguments).await,
        Verb::Retry(arguments) => control::retry(session, arguments).await,
        Verb::Revert(arguments) => control::revert(session, arguments).await,
        Verb::Resolve(arguments) => control::resolve(session, arguments).await,
        Verb::Approve(arguments) => answer::answer(session, arguments, true).await,
        Verb::Refuse(arguments) => answer::answer(session, arguments, false).await,
        Verb::Release(arguments) => control::release(session, arguments).await,
        Verb::Purge(arguments) => done(control::purge(session, arguments).await),
    }
}

fn done(result: Result<(), Problem>) -> Result<Exit, Problem> {
    result.map(|()| Exit::Done)
}
