//! `make demo`: the main job of Windlass on real input, from upload to undo.
//!
//! It starts a real host, has a real directory backed up by it on a schedule and on an event, makes a run fail, kills
//! the host in the middle of another, and checks what is left with other tools.
//!
//! Invariant: a line is printed after what it says was observed. Whatever is not as it should be ends the demo with
//! an error and a code other than 0. Nothing that it started outlives it.

mod acts;
mod archive;
mod client;
mod compare;
mod flow;
mod host;
mod log;
mod screen;
mod stage;
mod text;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::Screen;
use crate::stage::Stage;

/// Of a program that a signal ended, by the custom of shells: 128 and the number of the signal.
const EXIT_INTERRUPTED: u8 = 130;
const EXIT_TERMINATED: u8 = 143;

/// Shows the main job of Windlass on a real directory.
#[derive(Debug, Parser)]
#[command(name = "windlass-demo", version)]
pub struct Arguments {
    /// The directory to back up; `target` and `.git` are left out, wherever they are
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub source: PathBuf,
    /// The backup plugin, as `make plugins` builds it
    #[arg(long, default_value = "target/wasm32-wasip2/release/windlass_example_backup.wasm")]
    #[arg(value_name = "FILE")]
    pub plugin: PathBuf,
    /// The `windlass` binary [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    pub windlass: Option<PathBuf>,
    /// Where the demo works, and leaves an archive
    #[arg(long, default_value = "target/demo", value_name = "DIR")]
    pub work: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let screen = Screen::of_stdout();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")
        .and_then(|runtime| runtime.block_on(run(&arguments, screen)));
    outcome.unwrap_or_else(|error| {
        eprintln!("{} {error:#}", Screen::of_stderr().bad("the demo failed:"));
        ExitCode::FAILURE
    })
}

async fn run(arguments: &Arguments, screen: Screen) -> anyhow::Result<ExitCode> {
    // Before anything is started: a signal that comes early is not lost.
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let stage = Stage::set(arguments)?;
    let stopped = tokio::select! {
        outcome = acts::play(&stage, screen) => {
            return match outcome {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => Err(stage.keep_for_diagnosis(error)),
            };
        }
        _ = interrupt.recv() => EXIT_INTERRUPTED,
        _ = terminate.recv() => EXIT_TERMINATED,
    };
    // The acts are dropped, and the host with them; the stage removes its directory.
    drop(stage);
    eprintln!("interrupted: the host is stopped, and what it kept is removed");
    Ok(ExitCode::from(stopped))
}
