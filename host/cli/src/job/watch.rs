//! Watching: a job's entries and progress as they are made, through restarts of its host.
//!
//! Invariant: an entry is shown once, whatever happens to the connection.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tonic::Status;
use windlass_proto::v1;
use windlass_proto::v1::watch_job_response::Event;

use super::task_view::ProgressView;
use super::view::JobView;
use super::wait::{Goal, Patience, is_ended};
use crate::entry::{EntryView, Lines, percent};
use crate::exit::Exit;
use crate::output::{Format, Output, Show as _};
use crate::problem::Problem;
use crate::session::Session;
use crate::style::Paint;
use crate::{text, time, work};

/// How often a spinner moves.
const SPIN_EVERY: Duration = Duration::from_millis(120);

#[derive(Debug, Args)]
pub struct WatchArguments {
    job: String,
    /// The first entry that is wanted
    #[arg(long, default_value_t = 1, value_name = "SEQUENCE")]
    from: u64,
    /// How long a host that went away is waited for
    #[arg(long, value_parser = time::duration, default_value = "30s", value_name = "DURATION")]
    patience: Duration,
}

/// `windlass job watch`.
pub async fn run(session: &Session, arguments: &WatchArguments) -> Result<Exit, Problem> {
    let mut screen = Screen::new(session.output);
    let mut next = arguments.from.max(1);
    let mut patience = Patience::new(arguments.patience);
    loop {
        match follow(session, &arguments.job, &mut next, &mut screen, &mut patience).await {
            Ok(Some(job)) => {
                screen.ended(&job)?;
                return Ok(Goal::of(&job).exit(job.state()));
            }
            // A host that stops ends its streams: it comes back, or patience ends.
            Ok(None) => patience.after(Status::unavailable("the host ended the watch")).await?,
            Err(Lost::Connection(status)) => patience.after(status).await?,
            Err(Lost::Output(problem)) => return Err(problem),
        }
    }
}

/// Why a watch stopped before the job did.
enum Lost {
    Connection(Status),
    Output(Problem),
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        Self::Connection(status)
    }
}

impl From<Problem> for Lost {
    fn from(problem: Problem) -> Self {
        Self::Output(problem)
    }
}

/// Follows one stream. The job, once it has ended; nothing when the stream ended before it.
async fn follow(
    session: &Session,
    job: &str,
    next: &mut u64,
    screen: &mut Screen,
    patience: &mut Patience,
) -> Result<Option<v1::Job>, Lost> {
    let request = v1::WatchJobRequest { job: job.to_owned(), from_sequence: *next };
    let mut stream = session.jobs().watch(request).await?.into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await? {
        patience.renew();
        match message.event {
            Some(Event::Job(job)) => {
                screen.job(&job)?;
                last = Some(job);
            }
            Some(Event::Entry(entry)) if entry.sequence >= *next => {
                screen.entry(&entry)?;
                *next = entry.sequence + 1;
            }
            Some(Event::Progress(update)) => screen.progress(job, &update)?,
            // An entry that was shown before, a heartbeat, or something newer than this program.
            Some(Event::Entry(_) | Event::Heartbeat(_)) | None => {}
        }
    }
    // The first snapshot may be of a job that ended long ago: then too every entry came before the stream ended.
    Ok(last.filter(|job| is_ended(job.state())))
}

/// What is shown of a job.
struct Screen {
    output: Output,
    lines: Lines,
    bar: Option<ProgressBar>,
}

/// One message of the stream, for a program.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EventView {
    Job(Box<JobView>),
    Entry(EntryView),
    Progress { task: String, progress: ProgressView },
}

impl Screen {
    fn new(output: Output) -> Self {
        let live = output.format == Format::Table && output.paint == Paint::Colour;
        Self {
            output,
            lines: Lines::new(output.paint, false),
            bar: live.then(|| {
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(blank())
            }),
        }
    }

