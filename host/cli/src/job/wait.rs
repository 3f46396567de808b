//! Waiting: until jobs have ended, or time is up.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use windlass_proto::v1;

use super::view::JobView;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::session::Session;
use crate::{text, time};

/// One `Wait` call. Short enough that a host that went away is noticed soon.
const WAIT_STEP: Duration = Duration::from_secs(20);

/// How long a host that went away is waited for: long enough for a restart.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to reach a host that went away.
const RECONNECT_PAUSE: Duration = Duration::from_millis(300);

/// Of verbs after which a job goes on.
#[derive(Debug, Clone, Default, Args)]
pub struct WaitArguments {
    /// Wait until the job has ended; the exit code tells how
    #[arg(long)]
    pub wait: bool,
    /// With --wait: for so long at most
    #[arg(long, value_parser = time::duration, value_name = "DURATION", requires = "wait")]
    pub wait_timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct JobWaitArguments {
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// For so long at most
    #[arg(long, value_parser = time::duration, value_name = "DURATION")]
    timeout: Option<Duration>,
}

/// Which end of a job is what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Success,
    Undone,
    End,
}

impl Goal {
    /// What a job is on its way to.
    pub fn of(job: &v1::Job) -> Self {
        let asked = job.cause.as_ref().map(v1::Cause::kind) == Some(v1::CauseKind::RevertRequested);
        if asked { Self::Undone } else { Self::Success }
    }

    /// The exit code that a job with this goal has earned.
    pub fn exit(self, state: v1::JobState) -> Exit {
        let reached = match self {
            Self::Success => state == v1::JobState::Succeeded,
            Self::Undone => matches!(state, v1::JobState::Reverted | v1::JobState::Cancelled),
            Self::End => is_ended(state),
        };
        if reached { Exit::Done } else { Exit::JobEndedOtherwise }
    }
}

/// Whether a job in this state is over, until an operator opens another run.
pub fn is_ended(state: v1::JobState) -> bool {
    match state {
        v1::JobState::Succeeded
        | v1::JobState::Reverted
        | v1::JobState::Failed
        | v1::JobState::Dropped
        | v1::JobState::Cancelled
        | v1::JobState::Superseded => true,
        v1::JobState::Unspecified
        | v1::JobState::Scheduled
        | v1::JobState::Ready
        | v1::JobState::Waiting
        | v1::JobState::Running
        | v1::JobState::Reverting
        | v1::JobState::Suspending
        | v1::JobState::Suspended
        | v1::JobState::Quarantined => false,
    }
}

/// Whether the connection broke, as opposed to the host refusing: then another attempt may succeed.
pub fn is_connection_lost(status: &Status) -> bool {
    // A status that came over the wire has no source; one that the transport made has.
    status.code() == Code::Unavailable || std::error::Error::source(status).is_some()
}

/// `windlass job wait`.
pub async fn run(session: &Session, arguments: &JobWaitArguments) -> Result<Exit, Problem> {
    let deadline = arguments.timeout.map(|timeout| Instant::now() + timeout);
    let mut exit = Exit::Done;
    let mut ended = Vec::new();
    let mut patience = Patience::new(PATIENCE);
    for id in &arguments.jobs {
        let job = until_ended(session, id, deadline, &mut patience).await?;
        if Goal::of(&job).exit(job.state()) != Exit::Done {
            exit = Exit::JobEndedOtherwise;
        }
        ended.push(job);
    }
    show(session, &ended)?;
    Ok(exit)
}

/// Shows a job as it is, or as it ended where that was waited for.
pub async fn shown(
    session: &Session,
    job: v1::Job,
    arguments: &WaitArguments,
    goal: Goal,
) -> Result<Exit, Problem> {
    if !arguments.wait {
        show(session, &[job])?;
        return Ok(Exit::Done);
    }
    session.output.note(&format!("waiting for job {}", job.id));
    let deadline = arguments.wait_timeout.map(|timeout| Instant::now() + timeout);
    let mut patience = Patience::reached(PATIENCE);
    let job = until_ended(session, &job.id, deadline, &mut patience).await?;
    let exit = goal.exit(job.state());
    show(session, &[job])?;
    Ok(exit)
}

/// Likewise for jobs that something made.
pub async fn shown_jobs(
    session: &Session,
    ids: &[String],
    arguments: &WaitArguments,
) -> Result<Exit, Problem> {
    let deadline = arguments.wait_timeout.map(|timeout| Instant::now() + timeout);
    let mut exit = Exit::Done;
    let mut jobs = Vec::new();
    let mut patience = Patience::reached(PATIENCE);
    for id in ids {
        let job = if arguments.wait {
            until_ended(session, id, deadline, &mut patience).await?
        } else {
            let request = v1::GetJobRequest { job: id.clone() };
            super::submit::job(session.jobs().get(request).await?.into_inner().job)?
        };
        if arguments.wait && Goal::Success.exit(job.state()) != Exit::Done {
            exit = Exit::JobEndedOtherwise;
        }
        jobs.push(job);
    }
    let views: Vec<JobView> = jobs.iter().map(JobView::from).collect();
    session.output.many(&views)?;
    Ok(exit)
}

