//! `windlass`: the host and its client, in one binary.
//!
//! A client verb is: read the command line, ask the host, show the answer. It knows only the contract, never the host.

mod arguments;
mod command;
mod completion;
mod entry;
mod event;
mod exit;
mod flow;
mod grant;
mod host;
mod job;
mod logbook;
mod operation;
mod output;
mod page;
mod plugin;
mod problem;
mod serve;
mod session;
mod store;
mod style;
mod text;
mod time;
mod trigger;
mod work;

use std::process::ExitCode;

/// A host makes and drops many small things on every thread: a quarter of its time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::parser::ArgMatches;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::command::{Cli, Noun};
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::session::Session;
use crate::style::Paint;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match start(cli, &matches) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            eprintln!("{}", problem.render(Paint::for_stream(&std::io::stderr())));
            problem.exit.into()
        }
    }
}

/// A host gets a thread for every core, a client makes do with one.
fn start(cli: Cli, matches: &ArgMatches) -> Result<Exit, Problem> {
    let serves = matches.subcommand_matches("serve");
    let mut builder = match serves {
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
        None => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Problem::broken(format!("the runtime cannot be started: {error}")))?;
    match (cli.noun, serves) {
        (Noun::Serve(arguments), Some(matches)) => runtime.block_on(serve::run(*arguments, matches)),
        (Noun::Store(store::Verb::Offline(verb)), _) => {
            runtime.block_on(store::run_offline(verb, Output::new(cli.global.output)))
        }
        (Noun::Completion(arguments), _) => {
            completion::run(&arguments)?;
            Ok(Exit::Done)
        }
        (Noun::Flow(verb), _) if verb.is_offline() => {
            flow::verb::run_offline(&verb, cli.global.output)?;
            Ok(Exit::Done)
        }
        (noun, _) => runtime.block_on(async {
            let session = Session::open(&cli.global)?;
            ask(&session, noun).await.map_err(|problem| problem.of_host(&cli.global.host))
        }),
    }
}

async fn ask(session: &Session, noun: Noun) -> Result<Exit, Problem> {
    match noun {
        Noun::Plugin(verb) => plugin::run(session, verb).await?,
        Noun::Trigger(verb) => return trigger::run(session, verb).await,
        Noun::Operation(verb) => operation::run(session, *verb).await?,
        Noun::Job(verb) => return job::run(session, *verb).await,
        Noun::Flow(verb) => return flow::verb::run(session, &verb).await,
        Noun::Log(verb) => logbook::run(session, verb).await?,
        Noun::Event(verb) => return event::run(session, verb).await,
        Noun::Host(verb) => host::run(session, verb).await?,
        Noun::Store(store::Verb::Backup { file }) => store::run(session, &file).await?,
        Noun::Serve(_) | Noun::Completion(_) | Noun::Store(store::Verb::Offline(_)) => {
            return Err(Problem::broken("the verb needs no host"));
        }
    }
    Ok(Exit::Done)
}
