//! Reading: jobs, their tasks, their outputs.

use clap::Args;
use prost_types::Timestamp;
use windlass_proto::v1;

use super::view::{DetailView, JobView};
use crate::output::Format;
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Session;
use crate::text::{self, PayloadView};
use crate::time;

#[derive(Debug, Args)]
pub struct JobArgument {
    job: String,
}

/// All that is given must match.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only this state; repeatable
    #[arg(long = "state", value_parser = state, value_name = "STATE")]
    states: Vec<v1::JobState>,
    /// Only jobs of this operation
    #[arg(long, default_value = "", hide_default_value = true)]
    operation: String,
    /// Only jobs of this trigger
    #[arg(long, default_value = "", hide_default_value = true)]
    trigger: String,
    /// Only jobs of this type
    #[arg(long = "type", default_value = "", hide_default_value = true, value_name = "TYPE")]
    job_type: String,
    /// Only jobs with this label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = crate::arguments::pair)]
    labels: Vec<(String, String)>,
    /// Only jobs of this owner
    #[arg(long, default_value = "", hide_default_value = true)]
    owner: String,
    #[arg(long)]
    all_owners: bool,
    /// Created at or after this time
    #[arg(long, value_parser = time::instant, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Created before this time
    #[arg(long, value_parser = time::instant, value_name = "TIME")]
    until: Option<Timestamp>,
    #[command(flatten)]
    page: Page,
}

fn state(text: &str) -> Result<v1::JobState, String> {
    v1::JobState::from_str_name(&format!("JOB_STATE_{}", text.to_uppercase())).ok_or_else(|| {
        let names = (1..).map_while(|number| v1::JobState::try_from(number).ok());
        let names: Vec<String> = names.map(|state| text::word(state.as_str_name(), "JOB_STATE_")).collect();
        format!("{text:?} is none of {}", names.join(", "))
    })
}

pub async fn list(session: &Session, arguments: ListArguments) -> Result<(), Problem> {
    let filter = v1::ListJobsRequest {
        page_size: 0,
        page_token: String::new(),
        states: arguments.states.iter().map(|state| (*state).into()).collect(),
        operation: arguments.operation,
        trigger: arguments.trigger,
        r#type: arguments.job_type,
        labels: arguments.labels.into_iter().collect(),
        owner: arguments.owner,
        all_owners: arguments.all_owners,
        create_time_min: arguments.since,
        create_time_end: arguments.until,
    };
    let mut client = session.jobs();
    let jobs = page::collect(&arguments.page, async |page_size, page_token| {
        let request = v1::ListJobsRequest { page_size, page_token, ..filter.clone() };
        let answer = client.list(request).await?.into_inner();
        Ok((answer.jobs, answer.next_page_token))
    })
    .await?;
    let views: Vec<JobView> = jobs.iter().map(JobView::from).collect();
    session.output.many(&views)
}

pub async fn get(session: &Session, arguments: JobArgument) -> Result<(), Problem> {
    show(session, arguments.job).await
}

/// Shows a job with its tasks.
pub async fn show(session: &Session, job: String) -> Result<(), Problem> {
    let request = v1::GetJobRequest { job };
    let answer = session.jobs().get(request).await?.into_inner();
    let job = super::submit::job(answer.job)?;
    session.output.one(&DetailView::of(&job, &answer.tasks, &answer.scopes))
}

#[derive(Debug, Args)]
pub struct OutputArguments {
    job: String,
    /// What a task provides; without it, all that was provided
    #[arg(default_value = "", hide_default_value = true)]
    name: String,
}

/// Shows outputs. A single one is given as it is: JSON as text, anything else as its bytes.
pub async fn output(session: &Session, arguments: OutputArguments) -> Result<(), Problem> {
    let OutputArguments { job, name } = arguments;
    let request = v1::GetJobOutputRequest { job, name: name.clone() };
    let outputs = session.jobs().get_output(request).await?.into_inner().outputs;
    let output = session.output;
    if !name.is_empty() {
        let payload = outputs
            .get(&name)
            .ok_or_else(|| Problem::broken(format!("the host answered without {name:?}")))?;
        return match PayloadView::from(payload) {
            PayloadView::Json(json) => output.line(json.get()),
            PayloadView::Bytes { .. } => output.bytes(&payload.bytes),
        };
    }
    match output.format {
        Format::Table => outputs
            .iter()
            .try_for_each(|(name, value)| output.line(&format!("{name}  {}", text::payload(value)))),
        Format::Id => outputs.keys().try_for_each(|name| output.line(name)),
        Format::Json | Format::Jsonl => {
            let views: std::collections::BTreeMap<&String, PayloadView> =
                outputs.iter().map(|(name, value)| (name, PayloadView::from(value))).collect();
            if output.format == Format::Json { output.json(&views) } else { output.jsonl(&views) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_given_as_they_are_shown() {
        assert_eq!(state("running"), Ok(v1::JobState::Running));
        let refused = state("flying").unwrap_err();
        assert!(refused.contains("quarantined") && refused.contains("superseded"));
    }
}
