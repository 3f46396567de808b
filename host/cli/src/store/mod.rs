//! `windlass store`: everything that is kept, as one file: backed up online, moved and checked offline.

mod backup;
mod kept;
mod offline;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write down everything that a running host keeps, while it works
    Backup {
        /// Where to; it appears only when it is whole; `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        file: String,
    },
    #[command(flatten)]
    Offline(OfflineVerb),
}

/// What is done with a store that no host has.
#[derive(Debug, Subcommand)]
pub enum OfflineVerb {
    /// Write down everything in the store of a stopped host
    Export {
        #[command(flatten)]
        place: offline::PlaceArguments,
        /// Where to; it appears only when it is whole; `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        file: String,
    },
    /// Fill an empty store with what was exported or backed up
    Import {
        #[command(flatten)]
        place: offline::PlaceArguments,
        /// What was exported or backed up; `-` for standard input
        #[arg(long, short, value_name = "FILE")]
        file: String,
    },
    /// Look for everything that is wrong in the store of a stopped host, a line each
    Check {
        #[command(flatten)]
        place: offline::PlaceArguments,
    },
}

/// A verb that asks a host.
pub async fn run(session: &Session, file: &str) -> Result<(), Problem> {
    backup::run(session, file).await
}

/// A verb that needs no host, and that none may run beside.
pub async fn run_offline(verb: OfflineVerb, output: Output) -> Result<Exit, Problem> {
    match verb {
        OfflineVerb::Export { place, file } => offline::export(&place, &file, output).await,
        OfflineVerb::Import { place, file } => offline::import(&place, &file, output).await,
        OfflineVerb::Check { place } => offline::check(&place, output).await,
    }
}
