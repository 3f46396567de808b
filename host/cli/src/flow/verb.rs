//! `windlass flow`: flows in files, and flows that a host keeps under names.

use clap::{Args, Subcommand};
use windlass_proto::v1;

use super::reference::Place;
use super::view::{FlowView, ProblemsView};
use super::{FlowDocument, picture, read, schema};
use crate::arguments::{Arguments, named, pair};
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check a flow: what it is made of, and, by the host, its plugins, inputs and order
    Validate(ValidateArguments),
    /// Store a flow under a name, as its next revision; the same flow again makes none
    Apply(ApplyArguments),
    /// Draw a flow as a tree
    Show(ShowArguments),
    /// List the latest revision of every name
    List(ListArguments),
    /// List the revisions of a name, the latest first
    History(HistoryArguments),
    /// Delete a name with all its revisions; refused while an operation has one
    Delete(DeleteArguments),
    /// Print the JSON Schema of flow documents, for editors and other programs
    Schema,
}

#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// A file with a flow as YAML or JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Only what can be checked without a host
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// A file with a flow as YAML or JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// The name to store it under
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Only if this is the latest revision; 0: only if there is none
    #[arg(long, value_name = "REVISION")]
    expect_revision: Option<u32>,
    /// For people
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// A label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Only check, and say which revision it would be
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A file (it exists, ends in .json, .yaml or .yml, or is `-`), or else NAME[@REVISION] at a host
    #[arg(value_name = "FILE|NAME")]
    flow: String,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only those whose latest revision has this label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    #[arg(long, default_value = "", hide_default_value = true)]
    owner: String,
    #[arg(long)]
    all_owners: bool,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Args)]
pub struct HistoryArguments {
    name: String,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Args)]
