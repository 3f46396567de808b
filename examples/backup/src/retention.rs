//! Retention: which archives are published, which have had to make room, and where those are.
//!
//! A publication moves what it retires into a trash of its own, `.trash/<key>/`, so that it can be undone. When all
//! is done it puts the file `complete` there; the next publication empties the complete trashes of others.
//!
//! Invariant: a trash without `complete` belongs to a publication that may still be undone, and is left alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::name::{self, ArchiveName};

const TRASH: &str = ".trash";
const COMPLETE: &str = "complete";
/// How often a directory is listed again that changed while it was: each time, another call got something done.
const LISTINGS_MAX: u32 = 100;
/// What is being emptied: renamed first, so that a half-emptied trash is never taken for a whole one.
const EMPTYING: &str = ".emptying";
/// Hexadecimal digits of the key's hash.
const TRASH_NAME_LENGTH: usize = 16;

/// What one publication does to the directory, and what its revert needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The archive's name before.
    pub partial: String,
    /// And after.
    pub published: String,
    /// The publication's trash, below `.trash`.
    pub trash: String,
    /// The archives that it retires.
    pub retired: Vec<String>,
}

/// Why a publication cannot be undone. Nothing has been touched.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    #[error(
        "these archives are gone for good, emptied from the trash by a later publication: {}; \
         unpublishing this one would leave less than before", .0.join(", ")
    )]
    Emptied(Vec<String>),
    #[error("{0} has been retired by a later publication: revert that one first")]
    Retired(String),
    #[error("{0} is there twice, published and not: remove one of them")]
    Ambiguous(String),
    #[error("the backup directory cannot be changed")]
    Directory(#[from] io::Error),
}

/// The directory of the archives.
#[derive(Debug, Clone, Copy)]
pub struct Shelf<'a> {
    root: &'a Path,
}

impl<'a> Shelf<'a> {
    pub fn new(root: &'a Path) -> Self {
        Shelf { root }
    }

    pub fn has(&self, file: &str) -> io::Result<bool> {
        self.root.join(file).try_exists()
    }

    /// What publishing `archive` under this key means now: all but the newest `keep` of its prefix are retired. The
    /// published one stays and counts, however old it is.
    pub fn plan(&self, archive: &ArchiveName, key: &str, keep: usize) -> io::Result<Plan> {
        let mut others = published(self.root, archive.prefix())?;
        others.retain(|other| other != archive);
        others.sort_by(|a, b| b.cmp(a));
        let mut retired: Vec<_> =
            others.iter().skip(keep.saturating_sub(1)).map(ArchiveName::published).collect();
        let trash = name::digest(key, TRASH_NAME_LENGTH);
        // An earlier attempt may have begun: what it retired is part of the plan.
        let begun = published(&self.trash(&trash), archive.prefix())?;
        retired.extend(begun.iter().map(ArchiveName::published));
        retired.sort();
        Ok(Plan { partial: archive.partial(), published: archive.published(), trash, retired })
    }

    /// How many archives of a prefix are published.
    pub fn count(&self, prefix: &str) -> io::Result<usize> {
        Ok(published(self.root, prefix)?.len())
    }

    /// Carries a plan out, or the rest of it where an earlier attempt was interrupted. The new archive comes first:
    /// there are never fewer than before.
    pub fn carry_out(&self, plan: &Plan) -> io::Result<()> {
        self.shift(&plan.partial, &plan.published)?;
        if !plan.retired.is_empty() {
            fs::create_dir_all(self.trash(&plan.trash))?;
        }
        for archive in &plan.retired {
            self.shift(archive, &format!("{TRASH}/{}/{archive}", plan.trash))?;
        }
        self.empty_others(&plan.trash)?;
        if self.trash(&plan.trash).try_exists()? {
            File::create(self.trash(&plan.trash).join(COMPLETE))?.sync_all()?;
        }
        Ok(())
    }

