//! How revisions of flows are shown, and what is wrong with a flow.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_proto::v1;

use super::FlowDocument;
use crate::exit::Exit;
use crate::output::Show;
use crate::problem::Problem;
use crate::{text, time};

#[derive(Serialize)]
pub struct FlowView {
    name: String,
    revision: u32,
    latest_revision: u32,
    description: String,
    labels: BTreeMap<String, String>,
    /// Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<FlowDocument>,
    digest: String,
    task_count: u32,
    owner: String,
    principal: String,
    create_time: Option<String>,
    etag: String,
}

impl From<&v1::FlowRevision> for FlowView {
    fn from(revision: &v1::FlowRevision) -> Self {
        Self {
            name: revision.name.clone(),
            revision: revision.revision,
            latest_revision: revision.latest_revision,
            description: revision.description.clone(),
            labels: revision.labels.clone(),
            flow: revision.flow.as_ref().map(FlowDocument::from),
            digest: revision.digest.clone(),
            task_count: revision.task_count,
            owner: revision.owner.clone(),
            principal: revision.principal.clone(),
            create_time: revision.create_time.as_ref().map(time::rfc3339),
            etag: revision.etag.clone(),
        }
    }
}

impl FlowView {
    /// What stands above the picture.
    pub fn heading(&self) -> String {
        let which = match self.latest_revision {
            latest if latest == self.revision => "the latest".to_owned(),
            latest => format!("the latest is {latest}"),
        };
        let told = format!("{} ({which})", self.id());
        if self.description.is_empty() {
            told
        } else {
            format!("{told}: {}", text::one_line(&self.description))
        }
    }
}

impl Show for FlowView {
    const COLUMNS: &'static [&'static str] = &["NAME", "REVISION", "TASKS", "BY", "CREATED", "DESCRIPTION"];

    fn id(&self) -> String {
        format!("{}@{}", self.name, self.revision)
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.revision.to_string(),
            self.task_count.to_string(),
            self.principal.clone(),
            self.create_time.clone().unwrap_or_default(),
            self.description.clone(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("flow", self.id()),
            ("description", self.description.clone()),
            ("tasks", self.task_count.to_string()),
            ("digest", self.digest.clone()),
            ("labels", text::labels(&self.labels)),
            ("owner", self.owner.clone()),
            ("principal", self.principal.clone()),
            ("created", self.create_time.clone().unwrap_or_default()),
            ("etag", self.etag.clone()),
        ]
    }
}

/// What is wrong with a flow; nothing by default.
#[derive(Debug, Default, Serialize)]
pub struct ProblemsView {
    problems: Vec<ProblemView>,
    #[serde(skip_serializing_if = "super::document::is_zero")]
    left_off_count: u32,
}

#[derive(Debug, Serialize)]
struct ProblemView {
    field: String,
    description: String,
}

impl ProblemsView {
    pub fn of(answer: &v1::ValidateFlowResponse) -> Self {
        let problems = answer.problems.iter().map(|problem| ProblemView {
            field: problem.field.clone(),
            description: problem.description.clone(),
        });
        Self { problems: problems.collect(), left_off_count: answer.left_off_count }
    }

    /// For people, of the flow in `file`.
    pub fn problem(&self, file: &str) -> Problem {
        let count = self.problems.len() as u32 + self.left_off_count;
        let noun = if count == 1 { "problem" } else { "problems" };
        let mut problem = Problem::new(Exit::Refused, format!("the flow in {file} has {count} {noun}"));
        let places = self.problems.iter().map(|found| (found.field.clone(), found.description.clone()));
        problem.places = places.collect();
        if self.left_off_count > 0 {
            let more = format!("{} more: solve these first", self.left_off_count);
            problem.places.push((String::new(), more));
        }
        problem
    }
}
