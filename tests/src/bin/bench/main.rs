//! The benchmark: a host as its clients see it over gRPC, beside the floor of the same run. `make bench` runs it.
//!
//! Reading order: [`measure`] says what is told and what is to be reached, [`workload`] what is done, [`floor`] what it
//! is held against, [`proof`] why it can be believed.
//!
//! Invariant: a job that counts was read back as done. What was lost ends the program with an error, not with a figure.

mod arguments;
mod bulk;
mod client;
mod clock;
mod drive;
mod figure;
mod floor;
mod host;
mod machine;
mod measure;
mod proof;
mod reading;
mod rows;
mod size;
mod table;
mod workload;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use arguments::{Arguments, USAGE};
use figure::{Figure, figures};
use reading::Reading;
use size::Size;
use workload::{Setting, Workload};

/// Of `bench.json`: raised when a field changes its meaning.
const FORMAT: u32 = 1;

/// That of the host, so that the floor has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// On one thread: a client that is spread over the cores takes them from the host.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    bench().await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn bench() -> Result<ExitCode> {
    if std::env::args().any(|word| word == "--help") {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    if arguments.is_list {
        workload::ALL.iter().for_each(|workload| println!("{:16} {}", workload.name, workload.about));
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(&arguments.only)?;
    let setting = Setting { size: Size::of(&arguments), serve: arguments.serve.clone() };
    let machine = machine::describe();
    let figures = figures(&run(&chosen, &setting).await?);
    table::print(&figures);
    let told = json!({
        "format": FORMAT,
        "quick": arguments.is_quick,
        "machine": machine,
        "serve": arguments.serve,
        "figures": figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&told)?;
    let place = arguments.json.display();
    std::fs::write(&arguments.json, text + "\n").with_context(|| format!("{place} cannot be written"))?;
    println!("\n{place} has all of it.");
    let is_missed = figures.iter().any(|figure| figure.is_met() == Some(false));
    Ok(if arguments.is_gate && is_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn chosen(only: &[String]) -> Result<Vec<&'static Workload>> {
    for name in only {
        let is_known = workload::ALL.iter().any(|workload| workload.name == name);
        ensure!(is_known, "there is no workload {name:?}: --list tells which there are");
    }
    let is_chosen = |workload: &&Workload| only.is_empty() || only.iter().any(|name| name == workload.name);
    Ok(workload::ALL.iter().filter(is_chosen).collect())
}

/// Round after round, so that whatever else the machine does is shared fairly.
async fn run(chosen: &[&Workload], setting: &Setting) -> Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for round in 0..setting.size.rounds.max(setting.size.rounds_of_long) {
        for workload in chosen.iter().filter(|workload| round < workload.rounds(&setting.size)) {
            let told = workload
                .run(setting)
                .await
                .with_context(|| format!("{}, round {}", workload.name, round + 1))?;
            let values: Vec<_> =
                told.iter().map(|reading| format!("{} {:.2}", reading.id, reading.value)).collect();
            eprintln!("round {}: {:16} {}", round + 1, workload.name, values.join(", "));
            readings.extend(told);
        }
    }
    Ok(readings)
}
