//! `windlass log`: the history, of one job or across jobs.

use std::time::Duration;

use clap::{Args, Subcommand};
use tonic::Status;
use windlass_proto::v1;

use crate::entry::{EntryView, Lines};
use crate::job::wait::Patience;
use crate::output::Format;
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Session;
use crate::time;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List entries: of one job in order, or across jobs
    List(ListArguments),
    /// Show entries as they are written
    Tail(TailArguments),
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only this job's
    #[arg(default_value = "", hide_default_value = true)]
    job: String,
    /// Only this kind; one ending in `.` stands for all that begin so; repeatable
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only entries after this sequence number of the job
    #[arg(long, default_value_t = 0, value_name = "SEQUENCE", requires = "job")]
    after: u64,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Args)]
pub struct TailArguments {
    /// Go on where an earlier tail stopped
    #[arg(long, default_value = "", hide_default_value = true)]
    cursor: String,
    /// Only this kind; one ending in `.` stands for all that begin so; repeatable
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// How long a host that went away is waited for
    #[arg(long, value_parser = time::duration, default_value = "30s", value_name = "DURATION")]
    patience: Duration,
}

pub async fn run(session: &Session, verb: Verb) -> Result<(), Problem> {
    match verb {
        Verb::List(arguments) => list(session, arguments).await,
        Verb::Tail(arguments) => tail(session, arguments).await,
    }
}

async fn list(session: &Session, arguments: ListArguments) -> Result<(), Problem> {
    let filter = v1::ListEntriesRequest {
        page_size: 0,
        page_token: String::new(),
        job: arguments.job,
        kinds: arguments.kinds,
        after_sequence: arguments.after,
    };
    let mut client = session.logbook();
    let entries = page::collect(&arguments.page, async |page_size, page_token| {
        let request = v1::ListEntriesRequest { page_size, page_token, ..filter.clone() };
        let answer = client.list(request).await?.into_inner();
        Ok((answer.entries, answer.next_page_token))
    })
    .await?;
    let mut lines = Lines::new(session.output.paint, filter.job.is_empty());
    lines.align(entries.iter().map(|entry| entry.task.as_str()));
    if session.output.format == Format::Json {
        let views: Vec<EntryView> = entries.iter().map(EntryView::from).collect();
        return session.output.json(&views);
    }
    entries.iter().try_for_each(|entry| show(session, &mut lines, entry))
}

fn show(session: &Session, lines: &mut Lines, entry: &v1::Entry) -> Result<(), Problem> {
    match session.output.format {
        Format::Table => {
            let shown = lines.entry(entry);
            shown.iter().try_for_each(|line| session.output.line(line))
        }
        Format::Json | Format::Jsonl => session.output.jsonl(&EntryView::from(entry)),
        Format::Id => session.output.line(&format!("{} {}", entry.job, entry.sequence)),
    }
}

/// Until the reader hangs up, or the host stays away.
async fn tail(session: &Session, arguments: TailArguments) -> Result<(), Problem> {
    let mut lines = Lines::new(session.output.paint, true);
    let mut patience = Patience::new(arguments.patience);
    let mut request = v1::TailEntriesRequest { cursor: arguments.cursor, kinds: arguments.kinds };
    loop {
        let opened = session.logbook().tail(request.clone()).await;
        let mut stream = match opened {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                patience.after(status).await?;
                continue;
            }
        };
        let lost = loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    patience.renew();
                    for entry in &message.entries {
                        lines.align([entry.task.as_str()]);
                        show(session, &mut lines, entry)?;
                    }
                    request.cursor = message.cursor;
                }
                Ok(None) => break Status::unavailable("the host ended the tail"),
                Err(status) => break status,
            }
        };
        patience.after(lost).await?;
    }
}
