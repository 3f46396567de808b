//! `windlass completion`: scripts that complete the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::command::Cli;
use crate::output::{Format, Output};
use crate::problem::Problem;

#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// Whose script
    shell: Shell,
}

pub fn run(arguments: &CompletionArguments) -> Result<(), Problem> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "windlass", &mut script);
    Output::new(Format::Table).bytes(&script)
}
