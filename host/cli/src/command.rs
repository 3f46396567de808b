//! The command line: nouns, and what holds for all of them.

use clap::{Args, Parser, Subcommand};

use crate::output::Format;
use crate::{completion, event, exit, flow, host, job, logbook, operation, plugin, serve, store, trigger};

/// Of the loopback address where a host listens unless it is told otherwise, and where a client looks for it.
pub const PORT: u16 = 7423;

/// Runs operations that must happen, exactly as recorded, and that can be undone.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, after_help = exit::TABLE, after_long_help = exit::TABLE)]
#[command(propagate_version = true, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub noun: Noun,
}

/// What holds for every client verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Every client verb")]
pub struct Global {
    /// Where the host is
    #[arg(long, global = true, env = "WINDLASS_HOST", default_value = "http://127.0.0.1:7423")]
    #[arg(value_name = "URL")]
    pub host: String,
    /// The form of answers: table, json, jsonl (one on each line) or id
    #[arg(long, short, global = true, value_enum, default_value = "table", env = "WINDLASS_OUTPUT")]
    #[arg(hide_possible_values = true, value_name = "FORMAT")]
    pub output: Format,
    /// On whose behalf
    #[arg(long, global = true, env = "WINDLASS_PRINCIPAL", default_value = "local", value_name = "NAME")]
    pub principal: String,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Run a host
    Serve(Box<serve::ServeArguments>),
    /// Uploaded components
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// What makes operations due: schedules and events
    #[command(subcommand)]
    Trigger(trigger::Verb),
    /// Triggers bound to work
    #[command(subcommand)]
    Operation(Box<operation::Verb>),
    /// Executions of work
    #[command(subcommand)]
    Job(Box<job::Verb>),
    /// The logbook
    #[command(subcommand)]
    Log(logbook::Verb),
    /// Flows: in files, and under names
    #[command(subcommand)]
    Flow(flow::verb::Verb),
    /// CloudEvents
    #[command(subcommand)]
    Event(event::Verb),
    /// Running processes
    #[command(subcommand)]
    Host(host::Verb),
    /// All that is kept: backed up, moved, checked
    #[command(subcommand)]
    Store(store::Verb),
    /// Print the completion script of a shell
    Completion(completion::CompletionArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn clients_look_where_hosts_listen() {
        let cli = Cli::try_parse_from(["windlass", "host", "list"]).unwrap();
        if std::env::var_os("WINDLASS_HOST").is_none() {
            assert_eq!(cli.global.host, format!("http://127.0.0.1:{PORT}"));
        }
    }

    #[test]
    fn the_exit_codes_are_in_the_help() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("Exit codes:"));
    }
}
