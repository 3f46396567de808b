//! `windlass flow`: looks at a flow in a file. Nothing is asked of a host; `windlass job submit --dry-run` checks it there.

use clap::{Args, Subcommand};

use super::{FlowDocument, picture, read};
use crate::output::{Format, Output};
use crate::problem::Problem;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Draw a flow as a tree
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A file with a flow as JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    file: String,
}

pub fn run(verb: &Verb, format: Format) -> Result<(), Problem> {
    let Verb::Show(arguments) = verb;
    let flow = read(&arguments.file)?;
    let output = Output::new(format);
    match format {
        Format::Table => output.line(&picture::tree(&flow)),
        Format::Json => output.json(&FlowDocument::from(&flow)),
        Format::Jsonl => output.jsonl(&FlowDocument::from(&flow)),
        Format::Id => picture::names(&flow).into_iter().try_for_each(|name| output.line(name)),
    }
}
