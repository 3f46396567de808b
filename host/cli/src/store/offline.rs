//! The offline verbs: they open the store themselves, which no host may have at the time.

use std::io::{BufReader, Read};
use std::path::PathBuf;

use chrono::Utc;
use clap::Args;
use tokio::sync::mpsc;
use windlass_host::store::canonical::{self, Counts, ExportError, ImportError};
use windlass_host::store::check::Finding;
use windlass_host::store::{DatabaseError, OpenError, Place, PlaceError, PostgresSettings, StoreFailure};

use super::kept::Kept;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::problem::Problem;
use crate::serve;

/// Chunks between the store and the file.
const CHUNKS_MAX: usize = 4;

/// Where the store is.
#[derive(Debug, Args)]
pub struct PlaceArguments {
    /// The data directory of the host [default: $XDG_STATE_HOME/windlass]
    #[arg(long, env = "WINDLASS_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The database that holds the store, instead of a file in the data directory
    #[arg(long, env = "WINDLASS_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<String>,
}

impl PlaceArguments {
    fn place(&self) -> Result<Place, Problem> {
        if let Some(url) = &self.store {
            serve::check_database(url, "--store")?;
            return Ok(Place::Postgres(PostgresSettings::at(url)));
        }
        let directory = match &self.data_dir {
            Some(directory) => directory.clone(),
            None => serve::state_directory()?,
        };
        Ok(Place::in_directory(&directory))
    }
}

pub async fn export(place: &PlaceArguments, file: &str, output: Output) -> Result<Exit, Problem> {
    let opened = place.place()?.open_existing().await.map_err(problem)?;
    let mut kept = Kept::begin(file)?;
    let (chunks, mut written) = mpsc::channel::<Vec<u8>>(CHUNKS_MAX);
    let store = opened.store();
    // It owns the receiver: where the file cannot be written the export ends, and waits for nobody.
    let keeping = async move {
        while let Some(chunk) = written.recv().await {
            kept.take(&chunk)?;
        }
        kept.end()
    };
    // Where the file cannot be written, the export has nobody to write for: that is no failure of its own.
    let (exported, kept) = tokio::join!(canonical::export(&*store, chunks), keeping);
    opened.close().await;
    let counts = match exported {
        Err(ExportError::Gone) => {
            return Err(kept.err().unwrap_or_else(|| Problem::broken("the export was cut")));
        }
        exported => exported.map_err(of_export)?,
    };
    let said = kept?;
    output.note(&format!("{}; {said}", summary(&counts)));
    Ok(Exit::Done)
}

pub async fn import(place: &PlaceArguments, file: &str, output: Output) -> Result<Exit, Problem> {
    let place = place.place()?;
    let input: Box<dyn Read + Send> = match file {
        "-" => Box::new(std::io::stdin()),
        file => Box::new(
            std::fs::File::open(file)
                .map_err(|error| Problem::usage(format!("the file {file:?} cannot be read: {error}")))?,
        ),
    };
    let counts = place.import(Utc::now(), BufReader::new(input)).await.map_err(|error| {
        let mut problem = problem(error);
        if problem.exit == Exit::Usage {
            problem.what = format!("{file}: {}", problem.what);
        }
        problem
    })?;
    output.note(&format!("{}; imported into {place}", summary(&counts)));
    Ok(Exit::Done)
}

pub async fn check(place: &PlaceArguments, output: Output) -> Result<Exit, Problem> {
    let place = place.place()?;
    let mut found: Vec<Finding> = Vec::new();
    let mut unwritten = None;
    let mut tell = |finding: Finding| {
        let told = match output.format {
            Format::Table | Format::Id => output.line(&finding.to_string()),
            Format::Jsonl => output.jsonl(&finding),
            Format::Json => {
                found.push(finding);
                Ok(())
            }
        };
        unwritten = unwritten.take().or(told.err());
    };
    let checked = match place.check(&mut tell).await {
        // What keeps it from being opened at all is what was looked for.
        Err(PlaceError::Open(OpenError::Corrupt { path, reason })) => {
            let advice = "restore a backup of before";
            tell(Finding { place: format!("the file {}", path.display()), what: reason, advice });
            None
        }
        checked => Some(checked.map_err(problem)?),
    };
    if let Some(problem) = unwritten {
        return Err(problem);
    }
    if output.format == Format::Json {
        output.json(&found)?;
    }
    match checked {
        Some(checked) if checked.findings == 0 => {
            output.note(&format!("{}; nothing is wrong", summary(&checked.counts)));
            Ok(Exit::Done)
        }
        Some(checked) => {
            output.note(&format!("{}; problems: {}", summary(&checked.counts), checked.findings));
            Ok(Exit::Damaged)
        }
        None => Ok(Exit::Damaged),
    }
}

fn summary(counts: &Counts) -> String {
    let Counts { blobs, records, jobs, entries, keys, .. } = counts;
    format!("jobs: {jobs}, entries: {entries}, records: {records}, keys: {keys}, blobs: {blobs}")
}

fn of_export(error: ExportError) -> Problem {
    match error {
        ExportError::Unfinished(_) => Problem::new(Exit::Refused, error.to_string()),
        ExportError::Corrupt(_) => Problem::new(Exit::Damaged, error.to_string()),
        ExportError::Store(failure) => of_store(&failure),
        ExportError::Gone => Problem::broken(error.to_string()),
    }
}

fn of_store(failure: &StoreFailure) -> Problem {
    let exit = match failure {
        StoreFailure::Full => Exit::Refused,
        StoreFailure::Down(_) => Exit::Broken,
        StoreFailure::Corrupt(_) => Exit::Damaged,
    };
    Problem::new(exit, failure.to_string())
}

fn problem(error: PlaceError) -> Problem {
    let text = error.to_string();
    match error {
        PlaceError::Missing(_) => {
            Problem::new(Exit::NotFound, text).advise("--data-dir DIR, or WINDLASS_DATA_DIR")
        }
        PlaceError::Open(OpenError::InUse { path }) => {
            let text = format!("the store {} is in use by another process", path.display());
            Problem::new(Exit::Refused, text)
                .advise("stop the host first; `windlass store backup` works while it runs")
        }
        PlaceError::Database(DatabaseError::InUse { place }) => {
            Problem::new(Exit::Refused, format!("{place} is in use by a host"))
                .advise("stop the host first; `windlass store backup` works while it runs")
        }
        PlaceError::Database(DatabaseError::Empty { .. }) => Problem::new(Exit::NotFound, text),
        PlaceError::Database(DatabaseError::Address { .. }) => Problem::usage(text),
        PlaceError::Database(DatabaseError::NewerSchema { .. } | DatabaseError::OlderSchema { .. }) => {
            Problem::new(Exit::Refused, text)
        }
        PlaceError::Database(_) => Problem::broken(text),
        PlaceError::Open(OpenError::Corrupt { .. }) => Problem::new(Exit::Damaged, text),
        PlaceError::Open(OpenError::NotWritable { .. }) => Problem::usage(text),
        PlaceError::Open(OpenError::Full { .. } | OpenError::NewerSchema { .. }) => {
            Problem::new(Exit::Refused, text)
        }
        PlaceError::Open(_) => Problem::broken(text),
        PlaceError::Import(ImportError::Read(_)) => Problem::usage(text),
        PlaceError::Import(ImportError::Store(failure)) | PlaceError::Store(failure) => of_store(&failure),
        PlaceError::Import(_) => Problem::new(Exit::Refused, text),
        PlaceError::Replace { source, .. } => Problem::broken(format!("{text}: {source}")),
    }
}
