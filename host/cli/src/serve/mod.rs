//! `windlass serve`: a host in the foreground.
//!
//! Settings come from flags, the environment, a file, and defaults, in this order; `--print-config` tells which won.

mod file;
mod launch;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ArgMatches;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::problem::Problem;
use crate::{text, time};
use settings::{AllowedDirectory, Settings};

pub use settings::{check_database, state_directory};

#[derive(Debug, Default, Args)]
#[command(after_help = "Settings: flag > environment > file > default. The file is TOML, with the \
names of the flags and `_` for `-`:\n  data_dir = \"/var/lib/windlass\"\n  allow_dirs = \
[\"/srv/data:ro\", \"/srv/backups:rw\"]\n  call_timeout = \"5m\"")]
pub struct ServeArguments {
    /// A TOML file with settings
    #[arg(long, env = "WINDLASS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print every setting with its origin, and stop
    #[arg(long)]
    print_config: bool,
    /// Where everything is kept [default: $XDG_STATE_HOME/windlass]
    #[arg(long, env = "WINDLASS_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The database that holds the store, instead of a file in the data directory
    ///
    /// postgres://USER@HOST/DATABASE, with sslmode=disable, prefer, require, verify-ca or verify-full, and
    /// sslrootcert=FILE. Give a password by the environment, or in the file of settings.
    #[arg(long, env = "WINDLASS_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<String>,
    /// Where to listen; loopback only [default: 127.0.0.1:7423]
    #[arg(long, env = "WINDLASS_LISTEN", value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// The name of this host [default: that of the machine]
    #[arg(long, env = "WINDLASS_NAME", value_name = "NAME")]
    name: Option<String>,
    /// How many calls run at once; a running job takes one or more [default: 64]
    #[arg(long, env = "WINDLASS_SLOTS", value_name = "N")]
    slots: Option<u32>,
    /// A directory that operations may be granted, with all below it; repeatable
    #[arg(long = "allow-dir", env = "WINDLASS_ALLOW_DIRS", value_delimiter = ',')]
    #[arg(value_name = "PATH[:ro|rw]", value_parser = settings::allowed_directory)]
    allow_dirs: Vec<AllowedDirectory>,
    /// How long one call of a plugin may take, unless its task says otherwise [default: 5m]
    #[arg(long, env = "WINDLASS_CALL_TIMEOUT", value_name = "DURATION", value_parser = time::duration)]
    call_timeout: Option<Duration>,
    /// How much memory one call may use, unless its grants say less [default: 256MiB]
    #[arg(long, env = "WINDLASS_MEMORY_MAX", value_name = "SIZE", value_parser = text::parse_bytes)]
    memory_max: Option<u64>,
    /// The largest output or undo record of a call [default: 1MiB]
    #[arg(long, env = "WINDLASS_OUTPUT_MAX", value_name = "SIZE", value_parser = text::parse_bytes)]
    output_max: Option<u64>,
    /// The shortest interval between two times of a trigger [default: 1s]
    #[arg(long, env = "WINDLASS_INTERVAL_MIN", value_name = "DURATION", value_parser = time::duration)]
    interval_min: Option<Duration>,
    /// Threads that plugins run on, apart from those of the host [default: one for each core]
    #[arg(long, env = "WINDLASS_GUEST_THREADS", value_name = "N")]
    guest_threads: Option<u32>,
    /// Memory for what was read of the store [default: 64MiB]
    #[arg(long, env = "WINDLASS_STORE_CACHE", value_name = "SIZE", value_parser = text::parse_bytes)]
    store_cache: Option<u64>,
    /// A JSON file with the rules that say who may do what [default: everybody may do everything]
    #[arg(long, env = "WINDLASS_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How long running calls may go on once the host is asked to stop [default: 30s]
    #[arg(long, env = "WINDLASS_DRAIN_TIMEOUT", value_name = "DURATION", value_parser = time::duration)]
    drain_timeout: Option<Duration>,
    /// What is logged: a level, or directives such as info,windlass_host=debug [default: info]
    #[arg(long, env = "WINDLASS_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// The form of the log, on standard error [default: text]
    #[arg(long, env = "WINDLASS_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Serves until a signal. `matches` tells flags from the environment.
pub async fn run(arguments: ServeArguments, matches: &ArgMatches) -> Result<Exit, Problem> {
    let print_config = arguments.print_config;
    let settings = settings::resolve(arguments, matches)?;
    if print_config {
        Output::new(Format::Table).bytes(settings.render().as_bytes())?;
        return Ok(Exit::Done);
    }
    start_log(&settings)?;
    launch::launch(&settings).await?;
    Ok(Exit::Done)
}

fn start_log(settings: &Settings) -> Result<(), Problem> {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log.value).map_err(|error| {
        Problem::usage(format!(
            "log = {:?} ({}) is no filter: {error}",
            settings.log.value, settings.log.origin
        ))
        .advise("a level such as info, or directives such as info,windlass_host=debug")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match settings.log_format.value {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| Problem::broken(format!("the log cannot be started: {error}")))
}