    fn job(&mut self, job: &v1::Job) -> Result<(), Problem> {
        self.lines.align(work::task_names(job.work.as_ref()));
        match self.output.format {
            Format::Table | Format::Id => Ok(()),
            Format::Json | Format::Jsonl => {
                let view = EventView::Job(Box::new(JobView::from(job)));
                self.output.jsonl(&view)
            }
        }
    }

    fn entry(&mut self, entry: &v1::Entry) -> Result<(), Problem> {
        match self.output.format {
            Format::Id => Ok(()),
            Format::Json | Format::Jsonl => self.output.jsonl(&EventView::Entry(EntryView::from(entry))),
            Format::Table => {
                if !entry.state_after.is_empty() {
                    self.clear();
                }
                let lines = self.lines.entry(entry);
                lines.iter().try_for_each(|line| self.line(line))
            }
        }
    }

    fn progress(&mut self, job: &str, update: &v1::ProgressUpdate) -> Result<(), Problem> {
        let name = update.task.clone().unwrap_or_default();
        let progress = update.progress.clone().unwrap_or_default();
        let task = text::instance(&name.task, &name.iteration);
        match (self.output.format, &self.bar) {
            (Format::Id, _) => Ok(()),
            (Format::Json | Format::Jsonl, _) => {
                self.output.jsonl(&EventView::Progress { task, progress: ProgressView::from(&progress) })
            }
            // The begin and the end of a call have lines of their own.
            (Format::Table, None)
                if progress.message.is_empty() && !(0.001..0.999).contains(&progress.fraction) =>
            {
                Ok(())
            }
            (Format::Table, None) => self.output.line(&self.lines.progress(job, update)),
            (Format::Table, Some(bar)) => {
                bar.set_style(spinner());
                bar.enable_steady_tick(SPIN_EVERY);
                bar.set_message(format!("{}  {}", text::one_line(&task), percent(&progress)));
                Ok(())
            }
        }
    }

    /// Nothing is under way: the line of progress goes.
    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.set_message("");
            bar.set_style(blank());
            bar.tick();
        }
    }

    fn line(&self, line: &str) -> Result<(), Problem> {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.line(line)),
            None => self.output.line(line),
        }
    }

    fn ended(&self, job: &v1::Job) -> Result<(), Problem> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let view = JobView::from(job);
        match self.output.format {
            Format::Id => self.output.line(&view.id()),
            Format::Json | Format::Jsonl => Ok(()),
            Format::Table => self.output.line(&summary(job, self.output.paint)),
        }
    }
}

/// The last line of a watch.
fn summary(job: &v1::Job, paint: Paint) -> String {
    let state = text::word(job.state().as_str_name(), "JOB_STATE_");
    let mut line = format!("job {} {}", job.id, paint.state(&state, &state));
    if let Some(took) = super::view::between(&job.start_time, &job.end_time) {
        line.push_str(&format!(" in {took}"));
    }
    let names = job.residue.iter().map(|name| text::instance(&name.task, &name.iteration));
    let residue: Vec<String> = names.collect();
    if !residue.is_empty() {
        let residue = paint.bad(&residue.join(", "));
        line.push_str(&format!("; effects remain of {residue}"));
    }
    line
}

fn spinner() -> ProgressStyle {
    // The template is constant and well-formed; the default style is what a mistake would show.
    ProgressStyle::with_template("{spinner:.cyan} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn blank() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_remains() {
        let job = v1::Job {
            id: "j".to_owned(),
            state: v1::JobState::Failed.into(),
            residue: vec![v1::TaskInstanceName { task: "publish".to_owned(), iteration: Vec::new() }],
            ..v1::Job::default()
        };
        assert_eq!(summary(&job, Paint::Plain), "job j failed; effects remain of publish");
    }

    #[test]
    fn the_default_patience_is_that_of_a_wait() {
        assert_eq!(time::duration("30s"), Ok(super::super::wait::PATIENCE));
    }
}