    /// Undoes plans of one publication, carried out or not. Looks first, and touches nothing if it cannot.
    pub fn undo(&self, plans: &[Plan]) -> Result<Vec<String>, UndoError> {
        let mut restored = Vec::new();
        let mut gone = Vec::new();
        for plan in plans {
            self.may_unpublish(plan)?;
            for archive in &plan.retired {
                let is_kept = self.has(archive)?;
                match (self.trash(&plan.trash).join(archive).try_exists()?, is_kept) {
                    (true, true) => return Err(UndoError::Ambiguous(archive.clone())),
                    (true, false) => restored.push((plan, archive)),
                    (false, true) => {}
                    // Planned only, then retired by somebody else.
                    (false, false) if self.is_in_a_trash(archive)? => {}
                    (false, false) => gone.push(archive.clone()),
                }
            }
        }
        if !gone.is_empty() {
            return Err(UndoError::Emptied(gone));
        }
        for plan in plans {
            remove_file(&self.trash(&plan.trash).join(COMPLETE))?;
        }
        for (plan, archive) in &restored {
            self.shift(&format!("{TRASH}/{}/{archive}", plan.trash), archive)?;
        }
        for plan in plans {
            self.shift(&plan.published, &plan.partial)?;
            remove_empty(&self.trash(&plan.trash))?;
        }
        remove_empty(&self.root.join(TRASH))?;
        let mut names: Vec<_> = restored.into_iter().map(|(_, archive)| archive.clone()).collect();
        // A plan that was written by two attempts names them twice.
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn may_unpublish(&self, plan: &Plan) -> Result<(), UndoError> {
        match (self.has(&plan.published)?, self.has(&plan.partial)?) {
            (true, true) => Err(UndoError::Ambiguous(plan.published.clone())),
            (false, false) if self.is_in_a_trash(&plan.published)? => {
                Err(UndoError::Retired(plan.published.clone()))
            }
            _ => Ok(()),
        }
    }

    fn is_in_a_trash(&self, archive: &str) -> io::Result<bool> {
        for trash in self.trashes()? {
            if self.trash(&trash).join(archive).try_exists()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes what other publications have retired, if they are complete.
    fn empty_others(&self, own: &str) -> io::Result<()> {
        for trash in self.trashes()? {
            let mut path = self.trash(&trash);
            if trash == own || (!trash.ends_with(EMPTYING) && !path.join(COMPLETE).try_exists()?) {
                continue;
            }
            if !trash.ends_with(EMPTYING) {
                let emptying = self.trash(&format!("{trash}{EMPTYING}"));
                fs::rename(&path, &emptying)?;
                path = emptying;
            }
            fs::remove_dir_all(&path)?;
        }
        Ok(())
    }

    fn trashes(&self) -> io::Result<Vec<String>> {
        names(&self.root.join(TRASH))
    }

    fn trash(&self, name: &str) -> PathBuf {
        self.root.join(TRASH).join(name)
    }

    /// Renames, unless that has been done: then there is nothing under the first name.
    fn shift(&self, from: &str, to: &str) -> io::Result<()> {
        match fs::rename(self.root.join(from), self.root.join(to)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }
}

/// The published archives of a prefix in a directory; none if there is no such directory.
fn published(directory: &Path, prefix: &str) -> io::Result<Vec<ArchiveName>> {
    let parsed = names(directory)?.into_iter().filter_map(|file| ArchiveName::parse(&file).ok());
    let published = parsed.filter(|(archive, is_published)| *is_published && archive.prefix() == prefix);
    Ok(published.map(|(archive, _)| archive).collect())
}

/// What is in a directory; nothing if there is no such directory.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut listings = 0;
    loop {
        let listed = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        // A name that is not UTF-8 is not one of ours.
        let names = listed.map(|entry| Ok(entry?.file_name().into_string().ok()));
        match names.collect::<io::Result<Vec<_>>>() {
            Ok(names) => return Ok(names.into_iter().flatten().collect()),
            // The host looks at each entry, and a publication beside this one has renamed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && listings < LISTINGS_MAX => listings += 1,
            Err(error) => return Err(error),
        }
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes a directory if nothing is in it.
fn remove_empty(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(())
        }
        removed => removed,
    }
}
