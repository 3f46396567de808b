//! What is to be backed up: every file, directory and link below a directory, in the order of their paths.
//!
//! The directory is in use while it is walked: what vanishes meanwhile is counted, not an error.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Entries of one archive. Their list is held in memory, at a few hundred bytes each.
const ENTRIES_MAX: usize = 200_000;

/// What was found below a directory.
#[derive(Debug, Default)]
pub struct Tree {
    /// Sorted by path: a directory comes before what is in it.
    pub entries: Vec<Entry>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Entries that were listed, and gone a moment later.
    pub vanished: u64,
    /// Entries that no archive can hold, or that the sandbox may not read: sockets, devices, links to absolute paths.
    pub skipped: u64,
}

/// A file, a directory or a link.
#[derive(Debug)]
pub struct Entry {
    /// From the walked directory, with `/` between its parts.
    pub path: String,
    /// Unix seconds; 0 where the file system does not tell.
    pub modified_s: u64,
    pub kind: EntryKind,
}

#[derive(Debug)]
pub enum EntryKind {
    File { bytes: u64 },
    Directory,
    Link { target: String },
}

#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    #[error("{path}: cannot be read")]
    Unreadable { path: String, source: io::Error },
    #[error("more than {ENTRIES_MAX} entries: exclude some, or back up the parts in jobs of their own")]
    TooMany,
}

/// Lists what is below `root`. `exclude` are names: what is called so is left out, with all that is in it.
pub fn walk(root: &Path, exclude: &[String]) -> Result<Tree, WalkError> {
    let mut tree = Tree::default();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for name in names(root, &directory, &mut tree)? {
            if exclude.contains(&name) {
                continue;
            }
            if tree.entries.len() == ENTRIES_MAX {
                return Err(WalkError::TooMany);
            }
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let Some(entry) = entry(root, path, &mut tree)? else {
                continue;
            };
            match entry.kind {
                EntryKind::Directory => directories.push(entry.path.clone()),
                EntryKind::File { bytes } => tree.bytes += bytes,
                EntryKind::Link { .. } => {}
            }
            tree.entries.push(entry);
        }
    }
    tree.entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tree)
}

/// The names in a directory; none if it has vanished, unless it is the root.
fn names(root: &Path, directory: &str, tree: &mut Tree) -> Result<Vec<String>, WalkError> {
    let unreadable = |source| WalkError::Unreadable { path: shown(directory), source };
    let listed = match fs::read_dir(root.join(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.is_empty() => {
            tree.vanished += 1;
            return Ok(Vec::new());
        }
        listed => listed.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in listed {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.into_string().map_err(|name| {
            let path = PathBuf::from(directory).join(name).display().to_string();
            let source = io::Error::new(io::ErrorKind::InvalidData, "the name is not UTF-8");
            WalkError::Unreadable { path, source }
        })?;
        names.push(name);
    }
    Ok(names)
}

/// The entry, unless it has vanished or cannot be backed up: then it is counted.
fn entry(root: &Path, path: String, tree: &mut Tree) -> Result<Option<Entry>, WalkError> {
    let at = root.join(&path);
    let found = fs::symlink_metadata(&at).and_then(|metadata| {
        let target = if metadata.is_symlink() { Some(fs::read_link(&at)?) } else { None };
        Ok((metadata, target))
    });
    let (metadata, target) = match found {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tree.vanished += 1;
            return Ok(None);
        }
        // A sandbox does not show links that lead out of it. They are no reason to back up nothing.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_link(&at) => {
            windlass_plugin::warn!("{path}: left out, the link cannot be read: {error}");
            tree.skipped += 1;
            return Ok(None);
        }
        Err(source) => return Err(WalkError::Unreadable { path, source }),
    };
    let kind = match target {
        Some(target) => target.to_str().map(|target| EntryKind::Link { target: target.into() }),
        None if metadata.is_dir() => Some(EntryKind::Directory),
        None if metadata.is_file() => Some(EntryKind::File { bytes: metadata.len() }),
        None => None,
    };
    let Some(kind) = kind else {
        windlass_plugin::warn!("{path}: left out, it is no file, directory or link that an archive can hold");
        tree.skipped += 1;
        return Ok(None);
    };
    Ok(Some(Entry { path, modified_s: modified_s(&metadata), kind }))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn modified_s(metadata: &Metadata) -> u64 {
    let modified = metadata.modified().ok();
    let since = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

fn shown(directory: &str) -> String {
    if directory.is_empty() { "the source directory".into() } else { directory.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_listed_in_the_order_of_its_paths_without_what_is_excluded() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["b/inner", "a", "target/deep", "a/target"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for file in ["b/inner/2", "b.txt", "a/1", "target/deep/x"] {
            fs::write(root.path().join(file), "12345").unwrap();
        }
        let tree = walk(root.path(), &["target".into()]).unwrap();
        let paths: Vec<_> = tree.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "a/1", "b", "b.txt", "b/inner", "b/inner/2"]);
        assert_eq!(tree.bytes, 15);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_kept_and_a_socket_is_counted() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        let tree = walk(root.path(), &[]).unwrap();
        assert!(
            matches!(&tree.entries[..], [Entry { kind: EntryKind::Link { target }, .. }] if target == "nowhere")
        );
        assert_eq!(tree.skipped, 1);
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        assert!(matches!(walk(Path::new("/nowhere/at/all"), &[]), Err(WalkError::Unreadable { .. })));
    }
}
