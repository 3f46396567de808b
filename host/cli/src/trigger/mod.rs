//! `windlass trigger`: what makes operations due.

mod edit;
mod view;

use clap::Subcommand;
use windlass_proto::v1;

use crate::exit::Exit;
use crate::job::wait::{self, WaitArguments};
use crate::output::Format;
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Session;
use crate::time;
use edit::{DueArguments, TriggerArguments};
use view::TriggerView;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create a trigger: --every, --cron or --event
    Create {
        /// Unique among the triggers
        name: String,
        #[command(flatten)]
        due: DueArguments,
        #[command(flatten)]
        more: TriggerArguments,
        /// An id of your own, a UUID: creating it again is refused
        #[arg(long, default_value = "", hide_default_value = true)]
        id: String,
    },
    /// Show one trigger
    Get {
        /// Its id or name
        trigger: String,
    },
    /// List triggers
    List {
        /// Only these states: active, paused, exhausted
        #[arg(long = "state", value_parser = state)]
        states: Vec<v1::TriggerState>,
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = crate::arguments::pair)]
        labels: Vec<(String, String)>,
        #[arg(long, default_value = "", hide_default_value = true)]
        owner: String,
        #[arg(long)]
        all_owners: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Change what is given; the next time is computed anew
    Update {
        /// Its id or name
        trigger: String,
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        due: DueArguments,
        #[command(flatten)]
        more: TriggerArguments,
        /// Only if it has not changed since
        #[arg(long)]
        etag: Option<String>,
    },
    /// Delete it; refused while an operation is bound to it
    Delete {
        trigger: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// No occurrence until it is resumed
    Pause {
        trigger: String,
        /// Why
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Make it active again, from now on
    Resume {
        trigger: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Make an occurrence now
    Fire {
        trigger: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        request_id: String,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Tell the next times of a trigger, or of a schedule that need not exist
    Preview {
        /// Its id or name
        #[arg(conflicts_with = "due")]
        trigger: Option<String>,
        #[command(flatten)]
        due: DueArguments,
        /// How many
        #[arg(long, short = 'n', default_value_t = 10)]
        count: u32,
        /// Only times after this one
        #[arg(long, value_parser = time::instant)]
        after: Option<prost_types::Timestamp>,
    },
}

fn state(text: &str) -> Result<v1::TriggerState, String> {
    v1::TriggerState::from_str_name(&format!("TRIGGER_STATE_{}", text.to_uppercase()))
        .ok_or_else(|| format!("{text:?} is none of active, paused, exhausted"))
}

pub async fn run(session: &Session, verb: Verb) -> Result<Exit, Problem> {
    let mut client = session.triggers();
    let trigger = match verb {
        Verb::Create { name, due, more, id } => {
            let mut trigger = edit::created(name, &due, &more)?;
            trigger.id = id;
            let request = v1::CreateTriggerRequest { trigger: Some(trigger) };
            client.create(request).await?.into_inner()
        }
        Verb::Get { trigger } => get(session, trigger).await?,
        Verb::Update { trigger, rename, due, more, etag } => {
            let before = get(session, trigger).await?;
            let request = edit::updated(before, rename, &due, &more, etag)?;
            client.update(request).await?.into_inner()
        }
        Verb::Pause { trigger, note, etag } => {
            let request = v1::PauseTriggerRequest { trigger, note, etag };
            client.pause(request).await?.into_inner()
        }
        Verb::Resume { trigger, etag } => {
            let request = v1::ResumeTriggerRequest { trigger, etag };
            client.resume(request).await?.into_inner()
        }
        other => return run_other(session, other).await,
    };
    session.output.one(&TriggerView::from(&trigger))?;
    Ok(Exit::Done)
}

/// The verbs that do not answer a trigger.
async fn run_other(session: &Session, verb: Verb) -> Result<Exit, Problem> {
    match verb {
        Verb::Delete { trigger, etag } => {
            let request = v1::DeleteTriggerRequest { trigger: trigger.clone(), etag };
            session.triggers().delete(request).await?;
            session.output.note(&format!("trigger {trigger} is deleted"));
        }
        Verb::Fire { trigger, request_id, wait } => {
            let request = v1::FireTriggerRequest { trigger, request_id };
            let answer = session.triggers().fire(request).await?.into_inner();
            return wait::shown_jobs(session, &answer.job_ids, &wait).await;
        }
        Verb::Preview { trigger, due, count, after } => preview(session, trigger, &due, count, after).await?,
        listing => list(session, listing).await?,
    }
    Ok(Exit::Done)
}

async fn get(session: &Session, trigger: String) -> Result<v1::Trigger, Problem> {
    let request = v1::GetTriggerRequest { trigger };
    Ok(session.triggers().get(request).await?.into_inner())
}

async fn list(session: &Session, verb: Verb) -> Result<(), Problem> {
    let Verb::List { states, labels, owner, all_owners, page } = verb else {
        return Err(Problem::broken("the verb has no meaning"));
    };
    let mut client = session.triggers();
    let triggers = page::collect(&page, async |page_size, page_token| {
        let request = v1::ListTriggersRequest {
            page_size,
            page_token,
            states: states.iter().map(|state| (*state).into()).collect(),
            labels: labels.iter().cloned().collect(),
            owner: owner.clone(),
            all_owners,
        };
        let answer = client.list(request).await?.into_inner();
        Ok((answer.triggers, answer.next_page_token))
    })
    .await?;
    let views: Vec<TriggerView> = triggers.iter().map(TriggerView::from).collect();
    session.output.many(&views)
}

async fn preview(
    session: &Session,
    trigger: Option<String>,
    due: &DueArguments,
    count: u32,
    after_time: Option<prost_types::Timestamp>,
) -> Result<(), Problem> {
    use v1::preview_trigger_request::Subject;
    let subject = match trigger {
        Some(trigger) => Subject::Trigger(trigger),
        None => Subject::Schedule(edit::schedule(due)?),
    };
    let request = v1::PreviewTriggerRequest { subject: Some(subject), count, after_time };
    let answer = session.triggers().preview(request).await?.into_inner();
    let times: Vec<String> = answer.times.iter().map(time::rfc3339).collect();
    match session.output.format {
        Format::Json => session.output.json(&times),
        Format::Jsonl => times.iter().try_for_each(|time| session.output.jsonl(time)),
        Format::Table | Format::Id => times.iter().try_for_each(|time| session.output.line(time)),
    }
}
