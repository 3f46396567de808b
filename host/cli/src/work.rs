//! Work on the command line and in answers: one action, or a flow from a file.

use clap::Args;
use serde::Serialize;
use windlass_proto::v1;
use windlass_proto::v1::work::Kind;

use crate::flow::reference::{self, Place};
use crate::flow::{self, FlowDocument, picture};
use crate::problem::Problem;

/// What is to be done.
#[derive(Debug, Clone, Default, Args)]
pub struct WorkArguments {
    /// The plugin of a single action: a digest, NAME@VERSION, or NAME
    #[arg(long, value_name = "PLUGIN", requires = "action", conflicts_with = "flow")]
    plugin: Option<String>,
    /// The action
    #[arg(long, value_name = "ACTION", requires = "plugin")]
    action: Option<String>,
    /// A flow: a file (it exists, ends in .json, .yaml or .yml, or is `-`), or else NAME[@REVISION] of a
    /// stored one
    #[arg(long, value_name = "FILE|NAME")]
    flow: Option<String>,
}

impl WorkArguments {
    pub fn is_given(&self) -> bool {
        self.plugin.is_some() || self.flow.is_some()
    }

    pub fn wire(&self) -> Result<v1::Work, Problem> {
        let kind = match (&self.flow, &self.plugin, &self.action) {
            (Some(flow), _, _) => match Place::of(flow)? {
                Place::File => Kind::Flow(flow::read(flow)?),
                Place::Stored(reference) => Kind::Reference(reference),
            },
            (None, Some(plugin), Some(action)) => Kind::Action(v1::Action {
                plugin: plugin.clone(),
                action: action.clone(),
                digest: String::new(),
            }),
            _ => {
                return Err(Problem::usage("nothing says what to do")
                    .advise("--plugin NAME --action ACTION, or --flow FILE, or --flow NAME"));
            }
        };
        Ok(v1::Work { kind: Some(kind) })
    }
}

/// How work is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkView {
    Action {
        plugin: String,
        action: String,
        digest: String,
    },
    Flow(Box<FlowDocument>),
    /// Not resolved: hosts answer with the flow.
    Reference(String),
}

impl WorkView {
    pub fn of(work: &v1::Work) -> Option<Self> {
        Some(match work.kind.as_ref()? {
            Kind::Action(action) => Self::Action {
                plugin: action.plugin.clone(),
                action: action.action.clone(),
                digest: action.digest.clone(),
            },
            Kind::Flow(flow) => Self::Flow(Box::new(FlowDocument::from(flow))),
            Kind::Reference(flow) => Self::Reference(reference::written(flow)),
        })
    }
}

/// Work for people, on one line.
pub fn line(work: Option<&v1::Work>) -> String {
    match work.and_then(|work| work.kind.as_ref()) {
        Some(Kind::Action(action)) => format!("{} {}", action.plugin, action.action),
        Some(Kind::Flow(flow)) => format!("flow: {}", picture::line(flow)),
        Some(Kind::Reference(flow)) => format!("flow {}", reference::written(flow)),
        None => String::new(),
    }
}

/// The names of the tasks of work, in order.
pub fn task_names(work: Option<&v1::Work>) -> Vec<&str> {
    match work.and_then(|work| work.kind.as_ref()) {
        Some(Kind::Action(action)) => vec![&action.action],
        Some(Kind::Flow(flow)) => picture::names(flow),
        Some(Kind::Reference(_)) | None => Vec::new(),
    }
}