pub struct DeleteArguments {
    name: String,
    /// Only if it has not changed since
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Verb {
    /// Whether it asks no host.
    pub fn is_offline(&self) -> bool {
        match self {
            Self::Schema => true,
            Self::Validate(arguments) => arguments.offline,
            Self::Show(arguments) => matches!(Place::of(&arguments.flow), Ok(Place::File)),
            Self::Apply(_) | Self::List(_) | Self::History(_) | Self::Delete(_) => false,
        }
    }
}

/// Runs a verb that asks no host.
pub fn run_offline(verb: &Verb, format: Format) -> Result<(), Problem> {
    let output = Output::new(format);
    match verb {
        Verb::Schema => output.json(&schema::schema()),
        Verb::Validate(arguments) => {
            read(&arguments.file)?;
            valid(&output, &arguments.file)
        }
        Verb::Show(arguments) => show(&output, &read(&arguments.flow)?, None),
        Verb::Apply(_) | Verb::List(_) | Verb::History(_) | Verb::Delete(_) => {
            Err(Problem::broken("the verb needs a host"))
        }
    }
}

pub async fn run(session: &Session, verb: &Verb) -> Result<Exit, Problem> {
    let done = match verb {
        Verb::Validate(arguments) => return validate(session, arguments).await,
        Verb::Apply(arguments) => apply(session, arguments).await,
        Verb::Show(arguments) => show_stored(session, arguments).await,
        Verb::List(arguments) => list(session, arguments).await,
        Verb::History(arguments) => history(session, arguments).await,
        Verb::Delete(arguments) => delete(session, arguments).await,
        Verb::Schema => run_offline(verb, session.output.format),
    };
    done.map(|()| Exit::Done)
}

async fn validate(session: &Session, arguments: &ValidateArguments) -> Result<Exit, Problem> {
    let flow = read(&arguments.file)?;
    let given = &arguments.arguments;
    let arguments_json = given.is_given().then(|| given.json()).transpose()?;
    let request = v1::ValidateFlowRequest { flow: Some(flow), arguments_json };
    let answer = session.flows().validate(request).await?.into_inner();
    if answer.problems.is_empty() {
        valid(&session.output, &arguments.file)?;
        return Ok(Exit::Done);
    }
    let view = ProblemsView::of(&answer);
    match session.output.format {
        Format::Table | Format::Id => Err(view.problem(&named(&arguments.file))),
        Format::Json => session.output.json(&view).map(|()| Exit::Refused),
        Format::Jsonl => session.output.jsonl(&view).map(|()| Exit::Refused),
    }
}

fn valid(output: &Output, file: &str) -> Result<(), Problem> {
    match output.format {
        Format::Table => output.line(&format!("{} holds a valid flow", named(file))),
        Format::Json => output.json(&ProblemsView::default()),
        Format::Jsonl => output.jsonl(&ProblemsView::default()),
        Format::Id => Ok(()),
    }
}

async fn apply(session: &Session, arguments: &ApplyArguments) -> Result<(), Problem> {
    let request = v1::CreateFlowRevisionRequest {
        name: arguments.name.clone(),
        flow: Some(read(&arguments.file)?),
        description: arguments.description.clone(),
        labels: arguments.labels.iter().cloned().collect(),
        expected_revision: arguments.expect_revision,
        validate_only: arguments.dry_run,
    };
    let answer = session.flows().create_revision(request).await?.into_inner();
    let revision =
        answer.revision.ok_or_else(|| Problem::broken("the host answered without the revision"))?;
    session.output.note(match (answer.unchanged, arguments.dry_run) {
        (true, _) => "the latest revision is the same already: none was made",
        (false, true) => "checked: it would be made, and nothing was stored",
        (false, false) => "a revision was made",
    });
    session.output.one(&FlowView::from(&revision))
}

async fn show_stored(session: &Session, arguments: &ShowArguments) -> Result<(), Problem> {
    let Place::Stored(reference) = Place::of(&arguments.flow)? else {
        return show(&session.output, &read(&arguments.flow)?, None);
    };
    let request = v1::GetFlowRequest { name: reference.name, revision: reference.revision };
    let revision = session.flows().get(request).await?.into_inner();
    let flow = revision.flow.clone().unwrap_or_default();
    show(&session.output, &flow, Some(&FlowView::from(&revision)))
}

fn show(output: &Output, flow: &v1::Flow, stored: Option<&FlowView>) -> Result<(), Problem> {
    match output.format {
        Format::Table => {
            if let Some(stored) = stored {
                output.line(&stored.heading())?;
            }
            output.line(&picture::tree(flow))
        }
        Format::Json => output.json(&FlowDocument::from(flow)),
        Format::Jsonl => output.jsonl(&FlowDocument::from(flow)),
        Format::Id => picture::names(flow).into_iter().try_for_each(|name| output.line(name)),
    }
}

async fn list(session: &Session, arguments: &ListArguments) -> Result<(), Problem> {
    let mut client = session.flows();
    let flows = page::collect(&arguments.page, async |page_size, page_token| {
        let request = v1::ListFlowsRequest {
            page_size,
            page_token,
            labels: arguments.labels.iter().cloned().collect(),
            owner: arguments.owner.clone(),
            all_owners: arguments.all_owners,
        };
        let answer = client.list(request).await?.into_inner();
        Ok((answer.flows, answer.next_page_token))
    })
    .await?;
    session.output.many(&flows.iter().map(FlowView::from).collect::<Vec<_>>())
}

async fn history(session: &Session, arguments: &HistoryArguments) -> Result<(), Problem> {
    let mut client = session.flows();
    let revisions = page::collect(&arguments.page, async |page_size, page_token| {
        let request = v1::ListFlowRevisionsRequest { name: arguments.name.clone(), page_size, page_token };
        let answer = client.list_revisions(request).await?.into_inner();
        Ok((answer.revisions, answer.next_page_token))
    })
    .await?;
    session.output.many(&revisions.iter().map(FlowView::from).collect::<Vec<_>>())
}

async fn delete(session: &Session, arguments: &DeleteArguments) -> Result<(), Problem> {
    let DeleteArguments { name, etag } = arguments;
    session.flows().delete(v1::DeleteFlowRequest { name: name.clone(), etag: etag.clone() }).await?;
    session.output.note(&format!("flow {name} is deleted, with all its revisions"));
    Ok(())
}
