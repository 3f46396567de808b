//! Replacing: one store takes the place of another, whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::open::{beside, sync_folder};

/// Where a store is filled before it takes the place of the one at `path`.
pub fn aside(path: &Path) -> PathBuf {
    beside(path, "import")
}

/// Puts a store that was closed in the place of another. The lock of the place stays.
pub fn replace(aside: &Path, path: &Path) -> io::Result<()> {
    fs::rename(aside, path)?;
    sync_folder(path)
}

/// Removes a store that nobody has open, with what is beside it.
pub fn remove(path: &Path) {
    for file in [path.to_owned(), beside(path, "lock"), beside(path, "new"), beside(path, "wal")] {
        if let Err(error) = fs::remove_file(&file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %file.display(), %error, "what is left of an import was not removed");
        }
    }
}