/// A single job in full, several as a list.
fn show(session: &Session, jobs: &[v1::Job]) -> Result<(), Problem> {
    match jobs {
        [job] => session.output.one(&JobView::from(job)),
        jobs => {
            let views: Vec<JobView> = jobs.iter().map(JobView::from).collect();
            session.output.many(&views)
        }
    }
}

/// Waits for the end of a job, through restarts of its host.
async fn until_ended(
    session: &Session,
    id: &str,
    deadline: Option<Instant>,
    patience: &mut Patience,
) -> Result<v1::Job, Problem> {
    let mut client = session.jobs();
    let is_late = || deadline.is_some_and(|deadline| deadline <= Instant::now());
    loop {
        let left = deadline.map_or(WAIT_STEP, |deadline| deadline.saturating_duration_since(Instant::now()));
        let request =
            v1::WaitJobRequest { job: id.to_owned(), timeout: Some(time::wire(left.min(WAIT_STEP))) };
        match client.wait(request).await {
            Ok(answer) => {
                patience.renew();
                let answer = answer.into_inner();
                let job = super::submit::job(answer.job)?;
                if answer.done {
                    return Ok(job);
                }
                if is_late() {
                    return Err(time_is_up(&job));
                }
            }
            Err(status) => {
                patience.after(status).await?;
                if is_late() {
                    let what = format!("the host is away, and the time to wait for job {id} is up");
                    return Err(Problem::new(Exit::TimedOut, what));
                }
            }
        }
    }
}

fn time_is_up(job: &v1::Job) -> Problem {
    let state = text::word(job.state().as_str_name(), "JOB_STATE_");
    Problem::new(Exit::TimedOut, format!("job {} is {state} still: the time to wait for it is up", job.id))
        .advise(format!("`windlass job watch {}`", job.id))
}

/// How long a host that went away is waited for. One that was never there is not.
pub struct Patience {
    length: Duration,
    reached: bool,
    lost: Option<Instant>,
}

impl Patience {
    pub fn new(length: Duration) -> Self {
        Self { length, reached: false, lost: None }
    }

    /// With a host that has answered already.
    pub fn reached(length: Duration) -> Self {
        Self { length, reached: true, lost: None }
    }

    /// The host answered.
    pub fn renew(&mut self) {
        self.reached = true;
        self.lost = None;
    }

    /// Pauses before the next attempt, or gives up: at once when the host refused.
    pub async fn after(&mut self, status: Status) -> Result<(), Problem> {
        if !self.reached || !is_connection_lost(&status) {
            return Err(status.into());
        }
        let lost = *self.lost.get_or_insert_with(Instant::now);
        if lost.elapsed() >= self.length {
            let mut problem = Problem::from(status);
            problem.exit = Exit::Unavailable;
            problem.what =
                format!("the host has been away for {}: {}", time::human(lost.elapsed()), problem.what);
            problem.advice = Some("start it again; jobs go on where they were".to_owned());
            return Err(problem);
        }
        sleep(RECONNECT_PAUSE).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_whether_the_job_ended_as_asked() {
        assert_eq!(Goal::Success.exit(v1::JobState::Succeeded), Exit::Done);
        assert_eq!(Goal::Success.exit(v1::JobState::Reverted), Exit::JobEndedOtherwise);
        assert_eq!(Goal::Undone.exit(v1::JobState::Reverted), Exit::Done);
        assert_eq!(Goal::Undone.exit(v1::JobState::Cancelled), Exit::Done);
        assert_eq!(Goal::Undone.exit(v1::JobState::Failed), Exit::JobEndedOtherwise);
        assert_eq!(Goal::End.exit(v1::JobState::Failed), Exit::Done);
    }

    #[test]
    fn a_revert_on_request_is_meant_to_end_reverted() {
        let mut job = v1::Job::default();
        assert_eq!(Goal::of(&job), Goal::Success);
        job.cause = Some(v1::Cause { kind: v1::CauseKind::RevertRequested.into(), ..v1::Cause::default() });
        assert_eq!(Goal::of(&job), Goal::Undone);
    }

    // In real time, which is one pause: a paused clock is a feature of tokio that only tests ask for, and with it all that
    // is built on tokio would be compiled once more for `cargo test` than for `cargo build`.
    #[tokio::test]
    async fn a_host_that_stays_away_is_given_up() {
        let short = Duration::from_millis(1);
        let away = || Status::unavailable("away");
        assert!(Patience::new(short).after(away()).await.is_err());
        let mut patience = Patience::reached(short);
        assert!(patience.after(away()).await.is_ok(), "there is one more attempt, after a pause");
        let problem = patience.after(away()).await.unwrap_err();
        assert_eq!(problem.exit, Exit::Unavailable);

        let refused = patience.after(Status::not_found("no")).await.unwrap_err();
        assert_eq!(refused.exit, Exit::NotFound);
    }
}
