//! `snapshot`: writes an archive of the source, under a name that says that it is not published.
//!
//! Undo record: the file's name, before the file. A second attempt writes the same file anew.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_plugin::{Action, Applied, Context, Evidence, Failure, JournalError};

use crate::archive::{self, Observe, WriteError};
use crate::name::ArchiveName;
use crate::walk::{self, Tree, WalkError};
use crate::{BACKUP, SOURCE};

/// A watcher sees no more than this many steps of one call.
const PROGRESS_STEPS: u64 = 100;

/// The action.
pub struct Snapshot;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotInput {
    /// What to back up: a path below the source directory. Default: all of it.
    #[serde(default)]
    pub source: Option<String>,
    /// Names to leave out wherever they are, such as `target` or `.git`, with all that is in them.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How the archive's name begins: letters, digits, `_`, `-` and `.`.
    #[serde(default = "default_prefix")]
    pub name_prefix: String,
}

fn default_prefix() -> String {
    "backup".into()
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotOutput {
    /// The archive's file name in the backup directory: pass it to verify and publish.
    pub archive: String,
    /// SHA-256 of the archive, in hexadecimal digits.
    pub sha256: String,
    /// Size of the archive.
    pub archive_bytes: u64,
    pub files: u64,
    pub directories: u64,
    pub links: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files whose size changed while they were read: cut or filled with zeros to the size that they began with.
    pub changed: u64,
    /// Files that were gone before they could be read.
    pub vanished: u64,
    /// What no archive holds, or the sandbox may not read: sockets, devices, links that lead out of the directory.
    pub skipped: u64,
}

/// What revert needs: the file to remove.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotUndo {
    pub partial: String,
}

impl Action for Snapshot {
    const NAME: &'static str = "snapshot";
    const DESCRIPTION: &'static str = "Writes a .tar.zst of the source directory, not published yet";
    type Input = SnapshotInput;
    type Output = SnapshotOutput;
    type Undo = SnapshotUndo;

    fn apply(
        context: &Context<'_, SnapshotUndo>,
        input: SnapshotInput,
    ) -> Result<Applied<SnapshotOutput, SnapshotUndo>, Failure> {
        take(context, &input, Path::new(SOURCE), Path::new(BACKUP)).map(Applied::new)
    }

    fn revert(
        _: &Context<'_, SnapshotUndo>,
        _: SnapshotInput,
        evidence: Evidence<SnapshotOutput, SnapshotUndo>,
    ) -> Result<Option<Value>, Failure> {
        remove(&evidence.into_records(), Path::new(BACKUP)).map(Some)
    }
}

pub fn take(
    context: &Context<'_, SnapshotUndo>,
    input: &SnapshotInput,
    source: &Path,
    backup: &Path,
) -> Result<SnapshotOutput, Failure> {
    let name = ArchiveName::new(&input.name_prefix, context.fired_for(), context.idempotency_key())
        .map_err(|error| Failure::reject("input.invalid", error.to_string()))?;
    let root = source_path(source, input.source.as_deref())?;
    let tree = walk::walk(&root, &input.exclude).map_err(refuse)?;

    let partial = name.partial();
    context.undo_ahead(&SnapshotUndo { partial: partial.clone() })?;
    let path = backup.join(&partial);
    let mut file = File::create(&path).map_err(|error| unwritable(&partial).because(&error))?;
    let summary = archive::write(&root, &tree, &mut file, &mut *observer(context, &tree))
        .map_err(|error| explain(&partial, error))?;
    file.sync_all().map_err(|error| unwritable(&partial).because(&error))?;
    windlass_plugin::info!("{partial}: {} files, {} bytes", summary.files, summary.bytes);
    Ok(SnapshotOutput {
        archive: partial,
        sha256: summary.sha256,
        archive_bytes: summary.archive_bytes,
        files: summary.files,
        directories: summary.directories,
        links: summary.links,
        bytes: summary.bytes,
        changed: summary.changed,
        vanished: summary.vanished + tree.vanished,
        skipped: tree.skipped,
    })
}

/// The directory to back up; only below the granted one, whatever the sandbox would make of other paths.
fn source_path(source: &Path, below: Option<&str>) -> Result<PathBuf, Failure> {
    let below = Path::new(below.unwrap_or(""));
    let is_below = below.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_below {
        let message = format!("source: {} is no path below the source directory", below.display());
        return Err(Failure::reject("input.invalid", message));
    }
    Ok(source.join(below))
}

/// Nothing has been written yet.
fn refuse(error: WalkError) -> Failure {
    let class = match &error {
        WalkError::Unreadable { .. } => "source.unreadable",
        WalkError::TooMany => "source.too_many",
    };
    with_sources(Failure::reject(class, error.to_string()), &error)
}

fn explain(partial: &str, error: WriteError) -> Failure {
    match error {
        WriteError::Stopped(stop) => stop.into(),
        WriteError::Source { .. } => {
            with_sources(Failure::broken("source.unreadable", error.to_string()), &error)
        }
        WriteError::Archive(_) | WriteError::Contents(_) => with_sources(unwritable(partial), &error),
    }
}

fn with_sources(failure: Failure, error: &dyn std::error::Error) -> Failure {
    match error.source() {
        Some(source) => failure.because(source),
        None => failure,
    }
}

fn unwritable(partial: &str) -> Failure {
    Failure::broken("archive.unwritable", format!("{partial}: cannot be written"))
}

/// Reports progress, once for each hundredth of the bytes.
fn observer<'a, U>(context: &'a Context<'_, U>, tree: &Tree) -> Box<Observe<'a>> {
    let total = tree.bytes.max(1);
    let mut told = 0;
    Box::new(move |done: u64| -> Result<(), JournalError> {
        let step = done.min(total).saturating_mul(PROGRESS_STEPS) / total;
        if step > told {
            told = step;
            let fraction = step as f32 / PROGRESS_STEPS as f32;
            context.progress(fraction, &format!("{done} of {total} bytes"))?;
        }
        Ok(())
    })
}

pub fn remove(records: &[SnapshotUndo], backup: &Path) -> Result<Value, Failure> {
    let mut removed = Vec::new();
    for SnapshotUndo { partial } in records {
        match fs::remove_file(backup.join(partial)) {
            Ok(()) => removed.push(partial),
            // Never begun, or removed by an earlier attempt.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("{partial}: cannot be removed");
                return Err(Failure::broken("archive.unremovable", message).because(&error));
            }
        }
    }
    Ok(json!({ "removed": removed }))
}
