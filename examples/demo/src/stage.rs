//! The stage: where the demo plays. A fresh directory for the store, the backups and what is restored of them.
//!
//! Invariant: the directory of a demo that succeeded or was interrupted is gone; that of one that failed stays, and
//! is named.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::Arguments;

/// What the snapshots leave out, wherever it is.
pub const EXCLUDED: [&str; 2] = ["target", ".git"];

/// The name of the archive that the demo leaves behind.
const LEFT: &str = "latest.tar.zst";
/// Of the host's log, shown when the demo fails.
const LOG_LINES_SHOWN: usize = 20;

/// Everything that is there before the first act.
pub struct Stage {
    pub source: PathBuf,
    pub plugin: PathBuf,
    pub windlass: PathBuf,
    work: PathBuf,
    run: TempDir,
}

impl Stage {
    /// Checks what was given, and makes the directories.
    pub fn set(arguments: &Arguments) -> anyhow::Result<Self> {
        let source = directory(&arguments.source)?;
        let plugin = file(&arguments.plugin, "`make plugins` builds it")?;
        let windlass = match &arguments.windlass {
            Some(path) => path.clone(),
            None => std::env::current_exe()
                .context("this program's own path is unknown")?
                .with_file_name("windlass"),
        };
        let windlass = file(&windlass, "`make build` builds it")?;
        std::fs::create_dir_all(&arguments.work)
            .with_context(|| format!("{} cannot be made", arguments.work.display()))?;
        let work = directory(&arguments.work)?;
        ensure_apart(&work, &source)?;
        let run = tempfile::Builder::new().prefix("run-").tempdir_in(&work);
        let run = run.with_context(|| format!("no directory can be made in {}", work.display()))?;
        let stage = Self { source, plugin, windlass, work, run };
        for path in [stage.backup(), stage.restored()] {
            std::fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        }
        Ok(stage)
    }

    /// Where the host keeps everything: not there yet.
    pub fn store(&self) -> PathBuf {
        self.run.path().join("store")
    }

    /// Where the archives go.
    pub fn backup(&self) -> PathBuf {
        self.run.path().join("backup")
    }

    /// Where an archive is unpacked to be compared.
    pub fn restored(&self) -> PathBuf {
        self.run.path().join("restored")
    }

    pub fn host_log(&self) -> PathBuf {
        self.run.path().join("host.log")
    }

    /// Moves an archive to where it stays, in place of the one that an earlier demo left.
    pub fn leave(&self, archive: &Path) -> anyhow::Result<PathBuf> {
        let left = self.work.join(LEFT);
        std::fs::rename(archive, &left)
            .with_context(|| format!("{} cannot be moved to {}", archive.display(), left.display()))?;
        Ok(left)
    }

    /// Keeps the directory, and says where it is and what the host said last.
    pub fn keep_for_diagnosis(self, error: anyhow::Error) -> anyhow::Error {
        let log = self.host_log();
        let said = match std::fs::read_to_string(&log) {
            Ok(said) => last_lines(&said),
            Err(why) => format!("({} cannot be read: {why})", log.display()),
        };
        let kept = self.run.keep();
        anyhow::anyhow!("{error:#}\nwhat the host said last:\n{said}\nkept: {}", kept.display())
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

fn directory(path: &Path) -> anyhow::Result<PathBuf> {
    let found = path.canonicalize().with_context(|| format!("the directory {}", path.display()))?;
    ensure!(found.is_dir(), "{} is no directory", path.display());
    ensure!(found.to_str().is_some(), "{} is not UTF-8, which the API needs", path.display());
    Ok(found)
}

fn file(path: &Path, advice: &str) -> anyhow::Result<PathBuf> {
    let found = path.canonicalize().with_context(|| format!("the file {}: {advice}", path.display()))?;
    ensure!(found.is_file(), "{} is no file: {advice}", path.display());
    Ok(found)
}

/// Backups within the source would be backed up, too.
fn ensure_apart(work: &Path, source: &Path) -> anyhow::Result<()> {
    let Ok(below) = work.strip_prefix(source) else {
        return Ok(());
    };
    let is_excluded = below.iter().any(|name| EXCLUDED.iter().any(|excluded| name == *excluded));
    if !is_excluded {
        bail!("{} is within the source {}: give another with --work", work.display(), source.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backups_are_apart_from_the_source() {
        let apart = |work: &str| ensure_apart(Path::new(work), Path::new("/source")).is_ok();
        assert!(apart("/elsewhere"));
        assert!(apart("/source/target/demo"));
        assert!(!apart("/source/demo"));
        assert!(!apart("/source"));
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        let text: String = (0..LOG_LINES_SHOWN + 5).map(|number| format!("{number}\n")).collect();
        assert_eq!(last_lines(&text).lines().next(), Some("5"));
        assert_eq!(last_lines(""), "");
    }
}
